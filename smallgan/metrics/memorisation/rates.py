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

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.memorisation.nearest import nearest, nearest_distance, nearest_within

_REALS_FOR_A_PAIR = 200


@dataclass(frozen=True)
class Threshold:
    """The distance below which two images count as one."""

    distance: float
    """Greater than 0."""
    expected: float
    """Share of new images from the source of the reals that would fall below it."""


@dataclass(frozen=True)
class Memorisation:
    """What was copied, and which images to look at."""

    copy_rate: float
    """Share of fakes nearer than the threshold to a real."""
    repeat_rate: float
    """Share of fakes nearer than the threshold to another fake; NaN for a single fake, which has no other."""
    threshold: Threshold
    distances: NDArray[np.float64]
    """n: each fake's distance to its nearest real."""
    rows: NDArray[np.intp]
    """n: the row of that real."""
    worst: NDArray[np.intp]
    """n: rows of the fakes, the most copied first: the order of a contact sheet."""


def near_threshold(real: Vectors) -> Threshold:
    """Return the distance that tells copies from neighbours. Raises InputError unless three reals differ.

    Reals at 0, 1 and 5 have the nearest distances 1, 1 and 4; with so few the smallest is the threshold:

    >>> near_threshold(np.array([[0.0], [1.0], [5.0]]))
    Threshold(distance=1.0, expected=0.5)
    """
    within = nearest_within(real) if len(real) > 1 else np.zeros(0)
    within = np.sort(within[within > 0])
    if len(within) < 3:
        raise InputError(
            f"what counts as a copy is learned from at least 3 different real images; of the {len(real)} given "
            f"{len(within)} differ from all others; give more reals with --real"
        )
    rank = 2 * max(1, (len(within) + 1) // _REALS_FOR_A_PAIR)
    return Threshold(float(within[rank - 1]), rank / (len(within) + 1))


def memorisation(fake: Vectors, real: Vectors) -> Memorisation:
    """Return how many fakes are copies or repeats, and which.

    Args:
        fake: n x F features.
        real: m x F features of the images that were learned from, at least three of them different.

    Raises:
        InputError: there are fewer reals than that.

    Of the fakes 0.9, 3 and 3.1 the first is nearer than 1 to a real, the others are so to each other:

    >>> found = memorisation(np.array([[0.9], [3.0], [3.1]]), np.array([[0.0], [1.0], [5.0]]))
    >>> round(found.copy_rate, 3), round(found.repeat_rate, 3), found.worst.tolist()
    (0.333, 0.667, [0, 2, 1])
    """
    threshold = near_threshold(real)
    distances, rows = nearest(fake, real)
    return Memorisation(
        float(np.mean(distances < threshold.distance)),
        repeat_rate(fake, threshold),
        threshold,
        distances,
        rows,
        np.argsort(distances, kind="stable"),
    )


def copy_rate(fake: Vectors, real: Vectors) -> float:
    """Return `memorisation(...).copy_rate` alone."""
    return float(np.mean(nearest_distance(fake, real) < near_threshold(real).distance))


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
