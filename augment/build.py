"""A plan carried out, on disk or in memory: the same plan gives the same bytes, whatever the number of workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.dataset import MixedDataset, Record
from augment.errors import InputError, OutputError, UsageError
from augment.files import make_folder, output_errors, sha256_bytes, write_bytes, write_json
from augment.geometry import fit_square
from augment.pixels import Pixels, decode, encode_jpeg, encode_png
from augment.plan import Entry, Operation, Plan
from augment.policy import GAN
from augment.preview import contact_sheet
from augment.shares import Progress, in_shares
from augment.sources import METADATA, PLAN, ImageSet, ImageSource, Loaded, SourceImage
from augment.transforms import TRANSFORMS


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
    if any(entry.k is None and entry.origin != "original" for entry in plan.entries):
        raise InputError(
            f"{source.path}: a mixed dataset; only its originals can be augmented again (source.originals())"
        )
    for folder in sorted({entry.file_name.rpartition("/")[0] for entry in plan.entries}):
        make_folder(out / folder)
    write_json(out / PLAN, plan.settings)
    _remove_leftovers(out)
    job = _Job(plan, source, out)
    groups = list(_by_source(plan).items())
    num_images = sum(len(positions) for _, positions in groups)
    report = progress and (lambda done: progress(done * num_images // max(len(groups), 1)))
    made = dict(pair for pairs in in_shares(job.from_source, groups, workers, report) for pair in pairs)
    made |= dict(job.from_generator(generator))
    records = [made[at] for at in range(len(plan.entries))]
    dataset = MixedDataset(out, records)
    sheet = contact_sheet(plan, lambda at: decode((out / records[at].file_name).read_bytes(), records[at].file_name))
    write_bytes(dataset.preview, encode_png(sheet))
    dataset.write_metadata()
    dataset.num_kept = len(job.kept)
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
            pixels[at] = _operated(fitted, plan.entries[at].operations)

    in_shares(fill, list(_by_source(plan).items()), workers)
    for at, drawn, _ in _generated(plan, generator, _generator_positions(plan)):
        pixels[at] = drawn
    parents = _parents(plan)
    images = (MixedImage(e.file_name, e.label, e.origin, parents[at]) for at, e in enumerate(plan.entries))
    return Mixture(pixels, tuple(images), plan)


class _Job:
    """One build: what its workers share."""

    def __init__(self, plan: Plan, source: ImageSet, out: Path) -> None:
        self.plan, self.source, self.out = plan, source, out
        self.parents = _parents(plan)
        self.there = {path.relative_to(out).as_posix() for path in out.rglob("*")}
        self.kept: set[int] = set()

    def from_source(self, group: tuple[int, list[int]]) -> list[tuple[int, Record]]:
        """Make what comes of one source image: itself and its added images, decoding it once."""
        index, positions = group
        fact = self.plan.facts[index]
        width, height = (self.plan.size or fact.width), (self.plan.size or fact.height)
        loaded: Loaded | None = None
        fitted: Pixels | None = None
        results = []
        for at in positions:
            entry = self.plan.entries[at]
            sha256 = self._whole(entry, width, height)
            if sha256 is None:
                loaded = loaded or _load(self.plan, self.source, index)
                if entry.copied:
                    sha256 = self._write(entry, loaded.data, fact.sha256)
                else:
                    fitted = _fitted(self.plan, loaded) if fitted is None else fitted
                    sha256 = self._write(entry, _encoded(self.plan, _operated(fitted, entry.operations)))
            else:
                self.kept.add(at)
            results.append((at, self._record(at, entry.operations, width, height, sha256)))
        return results

    def from_generator(self, generator: ImageSource | None) -> Iterator[tuple[int, Record]]:
        """Make the images of the kind gan.

        A batch is always drawn as a whole: a generator may round differently elsewhere in a batch.
        """
        positions = _generator_positions(self.plan)
        if not positions:
            return
        step = _batch_size(generator)
        for first in range(0, len(positions), step):
            batch = positions[first : first + step]
            for at, pixels, params in _generated(self.plan, generator, batch):
                entry = self.plan.entries[at]
                operations = (Operation(GAN, params), *entry.operations[1:])
                height, width = pixels.shape[:2]
                sha256 = self._whole(entry, width, height)
                if sha256 is None:
                    sha256 = self._write(entry, _encoded(self.plan, pixels))
                else:
                    self.kept.add(at)
                yield at, self._record(at, operations, width, height, sha256)

    def _write(self, entry: Entry, data: bytes, sha256: str | None = None) -> str:
        write_bytes(f"{self.out}/{entry.file_name}", data)
        return sha256 or sha256_bytes(data)

    def _whole(self, entry: Entry, width: int, height: int) -> str | None:
        """Return the hash of the entry's file if it is whole: equal to the source's, or decoding at its size."""
        if entry.file_name not in self.there:
            return None
        path = self.out / entry.file_name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{path}: stands in the way and cannot be read: {error.strerror}") from error
        sha256 = sha256_bytes(data)
        if entry.copied and entry.source is not None:
            return sha256 if sha256 == self.plan.facts[entry.source].sha256 else None
        try:
            return sha256 if decode(data, entry.file_name).shape == (height, width, 3) else None
        except InputError:
            return None

    def _record(self, at: int, operations: Sequence[Operation], width: int, height: int, sha256: str) -> Record:
        entry = self.plan.entries[at]
        listed = tuple(operation.to_json() for operation in operations)
        return Record(entry.file_name, entry.origin, self.parents[at], listed, entry.label, width, height, sha256)


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
    if all((out / record.file_name).is_file() for record in dataset.records) and dataset.preview.is_file():
        dataset.num_kept = len(dataset)
        return dataset
    return None


def _differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        parts = (_differences(old.get(key), new.get(key), f"{path}.{key}" if path else key) for key in keys)
        return {key: values for part in parts for key, values in part.items()}
    return {} if old == new else {path: (old, new)}


def _remove_leftovers(out: Path) -> None:
    """Remove the half-written files that a kill left, and the mark of a dataset that has lost some since."""
    for path in [*out.rglob(".*.tmp"), out / METADATA]:
        with output_errors(path):
            path.unlink(missing_ok=True)


def _by_source(plan: Plan) -> dict[int, list[int]]:
    """Positions of entries by the source image they come from, in the order of the source."""
    groups: dict[int, list[int]] = {}
    for at, entry in enumerate(plan.entries):
        if entry.source is not None:
            groups.setdefault(entry.source, []).append(at)
    return groups


def _parents(plan: Plan) -> list[str | None]:
    original = {entry.source: entry.file_name for entry in plan.entries if entry.k is None}
    return [original[e.source] if e.k is not None and e.source is not None else None for e in plan.entries]


def _load(plan: Plan, source: ImageSet, index: int) -> Loaded:
    loaded = source.load(index)
    if loaded.sha256 != plan.facts[index].sha256:
        raise InputError(f"{source.images[index].name}: changed since it was checked; run the command again")
    return loaded


def _fitted(plan: Plan, loaded: Loaded) -> Pixels:
    """Fit first, then operate: a mirrored image is then the exact mirror of the original in the set."""
    pixels = loaded.image.pixels
    return pixels if plan.size is None else fit_square(pixels, plan.size, plan.fit)


def _operated(pixels: Pixels, operations: Sequence[Operation]) -> Pixels:
    for operation in operations:
        pixels = TRANSFORMS[operation.name].apply(pixels, operation.params)
    return pixels


def _encoded(plan: Plan, pixels: Pixels) -> bytes:
    return encode_png(pixels) if plan.format == "png" else encode_jpeg(pixels)


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
        pixels = drawn if plan.size is None else fit_square(drawn, plan.size, plan.fit)
        yield at, _operated(pixels, plan.entries[at].operations[1:]), params
