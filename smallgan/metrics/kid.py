"""Kernel Inception Distance (Binkowski et al. 2018, arXiv:1801.01401): the squared MMD with a cubic kernel, unbiased.

k(x, y) = (x.y / F + 1)^3 for features of width F, and

    KID = mean over i != j of k(f_i, f_j) + mean over i != j of k(r_i, r_j) - 2 mean over i, j of k(f_i, r_j).

Its mean does not depend on the number of images, which makes it the first choice for small sets; it is below 0 by
chance when both sets are from one source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augment.errors import InputError, UsageError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.kernel_sums import Kernel, mmd2_interval, pair_sums


@dataclass(frozen=True)
class Kid:
    """The distance, and where it may lie."""

    value: float
    """Any real number: 0 on average for sets of one source."""
    interval: tuple[float, float] | None
    """95 %, by the block jackknife; None below five images."""


def kid(fake: Vectors, real: Vectors) -> Kid:
    """Return the unbiased estimate over all pairs, in float64 and in blocks.

    Args:
        fake: n x F features, n from 2 up.
        real: m x F features, m from 2 up.

    Raises:
        InputError: a side has one image.

    Fakes at 1 and -1, reals at 0 and 0, F = 1: pairs of fakes give (1 - 1)^3 = 0, pairs of reals 1, and those of one
    each 1, so that 0 + 1 - 2 comes out:

        >>> kid(np.array([[1.0], [-1.0]]), np.zeros((2, 1))).value
        -1.0
    """
    for what, count in (("fake", len(fake)), ("real", len(real))):
        if count < 2:
            raise InputError(f"KID needs at least two {what} images to have a pair of them, and found {count}")
    sums = pair_sums(fake, real, cubic(fake.shape[1]))
    value = sums.mmd2(unbiased=True)
    return Kid(value, mmd2_interval(sums, value, unbiased=True))


def kid_of_subsets(fake: Vectors, real: Vectors, *, size: int, num_subsets: int, seed: int) -> tuple[float, float]:
    """Return mean and standard deviation of KID over random subsets of both sides, as torch-fidelity reports it.

    The standard deviation says how subsets of that size scatter, not how sure the mean is: no interval.

    Args:
        fake, real: n x F and m x F features.
        size: images drawn of each side, without replacement, from 2 up.
        num_subsets: how many such draws.
        seed: of the draws.

    Raises:
        UsageError: a side has fewer images than `size`, or there is no subset.
    """
    fewest = min(len(fake), len(real))
    if not 2 <= size <= fewest or num_subsets < 1:
        raise UsageError(
            f"KID over {num_subsets} subset(s) of {size} images: needed at least 1 subset of 2 to {fewest} images"
        )
    rng = np.random.default_rng(np.random.SeedSequence(abs(seed)))
    values = []
    for _ in range(num_subsets):
        drawn = fake[rng.permutation(len(fake))[:size]], real[rng.permutation(len(real))[:size]]
        values.append(pair_sums(*drawn, cubic(fake.shape[1])).mmd2(unbiased=True))
    return float(np.mean(values)), float(np.std(values))


def cubic(width: int) -> Kernel:
    """Return k(x, y) = (x.y / width + 1)^3."""

    def kernel(x: Matrix, y: Matrix) -> Matrix:
        base = x @ y.T
        base /= width
        base += 1
        return base * base * base

    return kernel
