"""A policy's transforms of albumentations tried on noise of the real sizes, before anything is planned or written."""

import warnings
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from augment.errors import UsageError
from augment.imaging.codec import Pixels
from augment.policy.albumentations_adapter import LibraryTransform
from augment.policy.apply import apply_drawn
from augment.policy.expression import MixtureComponent, Policy

MAX_TRIALS = 16
"""A pipeline with probabilities of its own may leave a few images as they are; one that leaves all 16 does nothing."""
MAX_TRIED_PIXELS = 1 << 21


def dry_run(policy: Policy, sizes: Iterable[tuple[int, int]]) -> None:
    """Try every component with a transform of albumentations on the smallest and the largest of `sizes`.

    `sizes` are (width, height).
    Raises UsageError when one cannot be applied, gives no pixels of that size, or changes nothing.
    """
    components = [c for c in policy.components if any(isinstance(t, LibraryTransform) for t in c.transforms)]
    tried = _chosen(sizes) if components else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a transform that warns of doing nothing is found by doing nothing
        for component in components:
            for width, height in tried:
                _try(component, _noise(width, height))


def _try(component: MixtureComponent, noise: Pixels) -> None:
    for trial in range(MAX_TRIALS):
        try:
            pixels = apply_drawn(noise, component.transforms, np.random.default_rng([trial]))
        except UsageError as error:
            raise UsageError(f"pipeline {component.name!r}: {error}") from error
        if trial and not np.array_equal(pixels, noise):
            return
    raise UsageError(
        f"pipeline {component.name!r}: leaves every image as it is, so that its images would be copies; give it "
        "parameters that change something (`smallgan augment --list-transforms` lists them)"
    )


def _chosen(sizes: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """The smallest and the largest; of those beyond two million pixels only when there is no other."""
    by_area = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
    handy = [size for size in by_area if size[0] * size[1] <= MAX_TRIED_PIXELS] or by_area[:1]
    return list(dict.fromkeys([*handy[:1], *handy[-1:]]))


def _noise(width: int, height: int) -> Pixels:
    """Coloured noise with large and small parts: something that every transform changes if it changes anything."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (5, 5, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    fine = generator.integers(0, 64, (height, width, 3), np.uint8)
    return np.asarray(smooth // 4 * 3 + fine, np.uint8)
