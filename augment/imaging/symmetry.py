"""Does an image turned over still look like one of the set? A flower does; a letter or a car from one side does not.

If the set does not care about a mirror, then a mirrored image lies as near to the others as the image itself: for each
image it is a coin's throw which of the two is nearer to its nearest neighbour among the others. Where the mirrored one
is the farther one too often for a coin (a sign test), the set does care. Distances are taken on small gray images in
three ways: as they are, without the coarse light and shade, and by the strength of edges; the clearest answer counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.imaging.perceptual_hash import GRAY_SIDE

MIN_IMAGES = 20
"""Fewer say nothing either way."""
MAX_IMAGES = 500
"""More are not compared: the time grows with the square of the number, and the answer is clear by then."""
MIN_SHARE = 0.56
"""Share of turned images that are farther, below which a difference is too small to matter, however sure."""
MIN_Z = 3.0
"""Standard errors above one half; a set that does not care gets there in about 1 of 250 tests of three."""

Grays = NDArray[np.float32]
"""N x 32 x 32, 0 to 255."""

SYMMETRIES: dict[str, tuple[str, Callable[[Grays], Grays]]] = {
    "hflip": ("mirrored left to right", lambda grays: grays[:, :, ::-1]),
    "vflip": ("upside down", lambda grays: grays[:, ::-1]),
    "quarter turn": ("turned by a quarter", lambda grays: np.rot90(grays, axes=(1, 2))),
}


@dataclass(frozen=True)
class Symmetry:
    """What was found of one way to turn images over."""

    name: str
    """Which row of `SYMMETRIES`."""
    fits: bool | None
    """Whether turned copies look like the set; None: too few images to tell."""
    share_farther: float | None
    """Share of images whose turned copy is farther from the others than the image is; 0.5 is what chance gives."""
    text: str


def symmetries(grays: Sequence[bytes]) -> list[Symmetry]:
    """Return what is found of each way to turn over. `grays` are those of `perceptual_hash.image_signature`."""
    if len(grays) < MIN_IMAGES:
        too_few = f"{len(grays)} images are too few to tell"
        return [Symmetry(name, None, None, f"{words}: {too_few}") for name, (words, _) in SYMMETRIES.items()]
    numbers = np.frombuffer(b"".join(grays[:MAX_IMAGES]), np.uint8).reshape(-1, GRAY_SIDE, GRAY_SIDE)
    images = numbers.astype(np.float32)
    features = [_even, _without_shade, _edges]
    known = [feature(images) for feature in features]
    own = [_nearest(each, each) for each in known]
    results = []
    for name, (words, turn) in SYMMETRIES.items():
        turned = np.ascontiguousarray(turn(images))
        shares = []
        for feature, each, mine in zip(features, known, own, strict=True):
            nearest = _nearest(feature(turned), each)
            shares.append(float(np.mean(nearest > mine) + np.mean(nearest == mine) / 2))  # ties count half
        share = max(shares)
        sure = (share - 0.5) * 2 * math.sqrt(len(images)) >= MIN_Z
        fits = not (sure and share >= MIN_SHARE)
        said = "copies cannot be told from the set" if fits else "copies differ from the set"
        text = f"{words}: {said} ({share:.0%} of them are farther from it; 50% is chance)"
        results.append(Symmetry(name, fits, round(share, 3), text))
    return results


def _nearest(images: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance of each image to the nearest of the others, but for the one at its own place."""
    squares = np.square(images).sum(1)[:, None] + np.square(others).sum(1)[None] - 2 * images @ others.T
    np.fill_diagonal(squares, np.inf)
    return np.round(squares.min(axis=1), 5)  # type: ignore[no-any-return]


def _even(grays: Grays) -> NDArray[np.float32]:
    """N x 1024 with mean 0 and length 1: brightness and contrast do not count."""
    flat = grays.reshape(len(grays), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / (np.linalg.norm(flat, axis=1, keepdims=True) + np.float32(1e-6))  # type: ignore[no-any-return]


def _without_shade(grays: Grays) -> NDArray[np.float32]:
    return _even(np.stack([gray - cv2.GaussianBlur(gray, (0, 0), 3) for gray in grays]))


def _edges(grays: Grays) -> NDArray[np.float32]:
    strengths = []
    for gray in grays:
        across, down = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
        strengths.append(cv2.GaussianBlur(cv2.magnitude(across, down), (0, 0), 1))
    return _even(np.stack(strengths))
