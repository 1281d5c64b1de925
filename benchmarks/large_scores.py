"""KMMD and KID of very many images: seconds by the clock and of processor time, and peak memory above the features.

    python -m benchmarks.large_scores [--count 50000] [--width 2048] [--metrics kmmd,kid]

Features are random float32, made in place. Peak memory is read from the kernel (Linux): the process's high-water mark,
set back before each metric. Work grows with the square of the number of images, memory does not grow.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from smallgan.metrics.kid import kid
from smallgan.metrics.kmmd import kmmd

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """Return the process's largest resident size since the mark was set back."""
    [line] = [line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print a line for each metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--metrics", default="kmmd,kid")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    fake, real = (rng.random((asked.count, asked.width), dtype=np.float32) for _ in range(2))
    fake *= np.float32(1.05)
    for name in asked.metrics.split(","):
        CLEAR.write_text("5", encoding="ascii")
        before, began, busy_before = peak_bytes(), time.perf_counter(), time.process_time()
        found = kmmd(fake, real) if name == "kmmd" else kid(fake, real)
        seconds, busy, extra = time.perf_counter() - began, time.process_time() - busy_before, peak_bytes() - before
        took = f"{seconds:.0f} s, {busy:.0f} s of processor, {extra / 2**20:.0f} MiB above the features"
        print(
            f"{name}: {found.value:.6g} [{found.interval}], {asked.count} x {asked.count} x {asked.width}: {took} "
            f"({2 * fake.nbytes / 2**20:.0f} MiB)",
            flush=True,
        )


if __name__ == "__main__":
    main()
