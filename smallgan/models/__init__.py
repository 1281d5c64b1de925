"""Networks: DCGAN, BigGAN, and the protocols they fulfil."""

from __future__ import annotations

from smallgan.models.base import Discriminator, Generator
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator
from smallgan.models.dcgan import DCGANDiscriminator, DCGANGenerator

__all__ = [
    "BigGANConfig",
    "BigGANDiscriminator",
    "BigGANGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "Generator",
]
