"""Files that are read whole, within limits: a damaged or hostile one is refused by its size, and fills no memory."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from augment.errors import InputError

MAX_FILE_BYTES = 128 << 20  # Of an image or a table, also unpacked from a zip: told by its header, before it is read
MAX_LINE = 1 << 20  # Characters of a line
MAX_LINES = 4_000_000
REPLACE = "smallgan writes none that is so large, so put the right file there, or take it away"
MAX_JSON_BYTES, MAX_JSON_PARTS = 32 << 20, 4_000_000  # of one file; an image in a table has three commas and brackets


def read_within(path: Path | str, most_bytes: int, name: str | None = None, *, advice: str = "leave it out") -> bytes:
    """Return the bytes of an ordinary file.

    Args:
        path: the file.
        most_bytes: a larger one is refused before it is read.
        name: what messages call it; None: its path.
        advice: what messages say can be done.

    Raises OSError, and InputError for a pipe, a device or a file that is too large.
    """
    status = os.stat(path)  # noqa: PTH116 - pathlib costs as much as reading the file, several times over
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name or path}: not an ordinary file; {advice}")
    if status.st_size > most_bytes:
        raise InputError(f"{name or path}: {_mib(status.st_size)}; at most {_mib(most_bytes)} are read; {advice}")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def parse_json(data: bytes, where: str, *, advice: str = REPLACE) -> Any:
    """Return the value of JSON text in UTF-8, which may begin with a byte order mark.

    Raises ValueError for what is no JSON or nested too deeply, and InputError naming `where` for more than 4,000,000
    parts (commas and opening brackets), which would take many times the bytes of the text.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_JSON_PARTS:
        raise InputError(f"{where}: more than {MAX_JSON_PARTS:,} parts; {advice}")
    return loads(data.decode("utf-8-sig"))


def loads(text: str) -> Any:
    """Return the value of JSON text. Raises ValueError, also for text that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, most_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the value in a JSON file. Raises OSError, ValueError, and InputError for one that is too large."""
    return parse_json(read_within(path, most_bytes, advice=REPLACE), str(path))


def read_text(path: Path, most_bytes: int = MAX_JSON_BYTES) -> str:
    """Return the UTF-8 text of a file. Raises OSError, ValueError, and InputError for one that is too large."""
    return read_within(path, most_bytes, advice=REPLACE).decode()


def bounded_lines(stream: TextIO, where: str) -> Iterator[str]:
    """Yield the lines of a text one by one, so that a hostile one takes no memory.

    Raises InputError naming `where` for a line of more than 1,048,576 characters, for more than 4,000,000 lines and
    for text that is no UTF-8.
    """
    try:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE), ""), 1):
            if len(line) == MAX_LINE or number > MAX_LINES:
                bound = f"{MAX_LINES:,} lines of {MAX_LINE:,} characters are read"
                raise InputError(f"{where}, line {number}: at most {bound}; expected an image a line")
            yield line
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: cannot be read as text, as it is no UTF-8: {error}") from error


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 20):,.0f} MiB"
