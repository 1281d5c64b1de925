"""Public sets by name, through torchvision, as a plain folder of images with class sub-folders.

Nothing is downloaded unless `get` is asked to; what lies in the raw folder already, as torchvision lays it out, is
used as it is, after torchvision's own checks. Files are copied byte for byte, arrays are written as PNG. Sets whose
published form is a Python pickle (CIFAR) are not offered: reading one runs whatever it holds.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.core.file_names import safe
from augment.core.files import make_folder, renamed_folder, sha256_bytes, write_bytes, write_json
from augment.core.limits import read_json
from augment.core.parallel import Progress
from augment.core.suggest import instead
from augment.errors import InputError, MissingError, UsageError
from augment.imaging.codec import encode_png
from augment.sources.image_set import fingerprint
from smallgan.core.weights import cache_folder

SOURCE = "source.json"
SOURCE_FORMAT = "smallgan-set-1"


@dataclass(frozen=True)
class Item:
    """One image of a set: the file that holds it, or its pixels (H x W, 0 to 255)."""

    label: str | None
    stem: str
    file: Path | None = None
    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class PublicSet:
    """A set that can be had by name."""

    name: str
    title: str
    num_images: int
    classes: str
    """What its classes are, in a word or two; "" where it has none."""
    licence: str
    """A caution, not advice."""
    read: Callable[[Path, bool], Iterator[Item]]
    """Yields its images, given the raw folder and whether to download what is not there."""


def _celeba(root: Path, download: bool) -> Iterator[Item]:
    from torchvision.datasets import CelebA

    found = CelebA(root, split="all", download=download)
    for name in found.filename:
        yield Item(None, Path(name).stem, root / "celeba" / "img_align_celeba" / name)


def _pets(root: Path, download: bool) -> Iterator[Item]:
    from torchvision.datasets import OxfordIIITPet

    for split in ("trainval", "test"):
        found = OxfordIIITPet(root, split=split, download=download)
        names = {number: name for name, number in found.class_to_idx.items()}
        for file, label in zip(found._images, found._labels, strict=True):
            yield Item(names[label], file.stem, file)


def _flowers(root: Path, download: bool) -> Iterator[Item]:
    from torchvision.datasets import Flowers102

    for split in ("train", "val", "test"):
        found = Flowers102(root, split=split, download=download)
        for file, label in zip(found._image_files, found._labels, strict=True):
            yield Item(found.classes[label], file.stem, file)


def _caltech101(root: Path, download: bool) -> Iterator[Item]:
    from torchvision.datasets import Caltech101

    found = Caltech101(root, download=download)
    for number, label in zip(found.index, found.y, strict=True):
        name = found.categories[label]
        stem = f"image_{number:04d}"
        yield Item(name, stem, Path(found.root) / "101_ObjectCategories" / name / f"{stem}.jpg")


def _arrays(kind: str) -> Callable[[Path, bool], Iterator[Item]]:
    def read(root: Path, download: bool) -> Iterator[Item]:
        from torchvision import datasets

        for split, train in (("train", True), ("test", False)):
            found = getattr(datasets, kind)(root / "USPS" if kind == "USPS" else root, train=train, download=download)
            names = getattr(found, "classes", None)
            for number, (pixels, label) in enumerate(zip(np.asarray(found.data), found.targets, strict=True)):
                name = str(names[int(label)]) if names else str(int(label))
                yield Item(name.split(" - ")[0], f"{split}-{number:05d}", pixels=pixels)

    return read


_MNIST_LIKE = "10 classes of 28x28"
SETS: dict[str, PublicSet] = {
    found.name: found
    for found in (
        PublicSet("celeba", "CelebA, aligned faces", 202_599, "", "non-commercial research, no passing on", _celeba),
        PublicSet("oxford-pets", "Oxford-IIIT Pet", 7_349, "37 breeds", "CC BY-SA 4.0; pictures of others", _pets),
        PublicSet(
            "flowers102", "Oxford 102 Flowers", 8_189, "102 flowers", "none stated; research by custom", _flowers
        ),
        PublicSet("caltech101", "Caltech-101", 8_677, "101 things", "CC BY 4.0", _caltech101),
        PublicSet("mnist", "MNIST digits", 70_000, _MNIST_LIKE, "CC BY-SA 3.0", _arrays("MNIST")),
        PublicSet("fashion-mnist", "Fashion-MNIST", 70_000, _MNIST_LIKE, "MIT", _arrays("FashionMNIST")),
        PublicSet("kmnist", "Kuzushiji-MNIST", 70_000, _MNIST_LIKE, "CC BY-SA 4.0", _arrays("KMNIST")),
        PublicSet("usps", "USPS digits", 9_298, "10 classes of 16x16", "none stated", _arrays("USPS")),
    )
}


def get_set(
    text: str,
    out: Path | None = None,
    *,
    root: Path | None = None,
    count: int | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the set NAME, or NAME:CLASS,CLASS, into a folder, and return what was written, ready for JSON.

    One class alone lies at the top of the folder, several in sub-folders. `count` takes the first so many of what was
    chosen, in the set's order. The folder appears when all is there.
    Raises UsageError, MissingError when the set is not there and cannot be had, InputError, OutputError.
    """
    name, _, wanted = (part.strip() for part in text.partition(":"))
    if name not in SETS:
        raise UsageError(f"no set {name!r}{instead(name, SETS)}")
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: must be at least 1")
    found = SETS[name]
    settings = {"format": SOURCE_FORMAT, "set": text.strip(), "count": count}
    out = out or Path("sets") / safe("-".join([name, *map(_slug, filter(None, wanted.split(",")))]))
    if (there := _there(out, settings)) is not None:
        return there
    root = root or cache_folder().parent / "datasets"
    items = _chosen(_read(found, root, offline=offline), wanted, name)[:count]
    flat = len({item.label for item in items}) == 1
    with renamed_folder(out) as temporary:
        hashes = []
        for number, item in enumerate(items):
            if progress and number % 64 == 0:
                progress(number)
            hashes.append(_write(temporary, item, flat=flat))
        classes = Counter(str(item.label) for item in items if item.label is not None)
        record = settings | {
            "title": found.title,
            "licence": found.licence,
            "num_images": len(items),
            "classes": dict(sorted(classes.items())),
            "fingerprint": fingerprint(hashes),
        }
        write_json(temporary / SOURCE, record)
    return {"path": str(out), **record}


