"""How alike two images look: a perceptual hash finds candidates, small thumbnails decide."""

from collections.abc import Iterator, Sequence
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
MIN_CONTRAST = 6.0
"""Standard deviation of a thumbnail below which an image is so plain that others look like it by chance."""

_KEPT = 8
_BANDS = MAX_BITS + 1  # of 64 / 8 bits: hashes that differ in fewer bits than there are bands agree in one of them
_CHUNK, _SLICE = 1 << 20, 1 << 11  # pairs at once: by hash, and by thumbnail


@dataclass(frozen=True, slots=True)
class ImageSignature:
    """What is remembered of how an image looks."""

    hash: int  # 64 bits that change little when an image is saved again, made smaller or slightly brighter
    thumb: bytes  # The image drawn small: 16 x 16 x 3, each the average of its area. Its shape is lost on purpose
    gray: bytes | None = None  # The gray image at 32 x 32, where it is asked for


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
    middle = np.partition(low, 32)[31:33].max()
    bits = int(np.packbits(low >= middle).view(">u8")[0])
    return ImageSignature(bits, thumb.tobytes(), gray.tobytes() if keep_gray else None)


def near_duplicates(signatures: Sequence[ImageSignature]) -> list[list[int]]:
    """Return groups of positions of images that look the same, each group and the groups in ascending order.

    Two images count when their hashes differ in 7 bits at most, and their thumbnails by 6 levels at most (root mean
    square). Members are linked in pairs: the first and the last of a group may differ by more. Nearly empty images are
    left out.
    """
    bits = np.array([signature.hash for signature in signatures], np.uint64)
    drawn = np.zeros(len(bits), bool)
    for at in range(0, len(bits), _SLICE):
        drawn[at : at + _SLICE] = _thumbs(signatures[at : at + _SLICE]).std(axis=1) >= MIN_CONTRAST
    leader = np.arange(len(bits))
    firsts: dict[ImageSignature, int] = {}  # pairs are looked at among images that differ: equal ones may be many
    for at in np.flatnonzero(drawn).tolist():
        leader[at] = firsts.setdefault(signatures[at], at)
    distinct = np.fromiter(firsts.values(), np.int64)
    for pair in _candidates(bits[distinct]):
        first, second = distinct[pair[0]], distinct[pair[1]]
        chosen = np.bitwise_count(bits[first] ^ bits[second]) <= MAX_BITS
        first, second = first[chosen], second[chosen]
        for at in range(0, len(first), _SLICE):
            one, other = first[at : at + _SLICE], second[at : at + _SLICE]
            apart = leader[one] != leader[other]
            one, other = one[apart], other[apart]
            thumbs, others = (_thumbs([signatures[place] for place in places]) for places in (one, other))
            alike = np.sqrt(np.square(thumbs - others).mean(axis=1)) <= MAX_LEVELS
            for ends in zip(one[alike], other[alike], strict=True):
                low, high = sorted(int(leader[end]) for end in ends)
                leader[leader == high] = low
    groups: dict[int, list[int]] = {}
    for at in np.flatnonzero(np.bincount(leader, minlength=1)[leader] > 1).tolist():
        groups.setdefault(int(leader[at]), []).append(at)
    return list(groups.values())


def _thumbs(signatures: Sequence[ImageSignature]) -> NDArray[np.float32]:
    """Return the thumbnails of some, N x 768. Of all of a large set, as floats, they would fill memory."""
    joined = bytearray().join([signature.thumb for signature in signatures])
    return np.frombuffer(joined, np.uint8).reshape(len(signatures), 3 * THUMB_SIDE**2).astype(np.float32)


def _candidates(bits: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of positions that agree in one of eight bytes, in pieces of bounded size; a pair may come again."""
    for band in range(_BANDS):
        keys = (bits >> np.uint64(8 * band)) & np.uint64(255)
        order = np.argsort(keys, kind="stable")
        _, starts = np.unique(keys[order], return_index=True)
        for members in np.split(order, starts[1:]):
            step = max(1, _CHUNK // max(1, len(members)))
            for at in range(0, len(members), step):
                rows, columns = np.nonzero(np.arange(len(members)) > np.arange(len(members))[at : at + step, None])
                yield members[rows + at], members[columns]
