"""The scores of a set and the files that they go into: shown first, written then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from augment.errors import OutputError
from smallgan.metrics.run_scorer import add_to_run
from smallgan.metrics.score import Score
from smallgan.sampling.loading import Model

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import Features

Write = Callable[[], None]
"""Writes one file. Raises OutputError where it cannot."""


@dataclass(frozen=True)
class Scored:
    """The scores of a set. What is to be written of them is not written yet, so that they can be shown before."""

    scores: list[Score]
    features: Features  # Of the fakes
    writes: tuple[Write, ...] = ()


def write_all(writes: Sequence[Write]) -> None:
    """Call every one of `writes`, also after one that failed; raise one OutputError that names all that failed."""
    problems: list[str] = []
    for write in writes:
        try:
            write()
        except OutputError as error:
            problems.append(str(error))
    if problems:
        raise OutputError("; ".join(problems))


def add_scores(model: Model, scores: Sequence[Score]) -> None:
    """Add scores to the run's scores.jsonl, as `add_to_run`; the error says where else they can be kept."""
    try:
        add_to_run(model, scores)
    except OutputError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise OutputError(
            f"{model.path}: the scores cannot be added to its scores.jsonl ({reason}); keep them with --out FILE"
        ) from error
