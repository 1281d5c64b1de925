"""What a trainer and a sampler may expect of a network."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Modulate = Callable[[int, Tensor, Tensor], Tensor]
"""(number of the conditional batch norm, normalised maps B x C x H x W, condition B x V) -> modulated maps."""
Adjust = Callable[[Tensor], Tensor]  # First map B x C x 4 x 4 -> the map that goes on


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


class AcrossBatch(nn.Module):
    """A layer that makes of an image something that depends on the others of its batch, as batch norm does."""


OrderedLayers = Sequence[Sequence[nn.Module]]


class HasOrderedLayers(Protocol):
    """A network that tells its layers in their order, so that some of them can be frozen."""

    @property
    def ordered_layers(self) -> OrderedLayers:
        """The layers, from the latent (a generator) or from the image (a discriminator) on; without class tables."""


class HasNorms(HasOrderedLayers, Protocol):
    """A generator that tells what scales and shifts its maps."""

    @property
    def norm_layers(self) -> Sequence[nn.Module]:
        """Its normalisations in the order in which maps pass them."""

    @property
    def class_table(self) -> nn.Embedding | None:
        """The class vectors, one a row, None where it has none."""


class HasMaps(Protocol):
    """A discriminator that shows what it makes of an image before it is scored."""

    map_channels: int
    """C of the maps."""

    def maps(self, images: Tensor) -> Tensor:
        """Return maps B x C x 8 x 8 of images B x 3 x S x S in [-1, 1]."""


class ConditionalNorm(nn.Module, ABC):
    """A batch norm whose gain and bias are made from a condition: x_hat (1 + gain(condition)) + bias(condition)."""

    channels: int
    """C"""
    condition: int
    """V, length of the condition."""
    layer_names: tuple[str, ...] = ("gain", "bias")
    """Attributes with the layers that make the gain, less 1, and the bias."""

    @abstractmethod
    def normalize(self, hidden: Tensor) -> Tensor:
        """Return normalised maps x_hat, B x C x H x W."""

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains (the 1 included) and biases, B x C x 1 x 1 each, for conditions B x V."""
        gain, bias = (getattr(self, name)(condition)[:, :, None, None] for name in self.layer_names)
        return 1 + gain, bias

    def forward(self, hidden: Tensor, condition: Tensor, modulate: Modulate | None = None, number: int = 0) -> Tensor:
        """Return modulated maps B x C x H x W for a condition B x V (or labels B), by `modulate` where it is given."""
        if modulate is not None:
            return modulate(number, self.normalize(hidden), condition)
        gain, bias = self.modulation(condition)
        return self.normalize(hidden) * gain + bias


class Adaptable(nn.Module, ABC):
    """A `Generator` that an adapter can be fitted to."""

    z_dim: int
    size: int
    num_classes: int
    class_dim: int
    """Length of a class vector; 0: none. With classes and without class vectors no adapter can be fitted."""
    first_channels: int
    """Channels of the 4 x 4 map."""
    can_recompute = False
    """Whether it is made of blocks that `recompute` is for."""
    recompute = False
    """Keep what lies between the blocks alone, and make the maps inside them anew for the gradients."""

    def through(self, block: nn.Module, *inputs: Any) -> Tensor:
        """Return what a block makes of its inputs, to be made anew for the gradients where `recompute` says so."""
        if not (self.recompute and torch.is_grad_enabled()):
            return cast(Tensor, block(*inputs))
        return cast(Tensor, checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z and labels B (int64; None: all of class 0)."""
        if labels is None:
            labels = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        return self.synthesize(z, self.class_vectors(labels))

    @abstractmethod
    def synthesize(
        self, z: Tensor, class_vectors: Tensor, modulate: Modulate | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """Return images for latents B x Z and class vectors B x class_dim.

        `modulate` takes the place of every conditional batch norm's own gain and bias, `adjust` sees the first map
        B x C x 4 x 4: this is where adapters come in.
        """

    @abstractmethod
    def class_vectors(self, labels: Tensor) -> Tensor:
        """Return the class vectors B x class_dim of labels B."""

    @property
    @abstractmethod
    def norms(self) -> Sequence[ConditionalNorm]:
        """The conditional batch norms, in the order in which `modulate` numbers them."""

    @property
    @abstractmethod
    def first_layer(self) -> nn.Module:
        """The layer that makes the 4 x 4 map."""
