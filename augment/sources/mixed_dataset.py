"""A mixed dataset on disk: the folder, and its metadata.jsonl with one line an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from augment.core.limits import bounded_lines, loads
from augment.errors import InputError
from augment.sources.dataset_format import METADATA, PLAN, Origin, read_plan

PREVIEW = "preview.png"
MAX_METADATA_BYTES = 1 << 30  # Of metadata.jsonl: about three million images

_ENCODER = json.JSONEncoder(ensure_ascii=False)  # json.dumps would make one a line


@dataclass(frozen=True)
class Record:
    """One line of metadata.jsonl; Hugging Face's imagefolder reads it as it is."""

    file_name: str
    """Relative to the dataset, with '/'."""
    origin: Origin
    parent: str | None
    """file_name of the original it was made from; None for originals and images from a generator."""
    operations: tuple[dict[str, str], ...]
    """What was done, in order: name, and params as one JSON text each."""
    label: str | None
    width: int
    height: int
    sha256: str
    source: str | None = None
    """Of what was taken over: its name in the source, after the source's own name where there are several."""
    resize: str | None = None
    """How it, or its parent, became square: the JSON text of `ResizePlan`. None: it had that shape."""

    def to_line(self) -> bytes:
        r"""Return its line of metadata.jsonl, ending in \n."""
        return f"{_ENCODER.encode(vars(self))}\n".encode()


class MixedDataset:
    """A finished mixed dataset."""

    def __init__(self, path: Path, *, num_images: int) -> None:
        self.path = path
        self._num_images = num_images
        self.build_seconds: float | None = None
        """Time that `build` took, without checking the source and planning; None when nothing was built now."""
        self.num_kept = 0
        """How many images `build` found there and whole, and kept."""
        self.num_near_copies = 0
        """How many added images `build` found nearly equal to their parents."""
        self.num_copies = 0
        """How many added images `build` found equal to another of the set, byte for byte."""

    def __len__(self) -> int:
        return self._num_images

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The lines of metadata.jsonl, read when first asked for. Raises InputError when they are damaged."""
        return tuple(read_records(self.path))

    @property
    def preview(self) -> Path:
        """The contact sheet."""
        return self.path / PREVIEW

    @property
    def policy(self) -> str:
        """The policy that it was built by, as an expression. Raises InputError when plan.json cannot be read."""
        plan = read_plan(self.path)
        if "policy" not in plan:
            raise InputError(f"{self.path / PLAN}: cannot be read (no policy in it); build the dataset again")
        return str(plan["policy"])

    @classmethod
    def open(cls, path: Path) -> MixedDataset:
        """Read the dataset in `path`. Raises InputError when it is absent, unfinished or damaged."""
        records = tuple(read_records(path))
        if not records:
            raise InputError(f"{path / METADATA}: it lists no image; build the dataset again")
        dataset = cls(path, num_images=len(records))
        dataset.records = records
        return dataset


def read_records(path: Path) -> Iterator[Record]:
    """Yield the lines of metadata.jsonl in `path`. Raises InputError when it is absent, unfinished or damaged."""
    file = path / METADATA
    try:
        if (num_bytes := file.stat().st_size) > MAX_METADATA_BYTES:
            raise InputError(
                f"{file}: {num_bytes / (1 << 20):,.0f} MiB; at most {MAX_METADATA_BYTES >> 20:,} MiB are read; build "
                "smaller datasets, and use them one after the other"
            )
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(bounded_lines(stream, str(file)), 1):
                yield _record(line, f"{file}, line {number}")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no {METADATA} there, so it is no finished mixed dataset") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error}") from error


def _record(line: str, where: str) -> Record:
    try:
        fields: dict[str, Any] = loads(line)
        record = Record(**fields | {"operations": tuple(fields["operations"])})
        texts = (record.file_name, record.sha256, record.parent or "", record.label or "")
        if not all(isinstance(text, str) for text in texts) or record.origin not in get_args(Origin):
            raise ValueError("a field of another kind")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{where}: not a record of a mixed dataset; build it again") from error
    if record.file_name.startswith("/") or ".." in record.file_name.split("/"):
        raise InputError(f"{where}: {record.file_name!r} points outside the dataset")
    return record
