"""Are the fakes copies: of the real images, of each other, or of the augmented images?

What counts as near is learned from the reals themselves. Let d(r) be the distance of each real to the nearest other
real, in a network's features, and t its 1 % point. Small distances come in twos, as two images are nearest to each
other: of m distances t is the 2j-th smallest, with j = (m + 1) / 200 rounded down, at least 1. A fake nearer than t to
a real is a copy, a fake nearer than t to another fake is a repeat. New images from the source of the reals would be
called copies in about 2j / (m + 1) of cases (`expected`): 1 % for 199 reals or more, 8 % for 24. (For 25 and 100 reals
simulated sets give 7.7 and 2.0 %: benchmarks/interval_coverage.py.) Reals that are equal to another real are left out
of t, which would else be 0.

The question is that of Meehan, Chaudhuri and Dasgupta 2020 (arXiv:2004.05675), whose test compares whole distributions
of such distances; a share and its worst images say more to somebody with fifty photographs.

A network that ignores mirroring calls mirrored copies copies too, and one that ignores colour recoloured ones.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from augment.errors import InputError, UsageError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.measure import CHECK_IMAGES, Case, MetricInputs, MetricOptions, MetricResult, share_interval
from smallgan.metrics.memorisation.nearest import nearest_distance, nearest_within
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

_REALS_FOR_A_PAIR = 200


@dataclass(frozen=True)
class Threshold:
    """The distance below which two images count as one."""

    distance: float  # Greater than 0
    expected: float  # Share of new images from the source of the reals that would fall below it


def near_threshold(real: Vectors, facts: RealFacts = NONE_KEPT) -> Threshold:
    """Return the distance that tells copies from neighbours; `facts` are of the reals.

    Raises InputError unless three reals differ.

    Reals at 0, 1 and 5 have the nearest distances 1, 1 and 4; with so few the smallest is the threshold:

    >>> near_threshold(np.array([[0.0], [1.0], [5.0]]))
    Threshold(distance=1.0, expected=0.5)
    """
    within = np.zeros(0)
    if len(real) > 1:
        within = facts.get("distances to neighbour 1", lambda: {"distances": nearest_within(real)})["distances"]
    within = np.sort(within[within > 0])
    if len(within) < 3:
        raise InputError(
            f"what counts as a copy is learned from at least 3 different real images; of the {len(real)} given "
            f"{len(within)} differ from all others; give more reals with --real"
        )
    rank = 2 * max(1, (len(within) + 1) // _REALS_FOR_A_PAIR)
    return Threshold(float(within[rank - 1]), rank / (len(within) + 1))


def copy_rate(fake: Vectors, real: Vectors, facts: RealFacts = NONE_KEPT) -> float:
    """Return the share of fakes nearer than `near_threshold(real)` to a real. Raises InputError as that does.

    Of the fakes 0.9, 3 and 3.1 the first is nearer than 1 to a real:

    >>> round(copy_rate(np.array([[0.9], [3.0], [3.1]]), np.array([[0.0], [1.0], [5.0]])), 3)
    0.333
    """
    return float(np.mean(nearest_distance(fake, real) < near_threshold(real, facts).distance))


def repeat_rate(fake: Vectors, threshold: Threshold) -> float:
    """Return the share of fakes with another fake nearer than the threshold; NaN for a single fake."""
    if len(fake) < 2:
        return float("nan")
    return float(np.mean(nearest_within(fake) < threshold.distance))


def leak_rate(fake: Vectors, original: Vectors, augmented: Vectors) -> float:
    """Return the share of fakes whose nearest training image is an augmented one, not an original.

    A generator that took the augmentation for content has a high share; one that ignores it has, where augmented images
    lie away from originals, a share near 0. Give as many augmented images as originals: the larger set is nearer by
    its number alone.

    Args:
        fake, original, augmented: n x F, m x F and a x F features.

    Nearer to 10 than to 0 is one of two:

    >>> leak_rate(np.array([[1.0], [9.0]]), np.array([[0.0]]), np.array([[10.0]]))
    0.5
    """
    return float(np.mean(nearest_distance(fake, augmented) < nearest_distance(fake, original)))


def measure_copies(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Share of fakes that are copies of a real; `expected` for new images; 199 different reals for their 1 % point."""
    value = copy_rate(*inputs.pair, inputs.facts)
    return _rate(value, near_threshold(inputs.pair[1], inputs.facts), copy_rate, "real", inputs, options)


