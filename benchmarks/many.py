"""100,000 outputs of 1,000 inputs: images a second, peak memory, the wait after a kill, and a plain OpenCV loop beside.

The loop is what one writes without us: copy the originals, and for each output read its parent, transform and
`cv2.imwrite`; a second loop reads each parent once, as we do. Ours checks, plans, hashes, writes by rename, keeps the
progress log and the metadata. The ratios come from 10,000 outputs, in turn, in processor time, which other work on the
machine changes little, and by the clock. Each large build is a process of its own (its workers are threads of it),
whose peak is read from the kernel (Linux). Files go to memory where the system has a folder there, else to the
temporary folder; they need 1 GB, and are removed. It takes about five minutes.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from augment.build.progress_log import PROGRESS_LOG
from augment.policy.transforms import TRANSFORMS
from augment.sources.dataset_format import METADATA
from benchmarks.augmenting import quick_folder, source_images
from benchmarks.rows import Row

NUM_OUTPUTS = 100_000
NUM_IN_A_ROUND = 10_000
MOST_ROUNDS = 5
SIZE = 64
THREADS = (1, 2)

BUILD = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
from augment.build.build import build
from augment.checks.inspect import check
from augment.build.plan import make_plan
from augment.sources.readers import open_source
source = open_source(Path(sys.argv[1]))
check(source, workers=int(sys.argv[4]))
plan = make_plan(source, "hflip:1+contrast:99", count=int(sys.argv[3]), size=int(sys.argv[5]))
dataset = build(plan, source, Path(sys.argv[2]), workers=int(sys.argv[4]))
seconds, busy_seconds = time.perf_counter() - started, time.process_time()
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
print(json.dumps({"seconds": seconds, "busy": busy_seconds, "kept": dataset.num_kept, "peak_kib": sum(peak)}))
"""


@dataclass(frozen=True)
class Fact:
    """Something measured once that is no ratio."""

    text: str

    def line(self) -> str:
        """Return it as `make bench` prints it."""
        return self.text


def measure(rounds: int) -> Iterator[Row | Fact]:
    """Yield the ratios to the loop in each format, and what builds of 100,000 took."""
    with tempfile.TemporaryDirectory(dir=quick_folder()) as name:
        folder = Path(name)
        source, _ = source_images(folder)
        for format_, threads in itertools.product(("png", "jpeg"), THREADS):
            yield from _against_loops(source, folder, format_, threads, min(rounds, MOST_ROUNDS))
        yield from _large(source, folder)
        yield _killed(source, folder / "killed")


