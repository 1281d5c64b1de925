"""Where images come from: a folder, a zip, one file or a mixed dataset; and, for the kind `gan`, a generator."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import Any, Literal, Protocol

from augment.errors import InputError
from augment.files import sha256_bytes
from augment.pixels import IMAGE_SUFFIXES, Decoded, Pixels, decode_noted

Origin = Literal["original", "augmented", "synthetic"]

METADATA = "metadata.jsonl"
PLAN = "plan.json"
PLAN_FORMAT = "augment-plan-1"
"""What `format` says in a plan.json of ours."""
MAX_FILE_BYTES = 1 << 30
KEPT_BYTES = 256 << 20
"""At most this much of a set is kept decoded, so that checking and building decode small sets once."""


@dataclass(frozen=True)
class SourceImage:
    """One image of a set."""

    name: str
    """Relative to the set, with '/'."""
    label: str | None
    """The class: its sub-folder in the set, None at the top."""
    origin: Origin = "original"


@dataclass(frozen=True)
class Loaded:
    """A file read and decoded."""

    data: bytes
    sha256: str
    image: Decoded


@dataclass(frozen=True)
class Facts:
    """What is remembered of every file that was loaded once. Width and height are of the upright image."""

    sha256: str
    width: int
    height: int


class ImageSource(Protocol):
    """Makes images of the kind `gan`."""

    name: str

    def describe(self) -> dict[str, str | int]:
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
        files: Sequence[str] | None,
        *,
        ignored: Sequence[str] = (),
        shelf: _Shelf | None = None,
    ) -> None:
        self.path = path
        self.name = _set_name(path)
        self.images = tuple(images)
        self.ignored = tuple(ignored)
        """Names of what stands there and is no image: notes, other formats, output folders of earlier runs."""
        self._files = None if files is None else tuple(files)
        self._shelf = shelf or _Shelf(KEPT_BYTES)
        self._archive: zipfile.ZipFile | None = None
        self._opening = threading.Lock()

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> bytes:
        """Return the bytes of image `index`. Raises InputError naming it."""
        name = self.images[index].name
        try:
            return _read_file(self._files[index], name) if self._files else self._read_entry(name)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error

    def load(self, index: int) -> Loaded:
        """Return image `index` decoded, with the hash of its file. Raises InputError naming it."""
        name = self.images[index].name
        kept = self._shelf.find(name)
        if kept is None:
            data = self.read(index)
            kept = Loaded(data, sha256_bytes(data), decode_noted(data, name))
            self._shelf.offer(name, kept)
        return kept

    def facts(self, index: int) -> Facts:
        """Return hash and size of image `index`, decoding it only the first time. Raises InputError naming it."""
        known = self._shelf.facts.get(self.images[index].name)
        return known or _facts(self.load(index))

    def subset(self, indices: Sequence[int]) -> ImageSet:
        """Return the set of these images only."""
        files = None if self._files is None else [self._files[index] for index in indices]
        chosen = [self.images[index] for index in indices]
        return ImageSet(self.path, chosen, files, ignored=self.ignored, shelf=self._shelf)

    def originals(self) -> ImageSet:
        """Return the set without what a mixed dataset added."""
        if all(image.origin == "original" for image in self.images):
            return self
        return self.subset([index for index, image in enumerate(self.images) if image.origin == "original"])

    def _read_entry(self, name: str) -> bytes:
        with self._opening:
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.path)
        try:
            if self._archive.getinfo(name).file_size > MAX_FILE_BYTES:
                raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB; leave it out")
            return self._archive.read(name)
        except (RuntimeError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise InputError(f"{name} in {self.path.name}: damaged or encrypted: {error}") from error


def _set_name(path: Path) -> str:
    """The folder's or file's own name; of a folder called images, as datasets have them, the one around it."""
    whole = path.resolve()
    if path.is_file():
        return whole.stem
    return (whole.parent.name if whole.name == "images" else whole.name) or "images"


class _Shelf:
    """Keeps what was loaded first until the room is used up; later images are decoded again when asked for."""

    def __init__(self, num_bytes: int) -> None:
        self._free = num_bytes
        self._kept: dict[str, Loaded] = {}
        self.facts: dict[str, Facts] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Loaded | None:
        return self._kept.get(name)

    def offer(self, name: str, loaded: Loaded) -> None:
        num_bytes = len(loaded.data) + loaded.image.pixels.nbytes
        with self._lock:
            self.facts[name] = _facts(loaded)
            if num_bytes <= self._free and name not in self._kept:
                self._free -= num_bytes
                self._kept[name] = loaded


def _facts(loaded: Loaded) -> Facts:
    height, width = loaded.image.pixels.shape[:2]
    return Facts(loaded.sha256, width, height)


def fingerprint(sha256s: Sequence[str]) -> str:
    """Return the fingerprint of a set: SHA-256 over its files' SHA-256 hex digests in the set's order, one per line."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in sha256s).encode()).hexdigest()


