"""A BigGAN opened for other classes than its own, and a discriminator for one that has none."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from smallgan.models.biggan import BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.models.spectral import SpectralEmbedding


def reclass(
    generator: BigGANGenerator, discriminator: BigGANDiscriminator | None, rows: Callable[[Tensor], Tensor]
) -> None:
    """Give both networks tables of other classes: `rows` makes a new table K' x V of equal rows of one K x V."""
    if generator.config.shared_dim:
        generator.shared = nn.Embedding.from_pretrained(rows(generator.shared.weight), freeze=False)
        count = len(generator.shared.weight)
    else:
        for norm in generator.norms:
            for name in norm.layer_names:
                table = rows(cast(nn.Embedding, getattr(norm, name)).weight)
                setattr(norm, name, nn.Embedding.from_pretrained(table, freeze=False))
                count = len(table)
    generator.config, generator.num_classes = replace(generator.config, num_classes=count), count
    if discriminator is None:
        return
    table = rows(discriminator.embed.weight)
    embed = SpectralEmbedding(*table.shape, eps=discriminator.config.sn_eps)
    with torch.no_grad():
        embed.weight.copy_(table)
        embed.u0.fill_(1.0)  # equal rows have this singular vector
    discriminator.embed, discriminator.config = embed, replace(discriminator.config, num_classes=count)


def fresh_discriminator(generator: BigGANGenerator, draws: torch.Generator) -> BigGANDiscriminator:
    """Return a discriminator for a generator's images and classes, with weights drawn from `draws`."""
    discriminator = BigGANDiscriminator(generator.config)
    initialize(discriminator, draws)
    return discriminator
