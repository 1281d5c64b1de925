"""A plan carried out, on disk or in memory: the same plan gives the same bytes, whatever the number of workers."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.build.plan import Plan
from augment.build.preview import contact_sheet
from augment.build.progress_log import PROGRESS_LOG
from augment.build.worker import BuildWorker, apply_operations, batches, generated, with_parents
from augment.core.files import make_folder, output_errors, renamed, write_bytes, write_json
from augment.core.parallel import Progress, parallel_map
from augment.errors import InputError, UsageError
from augment.imaging.codec import Pixels, decode, encode_png
from augment.sources.dataset_format import METADATA, PLAN, holds_plan, read_plan
from augment.sources.image_set import ImageSet, ImageSource, SourceImage
from augment.sources.mixed_dataset import PREVIEW, MixedDataset, read_records


@dataclass(frozen=True)
class InMemoryDataset:
    """A plan carried out in memory, or in an array file that is memory-mapped."""

    pixels: NDArray[np.uint8]  # N x S x S x 3, in the order of the plan; equal to the pixels of the written PNG set
    plan: Plan

    @cached_property
    def images(self) -> tuple[SourceImage, ...]:
        """What each is; its `name` is what the file is called when the plan is carried out on disk."""
        return tuple(SourceImage(entry.file_name, entry.label, entry.origin) for entry in self.plan.entries)

    def preview(self) -> Pixels:
        """Return the contact sheet, H x W x 3."""
        return contact_sheet(self.plan, lambda at: self.pixels[at])


def build(
    plan: Plan,
    source: ImageSet,
    out: Path,
    *,
    workers: int = 1,
    generator: ImageSource | None = None,
    progress: Progress | None = None,
) -> MixedDataset:
    """Carry `plan` out in the folder `out`, going on with what an earlier try left there, and return the dataset.

    plan.json comes first, then the images, preview.png, and last metadata.jsonl, the mark that all is there. Images
    that are there and whole are kept; a finished dataset of the same plan is returned as it is.
    `progress` gets the number of images done.
    Raises UsageError when the folder holds something else, InputError, OutputError.
    """
    started = time.perf_counter()
    if (finished := _finished(plan, out)) is not None:
        return finished
    if source.is_mixed:
        needed = "only its originals can be augmented again (source.originals())"
        raise InputError(f"{source.path}: a mixed dataset; {needed}")
    for folder in sorted({entry.file_name.rpartition("/")[0] for entry in plan.entries}):
        make_folder(out / folder)
    write_json(out / PLAN, plan.settings)
    worker = BuildWorker(plan, source, out, _tidied(out))
    pieces = batches(plan)
    num_images = sum(map(len, pieces))
    report = progress and (lambda done: progress(done * num_images // max(len(pieces), 1)))
    with worker.log.opened():
        parallel_map(worker.from_source, pieces, workers, report)
        worker.from_generator(generator)
        names = [entry.file_name for entry in plan.entries]
        sheet = contact_sheet(plan, lambda at: decode((out / names[at]).read_bytes(), names[at]))
        write_bytes(out / PREVIEW, encode_png(sheet))
        with renamed(out / METADATA) as temporary, temporary.open("wb") as file:
            file.writelines(worker.log.records())
    worker.log.remove()
    dataset = MixedDataset(out, num_images=len(plan.entries))
    dataset.num_kept = worker.log.num_kept
    dataset.num_near_copies = worker.log.num_near_copies
    dataset.num_copies = worker.log.num_copies(first=sum(entry.k is None for entry in plan.entries))
    dataset.build_seconds = time.perf_counter() - started
    return dataset


def mix(plan: Plan, source: ImageSet, *, generator: ImageSource | None = None, workers: int = 1) -> InMemoryDataset:
    """Carry `plan` out in memory; it must have a `size`. Raises UsageError, InputError."""
    shape = mixed_shape(plan)
    try:
        pixels = np.empty(shape, np.uint8)
    except MemoryError as error:
        number, size = shape[:2]
        raise UsageError(f"{number:,} images of {size} px do not fit in memory; ask for fewer or smaller") from error
    make_pixels(plan, source, pixels.__setitem__, generator=generator, workers=workers)
    return InMemoryDataset(pixels, plan)


def mixed_shape(plan: Plan) -> tuple[int, int, int, int]:
    """Return N, S, S, 3 of the pixels of `plan`. Raises UsageError when it has no `size`."""
    if plan.size is None:
        raise UsageError("images can only be mixed in memory at one size; give the plan a size")
    return len(plan.entries), plan.size, plan.size, 3


def make_pixels(
    plan: Plan,
    source: ImageSet,
    put: Callable[[int, Pixels], None],
    *,
    generator: ImageSource | None = None,
    workers: int = 1,
) -> None:
    """Call `put` with the position in `plan` and the pixels S x S x 3 of every image, each once, in no certain order.

    `put` is called from several threads. Raises UsageError, InputError, and what `put` raises.
    """

    def make(batch: Sequence[int]) -> None:
        for at, parent, operations in with_parents(plan, source, batch):
            put(at, apply_operations(plan, parent.resized, operations))

    parallel_map(make, batches(plan), workers)
    for at, drawn, _ in generated(plan, generator, plan.generator_positions):
        put(at, drawn)


def _finished(plan: Plan, out: Path) -> MixedDataset | None:
    """Return the dataset in `out` if it is this plan's and whole. Raises UsageError when something else is there."""
    with output_errors(out):
        there = sorted(p.name for p in out.iterdir() if not p.name.endswith(".tmp")) if out.exists() else []
    if not there:
        return None
    if not holds_plan(out):
        held = ", ".join(there[:3])
        raise UsageError(f"{out}: holds other files ({held} ...); name a new or an empty folder with --out")
    whole = (out / METADATA).is_file()
    changed = [
        f"{key} is {old!r} there, {new!r} now"
        for key, (old, new) in _differences(read_plan(out), json.loads(json.dumps(plan.settings))).items()
        if not (whole and key.startswith("versions."))
    ]
    if changed:
        listed = "; ".join(changed)
        raise UsageError(f"{out}: a dataset of another plan stands there: {listed}. Name another folder with --out")
    if not whole:
        return None
    dataset = MixedDataset.open(out)
    names = [record.file_name for record in dataset.records]
    is_all = names == [entry.file_name for entry in plan.entries] and dataset.preview.is_file()
    if is_all and all(_holds_bytes(f"{out}/{name}") for name in names):
        (out / PROGRESS_LOG).unlink(missing_ok=True)  # a kill came between the last two things
        dataset.num_kept = len(dataset)
        return dataset
    return None


def _holds_bytes(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116 - of 100,000 files pathlib is slow
    except OSError:
        return False


def _differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        parts = (_differences(old.get(key), new.get(key), f"{path}.{key}" if path else key) for key in keys)
        return {key: values for part in parts for key, values in part.items()}
    return {} if old == new else {path: (old, new)}


def _tidied(out: Path) -> dict[str, str | None]:
    """Remove the half-written files that a kill left, and the mark of a dataset that has lost some since.

    Returns the names of the files that are there, relative to `out`, with '/', and the hash that the table of a
    finished dataset has of each, None where it has none.
    """
    there: dict[str, str | None] = {}
    told: dict[str, str] = {}
    with suppress(InputError):  # no table, or a damaged one
        told.update((record.file_name, record.sha256) for record in read_records(out))
    with output_errors(out):
        (out / METADATA).unlink(missing_ok=True)
        for folder, _, names in os.walk(out):
            above = Path(folder).relative_to(out).as_posix()
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108
                else:
                    path = name if above == "." else f"{above}/{name}"
                    there[path] = told.get(path)
    return there
