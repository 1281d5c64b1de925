"""Where the pixels of a run are held: in memory, or in a file of the cache that is memory-mapped.

Sets that take more than a quarter of the free memory go to a file: written once, only read after that, and found again
by what the pixels depend on, when the same images are trained on again or a run goes on. The pixels are the same either
way. The file is a plain .npy with its sha256 behind it; one that does not match its hash is made again.
"""

import hashlib
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from numpy.lib import format as npy

from augment.build.build import InMemoryDataset, make_pixels, mix, mixed_shape
from augment.build.plan import Plan
from augment.core.files import output_errors, renamed, sha256_bytes
from augment.errors import UsageError
from augment.sources.image_set import ImageSet, ImageSource
from smallgan.core.console import say
from smallgan.core.memory import free_bytes
from smallgan.core.version import __version__
from smallgan.core.weights import cache_folder, cached_files
from smallgan.data.images import Pixels

MEMORY_SHARE = 0.25  # Most of the free memory that the sets of a run may take
ALWAYS_BYTES = 64 << 20  # So much is held in memory however little is free
UNKNOWN_BYTES = 2 << 30  # So much is held in memory where nothing tells how much is free
DISK_SHARE = 0.5  # Most that all files may take of the disk's free space and what they take already
UNUSED_DAYS = 30  # Files that no run opened for so long are deleted when another is written

_FORMAT = 1  # Raise it when the same plan would give other pixels
_SUFFIX = ".npy"
_DIGEST_BYTES = 32
_CHUNK_BYTES = 1 << 20
_REMEDY = "name a cache folder on another disk with SMALLGAN_CACHE"


def hold(
    parts: Sequence[tuple[Plan, ImageSet]], *, generator: ImageSource | None = None, workers: int = 1
) -> list[InMemoryDataset]:
    """Carry plans out and hold the pixels of all of them, each once: in memory where they fit, else memory-mapped.

    Args:
        parts: plans that have a size, each with its source.
        generator: makes the images of the transform gan.
        workers: threads.

    Raises:
        UsageError: neither memory nor disk has room, which is known before anything is allocated or written.
        InputError: a file changed since it was checked.
        OutputError: the cache folder cannot be written.
    """
    plans = [plan for plan, _ in parts]
    needed = sum(map(_num_bytes, plans))
    free = free_bytes(torch.device("cpu"))
    if needed <= max(ALWAYS_BYTES, UNKNOWN_BYTES if free is None else MEMORY_SHARE * free):
        return [mix(plan, source, generator=generator, workers=workers) for plan, source in parts]
    place = folder()
    paths = [place / f"{_key(plan)}{_SUFFIX}" for plan in plans]
    room, others = _room(place, paths)
    if needed > room:
        raise UsageError(_no_room(plans, needed, free, room, place))
    with output_errors(place, _REMEDY):
        place.mkdir(parents=True, exist_ok=True)
        # One process writes at a time: a study's other runs then find what it wrote, and the disk is counted once
        with FileLock(place / ".lock"):
            _tidy(place, others, room - needed)
            for path, (plan, source) in zip(paths, parts, strict=True):
                if not _is_whole(path):
                    _say_written(plan, path, free)
                    _write(path, plan, source, generator, workers)
            return [InMemoryDataset(_mapped(path), plan) for path, plan in zip(paths, plans, strict=True)]


def folder() -> Path:
    """Return the folder of the files, beside that of the weights."""
    return cache_folder().parent / "pixels"


def usage(*, clear: bool = False) -> tuple[int, int]:
    """Return how many files there are, and their bytes; `clear` deletes them."""
    return cached_files(folder(), _SUFFIX, clear=clear)


def _num_bytes(plan: Plan) -> int:
    return math.prod(mixed_shape(plan))


