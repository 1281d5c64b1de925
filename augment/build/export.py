"""A finished mixed dataset packed for other tools: a zip for the StyleGAN family, or shards for webdataset.

Both are made from the folder and stand beside it, with metadata.jsonl and plan.json in them, and hold the very files
of the folder: same dataset, same bytes. They appear by a rename, whole or not at all.
"""

import io
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from posixpath import splitext

from augment.core.files import outside, renamed, renamed_folder
from augment.errors import InputError, UsageError
from augment.sources.dataset_format import METADATA, PLAN
from augment.sources.label_tables import CLASS_NAMES, DATASET_JSON
from augment.sources.mixed_dataset import MixedDataset

CONTAINERS = ("folder", "stylegan-zip", "webdataset")
SHARD_IMAGES = 1000
CLASSES = "classes.json"

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def container_path(folder: Path, container: str) -> Path:
    """Return where the container of a dataset in `folder` stands. Raises UsageError for an unknown container."""
    if container not in CONTAINERS:
        raise UsageError(f"--container {container!r}: use one of {', '.join(CONTAINERS)}")
    if container == "folder":
        return folder
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return folder.with_name(f"{folder.name}.zip" if container == "stylegan-zip" else f"{folder.name}-webdataset")


def check_container(container: str, size: int | None) -> None:
    """Refuse what the container cannot hold, before anything is built. Raises UsageError."""
    container_path(Path("x"), container)
    if container == "stylegan-zip" and (size is None or size & (size - 1)):
        asked = "images of their own sizes" if size is None else f"--size {size}"
        raise UsageError(
            f"--container stylegan-zip with {asked}: StyleGAN needs squares whose side is a power of 2; give --size "
            "64, 128 or 256"
        )


def check_place(folder: Path, container: str, sources: Sequence[Path] = ()) -> None:
    """Refuse to replace a source, or what is no container of ours. Raises OutputError and UsageError."""
    path = outside(container_path(folder, container), sources)
    if container == "folder" or not path.exists():
        return
    if not (_is_own_zip(path) if container == "stylegan-zip" else _are_own_shards(path)):
        what = "the zip" if container == "stylegan-zip" else "the shards"
        raise UsageError(f"{path}: stands where {what} belong, and is none of ours; move it, or name another --out")


def _is_own_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {METADATA, PLAN, DATASET_JSON} <= set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _are_own_shards(path: Path) -> bool:
    held = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    ours = {METADATA, PLAN, CLASSES}
    return ours <= held and all(re.fullmatch(r"shard-\d{6}\.tar", name) for name in held - ours)


def pack(dataset: MixedDataset, container: str) -> tuple[Path, list[str]]:
    """Return the container of `dataset`, made if need be, and what to know of it.

    Raises UsageError, OutputError, and InputError when a file of the dataset is gone.
    """
    path = container_path(dataset.path, container)
    if container == "folder":
        return path, []
    check_place(dataset.path, container)
    classes = sorted({record.label for record in dataset.records if record.label is not None})
    num_without = sum(record.label is None for record in dataset.records)
    if container == "stylegan-zip":
        lost = "StyleGAN takes labels of all or of none, so none are written"
        shapes = {(record.width, record.height) for record in dataset.records}
        side = min(shapes)[0]
        if shapes != {(side, side)} or side & (side - 1):
            listed = ", ".join(f"{width}x{height}" for width, height in sorted(shapes)[:3])
            raise UsageError(
                f"StyleGAN needs squares of one size whose side is a power of 2, found {listed}"
                f"{' ...' * (len(shapes) > 3)}; build with --size 64, 128 or 256"
            )
        with renamed(path) as temporary:
            _write_zip(dataset, temporary, [] if num_without else classes)
    else:
        lost = "they have no .cls entry"
        _write_shards(dataset, path, classes)
    has_gaps = classes and num_without
    return path, [f"{num_without:,} of {len(dataset):,} images have no class: {lost}"] if has_gaps else []


def _write_zip(dataset: MixedDataset, path: Path, classes: Sequence[str]) -> None:
    """Write images, labels by number in dataset.json as StyleGAN reads them, and our own metadata beside it."""
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [[r.file_name, numbers[str(r.label)]] for r in dataset.records] if classes else None
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for record in dataset.records:
            archive.writestr(zipfile.ZipInfo(record.file_name, _ZIP_TIME), _bytes_of(dataset, record.file_name))
        table = {"labels": labels} | ({CLASS_NAMES: list(classes)} if classes else {})
        archive.writestr(zipfile.ZipInfo(DATASET_JSON, _ZIP_TIME), json.dumps(table, ensure_ascii=False))
        for name in (METADATA, PLAN):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), _bytes_of(dataset, name))


def _write_shards(dataset: MixedDataset, path: Path, classes: Sequence[str]) -> None:
    """Write shard-000000.tar and so on: for each image its file, .json its line, and .cls its class by number."""
    numbers = {name: number for number, name in enumerate(classes)}
    with renamed_folder(path) as temporary:
        for first in range(0, len(dataset.records), SHARD_IMAGES):
            shard = temporary / f"shard-{first // SHARD_IMAGES:06d}.tar"
            with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as archive:
                for at, record in enumerate(dataset.records[first : first + SHARD_IMAGES], first):
                    parts = {splitext(record.file_name)[1].lower(): _bytes_of(dataset, record.file_name)}
                    if record.label is not None:
                        parts[".cls"] = str(numbers[record.label]).encode()
                    parts[".json"] = json.dumps(vars(record), ensure_ascii=False).encode()
                    for suffix, data in parts.items():
                        entry = tarfile.TarInfo(f"{at:08d}{suffix}")
                        entry.size = len(data)
                        archive.addfile(entry, io.BytesIO(data))
        (temporary / CLASSES).write_bytes((json.dumps(list(classes), ensure_ascii=False) + "\n").encode())
        for name in (METADATA, PLAN):
            (temporary / name).write_bytes(_bytes_of(dataset, name))
        if path.exists():
            shutil.rmtree(path)


def _bytes_of(dataset: MixedDataset, name: str) -> bytes:
    try:
        return (dataset.path / name).read_bytes()
    except OSError as error:
        raise InputError(f"{dataset.path / name}: cannot be read: {error.strerror}; build the dataset again") from error
