"""Intervals over seeds and test images, and the verdict on differences to the reference. numpy and scipy only.

Two things make a measured accuracy what it is by chance: the seed (first weights, order of the images, which images
are trained on, what a policy drew) and the test images. Both are taken as random: the pseudo-values of a jackknife over
groups of test images form a table, seeds by groups, whose two-way analysis of variance gives the variance of its mean,
(MS_seeds + MS_groups - MS_rest) / (S G), with Satterthwaite's degrees of freedom. Differences are taken cell by cell,
so seeds and test images that are hard for all variants cancel. Holm's correction, over the variants.

Sources: Satterthwaite 1946 (Biometrics Bulletin 2); Tukey 1958 for pseudo-values; Holm 1979; Bloom 1995.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from smallgan.report.verdict import ALPHA, POWER, Conclusion, Difference, holm

CONSTANT = "the difference is the same under every seed and for all test images, so its variance cannot be estimated"
MOST_SEEDS = 1000  # More than this is told as out of reach
Table = NDArray[np.float64]
"""Pseudo-values, S seeds x G groups of test images."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test images."""

    mean: float
    error: float | None = None
    """Standard error; None with one seed, or where nothing varies."""
    freedom: float = math.inf
    of_seeds: float = 0.0
    """Variance of the mean that more seeds would lessen."""
    of_images: float = 0.0
    """Variance of the mean that only more test images would lessen."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %."""
        if self.error is None:
            return None
        half = float(stdtrit(self.freedom, 1 - ALPHA / 2)) * self.error
        return self.mean - half, self.mean + half


def estimate(values: Sequence[float], table: Table) -> Estimate:
    """Return the mean of `values`, one a seed, with its error from the pseudo-values S x G."""
    mean = float(np.mean(values))
    seeds, groups = table.shape
    if seeds < 2 or groups < 2:
        return Estimate(mean)
    rows, columns, grand = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns + grand
    freedom = (seeds - 1, groups - 1, (seeds - 1) * (groups - 1))
    squares = groups * ((rows - grand) ** 2).sum(), seeds * ((columns - grand) ** 2).sum(), (rest**2).sum()
    of_seeds, of_groups, of_rest = (float(square) / free for square, free in zip(squares, freedom, strict=True))
    least = max(of_seeds, of_groups)  # both are at most the sum, but for chance
    total = max(of_seeds + of_groups - of_rest, least)
    if total <= 1e-24 * max(1.0, float(np.abs(table).max()) ** 2):
        return Estimate(mean)
    parts = (of_seeds, of_groups, of_rest) if total > least else (least,)
    frees = freedom if total > least else ((freedom[0],) if least == of_seeds else (freedom[1],))
    used = total**2 / sum(part**2 / free for part, free in zip(parts, frees, strict=True) if part)
    number = seeds * groups
    shared = max(of_groups - of_rest, 0.0)
    return Estimate(mean, math.sqrt(total / number), used, (total - shared) / number, shared / number)


def differences(
    values: Mapping[str, Sequence[float]], tables: Mapping[str, Table], reference: str, seeds: Sequence[int]
) -> list[Difference]:
    """Return the difference of each variant to the reference, in their order, corrected for their number.

    Args:
        values: of each variant the measure under each seed.
        tables: of each variant the pseudo-values S x G.
        reference: the variant that the others are compared with.
        seeds: of the rows.
    """
    found: list[Difference] = []
    estimates: list[Estimate] = []
    for name in (name for name in values if name != reference):
        one = estimate(np.subtract(values[name], values[reference]).tolist(), tables[name] - tables[reference])
        estimates.append(one)
        if one.error is None:
            why = "it predicts the same as the reference under every seed" if not one.mean else CONSTANT
            if len(seeds) < 2:
                why = "with one seed the variance cannot be estimated"
            found.append(Difference(name, tuple(seeds), one.mean, why=why))
        else:
            p = 2 * float(stdtr(one.freedom, -abs(one.mean) / one.error))
            found.append(Difference(name, tuple(seeds), one.mean, one.interval, p))
    tested = [at for at, difference in enumerate(found) if difference.p is not None]
    for at, p_holm in zip(tested, holm([found[at].p or 0.0 for at in tested]), strict=True):
        sign: Conclusion = "lower" if estimates[at].mean < 0 else "higher"
        least = _multiple(estimates[at].freedom, len(tested)) * (estimates[at].error or 0.0)
        conclusion: Conclusion = "not significant" if p_holm > ALPHA else sign
        found[at] = replace(found[at], p_holm=p_holm, min_detectable=least, conclusion=conclusion)
    return found


def seeds_needed(one: Estimate, num_seeds: int, num_variants: int) -> int | None:
    """Return how many seeds would find a true difference of this size with 80 % power; None where no number would.

    Then the test images decide, and only more of these would help.
    """
    if one.error is None or not one.mean:
        return None
    for number in range(2, MOST_SEEDS + 1):
        variance = one.of_seeds * num_seeds / number + one.of_images
        freedom = one.freedom * (number - 1) / max(num_seeds - 1, 1)
        if _multiple(freedom, num_variants) * math.sqrt(variance) <= abs(one.mean):
            return number
    return None


def _multiple(freedom: float, num_variants: int) -> float:
    """Return how many standard errors a difference must have to be found with 80 % power (Bloom 1995)."""
    return float(stdtrit(freedom, 1 - ALPHA / 2 / num_variants) + stdtrit(freedom, POWER))
