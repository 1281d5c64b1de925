"""A plan carried out, on disk or in memory: the same plan gives the same bytes, whatever the number of workers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.advice import NEAR_COPY_LEVELS, mean_difference
from augment.dataset import PREVIEW, MixedDataset, Record, write_metadata
from augment.errors import InputError, OutputError, UsageError
from augment.files import make_folder, output_errors, sha256_bytes, write_bytes, write_json
from augment.geometry import fit_by, plan_fit
from augment.ledger import LEDGER, Ledger
from augment.pixels import Pixels, decode, encode_jpeg, encode_png, to_gray
from augment.plan import Entry, Operation, Plan
from augment.policy import GAN
from augment.preview import contact_sheet
from augment.shares import Progress, in_shares
from augment.sources import METADATA, PLAN, ImageSet, ImageSource, Loaded, SourceImage
from augment.transforms import operate

_GROUP = 64


@dataclass(frozen=True)
class MixedImage(SourceImage):
    """One row of a mixture; `name` is what the file is called when the plan is carried out on disk."""

    parent: str | None = None


@dataclass(frozen=True)
class Mixture:
    """A plan carried out in memory."""

    pixels: NDArray[np.uint8]
    """N x S x S x 3, in the order of the plan; equal to the pixels of the written PNG set."""
    images: tuple[MixedImage, ...]
    plan: Plan

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
    finished = _find(plan, out)
    if finished is not None:
        return finished
    if source.is_mixed:
        raise InputError(
            f"{source.path}: a mixed dataset; only its originals can be augmented again (source.originals())"
        )
    for folder in sorted({entry.file_name.rpartition("/")[0] for entry in plan.entries}):
        make_folder(out / folder)
    write_json(out / PLAN, plan.settings)
    job = _Job(plan, source, out, _tidied(out))
    groups = _groups(plan)
    num_images = sum(len(positions) for _, positions in groups)
    report = progress and (lambda done: progress(done * num_images // max(len(groups), 1)))
    with job.ledger.opened():
        in_shares(job.from_source, groups, workers, report)
        job.from_generator(generator)
        names = [entry.file_name for entry in plan.entries]
        sheet = contact_sheet(plan, lambda at: decode((out / names[at]).read_bytes(), names[at]))
        write_bytes(out / PREVIEW, encode_png(sheet))
        write_metadata(out, job.ledger.records())
    job.ledger.remove()
    dataset = MixedDataset(out, num_images=len(plan.entries))
    dataset.num_kept = job.ledger.num_kept
    dataset.num_near_copies = job.ledger.num_near_copies
    dataset.num_copies = job.ledger.num_copies(first=sum(entry.k is None for entry in plan.entries))
    dataset.build_seconds = time.perf_counter() - started
    return dataset


def mix(plan: Plan, source: ImageSet, *, generator: ImageSource | None = None, workers: int = 1) -> Mixture:
    """Carry `plan` out in memory; it must have a `size`. Raises UsageError, InputError."""
    if plan.size is None:
        raise UsageError("images can only be mixed in memory at one size; give the plan a size")
    size = plan.size
    try:
        pixels = np.empty((len(plan.entries), size, size, 3), np.uint8)
    except MemoryError as error:
        raise UsageError(
            f"{len(plan.entries):,} images of {size} px do not fit in memory; ask for fewer or smaller"
        ) from error

    def fill(group: tuple[int, list[int]]) -> None:
        index, positions = group
        fitted = _fitted(plan, _load(plan, source, index))
        for at in positions:
            pixels[at] = _operated(plan, fitted, plan.entries[at].operations)

    in_shares(fill, _groups(plan), workers)
    for at, drawn, _ in _generated(plan, generator, _generator_positions(plan)):
        pixels[at] = drawn
    parents = _parents(plan)
    images = (MixedImage(e.file_name, e.label, e.origin, parent=parents[at]) for at, e in enumerate(plan.entries))
    return Mixture(pixels, tuple(images), plan)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a record says of an image beside its plan: how it is made, and its size in pixels."""

    at: int
    operations: tuple[Operation, ...]
    width: int
    height: int