def measure_repeats(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Share of fakes that repeat another fake; `expected` for new images; 199 different reals for their 1 % point."""

    def rate(fake: Vectors, real: Vectors, facts: RealFacts) -> float:
        return repeat_rate(fake, near_threshold(real, facts))

    threshold = near_threshold(inputs.pair[1], inputs.facts)
    value = repeat_rate(inputs.pair[0], threshold)
    if math.isnan(value):
        raise UsageError("--metrics repeats: one image has no other to repeat; give at least two")
    return _rate(value, threshold, rate, "fake", inputs, options)


def _rate(
    value: float,
    threshold: Threshold,
    rate: Callable[..., float],
    to: str,
    inputs: MetricInputs,
    options: MetricOptions,
) -> MetricResult:
    num_real = len(inputs.pair[1])
    note = (
        f"{num_real} real(s): what counts as a copy is the distance of the two nearest of them, one number; from "
        f"{_REALS_FOR_A_PAIR - 1} reals on it is their 1 % point"
    )
    return MetricResult(
        value,
        f"nearer to a {to} than 1 % of reals are to each other",
        parts={"expected": threshold.expected, "threshold": threshold.distance},
        notes=(note,) if num_real < _REALS_FOR_A_PAIR - 1 else (),
        interval=share_interval(value, rate, inputs.pair, options, 6, inputs.facts),
    )


def measure_leak(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Share of fakes nearer to an augmented than to any original image (`--augmented SET`)."""
    assert inputs.augmented is not None
    fake, real = inputs.pair
    augmented = inputs.augmented.features
    value = leak_rate(fake, real, augmented)
    # A name for the augmented images, which stand in no other place of a score's identity.
    digest = hashlib.sha256(np.ascontiguousarray(augmented).tobytes()).hexdigest()[:12]
    note = (
        f"{len(augmented)} augmented image(s) against {len(real)} original(s): the larger set is nearer by its number "
        "alone; give as many of both"
    )
    return MetricResult(
        value,
        f"nearer to one of {len(augmented)} augmented images ({digest}) than to any original",
        parts={"num_augmented": float(len(augmented))},
        notes=(note,) if len(augmented) != len(real) else (),
        interval=share_interval(value, leak_rate, (fake, real, augmented), options, 1),
    )


def _pairs_on_a_line() -> Matrix:
    """Return pairs of reals a quarter apart, each one apart from the next pair."""
    grid = np.repeat(np.arange(CHECK_IMAGES, dtype=np.float64), 2)[:, None]
    grid[1::2] += 0.25
    return grid


def checks_copies() -> list[Case]:
    """Return five fakes, three of them within a pair of reals."""
    fakes = np.array([[7.1], [7.6], [90.125], [300.5], [301.0]])
    return [Case("pairs on a line", 0.6, lambda: copy_rate(fakes, _pairs_on_a_line()))]


def checks_repeats() -> list[Case]:
    """Return five fakes, two of them alike."""
    fakes = np.array([[1.0], [1.1], [5.0], [9.0], [20.0]])
    return [Case("two of five fakes alike", 0.4, lambda: repeat_rate(fakes, near_threshold(_pairs_on_a_line())))]


def checks_leak() -> list[Case]:
    """Return two of four fakes nearer to 5 than to 0."""
    fakes, originals = np.array([[-1.0], [-1.5], [6.5], [15.0]]), np.zeros((4, 1))
    return [Case("originals at 0, augmented at 5", 0.5, lambda: leak_rate(fakes, originals, originals + 5))]
