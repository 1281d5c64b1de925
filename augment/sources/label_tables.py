"""Tables that say the class of each image: Hugging Face's metadata, StyleGAN's dataset.json, and lists of files."""

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath, splitext
from typing import Any, get_args

from augment.core.limits import MAX_JSON_BYTES, bounded_lines, loads, parse_json
from augment.errors import InputError
from augment.sources.dataset_format import METADATA, Origin
from augment.sources.storage import FileEntry

DATASET_JSON = "dataset.json"
CLASS_NAMES = "class_names"
"""Beside `labels` in a dataset.json of ours: the name of each number. Other readers pass over it."""
TABLE_NAMES = frozenset({METADATA, "metadata.csv", DATASET_JSON})
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl")

_NAME_COLUMNS = ("file_name", "filename", "file", "path", "image")
_NO_CLASSES = "its labels are no single classes, and are not used"
_ORIGINS: dict[object, Origin] = {origin: origin for origin in get_args(Origin)}


@dataclass(frozen=True)
class Row:
    """What a table says of one image."""

    label: str | None
    has_label: bool = True  # Whether the table has a column of classes at all; without one the folders are the classes
    origin: Origin = "original"


def read_tables(
    names: Sequence[str], read: Callable[[str], bytes], root: Path
) -> tuple[dict[str, Row], set[str], list[str]]:
    """Return what the tables of a source say by image, which of them were used, and notes on them.

    Paths in a table count from its own folder. Raises InputError naming a table that is damaged.
    """
    rows: dict[str, Row] = {}
    used: set[str] = set()
    notes: list[str] = []
    for name in sorted(names, key=lambda name: PurePosixPath(name).name == DATASET_JSON):
        where = f"{root}: {name}"
        folder = str(PurePosixPath(name).parent)
        try:
            data = read(name)
        except OSError as error:
            raise InputError(f"{where}: cannot be read: {error}") from error
        is_stylegan = PurePosixPath(name).name == DATASET_JSON
        listed = _stylegan_rows(data, where, notes) if is_stylegan else _rows(data, splitext(name)[1], where, notes)
        if listed is None:
            continue
        used.add(name)
        for file_name, row in dict(listed).items():
            parts = file_name.replace("\\", "/")  # as Windows writes them
            rows.setdefault(normpath(f"{folder}/{parts}"), row)
    return rows, used, list(dict.fromkeys(notes))


def read_list(path: Path, suffixes: Collection[str]) -> dict[str, Row]:
    """Return what a list file names, in its order: one path a line, or a table with a column file_name.

    In a .txt a class may follow a path after a tab. Raises InputError naming the line that is wrong.
    """
    data = FileEntry(str(path)).read(str(path))
    suffix = path.suffix.lower()
    listed: dict[str, Row] = {}
    if suffix == ".txt":
        parts = (line.partition("\t") for line in _lines(data, str(path)))
        lines: Iterator[tuple[str, Row]] = (
            (name.strip(), Row(label.strip() or None)) for name, _, label in parts if name.strip()
        )
    else:
        lines = _rows(data, suffix, str(path), [])
    for number, (name, row) in enumerate(lines, 1):
        name = name.replace("\\", "/")
        if splitext(name)[1].lower() not in suffixes:
            raise InputError(
                f"{path}: entry {number}, {name[:80]!r}, is no image by its ending; expected a path a line, such as "
                "photos/1.jpg"
            )
        if name in listed:
            raise InputError(f"{path}: {name!r} is listed twice; take one of them out")
        listed[name] = row
    if not listed:
        raise InputError(f"{path}: it lists no image; expected a path a line")
    return listed


def _lines(data: bytes, where: str) -> Iterator[str]:
    yield from bounded_lines(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), where)


def _rows(data: bytes, suffix: str, where: str, notes: list[str]) -> Iterator[tuple[str, Row]]:
    """Yield the file name and what is said of it, of a table with a column file_name."""
    delimiter = "\t" if suffix == ".tsv" else ","
    records = _json_records(data, where) if suffix == ".jsonl" else _csv_records(data, where, delimiter)
    for number, record in enumerate(records, 1):
        column = next((column for column in _NAME_COLUMNS if isinstance(record.get(column), str)), None)
        if column is None:
            raise InputError(f"{where}: entry {number} has no file_name; expected the path of an image in each")
        called = "label" if "label" in record else "class"
        label = record.get(called)
        if isinstance(label, list | dict):
            notes.append(f"{where}: {_NO_CLASSES}")
            label = None
        origin = _ORIGINS.get(str(record.get("origin")), "original")
        yield record[column], Row(None if label is None or label == "" else _text(label), called in record, origin)


def _text(label: object) -> str:
    """Return a class as text that UTF-8 can hold; JSON may hold halves of characters."""
    return str(label).encode("utf-8", "backslashreplace").decode()


def _csv_records(data: bytes, where: str, delimiter: str) -> Iterator[dict[str, Any]]:
    try:
        reader = csv.DictReader(_lines(data, where), delimiter=delimiter, skipinitialspace=True)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        yield from reader
    except csv.Error as error:
        raise InputError(f"{where}: not a table of text: {error}") from error


def _json_records(data: bytes, where: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(data, where), 1):
        if not line.strip():
            continue
        try:
            record = loads(line)
        except ValueError as error:
            raise InputError(f"{where}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{where}, line {number}: expected an object with file_name, found {line.strip()[:60]!r}")
        yield record


def _stylegan_rows(data: bytes, where: str, notes: list[str]) -> dict[str, Row] | None:
    """Read StyleGAN's labels: pairs of file name and class number, or a vector with a single 1. None: other JSON."""
    advice = f"use {METADATA}"
    if len(data) > MAX_JSON_BYTES:
        raise InputError(f"{where}: larger than {MAX_JSON_BYTES >> 20} MiB; {advice}")
    try:
        content = parse_json(data, where, advice=advice)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}") from error
    if not isinstance(content, dict) or "labels" not in content:
        return None
    pairs, names = content["labels"] or [], content.get(CLASS_NAMES)
    if not isinstance(pairs, list):
        raise InputError(f"{where}: its labels are {str(pairs)[:60]}; expected a list of [file name, class number]")
    rows = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise InputError(f"{where}: an entry of its labels is {str(pair)[:60]}; expected [file name, class number]")
        number = pair[1]
        if isinstance(number, list) and [one for one in number if one != 0] == [1]:
            number = number.index(1)
        if not isinstance(number, int) or isinstance(number, bool):
            notes.append(f"{where}: {_NO_CLASSES}")
            label = None
        else:
            label = _text(names[number] if isinstance(names, list) and 0 <= number < len(names) else number)
        rows[pair[0]] = Row(label)
    return rows
