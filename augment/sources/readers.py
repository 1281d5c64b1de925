"""How each kind of source is opened: what counts as an image there, what is a class, and what is left out.

* A folder with its sub-folders, which are classes; or a zip of one, where the folder that all share is no class.
* A folder or zip with metadata.jsonl or metadata.csv (Hugging Face's imagefolder) or dataset.json (StyleGAN): these
  tables say the classes. train/, test/ and validation/ at the top are splits, and no classes.
* An array file (.npz), one array of it (FILE.npz/x_train), or a folder of such; a list file; one image; a mixed
  dataset of ours; the images/ of samples.
* A URL of any of these (s3://bucket/photos): it is copied first (`augment.sources.remote`).

Hidden files and folders, and folders that smallgan wrote (datasets, runs, samples) are left out.
"""

import os
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from posixpath import splitext

from augment.core.suggest import absent
from augment.errors import InputError
from augment.imaging.codec import IMAGE_SUFFIXES, RULES, Rules
from augment.sources.dataset_format import METADATA, SAMPLE_IMAGES, holds_plan, read_samples_record
from augment.sources.image_set import ImageSet, SourceImage
from augment.sources.label_tables import LIST_SUFFIXES, TABLE_NAMES, Row, read_list, read_tables
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.remote import ARRAYS, local_copy
from augment.sources.storage import Archive, Arrays, FileEntry, PartEntry, StorageEntry

SPLITS = frozenset({"train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation"})


def open_source(path: Path, *, rules: Rules = RULES) -> ImageSet:
    """Return the images of `path`, which is anything of the list above, here or at a URL.

    Raises InputError when it is none of these, and the errors of `remote.local_copy`.
    """
    place, notes = local_copy(path)
    return _open(place, rules).with_notes(notes)


def _open(path: Path, rules: Rules) -> ImageSet:
    suffix = path.suffix.lower()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        if is_folder and holds_plan(path):
            return _open_mixed(path, rules)
        if is_folder and read_samples_record(path):
            if not (path / SAMPLE_IMAGES).is_dir():
                raise InputError(
                    f"{path}: no single images in these samples; run `smallgan sample` without --grid-only"
                )
            return _open_folder(path / SAMPLE_IMAGES, rules)
        if is_folder and _is_run(path):
            raise InputError(f"{path}: a run, whose pictures are grids; make images with: smallgan sample {path}")
        if is_folder:
            return _open_folder(path, rules)
        if is_file and suffix == ".zip":
            return _open_zip(path, rules)
        if is_file and suffix == ARRAYS:
            return _open_arrays(path, {"": path}, (), rules)
        if path.parent.suffix.lower() == ARRAYS and path.parent.is_file():
            return _open_arrays(path, {"": path.parent}, (), rules, path.name)
        if is_file and suffix in LIST_SUFFIXES:
            return _open_list(path, rules)
        if is_file and suffix in IMAGE_SUFFIXES:
            return ImageSet(path, [SourceImage(_printable(path.name), None)], [FileEntry(str(path))], rules=rules)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
    if not is_file:
        raise InputError(absent(path, "expected a folder of images, a zip, an array file, a list or an image"))
    raise InputError(
        f"{path}: neither a folder nor a zip, an array file (.npz), a list ({', '.join(LIST_SUFFIXES)}) nor an image, "
        "by its ending"
    )


def _open_folder(root: Path, rules: Rules) -> ImageSet:
    pictures: dict[str, FileEntry] = {}
    others: dict[str, FileEntry] = {}
    ignored: list[str] = []
    for name, path in _walk(root, ignored):
        (pictures if splitext(name)[1].lower() in IMAGE_SUFFIXES else others)[name] = FileEntry(path)
    if not pictures:
        arrays = {name: Path(entry.path) for name, entry in sorted(others.items()) if name.lower().endswith(ARRAYS)}
        if arrays:
            left = sorted([*ignored, *(name for name in others if name not in arrays)])
            return _open_arrays(root, arrays, left, rules)
        num_others = len(ignored) + len(others) or "no"
        raise InputError(f"{root}: no image in it ({num_others} other files); expected files ending in .jpg, .png ...")
    return _classed(root, pictures, others, ignored, 0, rules)


def _walk(root: Path, ignored: list[str]) -> Iterator[tuple[str, str]]:
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
            elif _is_output(Path(entry.path)):
                ignored.append(f"{name}/")
            else:
                folders.append((f"{name}/", entry.path))


def _open_zip(path: Path, rules: Rules) -> ImageSet:
    try:
        with zipfile.ZipFile(path) as archive:
            held = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(f"{path}: not a zip, or damaged: {error}") from error
    visible = [n for n in held if not any(p.startswith(".") or p == "__MACOSX" for p in n.split("/") if p != "..")]
    opened = Archive(path)
    pictures: dict[str, PartEntry] = {}
    others: dict[str, PartEntry] = {}
    for entry in visible:
        name = entry if "/" in entry else entry.replace("\\", "/")  # old programs of Windows write these
        is_picture = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        kept = pictures if is_picture else others
        if name in kept:
            raise InputError(f"{path}: two of its files are called {name}; pack it anew with one of them")
        kept[name] = PartEntry(opened, entry)
    if not pictures:
        raise InputError(f"{path}: no image in it ({len(held)} other files); expected files ending in .jpg, .png ...")
    return _classed(path, pictures, others, [], _shared_depth(pictures), rules)