def open_source(path: Path, *, exclude: Path | None = None) -> ImageSet:
    """Return the images below `path`: a folder with its sub-folders, a zip, one image, or a mixed dataset.

    Sub-folders are classes. Hidden files and folders, `exclude`, and folders that smallgan wrote (datasets, runs) are
    left out. In a zip the folder that all entries share is the packing's, and no class.
    Raises InputError when `path` is absent, cannot be read or holds no image.
    """
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        if is_folder and holds_plan(path):
            return _open_mixed(path)
        if is_folder:
            return _open_folder(path, exclude)
        if is_file and path.suffix.lower() == ".zip":
            return _open_zip(path)
        if is_file and path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSet(path, [SourceImage(_printable(path.name), None)], [str(path)])
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
    if not is_file:
        raise InputError(f"{path}: not there; needed a folder of images, a zip or an image")
    raise InputError(f"{path}: neither a folder nor a zip nor an image (by its ending)")


def _open_folder(root: Path, exclude: Path | None) -> ImageSet:
    found: dict[str, str] = {}
    ignored: list[str] = []
    for name, path in _walk(root, exclude.resolve() if exclude else None, ignored):
        if splitext(name)[1].lower() in IMAGE_SUFFIXES:
            found[name] = path
        else:
            ignored.append(name)
    names = sorted(found)
    if not names:
        raise InputError(
            f"{root}: no image in it ({_count(ignored)} other files); needed files ending in .jpg, .png ..."
        )
    images = [SourceImage(name, _label(name)) for name in names]
    return ImageSet(root, images, [found[name] for name in names], ignored=sorted(ignored))


def _walk(root: Path, exclude: Path | None, ignored: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of the files below `root`, following links, each folder once. Raises OSError."""
    seen: set[tuple[int, int]] = set()
    folders = [("", str(root))]
    while folders:
        above, folder = folders.pop()
        status = os.stat(folder)  # noqa: PTH116 - pathlib costs as much as reading the file, several times over
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in os.scandir(folder):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = above + _printable(entry.name)
            if not entry.is_dir():
                yield name, entry.path
            elif Path(entry.path).resolve() == exclude or _is_output(Path(entry.path)):
                ignored.append(f"{name}/")
            else:
                folders.append((f"{name}/", entry.path))


def _open_zip(path: Path) -> ImageSet:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a zip, or damaged: {error}") from error
    visible = [n for n in entries if not any(p.startswith(".") or p == "__MACOSX" for p in n.split("/") if p != "..")]
    names = sorted({name for name in visible if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES})
    if not names:
        raise InputError(f"{path}: no image in it ({len(entries)} other files); needed files ending in .jpg, .png ...")
    parents = [PurePosixPath(name).parent.parts for name in names]
    # the folders that all entries share, counted from the top
    shared = next((depth for depth, level in enumerate(zip(*parents, strict=False)) if len(set(level)) > 1), None)
    shared = min(map(len, parents)) if shared is None else shared
    images = [SourceImage(name, "/".join(parts[shared:]) or None) for name, parts in zip(names, parents, strict=True)]
    return ImageSet(path, images, None, ignored=sorted(set(visible) - set(names)))


def _open_mixed(path: Path) -> ImageSet:
    if not (path / METADATA).is_file():
        raise InputError(
            f"{path}: this mixed dataset is unfinished; run the `smallgan augment` command that began it again"
        )
    from augment.dataset import MixedDataset

    dataset = MixedDataset.open(path)
    images = [SourceImage(record.file_name, record.label, record.origin) for record in dataset.records]
    return ImageSet(path, images, [f"{path}/{record.file_name}" for record in dataset.records])


def _read_file(path: str, name: str) -> bytes:
    status = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: not an ordinary file; leave it out")
    if status.st_size > MAX_FILE_BYTES:
        raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB; leave it out")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def _is_output(folder: Path) -> bool:
    """Whether smallgan wrote this folder: a mixed dataset, whole or not, or a run."""
    try:
        is_run = (folder / "recipe.yaml").is_file() and (folder / "checkpoints").is_dir()
    except OSError:  # a folder that cannot be entered is told when it is listed
        return False
    return is_run or holds_plan(folder)


def holds_plan(folder: Path) -> bool:
    """Tell whether `folder` is a mixed dataset of ours, finished or not: other tools write a plan.json too."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(plan, dict) and plan.get("format") == PLAN_FORMAT


def _label(name: str) -> str | None:
    return name.rpartition("/")[0] or None


def _printable(name: str) -> str:
    """A name as text that UTF-8 can hold; file systems allow any bytes."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _count(names: Sequence[str]) -> str:
    return str(len(names)) if names else "no"
