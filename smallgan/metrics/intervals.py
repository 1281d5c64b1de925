"""95 % intervals of scores: block jackknife, and subsampling without replacement.

An interval speaks of the mean that this estimator has at these numbers of images: where the score would lie, on
average, for other sets of the same size from the same two sources. It takes images as independent draws, so a set of
repeated or near-equal images gets an interval that is too narrow; and it knows nothing of other training runs.

Nothing here draws with replacement. A bootstrap sample holds equal images, whose pairs at distance 0 raise every
kernel and nearest-neighbour statistic: its interval then misses the very value that it belongs to.

Sources: Busing, Meijer and van der Leeden 1999 (Statistics and Computing 9), the jackknife with groups of unequal size;
Shao and Wu 1989 (Annals of Statistics 17), deleting many at once, for statistics that are not smooth; Politis, Romano
and Wolf 1999 (Subsampling); Welch 1947 (Biometrika 34) for the degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from smallgan.metrics.real_facts import RealFacts

Matrix = NDArray[np.float64]
Interval = tuple[float, float]  # Its ends
MOST_GROUPS = 50  # Groups of a jackknife: sets of up to that many images leave out one at a time
LEAST_IMAGES = 5  # Fewer images than this say nothing of their own spread: no interval then
_CONFIDENCE = 0.95
_SUBSAMPLES = 40
_LARGEST_SUBSAMPLE = 500
_GROUPING_SEED = 20_200


@dataclass(frozen=True)
class Spread:
    """A variance, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float

    def __add__(self, other: Spread) -> Spread:
        """Return the spread of a sum of independent parts, with Welch's degrees of freedom."""
        total = self.variance + other.variance
        if total == 0:
            return Spread(0, min(self.freedom, other.freedom))
        return Spread(total, total**2 / (self.variance**2 / self.freedom + other.variance**2 / other.freedom))

    def around(self, value: float) -> tuple[float, float]:
        """Return value plus and minus Student's 95 % point times the standard error."""
        half = float(stdtrit(self.freedom, 0.5 + _CONFIDENCE / 2)) * self.variance**0.5
        return value - half, value + half


def group_labels(count: int, most: int = MOST_GROUPS) -> NDArray[np.intp]:
    """Return a group for each of `count` images: shuffled, sizes equal to within one, at most `most` groups.

    Shuffled, because files often come sorted, and always alike, so that a score has one interval.
    """
    labels = np.arange(count) % min(count, most)
    order = np.random.default_rng(np.random.SeedSequence([_GROUPING_SEED, count])).permutation(count)
    return labels[order]


def jackknife(value: float, without: Matrix, num_images: Matrix) -> Spread:
    """Return the spread of a statistic from its values without one group of images each.

    Args:
        value: of all images.
        without: G values, group g left out in the g-th; G from 2 up.
        num_images: G, images in each group.

    The mean 3 of the numbers 1, 3 and 5 has the variance ((1 - 3)^2 + 0 + (5 - 3)^2) / 2 / 3:

        >>> round(jackknife(3.0, np.array([4.0, 3.0, 2.0]), np.ones(3)).variance, 6)
        1.333333
    """
    num_groups = len(without)
    ratio = num_images.sum() / num_images
    pseudo = ratio * value - (ratio - 1) * without
    center = num_groups * value - float(np.sum((1 - 1 / ratio) * without))
    return Spread(float(np.mean((pseudo - center) ** 2 / (ratio - 1))), num_groups - 1)


def subsampled(
    statistic: Callable[..., float],
    sets: Sequence[NDArray[np.floating]],
    seed: int,
    least: int = 2,
    facts: RealFacts | None = None,
) -> Spread | None:
    """Return the spread of a statistic of several sets from its values on halves of them, drawn without replacement.

    Of n images b are drawn, the same share of each set: half, or less where a set is so large that 500 will do. The
    variance over draws times b / (n - b) is that of the statistic of n.

    Args:
        statistic: called with as many sets of features.
        sets: n x F features each.
        seed: of the draws.
        least: images of a set without which the statistic has no value.
        facts: of the set that is of reals; the statistic is then also called with those of its half, `facts`.

    Returns:
        None where half of a set is fewer than `least`.
    """
    counts = [len(each) for each in sets]
    share = min(0.5, _LARGEST_SUBSAMPLE / max(counts))
    drawn = [max(int(share * count), min(count // 2, least)) for count in counts]
    if min(drawn) < least or min(counts) < LEAST_IMAGES:
        return None
    rng = np.random.default_rng(np.random.SeedSequence([abs(seed), *counts]))
    values = []
    for draw in range(_SUBSAMPLES):
        halves = [each[rng.permutation(len(each))[:size]] for each, size in zip(sets, drawn, strict=True)]
        of_half = {"facts": facts.of_part(f"draw {draw} of {drawn} of {counts} by seed {seed}")} if facts else {}
        values.append(statistic(*halves, **of_half))
    correction = max(size / (count - size) for count, size in zip(counts, drawn, strict=True))
    return Spread(float(np.var(values, ddof=1)) * correction, _SUBSAMPLES - 1)
