"""KMMD: kernel maximum mean discrepancy between two sets of features, as the GAN literature's usual code defines it.

Xu et al. 2018, "An empirical study on evaluation metrics of generative adversarial networks" (arXiv:1806.07755), and
the code published with it; the estimator is that of Gretton et al. 2012 (JMLR 13), equation 5. Other codes call other
quantities KMMD; this one alone is meant here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector, row_blocks, squared_distances

_LEAST_SPREAD = 1e-10
"""Mean squared distance over mean squared length below which reals count as one image: float32 noise is near 1e-13."""


@dataclass(frozen=True)
class Kmmd:
    """The distance, and the kernel's width that it was measured with."""

    value: float
    """Between 0 (equal sets) and sqrt(2)."""
    bandwidth: float
    """m, the mean squared distance between reals."""


def kmmd(fake: Vectors, real: Vectors, *, sigma: float = 1.0) -> Kmmd:
    """Return sqrt(max(0, mean k(R, R) + mean k(F, F) - 2 mean k(R, F))), k = exp(-D2 / (2 sigma^2 m)).

    D2 is the squared Euclidean distance and m its mean over all pairs of reals. All means, m too, run over the full
    matrices with their diagonals: a V-statistic, biased upwards for small sets. Compare at equal counts only.

    Args:
        fake: n x F features.
        real: N x F features; m comes from them alone.
        sigma: the kernel's width in units of sqrt(m).

    Raises:
        InputError: the reals do not differ, which leaves the kernel without a width.

    One fake at 0 and reals at 0 and 2 have m = 2, k(0, 2) = exp(-1), so 0.5 + 0.5/e + 1 - (1 + 1/e) under the root:

        >>> round(kmmd(np.array([[0.0]]), np.array([[0.0], [2.0]])).value, 6) == round((0.5 - 0.5 / np.e) ** 0.5, 6)
        True
    """
    center = mean_vector(real)
    # The mean over all pairs of |x - y|^2 is twice the mean of |x - mean|^2: no pair needs to be looked at.
    spread = sum(float(np.square(np.asarray(real[rows], np.float64) - center).sum()) for rows in row_blocks(len(real)))
    bandwidth = 2 * spread / len(real)
    if bandwidth <= _LEAST_SPREAD * (float(center @ center) + bandwidth):
        raise InputError(
            f"KMMD needs at least two different real images: the features of the {len(real)} given do not differ, so "
            "the kernel has no width; give more reals with --real"
        )
    scale = -1 / (2 * sigma**2 * bandwidth)
    within = _mean_kernel_within(real, center, scale) + _mean_kernel_within(fake, center, scale)
    between = sum(
        float(np.exp(scale * squared_distances(fake[rows], real[columns], center)).sum())
        for rows in row_blocks(len(fake))
        for columns in row_blocks(len(real))
    ) / (len(fake) * len(real))
    return Kmmd(float(np.sqrt(max(0.0, within - 2 * between))), bandwidth)


def _mean_kernel_within(x: Vectors, center: Vectors, scale: float) -> float:
    """Mean of exp(scale * D2) over all pairs of one set; blocks below the diagonal equal those above it."""
    total = 0.0
    for rows in row_blocks(len(x)):
        for columns in row_blocks(len(x)):
            if columns.start < rows.start:
                continue
            squares = squared_distances(x[rows], x[columns], np.asarray(center, np.float64))
            if columns == rows:
                np.fill_diagonal(squares, 0)  # rounding would leave 1e-13 or so
                total += float(np.exp(scale * squares).sum())
            else:
                total += 2 * float(np.exp(scale * squares).sum())
    return total / len(x) ** 2
