"""Paths as users give them: text, a `Path`, or an object that lies on disk (a run, a mixed dataset)."""

import os
from pathlib import Path
from typing import overload

from smallgan.core.console import Log
from smallgan.core.resources import sample_set

StrPath = str | os.PathLike[str]


@overload
def as_path(path: StrPath) -> Path: ...
@overload
def as_path(path: StrPath | None) -> Path | None: ...
def as_path(path: StrPath | None) -> Path | None:
    """Return it as a `Path`; None stays None."""
    return None if path is None else Path(path)


def as_text(path: StrPath | None) -> str | None:
    """Return it as text, as recipes hold paths; None stays None."""
    return None if path is None else os.fspath(path)


def or_sample_set(source: StrPath | None, log: Log) -> Path:
    """Return the source, for None the sample set, and say so."""
    if source is None:
        log("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    return as_path(source) or sample_set()
