"""A column of scores: all scores of one identity."""

from collections.abc import Mapping
from dataclasses import dataclass

from smallgan.metrics.score import Score


@dataclass(frozen=True)
class Column:
    """The scores of one identity: only what stands in one column may be compared."""

    metric: str
    label: str
    """Of the scores, with the dataset where there are several: KMMD (resnet50) on faces."""
    dataset: str
    """Name of the set of originals; "" where all runs have the same."""
    identity: Mapping[str, str | int | None]
    curves: tuple[tuple[Score, ...], ...]
    """For each run its scores, ascending in step, one a step: where a step was scored again, the later."""
    bests: tuple[Score | None, ...]
    """For each run the score of the checkpoint that training kept as its best, None where that one has none."""

    @property
    def standings(self) -> frozenset[str]:
        """The standings of the newest scores; one struck score makes the column no judge of these runs."""
        return frozenset(score.standing for score in self.lasts if score)

    @property
    def lasts(self) -> tuple[Score | None, ...]:
        """For each run its newest score, None where it has none."""
        return tuple(curve[-1] if curve else None for curve in self.curves)

    @property
    def needed(self) -> int | None:
        """Images per set that the metric needs, where a newest score has fewer."""
        return max((score.needed for score in self.lasts if score and score.needed), default=None)
