"""Precision and recall of generated images (Kynkaanniemi et al. 2019, arXiv:1904.06991, section 2).

Around every image of a set lies a ball that reaches to its k-th nearest other image of that set; their union stands
for the ground that the set covers. Precision is the share of fakes on the reals' ground, recall that of reals on the
fakes'.

The steps are 1 / n, and balls grow as sets shrink: few images read high. Repeated images have balls of radius 0.
"""

from __future__ import annotations

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector, row_blocks, squares_between
from smallgan.metrics.memorisation.nearest import kth_square_within

NEIGHBOURS = 3
"""k, as published."""


def precision(fake: Vectors, real: Vectors, *, neighbours: int = NEIGHBOURS) -> float:
    """Return the share of fakes that lie in the ball of at least one real; recall is the same with the sets swapped.

    Args:
        fake: n x F features.
        real: m x F features; m from `neighbours` + 1 up.
        neighbours: k, from 1 up.

    Raises:
        InputError: there are too few images for a k-th neighbour.

    With k = 1 the reals 0, 1 and 5 have radii 1, 1 and 4 and cover -1 to 9; of the fakes 8 and 10 one is on it:

        >>> precision(np.array([[8.0], [10.0]]), np.array([[0.0], [1.0], [5.0]]), neighbours=1)
        0.5
    """
    if len(real) <= neighbours:
        raise InputError(
            f"precision and recall look at the {neighbours} nearest of the other images and need {neighbours + 1} or "
            f"more on each side, found {len(real)}; give more images"
        )
    radii = kth_square_within(real, neighbours)
    center = mean_vector(real)
    inside = np.zeros(len(fake), np.bool_)
    for rows in row_blocks(len(fake)):
        points = np.asarray(fake[rows], np.float64) - center
        for columns in row_blocks(len(real)):
            squares = squares_between(points, np.asarray(real[columns], np.float64) - center)
            inside[rows] |= (squares <= radii[columns]).any(axis=1)
    return float(inside.mean())
