"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same differentiable augmentations on reals and on fakes.

What the discriminator sees is augmented in its own step and in the generator's, so the generator does not learn them.
Numbers are drawn anew for each image and call; images are B x 3 x S x S in [-1, 1] and are not clipped afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallgan.tables.methods import Fill


def draw_numbers(
    names: Sequence[str], draws: np.random.Generator, count: int, side: int, *, with_chances: bool
) -> tuple[NDArray[Any], ...]:
    """Return the numbers by which `diffaugment` augments `count` images of `side` px, arrays with a row for each image.

    `with_chances` where its probability is not 1. They are drawn last, so that an image that is augmented looks as it
    would with a probability of 1.
    """
    numbers = tuple(each for name in names for each in _DRAWN[name](draws, count, side))
    return (*numbers, draw_chances(draws, count)) if with_chances else numbers


def draw_chances(draws: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return a number from 0 to 1 for each image, B x 1 x 1 x 1: it is chosen where it is below a probability."""
    return _uniform(draws, count, 0.0, 1.0)


def diffaugment(
    images: Tensor,
    names: tuple[str, ...],
    numbers: Sequence[Tensor],
    fill: Fill = "zero",
    probability: float | Tensor = 1.0,
) -> Tensor:
    """Return augmented images of the same shape.

    Args:
        images: B x 3 x S x S in [-1, 1].
        names: operations, in their order.
        numbers: of `draw_numbers` for as many images of that side, on their device.
        fill: what a translation leaves behind: zeros (gray, as published), or the image mirrored at its edge.
        probability: of each image to go through all the operations and not through none; a scalar on the device of
            the images is never read by the host.
    """
    augmented, left = images, iter(numbers)
    for name in names:
        augmented = _OPERATIONS[name](augmented, left, fill)
    if isinstance(probability, float) and probability == 1:
        return augmented
    return torch.where(next(left) < probability, augmented, images)


def _color(images: Tensor, numbers: Iterator[Tensor], _fill: Fill) -> Tensor:
    """Brightness +U(-0.5, 0.5), saturation x U(0, 2) about each pixel's mean, contrast x U(0.5, 1.5)."""
    images = images + next(numbers)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * next(numbers)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * next(numbers)


def _translate(images: Tensor, numbers: Iterator[Tensor], fill: Fill) -> Tensor:
    side = images.shape[-1]
    places = torch.arange(side, device=images.device)
    rows, columns = (
        places + shift[:, None] for shift in next(numbers).unbind(1)
    )  # B x S: where each place is read from
    if fill == "reflect":
        rows, columns = (_reflected(each, side - 1) for each in (rows, columns))
    inside = _within(rows, side)[:, None, :, None] & _within(columns, side)[:, None, None, :]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[each, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]]
    return moved.permute(0, 3, 1, 2) * inside


def _cut_out(images: Tensor, numbers: Iterator[Tensor], _fill: Fill) -> Tensor:
    side = images.shape[-1]
    half = side // 4
    places, centres = torch.arange(side, device=images.device), next(numbers)
    rows, columns = (
        (places >= centre[:, None] - half) & (places < centre[:, None] + half) for centre in centres.unbind(1)
    )
    kept: Tensor = images * ~(rows[:, None, :, None] & columns[:, None, None, :])
    return kept


def _uniform(draws: np.random.Generator, count: int, low: float, high: float) -> NDArray[np.float32]:
    return draws.uniform(low, high, (count, 1, 1, 1)).astype(np.float32)


def _colors(draws: np.random.Generator, count: int, _side: int) -> tuple[NDArray[Any], ...]:
    return tuple(_uniform(draws, count, *bounds) for bounds in ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)))


def _shifts(draws: np.random.Generator, count: int, side: int) -> tuple[NDArray[Any], ...]:
    reach = side // 8
    return (draws.integers(-reach, reach + 1, (2, count)).T,)


def _centres(draws: np.random.Generator, count: int, side: int) -> tuple[NDArray[Any], ...]:
    return (draws.integers(0, side + 1, (2, count)).T,)


def _reflected(places: Tensor, last: int) -> Tensor:
    """Return places mirrored at 0 and at the last, which are not repeated: -1 -> 1, last + 1 -> last - 1."""
    return last - (last - places.abs()).abs()


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


_OPERATIONS = {"color": _color, "translation": _translate, "cutout": _cut_out}
_DRAWN: dict[str, Callable[[np.random.Generator, int, int], tuple[NDArray[Any], ...]]]
_DRAWN = {"color": _colors, "translation": _shifts, "cutout": _centres}
