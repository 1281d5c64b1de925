"""Sets of images, whatever they were opened from; and, for the transform `gan`, a generator."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from augment.core.files import sha256_bytes
from augment.core.limits import MAX_FILE_BYTES
from augment.core.parallel import ByteBudget, parallel_map
from augment.errors import InputError
from augment.imaging.codec import RULES, Decoded, Pixels, Rules, decode_noted
from augment.sources.dataset_format import Origin
from augment.sources.storage import StorageEntry

KEPT_BYTES = 256 << 20
"""At most this much of a set is kept decoded, so that checking and building decode small sets once."""
_held = ByteBudget(MAX_FILE_BYTES, free_bytes=1 << 20)  # Of files not yet decoded: eight junk files would fill 1 GB


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a set."""

    name: str  # Relative to the set, with '/'
    label: str | None  # The class: its sub-folder in the set, None at the top
    origin: Origin = "original"
    part: int = 0  # Which of several sources in one set it is from


@dataclass(frozen=True)
class SourcePart:
    """One of the sources that a set was put together from."""

    name: str
    origin: Origin = "original"


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A file read and decoded."""

    data: bytes
    sha256: str
    image: Decoded


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is remembered of every file that was loaded once. Width and height are of the upright image."""

    sha256: str
    width: int
    height: int
    plain: bool = True  # Whether the file can be taken as it is: any reader sees in it the pixels that we do


class ImageSource(Protocol):
    """Makes images of the transform `gan`.

    One that knows classes also has `labels(indices, seed)`: the class of each of these images, None where it has none.
    """

    name: str

    def describe(self) -> dict[str, Any]:
        """Return what the pixels depend on beside (seed, k), for plan.json; `batch_size` if drawn in batches."""

    def draw(self, indices: Sequence[int], seed: int) -> Iterator[tuple[Pixels, dict[str, Any]]]:
        """Yield image k of `seed` for each k in `indices`, in that order, with a small dict that says how it was made.

        Pixels have the generator's own size.
        """


class ImageSet:
    """Images in the order of their names' code points, which is the same on every machine."""

    def __init__(
        self,
        path: Path,
        images: Sequence[SourceImage],
        entries: Sequence[StorageEntry],
        *,
        rules: Rules = RULES,
        ignored: Sequence[str] = (),
        notes: Sequence[str] = (),
        parts: Sequence[SourcePart] = (),
        is_mixed: bool = False,
        cache: _DecodedCache | None = None,
    ) -> None:
        self.path = path
        self.images = tuple(images)
        self.parts = tuple(parts) or (SourcePart(_set_name(path)),)
        self.name = self.parts[0].name
        self.rules = rules
        self.ignored = tuple(ignored)
        """Names of what stands there and is no image: notes, other formats, output folders of earlier runs."""
        self.notes = tuple(notes)
        """What was decided about the set as a whole that the user may not expect."""
        self.is_mixed = is_mixed and any(image.origin != "original" for image in self.images)
        """Whether it holds what a mixed dataset added."""
        self._entries = tuple(entries)
        self._cache = cache or _DecodedCache(KEPT_BYTES)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> bytes:
        """Return the bytes of image `index`. Raises InputError naming it."""
        name = self.images[index].name
        try:
            return self._entries[index].read(name)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error

    def load(self, index: int, data: bytes | None = None) -> LoadedImage:
        """Return image `index` decoded, with the hash of its file. Raises InputError naming it.

        `data` are the bytes of the file, where they were read already.
        """
        entry = self._entries[index]
        kept = self._cache.kept.get(entry)
        if kept is None:
            with self.room_for(index):
                data = self.read(index) if data is None else data
                kept = LoadedImage(data, sha256_bytes(data), decode_noted(data, self.images[index].name, self.rules))
            self._cache.add(entry, kept)
        return kept

    def sha256(self, index: int) -> str:
        """Return the hash of the file of image `index`, which is not decoded. Raises InputError naming it."""
        if info := self.known(index):
            return info.sha256
        with self.room_for(index):
            return sha256_bytes(self.read(index))

    @contextmanager
    def room_for(self, index: int) -> Iterator[None]:
        """Wait until all threads together hold so little that the file of image `index` may be read, and count it."""
        num_bytes = 0
        with suppress(OSError):  # `read` says why
            num_bytes = self._entries[index].num_bytes()
        with _held.hold(num_bytes):
            yield

    def info(self, index: int) -> ImageInfo:
        """Return hash and size of image `index`, decoding it only the first time. Raises InputError naming it."""
        return self.known(index) or _info(self.load(index))

    def known(self, index: int) -> ImageInfo | None:
        """Return hash and size of image `index` where it was decoded before, else None."""
        return self._cache.infos.get(self._entries[index])

    def subset(self, indices: Sequence[int]) -> ImageSet:
        """Return the set of these images only."""
        return self._with([self.images[index] for index in indices], [self._entries[index] for index in indices])

    def unlabelled(self) -> ImageSet:
        """Return the set without the classes of its images."""
        return self._with([replace(image, label=None) for image in self.images], self._entries)

    def uncached(self) -> ImageSet:
        """Return the set such that nothing of it is kept decoded, for who loads each image once."""
        return self._with(self.images, self._entries, cache=_DecodedCache(0))

    def with_notes(self, notes: Sequence[str]) -> ImageSet:
        """Return the set with more to know of it."""
        return self._with(self.images, self._entries, notes=[*notes, *self.notes]) if notes else self

    def originals(self) -> ImageSet:
        """Return the set without what a mixed dataset added."""
        if all(image.origin == "original" for image in self.images):
            return self
        return self.subset([index for index, image in enumerate(self.images) if image.origin == "original"])

    def concat(self, other: ImageSet, origin: Origin) -> ImageSet:
        """Return this set and after it `other`, a part of its own whose images count as `origin`."""
        number = len(self.parts)
        names = {part.name for part in self.parts}
        name = other.name if other.name not in names else f"{other.name}-{number + 1}"
        images = [SourceImage(f"{name}/{image.name}", image.label, origin, number) for image in other.images]
        return self._with(
            [*self.images, *images],
            [*self._entries, *other._entries],
            ignored=[*self.ignored, *(f"{name}/{ignored}" for ignored in other.ignored)],
            notes=[*self.notes, *(f"{name}: {note}" for note in other.notes)],
            parts=[*self.parts, SourcePart(name, origin)],
        )

    def _with(self, images: Sequence[SourceImage], entries: Sequence[StorageEntry], **changes: Any) -> ImageSet:
        kept = {name: getattr(self, name) for name in ("rules", "ignored", "notes", "parts", "is_mixed")}
        return ImageSet(self.path, images, entries, **{**kept, "cache": self._cache, **changes})

    def describe(self, infos: Sequence[ImageInfo]) -> list[dict[str, str | int]]:
        """Return the parts as they stand in plan.json. `infos` are those of the images."""
        described: list[dict[str, str | int]] = []
        for number, part in enumerate(self.parts):
            hashes = [info.sha256 for image, info in zip(self.images, infos, strict=True) if image.part == number]
            row: dict[str, str | int] = {"name": part.name, "num_images": len(hashes)}
            row["fingerprint"] = fingerprint(hashes)
            if len(self.parts) > 1:
                row["origin"] = part.origin
            described.append(row)
        return described


