"""Shape: how an image of any shape becomes a square, told in numbers."""

import json
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.errors import UsageError
from augment.imaging.codec import WHITE, Colour, Pixels, Rules, to_gray

RESIZE_MODES = ("crop", "pad", "stretch")

_NEARLY_BLACK = 32  # levels of 255
_BLACK_STEP, _WHITE_STEP = 12, 48  # photographs at night begin that dark; light shadows on a white ground are no border
_NEARLY_ALL = 0.9  # of the places of a row
Box = tuple[int, int, int, int]  # Left, top, width, height in pixels


@dataclass(frozen=True)
class ResizePlan:
    """How an upright image of `width` x `height` became a square of side `size`: `taken` of it fills `placed` there.

    Outside `placed` lies the background (pad); outside `taken` the image was cut off (crop). A point (x, y) of the
    square is the point (taken.left + (x - placed.left) * taken.width / placed.width, ...) of the image.
    """

    mode: str
    width: int
    height: int
    size: int
    taken: Box
    placed: Box

    def to_json(self) -> str:
        """Return it as it stands in metadata.jsonl: one JSON text."""
        shape = {"mode": self.mode, "from": [self.width, self.height], "to": self.size}
        return json.dumps(shape | {"taken": self.taken, "placed": self.placed})


def plan_resize(width: int, height: int, size: int, mode: str) -> ResizePlan:
    """Return how an image of `width` x `height` becomes size x size.

    `mode` is "crop" (the middle square), "pad" (the whole image on the background) or "stretch" (the sides change their
    ratio). Raises UsageError for another mode or a size below 1.

    >>> plan_resize(400, 200, 100, "pad").placed
    (0, 25, 100, 50)
    """
    if mode not in RESIZE_MODES:
        raise UsageError(f"resize mode {mode!r}: use one of {', '.join(RESIZE_MODES)}")
    if size < 1:
        raise UsageError(f"size {size}: must be at least 1 pixel")
    whole, square = (0, 0, width, height), (0, 0, size, size)
    if mode == "crop":
        side = min(width, height)
        return ResizePlan(mode, width, height, size, ((width - side) // 2, (height - side) // 2, side, side), square)
    if mode == "stretch":
        return ResizePlan(mode, width, height, size, whole, square)
    longest = max(width, height)
    inner_width, inner_height = (max(1, round(side * size / longest)) for side in (width, height))
    placed = ((size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height)
    return ResizePlan(mode, width, height, size, whole, placed)


def resize_square(pixels: Pixels, size: int, resize_mode: str, background: Colour = WHITE) -> Pixels:
    """Return `pixels` as a square, size x size x 3: averaged over areas when shrinking, cubic when enlarging.

    `resize_mode` is one of `plan_resize`; `background` is the colour of the border of "pad".
    Raises UsageError as `plan_resize` does.
    """
    height, width = pixels.shape[:2]
    planned = plan_resize(width, height, size, resize_mode)
    if (height, width) == (size, size):
        return pixels
    left, top, taken_width, taken_height = planned.taken
    part = pixels[top : top + taken_height, left : left + taken_width]
    left, top, placed_width, placed_height = planned.placed
    resized = _resize(part, placed_height, placed_width)
    if (placed_height, placed_width) == (size, size):
        return resized
    square = np.empty((size, size, 3), np.uint8)
    square[:] = background
    square[top : top + placed_height, left : left + placed_width] = resized
    return square


def resize_by(pixels: Pixels, size: int | None, resize_mode: str, rules: Rules) -> Pixels:
    """Return `pixels` as they are before any operation: square where there is a `size`, and gray where `rules` say so.

    What was read by the same rules is gray already, but for the border that "pad" lays around it.
    """
    if size is not None:
        pixels = resize_square(pixels, size, resize_mode, rules.background or WHITE)
    return to_gray(pixels) if rules.gray else pixels


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Shrink by area first, then enlarge what is left: OpenCV's area rule is meant for shrinking only."""
    low_height, low_width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    if (low_height, low_width) != pixels.shape[:2]:
        pixels = cv2.resize(pixels, (low_width, low_height), interpolation=cv2.INTER_AREA)
    if (low_height, low_width) != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(pixels)


def has_border(pixels: Pixels) -> bool:
    """Tell whether some edge is nearly black or white all along, and nearly all that lies right inside of it is not.

    A plain ground on which something stands, as that of digits, is no border. Nor is a strip of it below a shadow,
    where the ground itself reaches the opposite edge.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    # Most images have no such edge, and four lines in one array say so in a tenth of the time of eight looks.
    edges = np.concatenate((gray[0], gray[-1], gray[:, 0], gray[:, -1]))
    starts = (0, width, 2 * width, 2 * width + height)
    is_black = np.maximum.reduceat(edges, starts) <= _NEARLY_BLACK
    is_white = np.minimum.reduceat(edges, starts) >= 255 - _NEARLY_BLACK
    if not (is_black.any() or is_white.any()):
        return False
    grounds = (gray, is_black, _BLACK_STEP), (255 - gray, is_white, _WHITE_STEP)
    for dark, plain, step in grounds:
        for across, (first, last) in ((dark, plain[:2]), (dark.T, plain[2:])):
            begins = first and _begins_with_border(across, step)
            ends = last and _begins_with_border(across[::-1], step)
            if (begins and (ends or not last)) or (ends and not first):
                return True
    return False


def _begins_with_border(rows: NDArray[np.uint8], step: int) -> bool:
    """Tell whether no more than the first rows are nearly black, and the row after the next, a blend maybe, is not."""
    dark = rows[: len(rows) // 4].max(axis=1, initial=0) <= _NEARLY_BLACK
    depth = 0 if dark.all() else int(dark.argmin())
    return depth > 0 and bool(np.mean(rows[depth + 1] >= np.median(rows[depth - 1]) + step) >= _NEARLY_ALL)
