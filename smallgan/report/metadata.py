"""Metadata of runs and scores as rows of text: conditions of scores, times, speed and machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from smallgan.core.console import duration
from smallgan.report.columns import Column
from smallgan.report.runs import Run, finite

_CONDITIONS = {
    "features": "Feature network",
    "weights_sha256": "Weights, sha256",
    "resize": "Resize rule",
    "precision": "Precision",
    "estimator": "Estimator",
    "num_fake": "Fake images",
    "num_real": "Real images",
    "reals": "Real set, fingerprint",
    "splits": "Splits",
}
_HASH_LETTERS = 12


@dataclass(frozen=True)
class Row:
    """A line of a table: a name, and a text for each column."""

    name: str
    cells: tuple[str, ...]
    is_measured: bool = False
    """Measured for each run, so shown for each even where the rounded texts are equal."""

    @property
    def differs(self) -> bool:
        """Tell whether the runs need a text each."""
        return self.is_measured or len(set(self.cells)) > 1


def conditions(columns: Iterable[Column]) -> list[Row]:
    """Return the conditions of the scores, a row for each, a text for each column."""
    identities = [column.identity for column in columns]
    unknown = dict.fromkeys(key for one in identities for key in one if key not in _CONDITIONS and key != "metric")
    names = {**_CONDITIONS, **{key: key for key in unknown}}
    known = [key for key in names if any(one.get(key) is not None for one in identities)]
    return [Row(str(names[key]), tuple(_condition(key, one.get(key)) for one in identities)) for key in known]


def _condition(key: str, value: Any) -> str:
    if value is None:
        return "not used"
    is_hash = key in ("weights_sha256", "reals") and isinstance(value, str)
    return value[:_HASH_LETTERS] if is_hash else count(value)


def notes(columns: Iterable[Column]) -> dict[str, str]:
    """Return each note once, with the labels of the scores that it belongs to."""
    owners: dict[str, dict[str, None]] = {}
    for column in columns:
        for note in column.notes:
            owners.setdefault(note, {})[column.label] = None
    return {note: ", ".join(labels) for note, labels in owners.items()}


def machine(runs: Iterable[Run]) -> list[Row]:
    """Return time, speed and environment, a row for each, a text for each run."""
    runs = list(runs)
    rows = [
        Row("Train", tuple(_time(run, "train_seconds") for run in runs), True),
        Row("Evaluate and save", tuple(_time(run, "other_seconds") for run in runs), True),
        Row("Images per second, median", tuple(count(_median(run, "images_per_second")) for run in runs), True),
        Row("Peak memory", tuple(_megabytes(run) for run in runs), True),
    ]
    names = dict.fromkeys(name for run in runs for name in run.environment if name != "command")
    return rows + [Row(name, tuple(run.environment.get(name, "unknown") for run in runs)) for name in names]


def _time(run: Run, key: str) -> str:
    seconds = next((line[key] for line in reversed(run.stats) if key in line), None)
    return "unknown" if seconds is None else duration(seconds)


def _median(run: Run, key: str) -> float | None:
    values = sorted(line[key] for line in run.stats if key in line)
    return values[len(values) // 2] if values else None


def _megabytes(run: Run) -> str:
    values = [line["memory_mb"] for line in run.stats if "memory_mb" in line]
    return f"{count(max(values))} MB" if values else "unknown"


def count(value: Any) -> str:
    """Return 12345 as 12,345 and a fraction without its decimals where they do not matter."""
    known = finite(value)
    if known is None:
        return plain(value)
    return f"{known:,.0f}" if abs(known) >= 100 or known.is_integer() else f"{known:,.1f}"


def plain(value: Any) -> str:
    """Return a value of a recipe or an identity as text, as YAML would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else ", ".join(map(plain, value)) if isinstance(value, list) else str(value)