def _large(source: Path, folder: Path) -> Iterator[Fact]:
    small = _run(source, folder / "small", NUM_OUTPUTS // 100, THREADS[-1])
    what = f"{NUM_OUTPUTS:,} outputs of {SIZE} px PNG"
    for threads in THREADS:
        whole = _run(source, folder / "whole", NUM_OUTPUTS, threads)
        bytes_an_image = (folder / "whole" / METADATA).stat().st_size / _num_lines(folder / "whole" / METADATA)
        shutil.rmtree(folder / "whole")
        started, busy_before = time.perf_counter(), time.process_time()
        _loop(source, folder / "looped", "png", threads, NUM_OUTPUTS, size=SIZE)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy_before
        shutil.rmtree(folder / "looped")
        yield Fact(
            f"{what}, {threads} worker(s): {whole['seconds']:.1f} s in all, {NUM_OUTPUTS / whole['seconds']:,.0f} a "
            f"second, {whole['busy']:.1f} s of processor; OpenCV loop on {threads} thread(s): {seconds:.1f} s, "
            f"{NUM_OUTPUTS / seconds:,.0f} a second, {busy:.1f} s of processor"
        )
        growth = (whole["peak_kib"] - small["peak_kib"]) / (NUM_OUTPUTS - NUM_OUTPUTS // 100)
        yield Fact(
            f"{what}, {threads} worker(s): peak {whole['peak_kib'] / 1024:.0f} MiB, {small['peak_kib'] / 1024:.0f} MiB "
            f"for {NUM_OUTPUTS // 100:,}: {growth:.2f} KiB an output; {bytes_an_image:.0f} bytes of metadata an image"
        )


def _against_loops(source: Path, folder: Path, format_: str, threads: int, rounds: int) -> list[Row]:
    """Return the ratios of processor time and of the clock, from `rounds` rounds after one to warm up."""
    ways: dict[str, Callable[[Path], None]] = {
        "ours": lambda out: _ours(source, out, format_, threads),
        "loop": lambda out: _loop(source, out, format_, threads, NUM_IN_A_ROUND),
        "once": lambda out: _loop(source, out, format_, threads, NUM_IN_A_ROUND, once=True),
    }
    busy: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started, busy_before = time.perf_counter(), time.process_time()
            way(folder / "round")
            if number:
                busy[name].append(time.process_time() - busy_before)
                seconds[name].append(time.perf_counter() - started)
            shutil.rmtree(folder / "round")
    rows = []
    what = f"{NUM_IN_A_ROUND:,} outputs, {threads} thread(s) each"
    for loop, title, target in (("loop", "OpenCV loop", 1.0), ("once", "loop reading once", None)):
        for clock, times in (("processor time", busy), ("by the clock", seconds)):
            ratios = tuple(theirs / ours for theirs, ours in zip(times[loop], times["ours"], strict=True))
            rows.append(Row(f"{format_.upper()} x{threads}, {title}", target, ratios, f"{clock}; {what}"))
    return rows


def _ours(path: Path, out: Path, format_: str, threads: int) -> None:
    from augment.build.build import build
    from augment.build.plan import make_plan
    from augment.checks.inspect import check
    from augment.sources.readers import open_source

    source = open_source(path)
    check(source, workers=threads)
    plan = make_plan(source, "hflip:1+contrast:9", count=NUM_IN_A_ROUND, format=format_)
    build(plan, source, out, workers=threads)


def _loop(
    path: Path, out: Path, format_: str, threads: int, count: int, *, size: int | None = None, once: bool = False
) -> None:
    out.mkdir()
    files = sorted(path.iterdir())
    each = count // len(files)
    suffix, settings = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]) if format_ == "jpeg" else (".png", [])

    def read(file: Path) -> np.ndarray:
        pixels = cv2.imread(str(file))
        return pixels if size is None else _square(pixels, size)

    def work(part: int) -> None:
        generator, draw = np.random.default_rng(part), TRANSFORMS["contrast"].draw
        for file in files[part::threads]:
            pixels = read(file)
            if size is None:
                shutil.copyfile(file, out / file.name)
            else:
                cv2.imwrite(f"{out}/{file.stem}{suffix}", pixels, settings)
            for number in range(each):
                pixels = pixels if once else read(file)
                made = cv2.flip(pixels, 1) if number == 0 else _contrast(pixels, draw(generator)["factor"])
                cv2.imwrite(f"{out}/{file.stem}-{number}{suffix}", made, settings)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(pixels[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


def _contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    mean = float(pixels.mean())
    return cv2.convertScaleAbs(pixels, alpha=factor, beta=mean * (1 - factor))


def _command(source: Path, out: Path, count: int, threads: int) -> list[str]:
    return [sys.executable, "-c", BUILD, str(source), str(out), str(count), str(threads), str(SIZE)]


def _run(source: Path, out: Path, count: int, threads: int) -> dict[str, float]:
    done = subprocess.run(_command(source, out, count, threads), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _killed(source: Path, out: Path) -> Fact:
    """Kill a build at about half, start it again, and wait for the first new image, then for the end."""
    log = out / PROGRESS_LOG
    process = subprocess.Popen(_command(source, out, NUM_OUTPUTS, THREADS[-1]), stdout=subprocess.PIPE)
    while process.poll() is None and _lines(log) < NUM_OUTPUTS // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = log.stat().st_size
    started = time.perf_counter()
    process = subprocess.Popen(_command(source, out, NUM_OUTPUTS, THREADS[-1]), stdout=subprocess.PIPE, text=True)
    while process.poll() is None and log.stat().st_size <= there:
        time.sleep(0.01)
    first = time.perf_counter() - started
    result = json.loads(process.communicate()[0])
    return Fact(
        f"killed by SIGKILL with {result['kept']:,} files there: the first new one {first:.1f} s after the next start, "
        f"all done after {result['seconds']:.1f} s"
    )


def _lines(log: Path) -> int:
    """About how many lines it has: they are nearly equally long."""
    if not log.is_file():
        return 0
    with log.open("rb") as file:
        first = len(file.readline())
    return log.stat().st_size // first if first else 0


def _num_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)
