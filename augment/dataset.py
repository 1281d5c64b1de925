"""A mixed dataset on disk: the folder, and its metadata.jsonl with one line an image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.errors import InputError
from augment.files import write_text
from augment.sources import METADATA, PLAN, Origin


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


class MixedDataset:
    """A finished mixed dataset."""

    def __init__(self, path: Path, records: Sequence[Record]) -> None:
        self.path = path
        self.records = tuple(records)
        self.build_seconds: float | None = None
        """Time that `build` took, without checking the source and planning; None when nothing was built now."""
        self.num_kept = 0
        """How many images `build` found there and whole, and kept."""

    def __len__(self) -> int:
        return len(self.records)

    @property
    def preview(self) -> Path:
        """The contact sheet."""
        return self.path / "preview.png"

    @property
    def policy(self) -> str:
        """The policy that it was built by, as an expression. Raises InputError when plan.json cannot be read."""
        try:
            return str(json.loads((self.path / PLAN).read_text(encoding="utf-8"))["policy"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path / PLAN}: cannot be read ({error}); build the dataset again") from error

    @classmethod
    def open(cls, path: Path) -> MixedDataset:
        """Read the dataset in `path`. Raises InputError when it is absent, unfinished or damaged."""
        file = path / METADATA
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError as error:
            raise InputError(f"{path}: no {METADATA} there, so it is no finished mixed dataset") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read: {error}") from error
        records = []
        for number, line in enumerate(lines, 1):
            try:
                fields: dict[str, Any] = json.loads(line)
                record = Record(**fields | {"operations": tuple(fields["operations"])})
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{file}, line {number}: not a record of a mixed dataset; build it again") from error
            if record.file_name.startswith("/") or ".." in record.file_name.split("/"):
                raise InputError(f"{file}, line {number}: {record.file_name!r} points outside the dataset")
            records.append(record)
        if not records:
            raise InputError(f"{file}: it lists no image; build the dataset again")
        return cls(path, records)

    def write_metadata(self) -> None:
        """Write metadata.jsonl, the mark that the dataset is whole. Raises OutputError."""
        encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one a line
        lines = (encode(vars(record)) for record in self.records)
        write_text(self.path / METADATA, "".join(f"{line}\n" for line in lines))
