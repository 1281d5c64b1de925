"""`make bench`: each row is a ratio over the plain way of doing the same, both measured in turn in one process.

python -m benchmarks [--rounds 7] [--threads 1] [--only training] [--busy-ok]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

BUSY_SHARE = 0.15
GROUPS = ("augmenting", "many", "training", "inception")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=GROUPS)
    parser.add_argument("--busy-ok", action="store_true", help="measure although other processes use the processor")
    args = parser.parse_args()
    busy = busy_share()
    if busy > BUSY_SHARE and not args.busy_ok:
        sys.exit(
            f"bench: other processes use {busy:.0%} of a core; wait until it is under {BUSY_SHARE:.0%}, or --busy-ok"
        )
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import cv2
    import torch

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    versions = f"torch {torch.__version__}, OpenCV {cv2.__version__}"
    print(f"{processor()}, {args.threads} thread(s), {args.rounds} rounds, {versions}")
    print(f"bfloat16 in hardware: {', '.join(bfloat16_units()) or 'none'}; other processes used {busy:.0%} of a core")
    print(f"{'what':34} {'ratio':>6} {'min':>6} {'max':>6} {'target':>7}  conditions")
    for group in GROUPS:
        if args.only in (None, group):
            rows = __import__(f"benchmarks.{group}", fromlist=["measure"]).measure(args.rounds)
            for row in rows:
                print(row.line(), flush=True)


def busy_share(seconds: float = 2.0) -> float:
    """Return the share of one core that other processes use now; 0 where /proc is absent."""
    if not Path("/proc/stat").is_file():
        return 0.0

    def busy_ticks() -> float:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")

    before = busy_ticks()
    time.sleep(seconds)
    return (busy_ticks() - before) / seconds


def processor() -> str:
    """Return the processor's name and its number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} core(s)"


def bfloat16_units() -> list[str]:
    """Return which bfloat16 units the processor has: they decide what bf16 can gain."""
    words = set(Path("/proc/cpuinfo").read_text().split())
    return [unit for unit in ("amx_bf16", "avx512_bf16") if unit in words]


if __name__ == "__main__":
    main()
