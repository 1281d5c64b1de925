"""What the rows hflip, vflip, contrast and negative do to pixels."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from augment.imaging.codec import Pixels

_LEVELS = np.arange(256, dtype=np.float64)


def hflip(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
    """Return `pixels` mirrored left to right."""
    return cv2.flip(pixels, 1)  # type: ignore[no-any-return]


def vflip(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
    """Return `pixels` mirrored top to bottom."""
    return cv2.flip(pixels, 0)  # type: ignore[no-any-return]


def negative(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
    """Return 255 - `pixels`."""
    return cv2.bitwise_not(pixels)  # type: ignore[no-any-return]


def contrast(pixels: Pixels, params: Mapping[str, float]) -> Pixels:
    """Return m + factor * (x - m), where m is the mean over all pixels and the three channels.

    Rounded to nearest, halves up, and clipped to 0..255.

    >>> contrast(np.array([[[100, 100, 100], [200, 200, 200]]], np.uint8), {"factor": 1.2}).tolist()
    [[[90, 90, 90], [210, 210, 210]]]
    """
    mean = sum(cv2.sumElems(pixels)) / pixels.size
    levels = np.floor(params["factor"] * (_LEVELS - mean) + (mean + 0.5))
    return cv2.LUT(pixels, levels.clip(0, 255).astype(np.uint8))  # type: ignore[no-any-return]
