"""KMMD: kernel maximum mean discrepancy between two sets of features, as the GAN literature's usual code defines it.

Xu et al. 2018, "An empirical study on evaluation metrics of generative adversarial networks" (arXiv:1806.07755), and
the code published with it; the estimators are those of Gretton et al. 2012 (JMLR 13), equations 5 (biased) and 3
(unbiased). Other codes call other quantities KMMD: `smallgan.metrics.rbf_multi` and `smallgan.metrics.latent_kmmd` are
two of them, and never share a column with this one.
"""

import math
from dataclasses import replace

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector
from smallgan.metrics.features.entries import Arrays
from smallgan.metrics.kernel_sums import LEAST_SPREAD, gaussian, group_spreads, mmd2_with_interval, sums_of_reals
from smallgan.metrics.measure import (
    CHECK_IMAGES,
    Case,
    MetricInputs,
    MetricOptions,
    MetricResult,
    note_bias,
    two_places,
)
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

_SPREADS = ("center", "counts", "squares", "shifts")


def kmmd(fake: Vectors, real: Vectors, facts: RealFacts = NONE_KEPT) -> MetricResult:
    """Return sqrt(max(0, mean k(R, R) + mean k(F, F) - 2 mean k(R, F))), k = exp(-D2 / (2 m)).

    D2 is the squared Euclidean distance and m its mean over all pairs of reals. All means, m too, run over the full
    matrices with their diagonals: a V-statistic, biased upwards for small sets. Compare at equal counts only. It lies
    between 0 (equal sets) and sqrt(2); its part "bandwidth" is m; it has an interval from five images on.

    Args:
        fake: n x F features.
        real: N x F features; m comes from them alone.
        facts: of the reals.

    Raises:
        InputError: the reals do not differ, which leaves the kernel without a width.

    One fake at 0 and reals at 0 and 2 have m = 2, k(0, 2) = exp(-1), so 0.5 + 0.5/e + 1 - (1 + 1/e) under the root:

        >>> round(kmmd(np.array([[0.0]]), np.array([[0.0], [2.0]])).value, 6) == round((0.5 - 0.5 / np.e) ** 0.5, 6)
        True
    """
    squared = _mmd2(fake, real, facts, "A: Gaussian, biased, root; width from reals", unbiased=False)
    interval = squared.interval and (_root(squared.interval[0]), _root(squared.interval[1]))
    return replace(squared, value=_root(squared.value), interval=interval)


def _root(value: float) -> float:
    return math.sqrt(max(0.0, value))


def mmd2_rbf_unbiased(fake: Vectors, real: Vectors, facts: RealFacts = NONE_KEPT) -> MetricResult:
    """Return the square of `kmmd` without the pairs of an image with itself, and without the root: 0 on average for
    sets of one source, whatever their size, and below 0 by chance.

    Args:
        fake, real, facts: as of `kmmd`, whose bandwidth m it has too (diagonal included); two images per set at least.

    Raises:
        InputError: the reals do not differ, or there is one fake.

    Fakes at 0 and 0, reals at 0 and 2, so m = 2: 1 + 1/e - (1 + 1/e) = 0:

        >>> abs(mmd2_rbf_unbiased(np.zeros((2, 1)), np.array([[0.0], [2.0]])).value) < 1e-15
        True
    """
    if len(fake) < 2:
        raise InputError(f"the unbiased MMD needs at least two fake images to have a pair of them, found {len(fake)}")
    return _mmd2(fake, real, facts, "A unbiased, no root; width from reals", unbiased=True)


def _mmd2(fake: Vectors, real: Vectors, facts: RealFacts, estimator: str, *, unbiased: bool) -> MetricResult:
    # The mean over all pairs of |x - y|^2 is twice the mean of |x - mean|^2: no pair needs to be looked at.
    spreads = facts.get("spreads around the mean", lambda: _spreads(real))
    center, counts, squares, shifts = (spreads[name] for name in _SPREADS)
    bandwidth = 2 * float(squares.sum()) / len(real)
    if bandwidth <= LEAST_SPREAD * (float(center @ center) + bandwidth):
        raise InputError(
            f"KMMD needs at least two different real images: the features of the {len(real)} given do not differ, so "
            "the kernel has no width; give more reals with --real"
        )
    left, rest = len(real) - counts, squares.sum() - squares
    widths = bandwidth, 2 * (rest / left - shifts / left**2)
    reals = sums_of_reals(
        real, gaussian(bandwidth), center, facts=facts, name="sums of the Gaussian of their own width"
    )
    value, interval = mmd2_with_interval(
        fake, real, gaussian, bandwidth, center, widths, unbiased=unbiased, reals=reals
    )
    return MetricResult(value, estimator, parts={"bandwidth": bandwidth, "sigma": 1.0}, interval=interval)


def _spreads(real: Vectors) -> Arrays:
    center = mean_vector(real)
    return dict(zip(_SPREADS, (center, *group_spreads(real, center)), strict=True))


def measure(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """KMMD, above (definition "A"); biased upwards for few images; at most 1.414."""
    return note_bias(kmmd(*inputs.pair, inputs.facts), inputs, "KMMD")


def measure_unbiased(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """KMMD squared, without pairs of an image with itself, no root; around 0 for equal sources."""
    return mmd2_rbf_unbiased(*inputs.pair, inputs.facts)


_HERE, _THERE = two_places()
_SPLIT = np.concatenate([_HERE, _THERE])
_CHECK = "fakes at one place, reals half there"


def checks() -> list[Case]:
    """Return a case with m = 4 / 2 and k(here, there) = 1 / e."""
    return [Case(_CHECK, math.sqrt(0.5 - 0.5 / math.e), lambda: kmmd(_HERE, _SPLIT).value)]


def checks_unbiased() -> list[Case]:
    """Return the same case for `kmmd_u`."""
    pairs_here = (CHECK_IMAGES - 1) / (2 * CHECK_IMAGES - 1)  # of the pairs of different reals, those at one place
    expected = 1 + pairs_here + (1 - pairs_here) / math.e - (1 + 1 / math.e)
    return [Case(_CHECK, expected, lambda: mmd2_rbf_unbiased(_HERE, _SPLIT).value)]
