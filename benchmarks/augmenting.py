"""`augment` against a plain Pillow loop that makes the same set, interleaved, each on one thread.

The loop is what one writes without us: open, operate, save, with Pillow's default JPEG quality (75) and PNG level (6).
Time is the processor's. Files are written to memory where the system has a folder there, else to the temporary folder.
Ours does all that the command does: check every file, plan, hash, write by rename, preview, metadata.
Two loops are shown: one saves every file by Pillow, as tutorials do; the other copies the originals as files, as we do.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from augment.build.build import build
from augment.build.plan import make_plan
from augment.checks.inspect import check, valid_subset
from augment.imaging.codec import encode_jpeg
from augment.sources.readers import open_source
from benchmarks.rows import Row, interleave

NUM_IMAGES = 1000
Work = Callable[[Path, Path, str], None]
TARGETS = {"jpeg": 1.6, "png": 4.0}


def measure(rounds: int) -> list[Row]:
    """Return the ratio of each format and each plain loop, from `rounds` rounds after one to warm up."""
    rows = []
    with tempfile.TemporaryDirectory(dir=quick_folder()) as name:
        source, what = source_images(Path(name))
        for format_, target in TARGETS.items():
            ways = {work.__name__: _way(work, source, Path(name), format_) for work in (_ours, _saving, _copying)}
            seconds = interleave(ways, rounds, time.process_time)
            for plain, title, goal in (("_saving", "", target), ("_copying", ", originals copied", None)):
                ratios = tuple(theirs / ours for theirs, ours in zip(seconds[plain], seconds["_ours"], strict=True))
                rows.append(Row(f"augment to {format_.upper()}{title}", goal, ratios, what))
    return rows


def _way(work: Work, source: Path, folder: Path, format_: str) -> Callable[[], None]:
    """Give each run a folder of its own: ext4 creates files slowly just after many were removed."""
    numbers = itertools.count()
    return lambda: work(source, folder / f"{work.__name__}-{format_}-{next(numbers)}", format_)


def _ours(path: Path, out: Path, format_: str) -> None:
    source = open_source(path)
    source = valid_subset(source, check(source), skip_bad=False)
    build(make_plan(source, "hflip+contrast", format=format_), source, out)


def _saving(path: Path, out: Path, format_: str) -> None:
    suffix = ".jpg" if format_ == "jpeg" else ".png"
    out.mkdir()
    for number, file in enumerate(sorted(path.iterdir())):
        image = Image.open(file).convert("RGB")
        image.save(out / f"{file.stem}{suffix}")
        _plain_operation(image, number).save(out / f"{file.stem}-added{suffix}")


def _copying(path: Path, out: Path, format_: str) -> None:
    suffix = ".jpg" if format_ == "jpeg" else ".png"
    out.mkdir()
    for number, file in enumerate(sorted(path.iterdir())):
        shutil.copyfile(file, out / file.name)
        image = Image.open(file).convert("RGB")
        _plain_operation(image, number).save(out / f"{file.stem}-added{suffix}")


def _plain_operation(image: Image.Image, number: int) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1.25) if number % 2 else ImageOps.mirror(image)


def quick_folder() -> str | None:
    """A folder in memory where there is one: what a disk needs to create a file is the same for everybody."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def source_images(folder: Path) -> tuple[Path, str]:
    """CelebA as it lies where the real data is named, else as many soft pictures of that size, drawn here."""
    real = os.environ.get("SMALLGAN_REAL_DATA")
    celeba = Path(real) / "celeba" / "train-1000" if real else None
    if celeba and celeba.is_dir():
        return celeba, "CelebA train-1000 (89x109 JPEG), +1000 hflip+contrast"
    drawn = folder / "drawn"
    drawn.mkdir()
    for number in range(NUM_IMAGES):
        generator = np.random.default_rng([0, number])
        coarse = [generator.integers(0, 256, (cells, cells, 3), np.uint8) for cells in (3, 9, 30)]
        layers = [cv2.resize(layer, (89, 109), interpolation=cv2.INTER_CUBIC).astype(np.float32) for layer in coarse]
        picture = 0.6 * layers[0] + 0.3 * layers[1] + 0.1 * layers[2]
        (drawn / f"{number:06d}.jpg").write_bytes(encode_jpeg(picture.astype(np.uint8), 75))
    return drawn, f"{NUM_IMAGES} drawn pictures (89x109 JPEG), +{NUM_IMAGES} hflip+contrast"
