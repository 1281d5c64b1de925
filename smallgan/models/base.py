"""What a trainer and a sampler may expect of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

Modulate = Callable[[int, Tensor, Tensor], Tensor]
"""(number of the conditional batch norm, normalised maps B x C x H x W, condition B x V) -> modulated maps."""


@runtime_checkable
class Generator(Protocol):
    """Latents to images."""

    z_dim: int
    """Z, length of a latent."""
    size: int
    """S, side of the images in pixels."""
    num_classes: int
    """0: the generator takes latents alone."""

    def __call__(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z and labels B (None: class 0)."""


@runtime_checkable
class Discriminator(Protocol):
    """Images to raw scores: no sigmoid, higher means more real."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return scores B for images B x 3 x S x S in [-1, 1]."""


@runtime_checkable
class ConditionalNorm(Protocol):
    """A batch norm whose gain and bias are made from a condition."""

    channels: int
    """C"""
    condition: int
    """V, length of the condition."""

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains (the 1 included) and biases, B x C x 1 x 1 each, for conditions B x V."""


@runtime_checkable
class Adaptable(Protocol):
    """A pretrained class-conditional generator that an adapter can be fitted to."""

    z_dim: int
    size: int
    num_classes: int

    def __call__(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z and labels B (None: class 0)."""

    def synthesize(
        self,
        z: Tensor,
        class_vectors: Tensor,
        modulate: Modulate | None = None,
        adjust: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return images; `modulate` stands in for the gains and biases, `adjust` sees the first map B x C x 4 x 4."""

    def class_vectors(self, labels: Tensor) -> Tensor:
        """Return the class vectors B x class_dim of labels B."""

    @property
    def class_dim(self) -> int:
        """Length of a class vector; 0: none, so no adapter can be fitted."""

    @property
    def norms(self) -> Sequence[ConditionalNorm]:
        """The conditional batch norms, in the order in which `modulate` numbers them."""

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that makes the 4 x 4 map."""

    @property
    def first_channels(self) -> int:
        """Channels of the 4 x 4 map."""
