"""What worst.json says of the fakes nearest to training images, as a sentence and as the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FACTS = "worst.json"
"""Beside the picture worst.png."""


@dataclass(frozen=True)
class Neighbour:
    """A fake and what it is most like."""

    sample: int
    original: str
    distance: float
    added: str | None
    """The added image that is nearer than the original, None where none is."""
    added_distance: float | None

    @property
    def least(self) -> float:
        """Distance to the nearest training image."""
        return self.distance if self.added_distance is None else self.added_distance


@dataclass(frozen=True)
class Nearest:
    """The sheet of a run in numbers."""

    rows: tuple[Neighbour, ...]
    """The nearest first; at least one."""
    num_fake: int
    """Samples that were looked through."""
    features: str
    copy_distance: float | None
    """A fake nearer than this to an original counts as a copy; None with too few originals to tell."""

    @property
    def num_copies(self) -> int | None:
        """How many of the rows count as copies."""
        limit = self.copy_distance
        return None if limit is None else sum(row.distance < limit for row in self.rows)

    @property
    def num_of_added(self) -> int:
        """How many of the rows are nearer to an added image."""
        return sum(row.added is not None for row in self.rows)


def read_nearest(found: Mapping[str, Any]) -> Nearest | None:
    """Return what a mapping of worst.json says; None where it is empty, as the file is absent.

    Raises KeyError, TypeError or ValueError where it is not what `smallgan run` writes.
    """
    if not found:
        return None
    rows = tuple(
        Neighbour(
            int(row["sample"]),
            str(row["original"]),
            _distance(row["distance"]),
            None if row["added"] is None else str(row["added"]),
            None if row["added"] is None else _distance(row["added_distance"]),
        )
        for row in found["nearest"]
    )
    if not rows:
        raise ValueError("it names no fake")
    limit = found["copy_distance"]
    return Nearest(rows, int(found["num_fake"]), str(found["features"]), None if limit is None else _distance(limit))


def _distance(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a distance is {value!r}")
    return number