def _set_name(path: Path) -> str:
    """The folder's or file's own name; of a folder called images, as datasets have them, the one around it."""
    whole = path.resolve()
    if path.is_file():
        return whole.stem
    return (whole.parent.name if whole.name == "images" else whole.name) or "images"


class _DecodedCache:
    """Keeps what was loaded first until the room is used up; later images are decoded again when asked for."""

    def __init__(self, num_bytes: int) -> None:
        self._free = num_bytes
        self.kept: dict[StorageEntry, LoadedImage] = {}
        self.infos: dict[StorageEntry, ImageInfo] = {}
        self._lock = threading.Lock()

    def add(self, entry: StorageEntry, loaded: LoadedImage) -> None:
        num_bytes = len(loaded.data) + loaded.image.pixels.nbytes
        with self._lock:
            self.infos[entry] = _info(loaded)
            if num_bytes <= self._free and entry not in self.kept:
                self._free -= num_bytes
                self.kept[entry] = loaded


def _info(loaded: LoadedImage) -> ImageInfo:
    height, width = loaded.image.pixels.shape[:2]
    return ImageInfo(loaded.sha256, width, height, loaded.image.plain)


def fingerprint(sha256s: Sequence[str]) -> str:
    """Return the fingerprint of a set: SHA-256 over its files' SHA-256 hex digests in the set's order, one per line."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in sha256s).encode()).hexdigest()


def labels_fingerprint(images: Sequence[SourceImage]) -> str | None:
    """Return the SHA-256 over the classes of images in their order, None where none has a class."""
    labels = [image.label for image in images]
    return fingerprint([json.dumps(label) for label in labels]) if any(label is not None for label in labels) else None


def content_hash(source: ImageSet, known: Mapping[str, str], *, workers: int = 1) -> str:
    """Return the hash of all files of a set, those that cannot be used included; none is decoded.

    Two sets of the same hash have the same names, classes, origins and bytes.

    Args:
        source: the set.
        known: SHA-256 of files by name, as far as it was worked out before.
        workers: threads.
    """

    def line(index: int) -> str:
        image = source.images[index]
        try:
            sha256 = known.get(image.name) or source.sha256(index)
        except InputError as error:  # a pipe, say
            sha256 = str(error)
        return json.dumps([image.name, image.label, image.origin, sha256])

    lines = parallel_map(line, range(len(source)), workers)
    return sha256_bytes("\n".join(lines).encode())