def _key(plan: Plan) -> str:
    """Return the name of the file of a plan: the hash of all that its pixels depend on."""
    settings = {key: value for key, value in plan.settings.items() if key != "renamed"}
    settings["sources"] = [{**part, "name": None} for part in settings["sources"]]
    if not settings["num_added"]:
        settings["seed"] = None  # nothing is drawn
    made_from = [(entry.source, entry.k) for entry in plan.entries]
    return sha256_bytes(json.dumps([_FORMAT, __version__, settings, made_from], sort_keys=True).encode())


def _room(place: Path, ours: Sequence[Path]) -> tuple[float, list[tuple[float, int, Path]]]:
    """Return the bytes that all files may take together, and those that are not ours: time of use, bytes, path."""
    there = next(path for path in (place, *place.parents) if path.is_dir())
    files = []
    for path in place.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    room = DISK_SHARE * (shutil.disk_usage(there).free + sum(size for _, size, _ in files))
    return room, sorted(file for file in files if file[2] not in ours)


def _tidy(place: Path, others: Sequence[tuple[float, int, Path]], room: float) -> None:
    """Delete what killed processes left half written, files long unused, and the oldest until `room` holds the rest."""
    for path in place.glob(".*.tmp"):
        path.unlink(missing_ok=True)
    total = sum(size for _, size, _ in others)
    for used, size, path in others:
        if total > room or time.time() - used > UNUSED_DAYS * 86400:
            with suppress(OSError):  # Windows keeps a file that a process has mapped
                path.unlink(missing_ok=True)
                total -= size


def _is_whole(path: Path) -> bool:
    """Tell whether a file is there and as it was written; it is read through. A damaged one is deleted, and said."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if _digest(file) == file.read():
            return True
    say(f"{path}: damaged images in the cache; they are made again")
    path.unlink()
    return False


def _mapped(path: Path) -> Pixels:
    """Return the pixels of a whole file, read-only, and note that it is used."""
    with suppress(OSError):
        os.utime(path)
    pixels: Pixels = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return pixels


def _write(path: Path, plan: Plan, source: ImageSet, generator: ImageSource | None, workers: int) -> None:
    """Write the pixels of a plan by a temporary name and a rename. A file, not a map: a full disk is then an error."""
    shape = mixed_shape(plan)
    with renamed(path, _REMEDY) as temporary, temporary.open("w+b") as file:
        header = {"descr": npy.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
        start, num_bytes, writing = file.tell(), math.prod(shape[1:]), threading.Lock()

        def put(at: int, pixels: Pixels) -> None:
            assert pixels.shape == shape[1:]
            with writing:
                file.seek(start + at * num_bytes)
                file.write(pixels.tobytes())

        make_pixels(plan, source, put, generator=generator, workers=workers)
        file.truncate(start + math.prod(shape) + _DIGEST_BYTES)
        file.seek(0)
        digest = _digest(file)
        file.write(digest)


def _digest(file: BinaryIO) -> bytes:
    """Return the SHA-256 of a file from where it is read up to the digest that ends it, and stop there."""
    left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    digest = hashlib.sha256()
    while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest()


def _say_written(plan: Plan, path: Path, free: int | None) -> None:
    number, size, *_ = mixed_shape(plan)
    told = "" if free is None else f", more than {MEMORY_SHARE:.0%} of the {_gb(free)} of memory that are free"
    say(
        f"{number:,} images of {size} px take {_gb(_num_bytes(plan))}{told}: they are written once to {path} and read "
        "from there; smallgan weights cache --clear deletes it"
    )


def _no_room(plans: Sequence[Plan], needed: int, free: int | None, room: float, place: Path) -> str:
    number, size = sum(len(plan.entries) for plan in plans), plans[0].size
    memory = _gb(UNKNOWN_BYTES) if free is None else f"{_gb(MEMORY_SHARE * free)} of the {_gb(free)} that are free"
    return (
        f"{number:,} images of {size} px need {_gb(needed)}, and there is no room: in memory they may take {memory}, "
        f"in files {_gb(room)} of the {_gb(room / DISK_SHARE)} that are free on the disk of {place}; use a smaller "
        "--size, fewer images (--set data.limit=N), or a cache folder on a larger disk (the variable SMALLGAN_CACHE)"
    )


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
