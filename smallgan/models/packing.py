"""Packing (Lin et al. 2018, PacGAN, arXiv:1712.04086): a discriminator judges m images at once, all real or all fake.

Their channels are joined, so only the layers that take an image grow. A generator that makes few kinds of images is
then found out by packs that are too much alike.
"""

from itertools import chain

import torch
from torch import Tensor, nn


def packed(images: Tensor, count: int) -> Tensor:
    """Return B / m x m C x H x W for images B x C x H x W and m = `count`, which divides B: m rows after each other."""
    return images if count == 1 else images.unflatten(0, (-1, count)).flatten(1, 2)


def widen(discriminator: nn.Module, count: int, draws: torch.Generator) -> None:
    """Let the layers that take an image take `count` of them, joined by their channels.

    The first part of a weight is what it was, the others are drawn, normal and as large; all are divided by the root
    of `count`, so that maps are as large as before.
    """
    if count == 1:
        return
    ordered = getattr(discriminator, "ordered_layers", None)
    parts = ordered[0] if ordered else [discriminator]
    layers = [each for each in chain.from_iterable(part.modules() for part in parts) if _takes_maps(each)]
    inputs = _inputs(layers[0])
    # The skip path of a first block takes the image too; where a network does not tell its first block, there is none.
    for layer in [each for each in layers if _inputs(each) == inputs] if ordered else layers[:1]:
        weight: Tensor = layer.weight.detach()
        more = [torch.randn(weight.shape, generator=draws) * weight.std() for _ in range(count - 1)]
        layer.weight = nn.Parameter(torch.cat([weight, *more], dim=1) / count**0.5)
        name = "in_channels" if isinstance(layer, nn.Conv2d) else "in_features"
        setattr(layer, name, count * getattr(layer, name))


def _takes_maps(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | nn.Linear)


def _inputs(layer: nn.Module) -> int:
    return layer.weight.shape[1]  # type: ignore[index,return-value]
