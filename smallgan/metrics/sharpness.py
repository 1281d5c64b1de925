"""Sharpness: how much fine detail images hold, as the variance of the Laplacian of their grey values.

Pech-Pacheco et al. 2000 use the variance of the Laplacian to tell focused photographs from blurred ones. Relative to
real images 1 is as sharp as they are; below 0.6 reads as blurred, and above 1.4 as noise or a pattern.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def laplacian_variance(pixels: Iterable[Pixels]) -> NDArray[np.float64]:
    """Return the variance of the Laplacian of each image, over the places with four neighbours.

    Args:
        pixels: H x W x 3 uint8 each, RGB, sides from 3 pixels up; N x H x W x 3 is one such iterable.

    Returns:
        N values in squared grey levels, 0 for a flat image.

    A single white pixel in the middle of 3 x 3 black ones leaves one place, and one value has no variance:

        >>> spot = np.zeros((1, 3, 3, 3), np.uint8)
        >>> spot[0, 1, 1] = 255
        >>> laplacian_variance(spot).tolist()
        [0.0]
    """
    return np.array([_of_one(image) for image in pixels], np.float64)


def sharpness(fake: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Return the median of the fakes' values over that of the reals'; NaN where the reals are flat."""
    middle = float(np.median(real))
    return float(np.median(fake)) / middle if middle else float("nan")


def _of_one(image: Pixels) -> float:
    grey = image @ _GREY
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var())
