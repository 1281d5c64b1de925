"""How much fine detail an image holds: the variance of the Laplacian of its grey values (Pech-Pacheco et al. 2000)."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
LEAST_SIDE = 3
_SCALE = 1000
_GREY = np.array([[299, 587, 114]], np.float32)
"""ITU-R BT.601 times `_SCALE`: whole numbers, whose Laplacian stays below 2^24, so that float32 holds it exactly."""


def laplacian_variance(pixels: Iterable[Pixels]) -> NDArray[np.float64]:
    """Return the variance of the Laplacian of each image, over the places with four neighbours.

    Args:
        pixels: H x W x 3 uint8 each, RGB; N x H x W x 3 is one such iterable.

    Returns:
        N values in squared grey levels: 0 for a flat image, NaN for one with a side below 3 pixels.

    A single white pixel in the middle of 3 x 3 black ones leaves one place, and one value has no variance:

        >>> spot = np.zeros((1, 3, 3, 3), np.uint8)
        >>> spot[0, 1, 1] = 255
        >>> laplacian_variance(spot).tolist()
        [0.0]
    """
    return np.array([_of_one(image) for image in pixels], np.float64)


def _of_one(image: Pixels) -> float:
    if min(image.shape[:2]) < LEAST_SIDE:
        return float("nan")
    grey = cv2.transform(image.astype(np.float32), _GREY)
    laplacian = cv2.Laplacian(grey, cv2.CV_32F, ksize=1)[1:-1, 1:-1]
    return float(cv2.meanStdDev(laplacian)[1][0, 0] ** 2) / _SCALE**2
