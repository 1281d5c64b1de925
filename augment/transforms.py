"""The table of named transforms. Each draws its parameters from a given generator, then applies them purely.

The parameters are recorded, so any image can be made again from its parent without a generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from augment.pixels import Pixels

Params = dict[str, float]

CONTRAST_FACTORS = ((0.6, 0.9), (1.1, 1.4))
"""Ranges that `contrast` draws from, each as likely: a change that can be seen, in either direction."""


_LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class Transform:
    """A named way to make another image out of one. `apply` leaves its input as it is and keeps its shape."""

    name: str
    summary: str
    apply: Callable[[Pixels, Mapping[str, float]], Pixels]
    draw: Callable[[np.random.Generator], Params] | None = None
    """None: there is nothing to draw, so a parent gives one image only, and doing it twice undoes it."""


def draw_contrast(generator: np.random.Generator) -> Params:
    """Return a factor of [0.6, 0.9] or [1.1, 1.4], with four decimals so that the record is short and exact."""
    low, high = CONTRAST_FACTORS[int(generator.integers(len(CONTRAST_FACTORS)))]
    return {"factor": round(float(generator.uniform(low, high)), 4)}


def change_contrast(pixels: Pixels, params: Mapping[str, float]) -> Pixels:
    """Return m + factor * (x - m), where m is the mean over all pixels and the three channels.

    Rounded to nearest, halves up, and clipped to 0..255.

    >>> change_contrast(np.array([[[100, 100, 100], [200, 200, 200]]], np.uint8), {"factor": 1.2}).tolist()
    [[[90, 90, 90], [210, 210, 210]]]
    """
    mean = sum(cv2.sumElems(pixels)) / pixels.size
    levels = np.floor(params["factor"] * (_LEVELS - mean) + (mean + 0.5))
    return cv2.LUT(pixels, levels.clip(0, 255).astype(np.uint8))  # type: ignore[no-any-return]


def _hflip(pixels: Pixels, _params: Mapping[str, float]) -> Pixels:
    return cv2.flip(pixels, 1)  # type: ignore[no-any-return]


def _vflip(pixels: Pixels, _params: Mapping[str, float]) -> Pixels:
    return cv2.flip(pixels, 0)  # type: ignore[no-any-return]


def _negative(pixels: Pixels, _params: Mapping[str, float]) -> Pixels:
    return cv2.bitwise_not(pixels)  # type: ignore[no-any-return]


TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (
        Transform("hflip", "mirrored left to right", _hflip),
        Transform("vflip", "mirrored top to bottom", _vflip),
        Transform(
            "contrast", "contrast weakened or strengthened about the image's mean", change_contrast, draw_contrast
        ),
        Transform("negative", "every value v becomes 255 - v", _negative),
    )
}
