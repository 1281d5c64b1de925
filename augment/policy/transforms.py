"""The table of named transforms. Each draws its parameters from a given generator, then applies them purely.

The parameters are recorded, so any image can be made again from its parent without a generator. Transforms of
albumentations have the same form (`albumentations_kinds`), and a policy file may give `contrast` other factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from augment.imaging.codec import Pixels

Params = dict[str, Any]

CONTRAST_FACTORS = ((0.6, 0.9), (1.1, 1.4))
"""Ranges that `contrast` draws from, each as likely: a change that can be seen, in either direction."""


_LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class Transform:
    """A named way to make another image out of one. `apply` leaves its input as it is and keeps its shape."""

    name: str
    summary: str
    apply: Callable[[Pixels, Mapping[str, Any]], Pixels]
    draw: Callable[[np.random.Generator], Params] | None = None
    """None: there is nothing to draw or to record, and doing it twice undoes it."""
    varies: bool = True
    """With `draw`: whether what is drawn can differ; a parent gives one image only where it cannot."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What stands in plan.json for a transform that is not as the table below has it."""

    @property
    def is_random(self) -> bool:
        """Whether the same parent may give another image each time."""
        return self.draw is not None and self.varies


def draw_contrast(generator: np.random.Generator, factors: Sequence[tuple[float, float]] = CONTRAST_FACTORS) -> Params:
    """Return a factor of one of the ranges, with four decimals so that the record is short and exact."""
    low, high = factors[int(generator.integers(len(factors)))]
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


def _hflip(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
    return cv2.flip(pixels, 1)  # type: ignore[no-any-return]


def _vflip(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
    return cv2.flip(pixels, 0)  # type: ignore[no-any-return]


def _negative(pixels: Pixels, _params: Mapping[str, Any]) -> Pixels:
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