def _shared_depth(names: Collection[str]) -> int:
    """How many folders from the top all names share."""
    parents = [PurePosixPath(name).parent.parts for name in names]
    shared = next((depth for depth, level in enumerate(zip(*parents, strict=False)) if len(set(level)) > 1), None)
    return min(map(len, parents)) if shared is None else shared


def _classed(
    root: Path,
    pictures: Mapping[str, StorageEntry],
    others: Mapping[str, StorageEntry],
    ignored: Sequence[str],
    depth: int,
    rules: Rules,
) -> ImageSet:
    """Return the set of `pictures`; the class is what a table among `others` says, else the folders below `depth`.

    A split at their top is no class. Raises InputError when a table names files that are not there.
    """
    names = sorted(pictures)
    parents = {name: PurePosixPath(name).parent.parts[depth:] for name in names}
    tops = {parts[0] if parts else "" for parts in parents.values()}
    notes = []
    if {top.casefold() for top in tops} <= SPLITS:
        parents = {name: parts[1:] for name, parts in parents.items()}
        if len(tops) > 1:
            notes.append(f"the splits {', '.join(sorted(tops))} are read together; name one of them to use it alone")
    tables = [name for name in others if PurePosixPath(name).name in TABLE_NAMES]
    rows, used, said = read_tables(tables, lambda name: others[name].read(name), root)
    listed = ", ".join(sorted(used))
    absent = [name for name in rows if name not in parents]
    if absent:
        raise InputError(f"{root}: {listed} names {_not_there(absent)}; put them there, or take their lines out")
    if rows and len(rows) < len(names):
        notes.append(f"{len(names) - len(rows)} of {len(names)} images are not in {listed}")
    images = []
    for name in names:
        row = rows.get(name, Row(None, has_label=False))
        images.append(SourceImage(name, row.label if row.has_label else "/".join(parents[name]) or None, row.origin))
    left = sorted([*ignored, *(name for name in others if name not in used)])
    entries = [pictures[name] for name in names]
    return ImageSet(root, images, entries, rules=rules, ignored=left, notes=[*notes, *said], is_mixed=True)


def _not_there(names: Sequence[str]) -> str:
    return f"{len(names)} images that are not there: {', '.join(names[:3])}{' ...' * (len(names) > 3)}"


def _open_arrays(
    root: Path, files: dict[str, Path], ignored: Sequence[str], rules: Rules, only: str | None = None
) -> ImageSet:
    """Open array files, by the name that goes before their images; of their arrays `only` that one, None: all."""
    images: list[SourceImage] = []
    entries = []
    notes = []
    for name, path in files.items():
        arrays = Arrays(path, only)
        held = ", ".join(f"{key} ({len(array):,})" for key, array in arrays.images.items())
        if arrays.unused:
            notes.append(f"{path.name}: not used: {', '.join(arrays.unused)}")
        if len(arrays.images) > 1:
            one = f"{path.name}/{next(iter(arrays.images))}"
            notes.append(f"{path.name}: {held} are read together; name {one} to use one alone")
        elif len(files) > 1:
            notes.append(f"{path.name}: {held}")
        for key, array in arrays.images.items():
            for row in range(len(array)):
                images.append(SourceImage(f"{name}{'/' if name else ''}{key}/{row:06d}.png", arrays.label(key, row)))
                entries.append(PartEntry(arrays, (key, row)))
    if len(files) > 1:
        notes.append("several array files are read as one set; name one of them to use it alone")
    return ImageSet(root, images, entries, rules=rules, ignored=ignored, notes=notes)


def _open_list(path: Path, rules: Rules) -> ImageSet:
    """Open what a list names: files relative to its folder, with a class where it gives one."""
    listed = dict(sorted(read_list(path, IMAGE_SUFFIXES).items()))
    paths = {name: path.parent / name for name in listed}
    absent = [name for name, file in paths.items() if not file.exists()]
    if absent:
        raise InputError(f"{path}: names {_not_there(absent)}; paths count from the folder of the list")
    images = [SourceImage(_printable(name), row.label, row.origin) for name, row in listed.items()]
    return ImageSet(path, images, [FileEntry(str(file)) for file in paths.values()], rules=rules, is_mixed=True)


def _open_mixed(path: Path, rules: Rules) -> ImageSet:
    if not (path / METADATA).is_file():
        raise InputError(
            f"{path}: this mixed dataset is unfinished; run the `smallgan augment` command that began it again"
        )
    dataset = MixedDataset.open(path)
    images = [SourceImage(record.file_name, record.label, record.origin) for record in dataset.records]
    entries = [FileEntry(f"{path}/{record.file_name}") for record in dataset.records]
    return ImageSet(path, images, entries, rules=rules, is_mixed=True)


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "recipe.yaml").is_file() and (folder / "checkpoints").is_dir()
    except OSError:  # a folder that cannot be entered is told when it is listed
        return False


def _is_output(folder: Path) -> bool:
    """Whether smallgan wrote this folder: a mixed dataset, whole or not, a run, or samples."""
    return _is_run(folder) or holds_plan(folder) or read_samples_record(folder) is not None


def _printable(name: str) -> str:
    """A name as text that UTF-8 can hold; file systems allow any bytes."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
