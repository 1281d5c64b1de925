"""What a trainer and a sampler may expect of a network."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Generator(Protocol):
    """Latents to images."""

    z_dim: int
    """Z, length of a latent."""
    size: int
    """S, side of the images in pixels."""

    def __call__(self, z: Tensor) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z."""


@runtime_checkable
class Discriminator(Protocol):
    """Images to raw scores: no sigmoid, higher means more real."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return scores B for images B x 3 x S x S in [-1, 1]."""
