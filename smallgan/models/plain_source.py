"""Generators whose normalisations know no condition, such as DCGAN's and FastGAN's, as adapters see them.

An adapter finds a place behind each normalisation: what that layer gives, its own scale and shift included, is scaled
and shifted, or mixed, once more. So Noguchi and Harada (2019) adapt an SNGAN; at the start it changes no bit.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.models.base import Adaptable, Adjust, ConditionalNorm, Modulate


class ScaleShift(ConditionalNorm):
    """What follows a normalisation: maps (1 + gain) + bias, gain and bias of each channel, whatever the condition."""

    layer_names = ()

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.channels, self.condition = channels, condition
        self.gain, self.bias = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def normalize(self, hidden: Tensor) -> Tensor:
        """Return the maps, which are normalised already."""
        return hidden

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains (the 1 included) and biases, B x C x 1 x 1 each, for conditions B x V."""
        shape = (len(condition), self.channels, 1, 1)
        return tuple((each.view(1, -1, 1, 1).expand(shape)) for each in (1 + self.gain, self.bias))  # type: ignore


class PlainSource(Adaptable):
    """A generator of a run, with a place for an adapter behind each of its normalisations.

    The condition of an adapter is z, and behind it the class vector where the generator has classes.

    Args:
        network: in a generator with classes, `synthesize` takes [z, class vector].
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
        found: Any = network
        self.z_dim, self.size, self.num_classes = found.z_dim, found.size, found.num_classes
        self._layers = tuple(getattr(found, "norm_layers", ()))
        table: nn.Embedding | None = getattr(found, "class_table", None)
        self.class_dim = table.embedding_dim if table is not None else 0
        condition = self.z_dim + self.class_dim
        self.places = nn.ModuleList(ScaleShift(len(cast(Tensor, each.weight)), condition) for each in self._layers)
        self.first_channels = self.norms[0].channels if self._layers else 0

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z, and labels B where it has classes."""
        images: Tensor = self.network(z, labels) if self.num_classes else self.network(z)
        return images

    def synthesize(
        self, z: Tensor, class_vectors: Tensor, modulate: Modulate | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """Return images for latents B x Z and class vectors B x class_dim."""
        inputs = torch.cat([z, class_vectors], dim=1) if self.class_dim else z
        with ExitStack() as hooks:
            if adjust is not None:
                hook = partial(_adjusted, adjust)
                hooks.enter_context(self._layers[0].register_forward_pre_hook(hook))
            for number, layer in enumerate(self._layers if modulate is not None else ()):
                placed = partial(_placed, self.norms[number], modulate, number, inputs)
                hooks.enter_context(layer.register_forward_hook(placed))
            made: Tensor = self.network.synthesize(inputs) if self.num_classes else self.network(inputs)
        return made

    def class_vectors(self, labels: Tensor) -> Tensor:
        """Return the class vectors B x class_dim of labels B; without classes they have no numbers."""
        if not self.class_dim:
            return torch.zeros(len(labels), 0, device=labels.device)
        return cast(Tensor, self.network.class_table(labels))

    @property
    def norms(self) -> Sequence[ConditionalNorm]:
        """The places, in the order in which `modulate` numbers them."""
        return cast(Sequence[ConditionalNorm], self.places)

    @property
    def first_layer(self) -> nn.Module:
        """The layer that makes the 4 x 4 map."""
        return cast(nn.Module, self.network.first_layer)


def check_places(generator: Adaptable) -> None:
    """Raise UsageError for a generator without a place for an adapter."""
    if generator.num_classes and not generator.class_dim:
        raise UsageError("this generator has no shared class vector, and BSA and APGC learn one; use finetune")
    if not generator.norms:
        raise UsageError(
            "this generator has no normalisation that BSA or APGC could follow; use a DCGAN, a FastGAN or a BigGAN"
        )


def _adjusted(adjust: Adjust, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (adjust(inputs[0]),)


def _placed(
    place: ConditionalNorm,
    modulate: Modulate | None,
    number: int,
    condition: Tensor,
    _layer: nn.Module,
    _inputs: tuple[Tensor, ...],
    output: Tensor,
) -> Tensor:
    return place(output, condition, modulate, number).to(output.dtype)  # type: ignore[no-any-return]
