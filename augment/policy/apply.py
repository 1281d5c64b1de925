"""Operations applied: recorded ones again, and whole pipelines to a small probe image, to see what they do."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from augment.errors import InputError, UsageError
from augment.imaging.codec import Pixels
from augment.policy import albumentations_adapter
from augment.policy.transforms import TRANSFORMS, Transform

PROBE = np.random.default_rng(0).permutation(5 * 7 * 3).reshape(5, 7, 3).astype(np.uint8) * 2
"""Not square, and no two of its numbers are alike: every change shows."""


def apply_operation(pixels: Pixels, name: str, params: Mapping[str, Any]) -> Pixels:
    """Return `pixels` after the operation that a record names. Raises InputError for one that does not exist."""
    if "transform" in params:
        return albumentations_adapter.apply(pixels, params)
    if name not in TRANSFORMS:
        raise InputError(f"operation {name!r} is not known; expected one of {', '.join(TRANSFORMS.names)}")
    return TRANSFORMS[name].apply(pixels, params)


def apply_drawn(pixels: Pixels, transforms: Iterable[Transform], generator: np.random.Generator) -> Pixels:
    """Return `pixels` after all `transforms`, whose parameters `generator` draws."""
    for transform in transforms:
        pixels = transform.apply(pixels, transform.draw(generator))
    return pixels


def on_probe(transforms: Iterable[Transform]) -> Pixels | None:
    """Return what `transforms`, none of them random, make of the probe; None when one cannot be applied to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return apply_drawn(PROBE, transforms, np.random.default_rng(0))
        except UsageError:
            return None
