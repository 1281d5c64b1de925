"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same differentiable augmentations on reals and on fakes.

What the discriminator sees is augmented in its own step and in the generator's, so the generator does not learn them.
Draws are made anew for each image and call; images are B x 3 x S x S in [-1, 1] and are not clipped afterwards.
"""

import numpy as np
import torch
from torch import Tensor

from augment.errors import UsageError
from smallgan.tables.methods import Fill


def parse_diffaugment(text: str) -> tuple[str, ...]:
    """Return ("translation", "cutout") for "translation,cutout", () for "none". Raises UsageError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    unknown = [name for name in names if name not in _OPERATIONS]
    if unknown:
        raise UsageError(f"diffaugment: found {unknown[0]!r}, needed some of {', '.join(_OPERATIONS)}, or none")
    return names


def diffaugment(
    images: Tensor,
    names: tuple[str, ...],
    draws: np.random.Generator,
    fill: Fill = "zero",
    probability: float | Tensor = 1.0,
) -> Tensor:
    """Return augmented images of the same shape.

    Args:
        images: B x 3 x S x S in [-1, 1].
        names: operations, in their order.
        draws: gives the numbers, the same on every device.
        fill: what a translation leaves behind: zeros (gray, as published), or the image mirrored at its edge.
        probability: of each image to go through all the operations and not through none; a scalar on the device of
            the images is never read by the host.
    """
    augmented = images
    for name in names:
        augmented = _OPERATIONS[name](augmented, draws, fill)
    if isinstance(probability, float) and probability == 1:
        return augmented
    # Drawn last, so that an image that is augmented looks as it would with a probability of 1.
    return torch.where(chosen(images, draws, probability), augmented, images)


def chosen(images: Tensor, draws: np.random.Generator, probability: float | Tensor) -> Tensor:
    """Return for each image whether it is chosen with this probability: bool B x 1 x 1 x 1 on the images' device."""
    return _uniform(images, draws, 0.0, 1.0) < probability


def _color(images: Tensor, draws: np.random.Generator, _fill: Fill) -> Tensor:
    """Brightness +U(-0.5, 0.5), saturation x U(0, 2) about each pixel's mean, contrast x U(0.5, 1.5)."""
    images = images + _uniform(images, draws, -0.5, 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * _uniform(images, draws, 0.0, 2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, draws, 0.5, 1.5)


def _translate(images: Tensor, draws: np.random.Generator, fill: Fill) -> Tensor:
    side = images.shape[-1]
    reach = side // 8
    shifts = torch.from_numpy(draws.integers(-reach, reach + 1, (2, len(images)))).to(images.device)
    places = torch.arange(side, device=images.device)
    rows, columns = (places + shift[:, None] for shift in shifts)  # B x S: where each place is read from
    if fill == "reflect":
        rows, columns = (_reflected(each, side - 1) for each in (rows, columns))
    inside = _within(rows, side)[:, None, :, None] & _within(columns, side)[:, None, None, :]
    numbers = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        numbers, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]
    ]
    return moved.permute(0, 3, 1, 2) * inside


def _cut_out(images: Tensor, draws: np.random.Generator, _fill: Fill) -> Tensor:
    side = images.shape[-1]
    half = side // 4
    centres = torch.from_numpy(draws.integers(0, side + 1, (2, len(images)))).to(images.device)
    places = torch.arange(side, device=images.device)
    rows, columns = ((places >= centre[:, None] - half) & (places < centre[:, None] + half) for centre in centres)
    kept: Tensor = images * ~(rows[:, None, :, None] & columns[:, None, None, :])
    return kept


def _uniform(images: Tensor, draws: np.random.Generator, low: float, high: float) -> Tensor:
    numbers = draws.uniform(low, high, (len(images), 1, 1, 1)).astype(np.float32)
    return torch.from_numpy(numbers).to(images.device)


def _reflected(places: Tensor, last: int) -> Tensor:
    """Return places mirrored at 0 and at the last, which are not repeated: -1 -> 1, last + 1 -> last - 1."""
    return last - (last - places.abs()).abs()


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


_OPERATIONS = {"color": _color, "translation": _translate, "cutout": _cut_out}
