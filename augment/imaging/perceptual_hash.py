"""How alike two images look: a perceptual hash finds candidates, small thumbnails decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.imaging.codec import Pixels

THUMB_SIDE = 16
GRAY_SIDE = 32
MAX_BITS = 7  # Hashes that differ in so many of their 64 bits at most are compared by thumbnail
MAX_LEVELS = 6.0
"""Root mean square difference of two thumbnails, in levels of 255, up to which the images count as near duplicates."""
MAX_MIRRORED = 20_000  # Images; the time grows with the square of their number, and is about 2 s there
MIN_CONTRAST = 6.0
"""Standard deviation of a thumbnail below which an image is so plain that others look like it by chance."""

_KEPT = 8
_NUM_LEVELS = 3 * THUMB_SIDE**2  # Of a thumbnail
_ROWS, _COLUMNS = 256, 4096  # Images that are compared at once
_Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ImageSignature:
    """What is remembered of how an image looks."""

    hash: int  # 64 bits that change little when an image is saved again, made smaller or slightly brighter
    thumb: bytes  # The image drawn small: 16 x 16 x 3, each the average of its area. Its shape is lost on purpose
    gray: bytes | None = None  # The gray image at 32 x 32, where it is asked for
    mirrored_hash: int = 0  # The hash of the image mirrored left to right


def image_signature(pixels: Pixels, *, keep_gray: bool = False) -> ImageSignature:
    """Return the signature of an image.

    The hash says which of the lowest frequencies of the gray image (32 x 32, cosine transform, the first 8 x 8 without
    the mean) are above their median, the usual choice.
    """
    small = cv2.resize(pixels, (GRAY_SIDE, GRAY_SIDE), interpolation=cv2.INTER_AREA)
    thumb = cv2.resize(small, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    low = cv2.dct(gray.astype(np.float32))[:_KEPT, :_KEPT].reshape(64)
    low[0] = 0
    # In a mirrored image every other cosine across changes its sign, and nothing else.
    bits, mirrored = (_bits(low * np.tile(np.array([1, sign], np.float32), 32)) for sign in (1, -1))
    return ImageSignature(bits, thumb.tobytes(), gray.tobytes() if keep_gray else None, mirrored)


def _bits(low: NDArray[np.float32]) -> int:
    middle = np.partition(low, 32)[31:33].max()
    return int(np.packbits(low >= middle).view(">u8")[0])


def near_duplicates(signatures: Sequence[ImageSignature]) -> list[list[int]]:
    """Return groups of positions of images that look the same, each group and the groups in ascending order.

    Two images count when their hashes differ in 7 bits at most, and their thumbnails by 6 levels at most (root mean
    square). Members are linked in pairs: the first and the last of a group may differ by more. Nearly empty images are
    left out.

    Pairs are compared in blocks, but for those that are in one group already: many that look alike are soon one group.
    """
    sums, squares = np.zeros((2, len(signatures)), np.int64)
    for first in range(0, len(signatures), _COLUMNS):
        part = slice(first, first + _COLUMNS)
        thumbs = _thumbs(signatures[part])
        sums[part], squares[part] = thumbs.sum(axis=1), np.einsum("ij,ij->i", thumbs, thumbs, dtype=np.int64)
    drawn = np.flatnonzero(_NUM_LEVELS * squares - sums**2 >= (_NUM_LEVELS * MIN_CONTRAST) ** 2)
    # Thumbnails differ by at least as much as their means: of images by brightness, near duplicates are not far apart.
    order = drawn[np.argsort(sums[drawn], kind="stable")]
    sums = sums[order]
    bits = np.array([signatures[at].hash for at in order], np.uint64)
    group = np.arange(len(order))

    def thumbs_of(places: _Positions) -> NDArray[np.uint8]:
        return _thumbs([signatures[at] for at in order[places]])

    for first in range(0, len(order), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(order)))
        end = int(np.searchsorted(sums, sums[rows[-1]] + MAX_LEVELS * _NUM_LEVELS, side="right"))
        for start in range(first, end, _COLUMNS):
            columns = np.arange(start, min(start + _COLUMNS, end))
            if (group[rows] == group[first]).all():
                columns = columns[group[columns] != group[first]]
            _join(group, *_alike(rows, columns, group, bits, thumbs_of))
    found: dict[int, list[int]] = {}
    for at, number in zip(order.tolist(), group.tolist(), strict=True):
        found.setdefault(number, []).append(at)
    return sorted(sorted(members) for members in found.values() if len(members) > 1)


def mirror_twins(signatures: Sequence[ImageSignature]) -> list[list[int]]:
    """Return pairs of positions, in ascending order: an image, and one that looks the same when mirrored left to right.

    The bounds are those of `near_duplicates`. Of images that look the same as they are, the first stands for all. Of
    more than 20,000 images none are looked for, as that would take longer than to read them.
    """
    if len(signatures) > MAX_MIRRORED:
        return []
    turned = [ImageSignature(each.mirrored_hash, _mirrored(each.thumb)) for each in signatures]
    found: set[tuple[int, ...]] = set()
    for group in near_duplicates([*signatures, *turned]):
        upright = {at for at in group if at < len(signatures)}
        mirrored = {at - len(signatures) for at in group if at >= len(signatures)} - upright
        if upright and mirrored:
            found.add(tuple(sorted((min(upright), min(mirrored)))))
    return [list(pair) for pair in sorted(found)]


def _mirrored(thumb: bytes) -> bytes:
    return np.frombuffer(thumb, np.uint8).reshape(THUMB_SIDE, THUMB_SIDE, 3)[:, ::-1].tobytes()


def _thumbs(signatures: Sequence[ImageSignature]) -> NDArray[np.uint8]:
    """Return the thumbnails of some, N x 768. In one array those of a large set would fill memory a second time."""
    return np.frombuffer(b"".join(each.thumb for each in signatures), np.uint8).reshape(len(signatures), _NUM_LEVELS)


def _alike(
    rows: _Positions,
    columns: _Positions,
    group: _Positions,
    bits: NDArray[np.uint64],
    thumbs_of: Callable[[_Positions], NDArray[np.uint8]],
) -> tuple[_Positions, _Positions]:
    """Return the pairs of a row and a column, as two arrays, that look the same and are not yet in one group."""
    chosen = np.bitwise_count(bits[rows, None] ^ bits[columns]) <= MAX_BITS
    chosen &= group[rows, None] != group[columns]
    rows_left, columns_left = chosen.any(axis=1), chosen.any(axis=0)
    rows, columns, chosen = rows[rows_left], columns[columns_left], chosen[np.ix_(rows_left, columns_left)]
    # Around 128, all sums of products of two thumbnails are whole numbers below 2^24, which float32 holds exactly.
    one, other = (thumbs_of(each).astype(np.float32) - 128 for each in (rows, columns))
    lengths = [np.square(each).sum(axis=1).astype(np.float64) for each in (one, other)]
    most = MAX_LEVELS**2 * _NUM_LEVELS
    chosen &= one @ other.T >= (lengths[0][:, None] + lengths[1] - most) / 2  # |a - b|^2 = a.a + b.b - 2 a.b <= most
    row, column = np.nonzero(chosen)
    return rows[row], columns[column]


def _join(group: _Positions, one: _Positions, other: _Positions) -> None:
    """Put the two images of each pair in one group, in place; a group's number is its least position."""
    while (group[one] != group[other]).any():
        low, high = np.minimum(group[one], group[other]), np.maximum(group[one], group[other])
        np.minimum.at(group, high, low)
        while (group[group] != group).any():
            group[:] = group[group]
