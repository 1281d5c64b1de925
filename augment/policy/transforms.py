"""The table of named transforms: one row each, with all that is known of it. Nothing heavy is imported before use.

A transform draws its parameters from a given generator, then applies them purely. The drawn parameters are recorded,
so any image can be made again from its parent. Transforms of albumentations have the same form
(`albumentations_adapter`), and a policy file may give a row other ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from augment.core.table import Table
from augment.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from augment.imaging.codec import Pixels

    Function = Callable[[Pixels, Mapping[str, Any]], Pixels]

GAN = "gan"  # Stands first in a pipeline whose images come from a generator
NONE = "none"  # The policy that adds nothing


@dataclass(frozen=True)
class Parameter:
    """A number that is drawn for each image: one of `ranges`, each as likely, then evenly within it."""

    ranges: tuple[tuple[float, float], ...]
    limits: tuple[float, float] = (0.0, 100.0)  # What ranges of one's own have to stay within

    def draw(self, generator: np.random.Generator) -> float:
        """Return a number with four decimals, so that the record is short and exact."""
        low, high = self.ranges[int(generator.integers(len(self.ranges)))]
        return round(float(generator.uniform(low, high)), 4)


@dataclass(frozen=True)
class Transform:
    """A row: a named way to make another image out of one.

    The result has the sides of the input, or these exchanged.
    """

    name: str
    summary: str
    function: str | Function
    """Makes new pixels of pixels and drawn parameters; a path "package.module:name" is imported when it is used."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    becomes_content: tuple[str, ...] = ()
    """What its images are for the eye, where a generator would learn that: mirrored, turned."""
    symmetry: str | None = None
    """The row of `augment.imaging.symmetry` that tells whether its images still look like the set."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What stands in plan.json for a transform that is not as the table has it."""

    def apply(self, pixels: Pixels, params: Mapping[str, Any]) -> Pixels:
        """Return new pixels; the input stays as it is. Raises UsageError when the result has other sides."""
        function = _imported(self.function) if isinstance(self.function, str) else self.function
        result: Pixels = function(pixels, params)
        if result.shape != pixels.shape and sorted(result.shape) != sorted(pixels.shape):
            height, width = pixels.shape[:2]
            raise UsageError(
                f"{self.name}: made {result.shape[1]}x{result.shape[0]} of an image of {width}x{height}; expected the "
                "same sides, which may be exchanged"
            )
        return result

    @property
    def is_random(self) -> bool:
        """Whether the same parent may give another image each time."""
        return bool(self.parameters)

    def draw(self, generator: np.random.Generator) -> dict[str, Any]:
        """Return what is drawn for one image, ready for JSON."""
        return {name: parameter.draw(generator) for name, parameter in self.parameters.items()}


_imported = lru_cache(resolve_name)
_BASIC = "augment.policy.basic_transforms"
TRANSFORMS = Table(
    "transform",
    (
        Transform("hflip", "mirrored left to right", f"{_BASIC}:hflip", {}, ("mirrored",), "hflip"),
        Transform("vflip", "mirrored top to bottom", f"{_BASIC}:vflip", {}, ("upside down",), "vflip"),
        Transform(
            "contrast",
            "contrast weakened or strengthened about the image's mean",
            f"{_BASIC}:contrast",
            {"factor": Parameter(((0.6, 0.9), (1.1, 1.4)))},  # changes that can be seen, in either direction
        ),
        Transform("negative", "every value v becomes 255 - v", f"{_BASIC}:negative", {}, ("negative",)),
    ),
)


def policy_names() -> tuple[str, ...]:
    """Return what a policy can name beside the transforms of albumentations."""
    return (*TRANSFORMS.names, GAN, NONE)


def with_symmetry(symmetry: str) -> list[str]:
    """Return the transforms whose images look like the set where it has that symmetry."""
    return [row.name for row in TRANSFORMS if row.symmetry == symmetry]
