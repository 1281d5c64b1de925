"""Do two sets of images differ by more than chance? A permutation test with the kernel discrepancy.

Gretton et al. 2012 (JMLR 13), section 1 and 5: if both sets come from one source, any split of the pooled images into
two sets of these sizes is as likely as the one at hand. The test draws such splits and counts how many have an unbiased
squared MMD at least as large; its level is exact at any number of images.

It tells two *sets* apart, never two policies. One training run has one set of accidents, and two runs of one policy
with other seeds are two different sources: with enough images the test finds that out. Policies are told apart by
several runs of each.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, squares_between

_MOST_IMAGES = 1000


@dataclass(frozen=True)
class SetsTest:
    """What the test found."""

    mmd2: float
    """Unbiased squared discrepancy, one Gaussian kernel of the mean pooled squared distance; below 0 by chance."""
    p_value: float
    """Share of splits at least as far apart, the one at hand included."""
    permutations: int
    num_one: int
    num_other: int
    """Images of each set that were looked at: all, or 1,000 drawn from more."""

    def sentence(self) -> str:
        """Return the result in words."""
        found = "the sets differ" if self.p_value <= 0.05 else "no difference was found"
        fewest = 1 / comb(self.num_one + self.num_other, self.num_one)
        few = " (so few images can never reach 0.05)" if fewest > 0.05 else ""
        return (
            f"{found}: p = {self.p_value:.3g} by {self.permutations} permutations of {self.num_one} and "
            f"{self.num_other} images{few}. This tells two sets of images apart, never two policies: for those, "
            "compare several runs of each with other seeds"
        )


def sets_differ(one: Vectors, other: Vectors, *, seed: int, permutations: int = 999) -> SetsTest:
    """Return the permutation test of two sets of features.

    Args:
        one, other: n x F and m x F features, n and m from 2 up.
        seed: of the splits, and of the images drawn from a set of more than 1,000.
        permutations: splits drawn.

    Raises:
        InputError: a set has one image, or all images of both are equal.

    Three images against three others far away: of the splits (there are 20 distinct ones) two in 20 are as far apart.

    >>> found = sets_differ(np.arange(3.0)[:, None], 90 + np.arange(3.0)[:, None], seed=0)
    >>> 0.07 < found.p_value < 0.13
    True
    """
    if min(len(one), len(other)) < 2:
        raise InputError(
            f"telling two sets apart needs at least two images of each, found {len(one)} and {len(other)}; give more"
        )
    rng = np.random.default_rng(np.random.SeedSequence(abs(seed)))
    drawn = [np.asarray(side[rng.permutation(len(side))[:_MOST_IMAGES]], np.float64) for side in (one, other)]
    n, m = len(drawn[0]), len(drawn[1])
    pooled = np.concatenate(drawn)
    pooled -= pooled.mean(axis=0)
    kernel = squares_between(pooled, pooled)
    np.fill_diagonal(kernel, 0)
    width = kernel.sum() / ((n + m) * (n + m - 1))
    if width == 0:
        raise InputError("all images of both sets have equal features, so there is nothing to tell apart")
    kernel *= -1 / (2 * width)
    np.exp(kernel, out=kernel)
    np.fill_diagonal(kernel, 0)
    splits = np.zeros((n + m, permutations + 1))
    splits[:n, 0] = 1
    for column in range(1, permutations + 1):
        splits[rng.permutation(n + m)[:n], column] = 1
    within_one = np.einsum("ij,ij->j", splits, kernel @ splits)
    from_one = kernel.sum(axis=0) @ splits
    between = from_one - within_one
    within_other = kernel.sum() - 2 * from_one + within_one
    mmd2 = within_one / (n * (n - 1)) + within_other / (m * (m - 1)) - 2 * between / (n * m)
    as_far = int((mmd2 >= mmd2[0] - 1e-12).sum())
    return SetsTest(float(mmd2[0]), as_far / (permutations + 1), permutations, n, m)