class _Job:
    """One build: what its workers share. Nothing is kept of an image but what the ledger has of it."""

    def __init__(self, plan: Plan, source: ImageSet, out: Path, there: set[str]) -> None:
        self.plan, self.source, self.out, self.there = plan, source, out, there
        self.parents = _parents(plan)
        self.ledger = Ledger(out, len(plan.entries))

    def from_source(self, group: tuple[int, list[int]]) -> None:
        """Make what comes of one source image: itself and some of its added images, decoding it once at most."""
        index, positions = group
        fact = self.plan.facts[index]
        width, height = self._size(fact.width, fact.height)
        loaded: Loaded | None = None
        fitted: Pixels | None = None
        for at in positions:
            entry = self.plan.entries[at]
            if self.ledger.find(at, self._path(at)):
                continue
            made = _Made(at, entry.operations, width, height)
            if self._is_whole(made):
                continue
            loaded = loaded or _load(self.plan, self.source, index)
            if entry.copied:
                self._write(made, loaded.data, fact.sha256)
                continue
            fitted = _fitted(self.plan, loaded) if fitted is None else fitted
            pixels = _operated(self.plan, fitted, made.operations)
            near_copy = entry.k is not None and mean_difference(pixels, fitted) < NEAR_COPY_LEVELS
            self._write(made, _encoded(self.plan, pixels), near_copy=near_copy)

    def from_generator(self, generator: ImageSource | None) -> None:
        """Make the images of the kind gan.

        A batch is always drawn as a whole: a generator may round differently elsewhere in a batch.
        """
        positions = _generator_positions(self.plan)
        if not positions:
            return
        step = _batch_size(generator)
        for first in range(0, len(positions), step):
            batch = positions[first : first + step]
            missing = {at for at in batch if not self.ledger.find(at, self._path(at))}
            if not missing:
                continue
            for at, pixels, params in _generated(self.plan, generator, batch):
                height, width = pixels.shape[:2]
                operations = (Operation(GAN, params), *self.plan.entries[at].operations[1:])
                made = _Made(at, operations, width, height)
                if at in missing and not self._is_whole(made):
                    self._write(made, _encoded(self.plan, pixels))

    def _record(self, made: _Made, sha256: str) -> str:
        """Return the line of metadata.jsonl of an image."""
        entry = self.plan.entries[made.at]
        source = self.source.images[entry.source].name if entry.k is None and entry.source is not None else None
        return Record(
            entry.file_name,
            entry.origin,
            self.parents[made.at],
            tuple([operation.to_json() for operation in made.operations]),
            entry.label,
            made.width,
            made.height,
            sha256,
            source,
            self._fit(entry),
        ).to_line()

    def _fit(self, entry: Entry) -> str | None:
        size = self.plan.size
        fact = None if entry.source is None else self.plan.facts[entry.source]
        if size is None or fact is None or (fact.width, fact.height) == (size, size):
            return None
        return _fit_text(fact.width, fact.height, size, self.plan.fit)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        return (self.plan.size or width), (self.plan.size or height)

    def _path(self, at: int) -> str:
        return f"{self.out}/{self.plan.entries[at].file_name}"

    def _write(self, made: _Made, data: bytes, sha256: str | None = None, *, near_copy: bool = False) -> None:
        write_bytes(self._path(made.at), data)
        sha256 = sha256 or sha256_bytes(data)
        self.ledger.add(made.at, len(data), sha256, self._record(made, sha256), near_copy=near_copy)

    def _is_whole(self, made: _Made) -> bool:
        """Tell whether the file of an image that the ledger does not have is there and whole, and note it if so.

        It is when it equals the source's file, or decodes at its size.
        """
        entry = self.plan.entries[made.at]
        if entry.file_name not in self.there:
            return False
        path = self.out / entry.file_name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{path}: stands in the way and cannot be read: {error.strerror}") from error
        sha256 = sha256_bytes(data)
        if entry.copied and entry.source is not None:
            whole = sha256 == self.plan.facts[entry.source].sha256
        else:
            try:
                whole = decode(data, entry.file_name).shape == (made.height, made.width, 3)
            except InputError:
                whole = False
        if whole:
            self.ledger.keep(made.at, len(data), sha256, self._record(made, sha256))
        return whole


