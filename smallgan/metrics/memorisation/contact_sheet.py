"""A contact sheet of the fakes that are most like a real image: what a copy rate says, for the eye.

Each fake stands above the original nearest to it in a network's features and, where the training images hold an added
one that is nearer still, above that one too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment.imaging.codec import Pixels
from augment.imaging.geometry import resize_square
from smallgan.metrics.distances import Vectors
from smallgan.metrics.memorisation.nearest import nearest

TILE = 96  # Side of one image on the sheet, in pixels
_GAP, _BLOCK_GAP, _LINE, _FONT = 2, 12, 18, 13
_NAMES_WIDTH = 58
_INK = (40, 40, 40)
PixelsOf = Callable[[int], Pixels]


@dataclass(frozen=True)
class Near:
    """One fake and what it is most like."""

    fake: int  # Its row
    original: int  # Row of the nearest original
    distance: float  # To that original, in the features' units
    added: int | None = None  # Row of the nearest added image where that is nearer than the original
    added_distance: float | None = None

    @property
    def least(self) -> float:
        """The distance to the nearest of both kinds."""
        return self.distance if self.added_distance is None else self.added_distance


def most_alike(fake: Vectors, original: Vectors, added: Vectors | None, most: int) -> list[Near]:
    """Return the `most` fakes that lie nearest to a training image, the nearest first, equals in their order.

    Args:
        fake, original: n x F and m x F features, m from 1 up.
        added: features of what augmentation added; None or none at all: there is nothing.
        most: how many; fewer where there are fewer fakes.

    Of the fakes 4 and 9.5, the first is nearest to the original 5, the second nearer to the added 10 than to the 5:

    >>> found = most_alike(np.array([[4.0], [9.5]]), np.array([[0.0], [5.0]]), np.array([[10.0]]), 2)
    >>> [(one.fake, one.original, round(one.distance, 6), one.added, round(one.least, 6)) for one in found]
    [(1, 1, 4.5, 0, 0.5), (0, 1, 1.0, None, 1.0)]
    """
    columns = [np.arange(len(fake)), *nearest(fake, original)[::-1]]
    found = [Near(*values) for values in zip(*(each.tolist() for each in columns), strict=True)]
    if added is not None and len(added):
        for one, distance, row in zip(found, *(each.tolist() for each in nearest(fake, added)), strict=True):
            if distance < one.distance:
                found[one.fake] = replace(one, added=row, added_distance=distance)
    return sorted(found, key=lambda one: one.least)[:most]


def draw_sheet(
    found: Sequence[Near], fakes: PixelsOf, originals: PixelsOf, added: PixelsOf, columns: int = 10
) -> Pixels:
    """Return the picture: blocks of rows, each row named at its left, the distances in numbers below each block.

    Args:
        found: what to show, at least one.
        fakes, originals, added: pixels H x W x 3 of a row; they are padded to squares of `TILE` pixels.
        columns: fakes side by side.
    """
    columns = min(columns, len(found))
    names = ["fake", "nearest\noriginal", "nearer\nadded"]
    if all(one.added is None for one in found):
        names.pop()
    blocks = [found[first : first + columns] for first in range(0, len(found), columns)]
    height = len(names) * (TILE + _GAP) + _LINE
    size = _NAMES_WIDTH + columns * (TILE + _GAP), len(blocks) * (height + _BLOCK_GAP) - _BLOCK_GAP
    canvas = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT)
    for number, block in enumerate(blocks):
        top = number * (height + _BLOCK_GAP)
        for row, name in enumerate(names):
            middle = top + row * (TILE + _GAP) + TILE // 2
            pen.multiline_text((0, middle), name, fill=_INK, font=font, anchor="lm", spacing=2)
        for column, one in enumerate(block):
            left = _NAMES_WIDTH + column * (TILE + _GAP)
            shown = [fakes(one.fake), originals(one.original), *([] if one.added is None else [added(one.added)])]
            for row, pixels in enumerate(shown):
                tile = Image.fromarray(resize_square(pixels, TILE, "pad"))
                canvas.paste(tile, (left, top + row * (TILE + _GAP)))
            known = [each for each in (one.distance, one.added_distance) if each is not None]
            text = " | ".join(f"{each:#.3g}".rstrip(".") for each in known)
            pen.text((left + TILE // 2, top + height - _LINE // 2), text, fill=_INK, font=font, anchor="mm")
    return np.asarray(canvas, np.uint8)
