"""Metadata of runs and scores as rows of text: conditions of scores, times, speed and machine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median_high
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
    is_measured: bool = False  # Measured for each run, so shown for each even where the rounded texts are equal

    @property
    def differs(self) -> bool:
        """Tell whether the runs need a text each."""
        return self.is_measured or len(set(self.cells)) > 1


def conditions(columns: Sequence[Column], *, telling: bool = False) -> list[Row]:
    """Return the conditions of the scores, a row for each, a text for each column.

    With `telling` the numbers of images alone, and what else tells columns of one label apart.
    """
    identities = [column.identity for column in columns]
    keys = dict.fromkeys([*_CONDITIONS, *(key for one in identities for key in one if key != "metric")])
    known = [key for key in keys if any(one.get(key) is not None for one in identities)]
    if telling:
        known = [key for key in known if key in ("num_fake", "num_real") or _tells_apart(columns, key)]
    return [
        Row(_CONDITIONS.get(key, str(key)), tuple(_condition(key, one.get(key)) for one in identities)) for key in known
    ]


def _tells_apart(columns: Sequence[Column], key: str) -> bool:
    values: dict[str, set[str]] = {}
    for column in columns:
        values.setdefault(column.label, set()).add(repr(column.identity.get(key)))
    return any(len(different) > 1 for different in values.values())


def _condition(key: str, value: Any) -> str:
    if value is None:
        return "not used"
    is_hash = key in ("weights_sha256", "reals") and isinstance(value, str)
    return value[:_HASH_LETTERS] if is_hash else count(value)


def notes(columns: Iterable[Column]) -> dict[str, str]:
    """Return each note once, with the labels of the scores that it belongs to."""
    owners: dict[str, dict[str, None]] = {}
    for column in columns:
        for note in (note for curve in column.curves for score in curve for note in score.notes):
            owners.setdefault(note, {})[column.label] = None
    return {note: ", ".join(labels) for note, labels in owners.items()}


def machine(runs: Sequence[Run]) -> list[Row]:
    """Return time, speed and environment, a row for each, a text for each run."""
    rows = [
        _measured("Train", runs, "train_seconds", lambda values: duration(values[-1])),
        _measured("Evaluate and save", runs, "other_seconds", lambda values: duration(values[-1])),
        _measured("Images per second, median", runs, "images_per_second", lambda values: count(median_high(values))),
        _measured("Peak memory", runs, "memory_mb", lambda values: f"{count(max(values))} MB"),
    ]
    names = dict.fromkeys(name for run in runs for name in run.environment if name != "command")
    return rows + [Row(name, tuple(run.environment.get(name, "unknown") for run in runs)) for name in names]


def _measured(name: str, runs: Sequence[Run], key: str, text: Callable[[list[float]], str]) -> Row:
    values = [[line[key] for line in run.stats if key in line] for run in runs]
    return Row(name, tuple(text(of_run) if of_run else "unknown" for of_run in values), is_measured=True)


def count(value: Any) -> str:
    """Return 12345 as 12,345 and a fraction without its decimals where they do not matter."""
    known = finite(value)
    if known is None:
        return as_text(value)
    return f"{known:,.0f}" if abs(known) >= 100 or known.is_integer() else f"{known:,.1f}"


def as_text(value: Any) -> str:
    """Return a value of a recipe or an identity as text, as YAML would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else ", ".join(map(as_text, value)) if isinstance(value, list) else str(value)
