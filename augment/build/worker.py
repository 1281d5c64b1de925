"""The images of a plan, made a batch at a time; `build` says in what order.

A batch goes through in stages: all is drawn, then transformed, encoded, written, logged. Image by image each of these
would find the processor's caches full of the others' work, and take up to twice as long.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from augment.build.plan import Operation, Plan, PlanEntry
from augment.build.progress_log import ProgressLog, WrittenImage
from augment.build.warnings import is_near_copy
from augment.core.files import sha256_bytes, write_bytes
from augment.errors import InputError, OutputError, UsageError
from augment.imaging.codec import Pixels, decode, encode_jpeg, encode_png, to_gray
from augment.imaging.geometry import plan_resize, resize_by
from augment.policy.apply import apply_operation
from augment.policy.transforms import GAN
from augment.sources.image_set import ImageSet, ImageSource, LoadedImage
from augment.sources.mixed_dataset import Record

_BATCH = 32
_BATCH_PIXELS = 1 << 18


class SourceItem:
    """A source image, read, and resized to the plan's size, when it is first needed."""

    def __init__(self, plan: Plan, source: ImageSet, index: int) -> None:
        self._plan, self._source, self._index = plan, source, index
        self.info = plan.image_infos[index]

    @cached_property
    def loaded(self) -> LoadedImage:
        """The file. Raises InputError when it changed since it was checked."""
        loaded = self._source.load(self._index)
        if loaded.sha256 != self.info.sha256:
            name = self._source.images[self._index].name
            raise InputError(f"{name}: changed since it was checked; run the command again")
        return loaded

    @cached_property
    def resized(self) -> Pixels:
        """Its pixels. Resized first, then transformed: a mirrored image is the exact mirror of the original there."""
        return resize_by(self.loaded.image.pixels, self._plan.size, self._plan.resize_mode, self._plan.rules)