def _there(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        record = read_json(out / SOURCE)
    except (OSError, ValueError):
        record = None
    if isinstance(record, dict) and all(record.get(key) == value for key, value in settings.items()):
        return {"path": str(out), **record}
    held = f"the set {record['set']!r}" if isinstance(record, dict) and "set" in record else "other files"
    raise UsageError(f"{out}: holds {held}; name a new or an empty folder with --out")


def _read(found: PublicSet, root: Path, *, offline: bool) -> list[Item]:
    make_folder(root)
    try:
        return list(found.read(root, not offline))
    except (RuntimeError, OSError, ImportError, ValueError, IndexError) as error:
        told = re.sub(r"\s+", " ", str(error)).split(" You can use download=True")[0][:300].rstrip(".")
        tried = "it was not to be downloaded (--offline)" if offline else "and the download failed"
        raise MissingError(
            f"{found.name}: not whole below {root}, {tried}: {told}. Put its files there as torchvision lays them out, "
            "or name the folder that has them with --root"
        ) from error


def _chosen(items: list[Item], wanted: str, name: str) -> list[Item]:
    if not wanted:
        return items
    known = {_slug(label): label for label in dict.fromkeys(item.label for item in items) if label is not None}
    if not known:
        raise UsageError(f"{name} has no classes; write `smallgan data get {name}`")
    for each in wanted.split(","):
        if _slug(each) not in known:
            raise UsageError(f"{name} has no class {each!r}{instead(_slug(each), known)}")
    labels = {known[_slug(each)] for each in wanted.split(",")}
    return [item for item in items if item.label in labels]


def _write(folder: Path, item: Item, *, flat: bool) -> str:
    if item.label is not None and not flat:
        folder = make_folder(folder / safe(item.label))
    if item.file is not None:
        try:
            data, suffix = item.file.read_bytes(), item.file.suffix
        except OSError as error:
            raise InputError(f"{item.file}: cannot be read: {error.strerror}; is the set whole?") from error
    else:
        assert item.pixels is not None
        data, suffix = encode_png(np.repeat(item.pixels[..., None], 3, axis=2), gray=True), ".png"
    write_bytes(folder / f"{safe(item.stem)}{suffix}", data)
    return sha256_bytes(data)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
