"""A recorded operation applied again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from augment.errors import InputError
from augment.imaging.codec import Pixels
from augment.policy.albumentations_adapter import apply
from augment.policy.transforms import TRANSFORMS


def operate(pixels: Pixels, name: str, params: Mapping[str, Any]) -> Pixels:
    """Return `pixels` after the operation that a record names. Raises InputError for one that does not exist."""
    if "transform" in params:
        return apply(pixels, params["transform"], params["seed"])
    if name not in TRANSFORMS:
        raise InputError(f"operation {name!r} is not known; needed one of {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name].apply(pixels, params)
