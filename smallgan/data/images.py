"""The border between pixels (uint8, N x H x W x 3) and images (float32, N x 3 x H x W in [-1, 1]); batches; grids.

Points in the plane pass it as they are: rows N x 1 x 1 x 2 of float32 stand for pixels, N x 2 x 1 x 1 for images.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallgan.core import distributed
from smallgan.core.draws import Draw, Draws, upload
from smallgan.core.memory import free_bytes
from smallgan.core.rng import Stream, rng

Pixels = NDArray[np.uint8]
GPU_SHARE = 0.5  # Most of a GPU's free memory that a set may take; a larger one is copied there batch by batch
LEGIBLE_SIDE = 128  # Pixels of an image that a person can look at in a grid
_CHUNK = 1024  # Images copied to a GPU at a time


def to_images(pixels: Tensor) -> Tensor:
    """Return uint8 N x H x W x 3 as float32 N x 3 x H x W in [-1, 1]: 0 -> -1, 255 -> 1.

    The result lies in channels_last order, which is how pixels lie already: no copy is made for the layout. Points
    (float32) keep their values.
    """
    if pixels.is_floating_point():
        return pixels.permute(0, 3, 1, 2)
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_pixels(images: Tensor) -> Pixels:
    """Return images N x 3 x H x W as uint8 N x H x W x 3, clipped to [-1, 1] and rounded to the nearest level.

    Points, which are images of two channels, keep their values: float32 N x 1 x 1 x 2.
    """
    if images.shape[1] == 2:
        return images.detach().float().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    scaled = images.detach().float().clamp(-1, 1).add(1.0).mul(127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def as_tensor(pixels: Pixels) -> Tensor:
    """Return pixels as a tensor: the same memory where it may be written to, else a copy, as torch asks for."""
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


class PixelRows:
    """Some of the images of an array N x S x S x 3, in any order, without a copy of them."""

    def __init__(self, pixels: Pixels, rows: Sequence[int] | NDArray[np.int64] | None = None) -> None:
        """Take the images at `rows`; None: all."""
        self._pixels = pixels
        self._rows = np.arange(len(pixels)) if rows is None else np.asarray(rows, np.int64)

    def rows(self, rows: Sequence[int] | NDArray[np.int64]) -> "PixelRows":
        """Return some of them."""
        return PixelRows(self._pixels, self._rows[np.asarray(rows, np.int64)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, and the shape of each: R, S, S, 3."""
        return len(self._rows), *self._pixels.shape[1:]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Pixels]:
        return (self[at] for at in range(len(self)))

    def __getitem__(self, at: int | slice) -> Pixels:
        """Return image `at`, S x S x 3, or a copy of several, R x S x S x 3."""
        chosen: Pixels = self._pixels[self._rows[at]]
        return chosen


class LabelledRows(NamedTuple):
    """Some images and their classes."""

    pixels: PixelRows
    """N x S x S x 3"""
    labels: NDArray[np.int64]
    """Class of each, N; all 0 where there are none."""


class Batch(NamedTuple):
    """What a step is taken on."""

    images: Tensor
    """B x 3 x S x S in [-1, 1]"""
    labels: Tensor
    """Class of each, int64 B; all 0 where the set has no classes."""
    indices: Tensor
    """Place of each in the set, int64 B."""