def batches(plan: Plan) -> list[list[int]]:
    """Positions of the entries that come from source images, those of one image together.

    A batch has 32 at most, and fewer where images are large: it is what a worker still does after Ctrl-C, and what a
    kill takes from the progress log.
    """
    image = [(entry.source, at) for at, entry in enumerate(plan.entries) if entry.source is not None]
    positions = [at for _, at in sorted(image)]
    areas = [plan.size**2] if plan.size else [info.width * info.height for info in plan.image_infos]
    mean_area = max(1, sum(areas) // max(1, len(areas)))
    step = max(1, min(_BATCH, _BATCH_PIXELS // mean_area))
    return [positions[first : first + step] for first in range(0, len(positions), step)]


def with_parents(
    plan: Plan, source: ImageSet, positions: Sequence[int]
) -> Iterator[tuple[int, SourceItem, tuple[Operation, ...]]]:
    """Yield each position of a batch with its parent and what is done to it, drawn for all before the first."""
    drawn = zip(positions, plan.operations([plan.entries[at] for at in positions]), strict=True)
    for index, same in groupby(drawn, key=lambda pair: plan.entries[pair[0]].source):
        if index is not None:
            parent = SourceItem(plan, source, index)
            for at, operations in same:
                yield at, parent, operations


def apply_operations(plan: Plan, pixels: Pixels, operations: Sequence[Operation]) -> Pixels:
    """Return `pixels` after `operations`, gray where the plan says so."""
    for operation in operations:
        pixels = apply_operation(pixels, operation.name, operation.params)
    return to_gray(pixels) if plan.rules.gray else pixels


def generated(
    plan: Plan, generator: ImageSource | None, positions: Sequence[int]
) -> Iterator[tuple[int, Pixels, dict[str, Any]]]:
    """Yield position, finished pixels and parameters of images from the generator."""
    if not positions:
        return
    if generator is None:
        raise UsageError("this plan has images of the transform 'gan': name a trained run with --generator")
    numbers = [plan.entries[at].k or 0 for at in positions]
    for at, (drawn, params) in zip(positions, generator.draw(numbers, plan.seed), strict=True):
        pixels = resize_by(drawn, plan.size, plan.resize_mode, plan.rules)
        yield at, apply_operations(plan, pixels, plan.operations([plan.entries[at]])[0][1:]), params


@dataclass(slots=True)
class _BuiltImage(WrittenImage):
    """An image on its way: its file is written, or found, and logged last."""

    operations: tuple[Operation, ...] = ()
    width: int = 0
    height: int = 0  # Of the parent, until its own pixels are known: a transform may exchange the sides


class BuildWorker:
    """One build: what its workers share. Nothing is kept of an image but what the progress log has of it."""

    def __init__(self, plan: Plan, source: ImageSet, out: Path, there: Mapping[str, str | None]) -> None:
        self.plan, self.source, self.out, self.there = plan, source, out, there
        self.log = ProgressLog(out, len(plan.entries))
        self._original = {entry.source: entry.file_name for entry in plan.entries if entry.k is None}

    def from_source(self, batch: Sequence[int]) -> None:
        """Make a batch of images that come from source images, of which each is decoded once at most."""
        with self._logged() as logged:
            pictures: list[tuple[_BuiltImage, Pixels]] = []
            for at, parent, operations in with_parents(self.plan, self.source, self._unknown(batch)):
                entry = self.plan.entries[at]
                info = parent.info
                size = self.plan.size
                image = _BuiltImage(at, operations=operations, width=size or info.width, height=size or info.height)
                if self._is_whole(image):
                    logged.append(image)
                elif entry.copied:
                    self._write(image, parent.loaded.data, parent.loaded.sha256)
                    logged.append(image)
                else:
                    pixels = apply_operations(self.plan, parent.resized, operations)
                    image.height, image.width = pixels.shape[:2]
                    image.near_copy = entry.k is not None and is_near_copy(pixels, parent.resized)
                    pictures.append((image, pixels))
            for image, data in [(image, _encoded(self.plan, pixels)) for image, pixels in pictures]:
                self._write(image, data)
                logged.append(image)

    def from_generator(self, generator: ImageSource | None) -> None:
        """Make the images of the transform gan.

        A batch is always drawn as a whole: a generator may round differently elsewhere in a batch.
        """
        positions = self.plan.generator_positions
        step = max(1, generator.describe().get("batch_size", 1)) if generator else 1
        for first in range(0, len(positions), step):
            batch = positions[first : first + step]
            missing = set(self._unknown(batch))
            if not missing:
                continue
            with self._logged() as logged:
                for at, pixels, params in generated(self.plan, generator, batch):
                    if at not in missing:
                        continue
                    height, width = pixels.shape[:2]
                    operations = (Operation(GAN, params), *self.plan.operations([self.plan.entries[at]])[0][1:])
                    image = _BuiltImage(at, operations=operations, width=width, height=height)
                    if not self._is_whole(image):
                        self._write(image, _encoded(self.plan, pixels))
                    logged.append(image)

    def _unknown(self, batch: Sequence[int]) -> list[int]:
        """The positions of a batch whose files the progress log does not vouch for."""
        return [at for at in batch if not self.log.lookup(at, self._path(at))]

    @contextmanager
    def _logged(self) -> Iterator[list[_BuiltImage]]:
        """Give a list, and record in the progress log what stands in it at the end, whatever happens."""
        logged: list[_BuiltImage] = []
        try:
            yield logged
        finally:
            for image in logged:
                image.record = self._record(image)
            self.log.record(logged)

    def _record(self, image: _BuiltImage) -> bytes:
        """Return the line of metadata.jsonl of an image."""
        entry = self.plan.entries[image.at]
        source = self.source.images[entry.source].name if entry.k is None and entry.source is not None else None
        return Record(
            entry.file_name,
            entry.origin,
            self._original.get(entry.source) if entry.k is not None else None,
            tuple([operation.to_json() for operation in image.operations]),
            entry.label,
            image.width,
            image.height,
            image.sha256,
            source,
            self._resize(entry),
        ).to_line()

    def _resize(self, entry: PlanEntry) -> str | None:
        size = self.plan.size
        info = None if entry.source is None else self.plan.image_infos[entry.source]
        if size is None or info is None or (info.width, info.height) == (size, size):
            return None
        return _resize_text(info.width, info.height, size, self.plan.resize_mode)

    def _path(self, at: int) -> str:
        return f"{self.out}/{self.plan.entries[at].file_name}"

    def _write(self, image: _BuiltImage, data: bytes, sha256: str | None = None) -> None:
        path = self._path(image.at)
        write_bytes(path, data)
        image.num_bytes, image.sha256, image.mtime_ns = len(data), sha256 or sha256_bytes(data), _mtime_ns(path)

    def _is_whole(self, image: _BuiltImage) -> bool:
        """Tell whether the file of an image that the progress log does not have is there and whole, and keep it if so.

        It is when it equals the source's file, or decodes at its size, the sides perhaps exchanged.
        """
        entry = self.plan.entries[image.at]
        if entry.file_name not in self.there:
            return False
        path = self.out / entry.file_name
        try:
            mtime_ns = _mtime_ns(path)  # first: what changes afterwards has another
            data = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{path}: stands in the way and cannot be read: {error.strerror}") from error
        sha256 = sha256_bytes(data)
        if self.there[entry.file_name] not in (None, sha256):  # another file than the table of the dataset told of
            return False
        size = (image.height, image.width)
        if entry.copied and entry.source is not None:
            image.kept = sha256 == self.plan.image_infos[entry.source].sha256
        else:
            with suppress(InputError):
                size = decode(data, entry.file_name).shape[:2]
                image.kept = sorted(size) == sorted((image.height, image.width))
        if image.kept:
            image.height, image.width = size
            image.num_bytes, image.sha256, image.mtime_ns = len(data), sha256, mtime_ns
        return image.kept


def _mtime_ns(path: str | Path) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116 - pathlib costs several times as much


def _encoded(plan: Plan, pixels: Pixels) -> bytes:
    encode = encode_png if plan.format == "png" else encode_jpeg
    return encode(pixels, gray=plan.rules.gray)


@lru_cache(maxsize=4096)
def _resize_text(width: int, height: int, size: int, resize_mode: str) -> str:
    return plan_resize(width, height, size, resize_mode).to_json()
