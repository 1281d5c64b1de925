"""`make demo`: augment, train from scratch and by transfer, sample, score and report, as a new user would type it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from smallgan.core.device import choose_device, has_fast_bf16

FOLDER = Path("demo")
MIXED, REPORT = FOLDER / "mixed", FOLDER / "report.html"
RUN, ADAPTED = FOLDER / "dcgan", FOLDER / "apgc"

FASTER = "--precision bf16 " if has_fast_bf16(choose_device()) else ""  # As `smallgan train photos` chooses

COMMANDS = [
    f"augment --policy hflip+contrast --out {MIXED}",
    f"train {MIXED} --recipe quickstart --steps 2000 {FASTER}--out {RUN}",
    f"sample {RUN} --seeds 0-35",
    f"sample {RUN} --interpolate",
    f"train --transfer apgc --steps 400 {FASTER}--out {ADAPTED}",
    f"sample {ADAPTED}",
    f"sample {ADAPTED} --interpolate --codes 0,1,2,3",
    f"score {RUN} --features panel --metrics kid,kmmd,copies,sharpness",
    f"score {ADAPTED} --features panel --metrics kid,kmmd,copies,sharpness",
    f"report {RUN} {ADAPTED} --out {REPORT}",
]


def main() -> None:
    started = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    for command in COMMANDS:
        print(f"\n$ smallgan {command}", flush=True)
        before = time.perf_counter()
        status = subprocess.run([sys.executable, "-m", "smallgan", *shlex.split(command)]).returncode
        if status:
            sys.exit(status)
        print(f"  ({time.perf_counter() - before:.0f} s)", flush=True)
    print(f"\nDone in {time.perf_counter() - started:.0f} s. The page: {REPORT.resolve().as_uri()}")


if __name__ == "__main__":
    main()
