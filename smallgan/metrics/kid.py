"""Kernel Inception Distance (Binkowski et al. 2018, arXiv:1801.01401): the squared MMD with a cubic kernel, unbiased.

k(x, y) = (x.y / F + 1)^3 for features of width F, and

    KID = mean over i != j of k(f_i, f_j) + mean over i != j of k(r_i, r_j) - 2 mean over i, j of k(f_i, r_j).

Its mean does not depend on the number of images, which makes it the first choice for small sets; it is below 0 by
chance when both sets are from one source.
"""

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.kernel_sums import Kernel, mmd2_with_interval, sums_of_reals
from smallgan.metrics.measure import CHECK_WIDTH, Case, MetricInputs, MetricOptions, MetricResult, two_places
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts


def kid(fake: Vectors, real: Vectors, facts: RealFacts = NONE_KEPT) -> MetricResult:
    """Return the unbiased estimate over all pairs, in float64 and in blocks, with its interval from five images on.

    Args:
        fake: n x F features, n from 2 up.
        real: m x F features, m from 2 up.
        facts: of the reals.

    Raises:
        InputError: a set has one image.

    Fakes at 1 and -1, reals at 0 and 0, F = 1: pairs of fakes give (1 - 1)^3 = 0, pairs of reals 1, and those of one
    each 1, so that 0 + 1 - 2 comes out:

        >>> kid(np.array([[1.0], [-1.0]]), np.zeros((2, 1))).value
        -1.0
    """
    for what, count in (("fake", len(fake)), ("real", len(real))):
        if count < 2:
            raise InputError(f"KID needs at least two {what} images to have a pair of them, and found {count}")
    width = fake.shape[1]
    reals = sums_of_reals(real, cubic(width), facts=facts, name="sums of the cubic kernel")
    value, interval = mmd2_with_interval(fake, real, cubic, width, unbiased=True, reals=reals)
    return MetricResult(value, "cubic kernel, unbiased, all pairs", interval=interval)


def measure(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Binkowski et al. 2018: k = (x.y / F + 1)^3, unbiased, all pairs; around 0 for equal sources."""
    return kid(*inputs.pair, inputs.facts)


def checks() -> list[Case]:
    """Return two cases: k(there, there) + k(here, here) - 2 k(here, there), and one below 0."""
    here, there = two_places()
    plus_minus = np.array([[1.0], [-1.0]])
    return [
        Case("two places", (4 / CHECK_WIDTH + 1) ** 3 + 1 - 2, lambda: kid(here, there).value),
        Case("fakes at 1 and -1, reals at 0", -1.0, lambda: kid(plus_minus, np.zeros((2, 1))).value),
    ]


def cubic(width: float) -> Kernel:
    """Return k(x, y) = (x.y / width + 1)^3."""

    def kernel(x: Matrix, y: Matrix) -> Matrix:
        base = x @ y.T
        base /= width
        base += 1
        return base * base * base

    return kernel