class ImageBatches:
    """A set decoded once and held as uint8; batch n of a run depends on (seed, n) only.

    On a GPU the set is copied there where it fits (`GPU_SHARE`). Wherever it is held, the batches are the same.
    """

    def __init__(
        self,
        pixels: Pixels,
        batch_size: int,
        seed: int,
        device: torch.device,
        labels: NDArray[np.int64] | None = None,
        *,
        balanced: bool = False,
        stream: Stream = Stream.BATCH_ORDER,
        parts: int = 1,
    ) -> None:
        """Hold pixels N x S x S x 3, which may be memory-mapped, and labels N.

        `balanced` draws classes evenly, then an image of each; `stream` is that of the order. Of several ranks each
        gets its rows of every one of the `parts` of a batch, which it is to be split into. Raises UsageError where
        these do not divide among the ranks.
        """
        distributed.share(batch_size // parts)
        self._stream, self.parts = stream, parts
        self.device, self.batch_size, self.seed = device, batch_size, seed
        self.pixels: Tensor | Pixels = torch.from_numpy(pixels) if pixels.flags.writeable else pixels
        """uint8 N x S x S x 3, or points; an array where it is memory-mapped."""
        if device.type != "cpu" and pixels.nbytes <= GPU_SHARE * (free_bytes(device) or 0):
            self.pixels = torch.empty(pixels.shape, dtype=as_tensor(pixels[:1]).dtype, device=device)
            for first in range(0, len(pixels), _CHUNK):
                self.pixels[first : first + _CHUNK] = as_tensor(pixels[first : first + _CHUNK]).to(device)
        self.labels = torch.from_numpy(np.zeros(len(pixels), np.int64) if labels is None else labels).to(device)
        self._classes: list[NDArray[np.int64]] = []
        if balanced and labels is not None:
            self._classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._draws = Draws(device, self._plan)
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of images in the set."""
        return len(self.pixels)

    def first(self, count: int) -> Pixels:
        """Return the first images of the set, or points."""
        held = self.pixels[:count]
        return held.cpu().numpy() if isinstance(held, Tensor) else held

    def batch(self, number: int) -> Batch:
        """Return batch `number`, counted from 0; of several ranks, this one's rows of it.

        The batches walk an endless row of epochs, each its own permutation of the set, so that after e whole epochs
        every image was used e times; a batch may reach over the end of an epoch, and a set may be smaller than a batch.
        Balanced batches are drawn with replacement instead.
        """
        if isinstance(self.pixels, Tensor) and self.pixels.device == self.labels.device:
            self._draws.begin(number)
            (places,) = self._draws(self._places(number))
            taken = self.pixels[places]
        else:
            indices, held = self._indices(number), self.pixels
            rows = held.numpy() if isinstance(held, Tensor) else held
            taken, places = upload([rows[indices], indices], self.device)
        return Batch(to_images(taken), self.labels[places], places)

    def _plan(self, number: int) -> list[Draw]:
        return [self._places(number)]

    def _places(self, number: int) -> Draw:
        return Draw((self._stream, number), lambda: (self._indices(number),))

    def _indices(self, number: int) -> NDArray[np.int64]:
        first = number * self.batch_size
        walked = (self._index(position) for position in range(first, first + self.batch_size))
        whole = np.fromiter(self._drawn(number) if self._classes else walked, np.int64, self.batch_size)
        return distributed.own(whole.reshape(self.parts, -1), axis=1).reshape(-1)

    def _drawn(self, number: int) -> Iterator[int]:
        draws = rng(self.seed, self._stream, number)
        classes = draws.integers(len(self._classes), size=self.batch_size)
        fractions = draws.random(self.batch_size)
        members = (self._classes[drawn] for drawn in classes)
        return (int(own[int(fraction * len(own))]) for own, fraction in zip(members, fractions, strict=True))

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, rng(self.seed, self._stream, epoch).permutation(len(self))
        return int(self._order[place])


def grid(pixels: Sequence[Pixels] | Pixels, columns: int | None = None, gap: int = 2) -> Pixels:
    """Return equal-sized pixels laid out in rows, white between them: one H x W x 3 picture."""
    tiles = np.asarray(pixels)
    count, height, width, _ = tiles.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def enlarged(picture: Pixels, side: int) -> Pixels:
    """Return a picture H x W x 3 of images of `side` px with each pixel as a square, as far as an image has 128 px.

    >>> enlarged(np.zeros((10, 20, 3), np.uint8), 50).shape
    (20, 40, 3)
    """
    factor = max(LEGIBLE_SIDE // side, 1)
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def pairs(above: Pixels, below: Pixels, columns: int = 10) -> Pixels:
    """Return two sets N x S x S x 3 as rows of one picture, each image of the second beneath that of the first."""
    columns = min(columns, len(above))
    rows: list[Pixels] = []
    for first in range(0, len(above), columns):
        for row in (above[first : first + columns], below[first : first + columns]):
            blank = np.full((columns - len(row), *row.shape[1:]), 255, np.uint8)
            rows.extend([*row, *blank])
    return grid(rows, columns=columns)
