"""The squared MMD with a sum of five Gaussian kernels whose widths come from both sets: domain adaptation's MMD loss.

Long et al. 2015 (arXiv:1502.02791) sum kernels of several widths; the rule of five widths around the mean pooled
distance is that of the widely copied transfer-learning codes, and of the adaptation posters' latent KMMD. Its scale
is not that of `kmmd`: no root, five kernels, and a bandwidth that the fakes move too.
"""

import math

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector, squares_between
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.kernel_sums import LEAST_SPREAD, Kernel, group_spreads, mmd2_with_interval
from smallgan.metrics.measure import (
    CHECK_IMAGES,
    Case,
    MetricInputs,
    MetricOptions,
    MetricResult,
    note_bias,
    two_places,
)


def mmd2_rbf_multi(fake: Vectors, real: Vectors, *, unbiased: bool = False) -> MetricResult:
    """Return mean k(F, F) + mean k(R, R) - 2 mean k(F, R) with k = sum of exp(-D2 / (w s)) for s = 1/4, 1/2, 1, 2, 4.

    D2 is the squared Euclidean distance and w, the part "bandwidth", its mean over the pairs of two different images of
    the pooled sample. Biased it is 0 to less than 10; unbiased it may be below 0. An interval from five images on.

    Args:
        fake: n x F features.
        real: m x F features; the two numbers may differ.
        unbiased: leave the pairs of an image with itself out of the first two means.

    Raises:
        InputError: no two images differ, or unbiased with one image in a set.

    A fake at 0 and a real at 1 have w = 1, k(0, 0) = 5 and k(0, 1) = e^-4 + e^-2 + e^-1 + e^-1/2 + e^-1/4:

        >>> found = mmd2_rbf_multi(np.array([[0.0]]), np.array([[1.0]]))
        >>> round(float(found.value + 2 * np.exp([-4, -2, -1, -0.5, -0.25]).sum()), 12)
        10.0
    """
    count = len(fake) + len(real)
    if unbiased and min(len(fake), len(real)) < 2:
        raise InputError(
            f"the unbiased MMD needs at least two images per set, found {len(fake)} fake and {len(real)} real"
        )
    center = (mean_vector(fake) * len(fake) + mean_vector(real) * len(real)) / count
    # Over all ordered pairs, |x - y|^2 sums to 2 N times the sum of |x - mean|^2.
    of_fake, of_real = group_spreads(fake, center), group_spreads(real, center)
    total = float(of_fake[1].sum() + of_real[1].sum())
    bandwidth = 2 * total / (count - 1)
    if bandwidth <= LEAST_SPREAD * (float(center @ center) + bandwidth):
        raise InputError(
            f"the features of all {count} images, fake and real, do not differ, so the kernels have no width; "
            "score a set with at least two different images"
        )
    widths = _widths_without(of_fake, total, count), _widths_without(of_real, total, count)
    value, interval = mmd2_with_interval(fake, real, five_gaussians, bandwidth, center, widths, unbiased=unbiased)
    estimator = (
        f"D{' unbiased' if unbiased else ''}: 5 Gaussians{'' if unbiased else ', biased'}; widths from both sets"
    )
    return MetricResult(value, estimator, parts={"bandwidth": bandwidth}, interval=interval)


def measure(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Sum of five Gaussians exp(-d^2 / (w s)), s = 1/4 to 4, w the mean squared distance of the pooled images; no root
    (definition "D" of the domain-adaptation codes); biased upwards for few images; at most 10.
    """
    return note_bias(mmd2_rbf_multi(*inputs.pair), inputs, "a biased MMD")


def measure_unbiased(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """The same five Gaussians, unbiased; around 0 for equal sources."""
    return mmd2_rbf_multi(*inputs.pair, unbiased=True)


def checks(*, unbiased: bool = False) -> list[Case]:
    """Return a case of two places: the pairs of different ones are n / (2 n - 1) of all, which D2 / w follows from."""
    here, there = two_places()
    ratio = (2 * CHECK_IMAGES - 1) / CHECK_IMAGES
    expected = 10 - 2 * sum(math.exp(-ratio / factor) for factor in (0.25, 0.5, 1, 2, 4))
    return [Case("two places", expected, lambda: mmd2_rbf_multi(here, there, unbiased=unbiased).value)]


def checks_unbiased() -> list[Case]:
    """Return the same case for `mmd2_rbf_multi_u`."""
    return checks(unbiased=True)


def _widths_without(of_groups: tuple[Matrix, Matrix, Matrix], total: float, count: int) -> Matrix:
    """Return the bandwidth without one group of images each, from `group_spreads` and the sum over both sets."""
    counts, squares, shifts = of_groups
    left = np.maximum(2, count - counts)  # two images have no group to spare, and no interval either
    return np.asarray(2 * (total - squares - shifts / left) / (left - 1))


def five_gaussians(bandwidth: float) -> Kernel:
    """Return the sum of the five; one exponential, squared four times, gives them all."""

    def kernel(x: Matrix, y: Matrix) -> Matrix:
        power = squares_between(x, y)
        power *= -1 / (4 * bandwidth)
        np.exp(power, out=power)
        total = power.copy()
        for _ in range(4):
            power *= power
            total += power
        return total

    return kernel
