"""How much memory a process of its own takes above idle while it refuses hostile files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAX_BYTES = 300 << 20
"""That looking at a hostile file may take above idle."""

# VmHWM begins anew with a process's program; ru_maxrss still has the peak of the process that started it.
_PROGRAM = """
import re, sys
from pathlib import Path
from augment.errors import SmallganError
{imports}
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
idle, told = peak(), []
for place in map(Path, sys.argv[1:]):
    try:
        told += {call}
    except SmallganError as error:
        told.append(str(error))
print(peak() - idle, *(text.replace("\\n", " ") for text in told), sep="\\n")
"""


def peak_of(imports: str, call: str, *places: Path) -> tuple[int, list[str]]:
    """Memory in bytes that a process takes above idle, and what it tells.

    For each `place` it evaluates `call`, which gives a list of texts, after the statements `imports`; an error of ours
    is told as its message. Linux only.
    """
    program = _PROGRAM.format(imports=imports, call=call)
    command = [sys.executable, "-c", program, *map(str, places)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    peak, *told = result.stdout.splitlines()
    return int(peak), told
