"""Seconds and peak memory of inspect, augment and train on very many small images.

    python -m benchmarks.many_images [--counts 100,10000,100000] [--steps 20] [--folder DIR]

Draws JPEGs of 64 px, the same each time, below DIR (default: the temporary folder; 100,000 need 3 GB), and removes
them at the end. Each command is a process of its own. A DCGAN with 48 and 32 channels is trained, without scores. Peak
memory is what the kernel counts (Linux): the process's high-water mark, and the most of it that was the process's own,
looked at 50 times a second; the rest is files that it maps, the libraries among them. The smallest set shows what a
command needs without data.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 64
MAPPED = """
from smallgan.data import pixel_store
pixel_store.MEMORY_SHARE = pixel_store.ALWAYS_BYTES = 0
from smallgan.cli import main
main()
"""


@dataclass
class Cost:
    """What a process took."""

    seconds: float
    busy_seconds: float
    """Of processor time: other work on the machine changes it little."""
    peak_mib: float
    own_mib: float


def draw(number: int) -> np.ndarray:
    """Return picture `number`, 64 x 64 x 3: smooth shade like no other's, with a few hard edges."""
    rng = np.random.default_rng([8, number])
    picture = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for left, top, radius, *colour in rng.integers(0, 256, (3, 6)).tolist():
        cv2.circle(picture, (left * SIDE >> 8, top * SIDE >> 8), 3 + radius // 32, colour, -1)
    return picture


def draw_images(folder: Path, first: int, count: int) -> None:
    """Write the pictures from `first` on until `count` are there."""
    folder.mkdir(exist_ok=True)
    for number in range(first, count):
        cv2.imwrite(f"{folder}/{number:06d}.jpg", draw(number), [cv2.IMWRITE_JPEG_QUALITY, 95])


def measured(command: list[str], cache: Path) -> Cost:
    """Run a command to its end. Stops everything when it fails."""
    environment = os.environ | {"SMALLGAN_CACHE": str(cache)}
    started, busy_before = time.perf_counter(), busy_seconds()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
    reader.start()
    peak = own = 0.0
    while process.poll() is None:
        with suppress(OSError, IndexError):
            lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
            mib = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith(" kB")}
            peak, own = max(peak, mib.get("VmHWM:", 0.0)), max(own, mib.get("RssAnon:", 0.0))
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    reader.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{''.join(said[-20:])}")
    return Cost(seconds, busy_seconds() - busy_before, peak, own)


def busy_seconds() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(images: Path, work: Path, steps: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands by what to call them; each is asked for when the one before is done."""
    smallgan = [sys.executable, "-m", "smallgan"]
    yield "inspect", [*smallgan, "inspect", str(images)]
    out = ["--out", str(work / "mixed")]
    yield "augment --policy hflip+contrast", [*smallgan, "augment", str(images), "--policy", "hflip+contrast", *out]
    shutil.rmtree(work / "mixed")
    train = ["train", str(images), "--size", str(SIDE), "--batch-size", "32", "--steps", str(steps)]
    settings = ("model.base_width=48", "model.d_width=32", "score.metrics=[]", f"train.snapshot_every={steps}")
    train += ["--model", "dcgan", "--precision", "fp32", "--no-mirror", *(f"--set={each}" for each in settings)]
    yield f"train, {steps} steps, in memory", [*smallgan, *train, "--out", str(work / "in-memory")]
    mapped = [sys.executable, "-c", MAPPED, *train]
    yield f"train, {steps} steps, memory-mapped", [*mapped, "--out", str(work / "mapped")]
    yield f"train, {steps} steps, memory-mapped, again", [*mapped, "--out", str(work / "again")]


def main() -> None:
    """Print a line for each command and number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="100,10000,100000", help="numbers of images, ascending")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    drawn = 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        images = Path(name) / "images"
        for count in map(int, asked.counts.split(",")):
            draw_images(images, drawn, count)
            drawn, work = count, Path(name) / "work"
            work.mkdir()
            for what, command in commands(images, work, asked.steps):
                cost = measured(command, work / "cache")
                print(
                    f"{count:>7,} images, {what}: {cost.seconds:.1f} s, {cost.busy_seconds:.1f} s of processor, "
                    f"peak {cost.peak_mib:.0f} MiB, of which its own {cost.own_mib:.0f} MiB",
                    flush=True,
                )
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
