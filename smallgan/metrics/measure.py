"""What a metric gets and gives, and what several metrics do alike: intervals of shares, notes on few images, checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from augment.core.shares import wilson
from smallgan.metrics.distances import BLOCK, Vectors
from smallgan.metrics.intervals import Interval, Matrix, subsampled
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import Features

MANY_IMAGES = 1000  # From here on the Inception Score is split in ten as published, and few-image notes fall silent
CHECK_IMAGES, CHECK_WIDTH = BLOCK + 6, 8
"""Size of the sets of a self-check: they reach over the border of a block, so that sums over blocks are checked too."""


@dataclass(frozen=True)
class MetricResult:
    """What a metric found, before its conditions are written beside it."""

    value: float
    estimator: str  # Names the definition, and what of the images or the options has a say in it
    std: float | None = None
    splits: int | None = None
    parts: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    interval: Interval | None = None  # 95 %
    needed: int | None = None  # Images per set that are enough, where there are too few for this metric


@dataclass(frozen=True)
class MetricInputs:
    """The features that a metric may look at."""

    fake: Features
    real: Features | None = None
    augmented: Features | None = None
    source: Features | None = None  # Images of the domain that the fakes' generator comes from
    training: RealSet | None = None  # The images trained on, where `real` are others
    facts: RealFacts = NONE_KEPT  # Of `real`
    labels: NDArray[np.int64] | None = None  # True classes of `fake`, N, where a classifier is measured

    @property
    def pair(self) -> tuple[Vectors, Vectors]:
        """The features of fakes and reals, for a metric that needs both."""
        assert self.real is not None
        return self.fake.features, self.real.features


@dataclass(frozen=True)
class RealSet:
    """Features of real images, and what tells these images from others."""

    features: Features
    fingerprint: str | None  # `augment.sources.image_set.fingerprint` of their files

    @cached_property
    def facts(self) -> RealFacts:
        """What follows from these features alone."""
        return RealFacts.of(self.features)


@dataclass(frozen=True)
class MetricOptions:
    """How to measure."""

    splits: int | None = None
    """Of the Inception Score; None for the default."""
    seed: int = 0
    target: tuple[int, ...] | None = None
    """Class and neighbours for the target-class share; None takes them from the reals."""
    intervals: bool = True


@dataclass(frozen=True)
class Case:
    """Made-up features whose score is a formula in a few numbers: a self-check of a metric."""

    text: str
    expected: float
    compute: Callable[[], float]


def two_places() -> tuple[Matrix, Matrix]:
    """Return two sets of CHECK_IMAGES equal vectors each, at distance 2: few different kernel values."""
    here, there = np.zeros((2, CHECK_IMAGES, CHECK_WIDTH))
    there[:, 0] = 2
    return here, there


def note_bias(measured: MetricResult, inputs: MetricInputs, name: str) -> MetricResult:
    """Return what was measured, with a note where few images make it too high."""
    fake, real = inputs.pair
    if min(len(fake), len(real)) >= MANY_IMAGES:
        return measured
    note = f"{len(fake)} fake(s), {len(real)} real(s): {name} of few images is too high; compare at equal numbers only"
    return replace(measured, notes=(note,), needed=MANY_IMAGES)


def subsample_interval(
    value: float,
    statistic: Callable[..., float],
    sets: Sequence[Vectors],
    options: MetricOptions,
    least: int,
    facts: RealFacts | None = None,
) -> Interval | None:
    """Return the interval of a statistic from halves of its sets; None where intervals are not asked for.

    Args:
        value: of the whole sets.
        statistic, sets, least, facts: as of `subsampled`.
        options: seed of the halves, and whether intervals are asked for.
    """
    spread = subsampled(statistic, sets, options.seed, least, facts) if options.intervals else None
    return spread.around(value) if spread else None


def share_interval(
    value: float,
    statistic: Callable[..., float],
    sets: Sequence[Vectors],
    options: MetricOptions,
    least: int,
    facts: RealFacts | None = None,
) -> Interval | None:
    """Return the interval of a share of the images of the first set; arguments as of `subsample_interval`.

    At each end the wider of two counts: that of halves, and Wilson's, as halves may all agree on 0 or 1.
    """
    by_halves = subsample_interval(value, statistic, sets, options, least, facts)
    if by_halves is None:
        return None
    low, high = wilson(value, len(sets[0]))
    return max(0.0, min(low, by_halves[0])), min(1.0, max(high, by_halves[1]))
