"""Points in the plane: drawn from a mixture of the table of data sources, and pictured."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from augment.core.files import sha256_bytes
from smallgan.core.rng import Stream, rng
from smallgan.data.images import PixelRows, Pixels, grid
from smallgan.tables.data_sources import NUM_HELD_OUT, Mixture

Points = Pixels  # float32 N x 1 x 1 x 2, in the place of pixels N x S x S x 3
TRAINING, HELD_OUT = 0, 1  # Positions of the two sets that are drawn of a mixture
NUM_SHOWN = 2500  # Points of a picture
_SIDE, _MARGIN, _DOT = 512, 0.15, 3  # Pixels; share of the extent on each side; pixels of a point
_REAL, _FAKE = np.array([[0.72, 0.72, 0.72], [0.05, 0.35, 0.75]])


def draw_points(mixture: Mixture, count: int, position: int = TRAINING) -> Points:
    """Return `count` points of a mixture, each Gaussian in turn, so that the first n have as many of each as can be.

    The same in every run, whatever its seed; `position` tells sets apart.
    """
    centers = np.array(mixture.centers)[np.arange(count) % len(mixture.centers)]
    noise = rng(0, Stream.MADE_SET, position).standard_normal((count, 2))
    points: Any = (centers + mixture.std * noise).astype(np.float32).reshape(count, 1, 1, 2)
    return cast(Points, points)


def draw_sets(mixture: Mixture, count: int) -> tuple[tuple[PixelRows, str], tuple[PixelRows, str]]:
    """Return `count` points to train on, and others that scores compare with; each with the hash of its values."""
    both = draw_points(mixture, count), draw_points(mixture, NUM_HELD_OUT, HELD_OUT)
    trained_on, held_out = ((PixelRows(each), sha256_bytes(each.tobytes())) for each in both)
    return trained_on, held_out


def picture(examples: Sequence[Pixels] | Pixels, reals: Pixels | None = None) -> Pixels:
    """Return images as a grid, and points as a scatter over real ones: one H x W x 3 picture."""
    shown = np.asarray(examples)
    return scatter(shown, reals) if is_points(shown) else grid(shown)


def is_points(examples: Pixels) -> bool:
    """Tell whether an array holds points N x 1 x 1 x 2, not pixels."""
    return examples.dtype != np.uint8


def scatter(points: Points, reals: Points | None = None) -> Pixels:
    """Return a picture of points in blue over `reals` in gray, 512 x 512 x 3, x to the right and y upwards.

    The frame is that of the reals, or of the points without them, with a margin; what lies outside is at its edge.
    """
    points = points.reshape(-1, 2)
    frame = points if reals is None else reals.reshape(-1, 2)
    low, high = frame.min(axis=0), frame.max(axis=0)
    center, extent = (low + high) / 2, max(float((high - low).max()), 1e-6) * (1 + 2 * _MARGIN)
    canvas = np.ones((_SIDE, _SIDE, 3))
    layers = ([] if reals is None else [(frame, _REAL)]) + [(points, _FAKE)]
    for layer, color in layers:
        places = np.rint(((layer - center) / extent + 0.5) * (_SIDE - 1)).clip(1, _SIDE - 2).astype(int)
        counts = np.zeros((_SIDE, _SIDE))
        for down in range(_DOT):
            for right in range(_DOT):
                np.add.at(counts, (_SIDE - 1 - places[:, 1] + down - 1, places[:, 0] + right - 1), 1)
        cover = (1 - 0.45**counts)[..., None]  # several points at a place are darker than one
        canvas = canvas * (1 - cover) + color * cover
    return (canvas * 255).round().astype(np.uint8)
