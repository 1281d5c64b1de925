"""Squared Euclidean distances between two sets of feature vectors, in float64 and block by block."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024  # Rows of a block: 1024 x 1024 distances are 8 MiB, however many images there are
Vectors = NDArray[np.floating]
_ROUNDING = 1e-12
"""Of |x|^2 + |y|^2: a distance of a millionth of the vectors' length, near the last bit of float32 features."""


def row_blocks(count: int) -> Iterator[slice]:
    """Yield the slices that cut `count` rows into blocks."""
    for first in range(0, count, BLOCK):
        yield slice(first, min(first + BLOCK, count))


def squares_between(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |x_i - y_j|^2, n x m, of vectors that lie around the origin.

    What is below the rounding of the three terms becomes 0, so that equal images are at distance 0 exactly.
    """
    squares: NDArray[np.float64] = x @ y.T
    squares *= -2
    lengths = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :]
    squares += lengths
    lengths *= _ROUNDING
    squares[squares < lengths] = 0
    return squares


def mean_vector(x: Vectors) -> NDArray[np.float64]:
    """Return the mean over the rows of n x F, accumulated in float64."""
    return np.asarray(np.mean(x, axis=0, dtype=np.float64))


def square_blocks(x: Vectors, y: Vectors) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Yield blocks of `squares_between` with their rows and columns, row by row; the mean of y is the origin."""
    center = mean_vector(y)
    for rows in row_blocks(len(x)):
        points = np.asarray(x[rows], np.float64) - center
        for columns in row_blocks(len(y)):
            yield rows, columns, squares_between(points, np.asarray(y[columns], np.float64) - center)
