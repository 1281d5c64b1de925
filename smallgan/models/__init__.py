"""Networks. They know nothing of trainers, metrics or files."""

from __future__ import annotations

from smallgan.models.base import Discriminator, Generator
from smallgan.models.dcgan import DCGANDiscriminator, DCGANGenerator

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "Discriminator", "Generator"]
