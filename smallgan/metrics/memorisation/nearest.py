"""Nearest neighbours in a network's features: of each fake among the reals, of each image among the others of its set.

Distances come from blocks, so memory does not grow with the product of the numbers of images.
"""

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, square_blocks
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, subsample_interval


def nearest(fake: Vectors, real: Vectors) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return, for each fake, the Euclidean distance to the nearest real, and which real that is.

    Args:
        fake: n x F features.
        real: N x F features.

    Returns:
        n distances in float64, exactly 0 for equal features; n row numbers, the first of equals.

        >>> distances, rows = nearest(np.array([[0.0, 0.0], [3.0, 5.0]]), np.array([[9.0, 9.0], [3.0, 4.0]]))
        >>> distances.round(6).tolist(), rows.tolist()
        ([5.0, 1.0], [1, 1])
    """
    least, which = np.full(len(fake), np.inf), np.zeros(len(fake), np.intp)
    for rows, columns, squares in square_blocks(fake, real):
        column = squares.argmin(axis=1)
        found = squares[np.arange(len(squares)), column]
        is_less = found < least[rows]
        least[rows][is_less] = found[is_less]
        which[rows][is_less] = columns.start + column[is_less]
    return np.sqrt(least), which


def nearest_distance(fake: Vectors, real: Vectors) -> NDArray[np.float64]:
    """Return the distances of `nearest` alone."""
    return nearest(fake, real)[0]


def nearest_within(x: Vectors) -> NDArray[np.float64]:
    """Return, for each image, the distance to the nearest other image of its set, n from 2 up.

    >>> nearest_within(np.array([[0.0], [1.0], [5.0]])).tolist()
    [1.0, 1.0, 4.0]
    """
    return np.asarray(np.sqrt(kth_square_within(x, 1)))


def kth_square_within(x: Vectors, k: int) -> NDArray[np.float64]:
    """Return, for each image, the squared distance to the k-th nearest other image of its set.

    Args:
        x: n x F features.
        k: from 1 up; n must be larger.

    Raises:
        InputError: there are not that many other images.
    """
    if len(x) <= k:
        raise InputError(f"a {k}-th nearest other image needs {k + 1} images, found {len(x)}; give more images")
    least = np.full((len(x), k), np.inf)
    for rows, columns, squares in square_blocks(x, x):
        if columns == rows:
            np.fill_diagonal(squares, np.inf)
        candidates = np.concatenate([least[rows], squares], axis=1)
        least[rows] = np.partition(candidates, k - 1, axis=1)[:, :k]
    return np.asarray(least.max(axis=1))


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Mean distance to the nearest real."""
    distances = nearest_distance(*inputs.pair)
    parts = {"median": float(np.median(distances)), "smallest": float(distances.min())}
    value = float(distances.mean())
    interval = subsample_interval(value, lambda *pair: float(nearest_distance(*pair).mean()), inputs.pair, options, 1)
    interval = interval and (max(0.0, interval[0]), interval[1])
    return MetricResult(value, "mean Euclidean distance to the nearest real", parts=parts, interval=interval)


def checks() -> list[Case]:
    """Return a right-angled triangle."""
    return [Case("3, 4, 5", 5.0, lambda: nearest_distance(np.array([[3.0, 4.0]]), np.zeros((1, 2)))[0])]
