"""The regularizers of a recipe at work in an adversarial step: terms of the losses, and limits to the weights."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core import distributed
from smallgan.core.draws import Draw
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Pixels
from smallgan.models.spectral import freeze
from smallgan.tables.dotted import load
from smallgan.tables.recipe import Recipe
from smallgan.tables.regularizers import REGULARIZERS, RegularizerOptions, RegularizerRow
from smallgan.training.latent import Latent
from smallgan.training.step import Limit, Penalty, StepContext


@dataclass(frozen=True)
class Regularizer:
    """One of them."""

    row: RegularizerRow
    every: int
    strength: float
    """Factor of its term, without `every`."""
    act: Any
    """A `Penalty`, or a `Limit` where the row limits weights."""

    @property
    def name(self) -> str:
        """That of its row."""
        return self.row.name


class Regularization:
    """The regularizers that a recipe chooses, built for two networks.

    Args:
        recipe: its sections `regularizers`, `data` and `train` are read.
        networks: generator and discriminator, by these names, on their device.
        pixels: the training images N x S x S x 3, for regularizers that look at them all before training.
        latent: the prior that was fitted to them, for regularizers that need it; None: a standard normal.
    """

    def __init__(
        self,
        recipe: Recipe,
        networks: Mapping[str, nn.Module],
        device: torch.device,
        pixels: Pixels | None,
        latent: Latent | None,
    ) -> None:
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT, 1).integers(2**63)))
        self.seed, self.batch_size = recipe.seed, recipe.train.batch_size
        self.all: list[Regularizer] = []
        source: nn.Module | None = None
        for name, options in recipe.regularizers.chosen().items():
            row = REGULARIZERS[name]
            given: dict[str, Any] = {"pixels": pixels} if row.needs_images else {}
            if row.needs_of_latent == "distances":
                given["latent"] = latent
            if row.needs_source:
                source = source or _frozen(networks["generator"])
                given["source"] = source
            act: Penalty | Limit = load(row.build)(options, networks[row.network], draws, **given)
            if isinstance(act, nn.Module):
                act = act.to(device).to(memory_format=torch.channels_last)
            size, count = recipe.data.size, self.batch_size
            strength = options.strength(size, count) if isinstance(options, RegularizerOptions) else 1.0
            self.all.append(Regularizer(row, options.every, strength, act))

    @property
    def states(self) -> dict[str, nn.Module]:
        """Those with a state, by name: what a checkpoint must hold."""
        return {each.name: each.act for each in self.all if isinstance(each.act, nn.Module)}

    def terms(self, network: str, number: int) -> list[Regularizer]:
        """Return those that add a term to a network's loss in step `number`."""
        return [each for each in self._of_step(network, number) if not each.row.limits_weights]

    def used(self, number: int) -> tuple[str, ...]:
        """Return the names of those that do anything in step `number`."""
        return tuple(each.name for each in self.all if number % each.every == 0)

    def refuse_graphs(self) -> None:
        """Raise UsageError for one whose steps cannot be replayed as CUDA graphs."""
        for each in self.all:
            if each.row.host_decides:
                raise UsageError(
                    f"train.compile cuda-graph: steps with regularizers.{each.name} differ in more than numbers, and "
                    "cannot be replayed; use default, or none"
                )

    def added(self, network: str, loss: Tensor, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss with the terms of this step, and what each of these is without its weight."""
        total, terms = loss, {}
        for each in self.terms(network, context.number):
            terms[each.name] = each.act(context)
            total = total + each.strength * each.every * terms[each.name]
        return total, terms

    def limit(self, network: str, number: int) -> None:
        """Limit a network's weights, after its optimiser's step in step `number`."""
        for each in self._of_step(network, number):
            if each.row.limits_weights:
                each.act()

    def planned(self, number: int, d_steps: int) -> Iterator[Draw]:
        """Yield what the terms of step `number` draw, of all its discriminator steps."""
        positions = {"generator": [number], "discriminator": range(number * d_steps, (number + 1) * d_steps)}
        for network, there in positions.items():
            for each in self.terms(network, number):
                for position in there if hasattr(each.act, "planned") else ():
                    yield from each.act.planned(position, distributed.share(self.batch_size), self.seed)

    def _of_step(self, network: str, number: int) -> Iterator[Regularizer]:
        return (each for each in self.all if each.row.network == network and number % each.every == 0)


def _frozen(generator: nn.Module) -> nn.Module:
    """Return a copy of the generator as it is; no part of a checkpoint, as the source has its weights."""
    source = copy.deepcopy(generator)
    freeze(source)
    return source