def _find(plan: Plan, out: Path) -> MixedDataset | None:
    """Return the dataset in `out` if it is this plan's and whole. Raises UsageError when something else is there."""
    with output_errors(out):
        there = sorted(p.name for p in out.iterdir() if not p.name.endswith(".tmp")) if out.exists() else []
    if not there:
        return None
    try:
        settings = json.loads((out / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or settings.get("format") != plan.settings["format"]:
        raise UsageError(
            f"{out}: holds other files ({', '.join(there[:3])} ...); name a new or an empty folder with --out"
        )
    whole = (out / METADATA).is_file()
    changed = {
        key: values
        for key, values in _differences(settings, json.loads(json.dumps(plan.settings))).items()
        if not (whole and key.startswith("versions."))
    }
    if changed:
        listed = "; ".join(f"{key} is {old!r} there, {new!r} now" for key, (old, new) in changed.items())
        raise UsageError(f"{out}: a dataset of another plan stands there: {listed}. Name another folder with --out")
    if not whole:
        return None
    dataset = MixedDataset.open(out)
    if all(os.path.isfile(f"{out}/{record.file_name}") for record in dataset.records) and dataset.preview.is_file():  # noqa: PTH113
        (out / LEDGER).unlink(missing_ok=True)  # a kill came between the last two things
        dataset.num_kept = len(dataset)
        return dataset
    return None


def _differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        parts = (_differences(old.get(key), new.get(key), f"{path}.{key}" if path else key) for key in keys)
        return {key: values for part in parts for key, values in part.items()}
    return {} if old == new else {path: (old, new)}


def _tidied(out: Path) -> set[str]:
    """Remove the half-written files that a kill left, and the mark of a dataset that has lost some since.

    Returns the names of the files that are there, relative to `out`, with '/'.
    """
    there = set()
    with output_errors(out):
        (out / METADATA).unlink(missing_ok=True)
        for folder, _, names in os.walk(out):
            above = Path(folder).relative_to(out).as_posix()
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108
                else:
                    there.add(name if above == "." else f"{above}/{name}")
    return there


def _groups(plan: Plan) -> list[tuple[int, list[int]]]:
    """Source images with positions of entries that come from them, in the order of the source.

    At most 64 in a group, so that workers share what comes of a single image.
    """
    by_source: dict[int, list[int]] = {}
    for at, entry in enumerate(plan.entries):
        if entry.source is not None:
            by_source.setdefault(entry.source, []).append(at)
    return [
        (index, positions[first : first + _GROUP])
        for index, positions in by_source.items()
        for first in range(0, len(positions), _GROUP)
    ]


def _parents(plan: Plan) -> list[str | None]:
    original = {entry.source: entry.file_name for entry in plan.entries if entry.k is None}
    return [original[e.source] if e.k is not None and e.source is not None else None for e in plan.entries]


@lru_cache(maxsize=4096)
def _fit_text(width: int, height: int, size: int, fit: str) -> str:
    return plan_fit(width, height, size, fit).to_json()


def _load(plan: Plan, source: ImageSet, index: int) -> Loaded:
    loaded = source.load(index)
    if loaded.sha256 != plan.facts[index].sha256:
        raise InputError(f"{source.images[index].name}: changed since it was checked; run the command again")
    return loaded


def _fitted(plan: Plan, loaded: Loaded) -> Pixels:
    """Fit first, then operate: a mirrored image is then the exact mirror of the original in the set."""
    return fit_by(loaded.image.pixels, plan.size, plan.fit, plan.rules)


def _operated(plan: Plan, pixels: Pixels, operations: Sequence[Operation]) -> Pixels:
    for operation in operations:
        pixels = operate(pixels, operation.name, operation.params)
    return to_gray(pixels) if plan.rules.gray else pixels


def _encoded(plan: Plan, pixels: Pixels) -> bytes:
    encode = encode_png if plan.format == "png" else encode_jpeg
    return encode(pixels, gray=plan.rules.gray)


def _generator_positions(plan: Plan) -> list[int]:
    return [at for at, entry in enumerate(plan.entries) if entry.source is None]


def _batch_size(generator: ImageSource | None) -> int:
    size = generator.describe().get("batch_size", 1) if generator else 1
    return size if isinstance(size, int) and size > 0 else 1


def _generated(
    plan: Plan, generator: ImageSource | None, positions: Sequence[int]
) -> Iterator[tuple[int, Pixels, dict[str, Any]]]:
    """Yield position, finished pixels and parameters of images from the generator."""
    if not positions:
        return
    if generator is None:
        raise UsageError("this plan has images of the kind 'gan': name a trained run with --generator")
    numbers = [plan.entries[at].k or 0 for at in positions]
    for at, (drawn, params) in zip(positions, generator.draw(numbers, plan.seed), strict=True):
        pixels = fit_by(drawn, plan.size, plan.fit, plan.rules)
        yield at, _operated(plan, pixels, plan.entries[at].operations[1:]), params
