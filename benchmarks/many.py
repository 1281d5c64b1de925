"""100,000 outputs of 1,000 inputs: images a second, peak memory, the wait after a kill, and a plain OpenCV loop beside.

The loop is what one writes without us, on two threads: copy the originals, and for each output read its parent, operate
and `cv2.imwrite`; a second loop reads each parent once, as we do. Ours checks, plans, hashes, writes by rename, keeps
the ledger and the manifest. Each large build is a process of its own, whose peak is read from the kernel (Linux). Files
go to memory where the system has a folder there, else to the temporary folder; they need 1 GB, and are removed.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from augment.ledger import LEDGER
from augment.transforms import draw_contrast
from benchmarks.augmenting import quick_folder, source_images
from benchmarks.rows import Row, interleave

NUM_OUTPUTS = 100_000
NUM_IN_A_ROUND = 10_000
SIZE = 64
THREADS = 2

BUILD = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
from augment.build import build
from augment.inspect import check
from augment.plan import make_plan
from augment.sources import open_source
source = open_source(Path(sys.argv[1]))
check(source, workers=int(sys.argv[4]))
plan = make_plan(source, "hflip:1+contrast:99", count=int(sys.argv[3]), size=int(sys.argv[5]))
dataset = build(plan, source, Path(sys.argv[2]), workers=int(sys.argv[4]))
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
print(json.dumps({"seconds": time.perf_counter() - started, "kept": dataset.num_kept, "peak_kib": sum(peak)}))
"""


@dataclass(frozen=True)
class Fact:
    """Something measured once that is no ratio."""

    text: str

    def line(self) -> str:
        """Return it as `make bench` prints it."""
        return self.text


def measure(rounds: int) -> list[Row | Fact]:
    """Return the ratio to the loop in each format, and what one build of 100,000 took."""
    with tempfile.TemporaryDirectory(dir=quick_folder()) as name:
        folder = Path(name)
        source, _ = source_images(folder)
        rows: list[Row | Fact] = []
        for format_ in ("png", "jpeg"):
            rows += _against_loops(source, folder, format_, rounds)
        small = _run(source, folder / "small", NUM_OUTPUTS // 100)
        whole = _run(source, folder / "whole", NUM_OUTPUTS)
        shutil.rmtree(folder / "whole")
        rate, mib = NUM_OUTPUTS / whole["seconds"], 1024
        rows.append(
            Fact(
                f"{NUM_OUTPUTS:,} outputs of {SIZE} px PNG, {THREADS} workers: {whole['seconds']:.1f} s in all, "
                f"{rate:,.0f} a second; peak {whole['peak_kib'] / mib:.0f} MiB, for {NUM_OUTPUTS // 100:,} outputs "
                f"{small['peak_kib'] / mib:.0f} MiB"
            )
        )
        rows.append(_killed(source, folder / "killed"))
    return rows


def _against_loops(source: Path, folder: Path, format_: str, rounds: int) -> list[Row]:
    numbers = itertools.count()

    def in_new_folder(work: Callable[[Path, Path, str], None]) -> Callable[[], None]:
        def way() -> None:
            out = folder / f"round-{next(numbers)}"
            work(source, out, format_)
            shutil.rmtree(out)

        return way

    seconds = interleave({work.__name__: in_new_folder(work) for work in (_ours, _loop, _loop_reading_once)}, rounds)
    rows = []
    for loop, title, target in (("_loop", "", 1.0), ("_loop_reading_once", ", reading once", None)):
        ratios = tuple(theirs / ours for theirs, ours in zip(seconds[loop], seconds["_ours"], strict=True))
        what = f"{NUM_IN_A_ROUND:,} outputs, {THREADS} threads each; removing the files is in both"
        rows.append(Row(f"{format_.upper()}, OpenCV loop{title}", target, ratios, what))
    return rows


def _ours(path: Path, out: Path, format_: str) -> None:
    from augment.build import build
    from augment.inspect import check
    from augment.plan import make_plan
    from augment.sources import open_source

    source = open_source(path)
    check(source, workers=THREADS)
    plan = make_plan(source, "hflip:1+contrast:9", count=NUM_IN_A_ROUND, format=format_)
    build(plan, source, out, workers=THREADS)


def _loop(path: Path, out: Path, format_: str, *, once: bool = False) -> None:
    out.mkdir()
    files = sorted(path.iterdir())
    each = NUM_IN_A_ROUND // len(files)

    def work(part: int) -> None:
        generator = np.random.default_rng(part)
        for file in files[part::THREADS]:
            pixels = cv2.imread(str(file))
            shutil.copyfile(file, out / file.name)
            for number in range(each):
                pixels = pixels if once else cv2.imread(str(file))
                made = cv2.flip(pixels, 1) if number == 0 else _contrast(pixels, draw_contrast(generator)["factor"])
                settings = [cv2.IMWRITE_JPEG_QUALITY, 95] if format_ == "jpeg" else []
                cv2.imwrite(f"{out}/{file.stem}-{number}.{'jpg' if format_ == 'jpeg' else 'png'}", made, settings)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def _loop_reading_once(path: Path, out: Path, format_: str) -> None:
    _loop(path, out, format_, once=True)


def _contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    mean = float(pixels.mean())
    return cv2.convertScaleAbs(pixels, alpha=factor, beta=mean * (1 - factor))


def _command(source: Path, out: Path, count: int) -> list[str]:
    return [sys.executable, "-c", BUILD, str(source), str(out), str(count), str(THREADS), str(SIZE)]


def _run(source: Path, out: Path, count: int) -> dict[str, float]:
    done = subprocess.run(_command(source, out, count), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _killed(source: Path, out: Path) -> Fact:
    """Kill a build at about half, start it again, and wait for the first new image, then for the end."""
    ledger = out / LEDGER
    process = subprocess.Popen(_command(source, out, NUM_OUTPUTS), stdout=subprocess.PIPE)
    while process.poll() is None and _lines(ledger) < NUM_OUTPUTS // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = ledger.stat().st_size
    started = time.perf_counter()
    process = subprocess.Popen(_command(source, out, NUM_OUTPUTS), stdout=subprocess.PIPE, text=True)
    while process.poll() is None and ledger.stat().st_size <= there:
        time.sleep(0.01)
    first = time.perf_counter() - started
    result = json.loads(process.communicate()[0])
    return Fact(
        f"killed by SIGKILL with {result['kept']:,} files there: the first new one {first:.1f} s after the next start, "
        f"all done after {result['seconds']:.1f} s"
    )


def _lines(ledger: Path) -> int:
    """About how many lines it has: they are nearly equally long."""
    if not ledger.is_file():
        return 0
    with ledger.open("rb") as file:
        first = len(file.readline())
    return ledger.stat().st_size // first if first else 0
