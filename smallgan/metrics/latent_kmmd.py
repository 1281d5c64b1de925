"""The "KMMD" of the APGC posters: a diagnostic of latent codes, not of images.

It asks whether the codes learned for the training images look like draws of N(0, I), the generator's own input. No
image enters: shrinking the codes, or scaling codes and the layers that read them, moves it without changing one
picture, and it falls as the batch grows. It is here to be compared with the posters' tables, always with its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augment.errors import UsageError
from smallgan.metrics.distances import Vectors, squares_between
from smallgan.metrics.intervals import Matrix
from smallgan.metrics.rbf_multi import five_gaussians

_CODES_COMPARED = 10_000


@dataclass(frozen=True)
class LatentKmmd:
    """The mean over batches, and what it depends on besides the codes."""

    value: float
    """0 to less than 10; what equal distributions read depends on the batch: about 1.2 at 5, 0.06 at 100 (Z = 120)."""
    batch: int
    num_batches: int


def latent_kmmd(codes: Vectors, seed: int, batch: int) -> LatentKmmd:
    """Return the mean over batches of the biased `mmd2_rbf_multi` between `batch` codes and as many draws of N(0, I).

    The codes are shuffled and walked through, again and again, until more than 10,000 were compared.

    Args:
        codes: N x Z learned codes, one or more for each training image.
        seed: of the shuffles and of the draws.
        batch: codes in a batch, 1 to N.

    Raises:
        UsageError: the batch is empty or larger than the codes are many.

    Codes all at 0 lie far from N(0, I), more so in a small batch:

        >>> [round(latent_kmmd(np.zeros((100, 120)), 0, batch).value, 1) for batch in (5, 25)]
        [3.1, 2.5]
    """
    if not 1 <= batch <= len(codes):
        raise UsageError(f"latent KMMD with batches of {batch}: needed 1 to {len(codes)}, the number of codes")
    num_batches = _CODES_COMPARED // batch + 1
    values = []
    order = np.empty(0, np.intp)
    for number in range(num_batches):
        rng = np.random.default_rng(np.random.SeedSequence([abs(seed), number]))
        if len(order) < batch:
            order = rng.permutation(len(codes))
        drawn, order = order[:batch], order[batch:]
        values.append(_of_batch(np.concatenate([codes[drawn], rng.standard_normal((batch, codes.shape[1]))])))
    return LatentKmmd(float(np.mean(values)), batch, num_batches)


def _of_batch(pooled: Matrix) -> float:
    """Return the biased `mmd2_rbf_multi` of the first half against the second, from one small matrix."""
    count, half = len(pooled), len(pooled) // 2
    width = squares_between(pooled, pooled).sum() / (count * (count - 1))
    kernel = five_gaussians(width)(pooled, pooled)
    return float(kernel[:half, :half].mean() + kernel[half:, half:].mean() - 2 * kernel[:half, half:].mean())
