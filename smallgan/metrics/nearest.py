"""How far each fake lies from its nearest real image, in a network's features: near 0 means a copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smallgan.metrics.distances import Vectors, mean_vector, row_blocks, squared_distances


def nearest_distance(fake: Vectors, real: Vectors) -> NDArray[np.float64]:
    """Return, for each fake, the Euclidean distance to the nearest real.

    Args:
        fake: n x F features.
        real: N x F features.

    Returns:
        n distances, float64.

        >>> nearest_distance(np.array([[0.0, 0.0], [3.0, 5.0]]), np.array([[3.0, 4.0], [9.0, 9.0]])).round(6).tolist()
        [5.0, 1.0]
    """
    center = mean_vector(real)
    nearest = np.full(len(fake), np.inf)
    for rows in row_blocks(len(fake)):
        for columns in row_blocks(len(real)):
            squares = squared_distances(fake[rows], real[columns], center)
            nearest[rows] = np.minimum(nearest[rows], squares.min(axis=1))
    distances: NDArray[np.float64] = np.sqrt(nearest)
    return distances
