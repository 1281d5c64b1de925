"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same differentiable augmentations on reals and on fakes.

What the discriminator sees is augmented in its own step and in the generator's, so the generator does not learn them.
Draws are made anew for each image and call; images are B x 3 x S x S in [-1, 1] and are not clipped afterwards.
"""

import numpy as np
import torch
from torch import Tensor

from augment.errors import UsageError


def parse_diffaugment(text: str) -> tuple[str, ...]:
    """Return ("translation", "cutout") for "translation,cutout", () for "none". Raises UsageError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    unknown = [name for name in names if name not in _OPERATIONS]
    if unknown:
        raise UsageError(f"diffaugment: found {unknown[0]!r}, needed some of {', '.join(_OPERATIONS)}, or none")
    return names


def diffaugment(images: Tensor, names: tuple[str, ...], draws: np.random.Generator) -> Tensor:
    """Return augmented images of the same shape; `draws` gives the numbers, the same on every device."""
    for name in names:
        images = _OPERATIONS[name](images, draws)
    return images


def _color(images: Tensor, draws: np.random.Generator) -> Tensor:
    """Brightness +U(-0.5, 0.5), saturation x U(0, 2) about each pixel's mean, contrast x U(0.5, 1.5)."""
    images = images + _uniform(images, draws, -0.5, 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * _uniform(images, draws, 0.0, 2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, draws, 0.5, 1.5)


def _translate(images: Tensor, draws: np.random.Generator) -> Tensor:
    side = images.shape[-1]
    reach = side // 8
    shifts = torch.from_numpy(draws.integers(-reach, reach + 1, (2, len(images)))).to(images.device)
    places = torch.arange(side, device=images.device)
    rows, columns = (places + shift[:, None] for shift in shifts)  # B x S: where each place is read from
    inside = _within(rows, side)[:, None, :, None] & _within(columns, side)[:, None, None, :]
    numbers = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        numbers, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]
    ]
    return moved.permute(0, 3, 1, 2) * inside


def _cut_out(images: Tensor, draws: np.random.Generator) -> Tensor:
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


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


_OPERATIONS = {"color": _color, "translation": _translate, "cutout": _cut_out}
