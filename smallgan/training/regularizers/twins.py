"""The same latents through the trained generator and through the source that it started from, and what both made."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smallgan.core.draws import Draw, normal_draw
from smallgan.core.rng import Stream, rng
from smallgan.models.base import Generator
from smallgan.models.levels import levels, recorded
from smallgan.training.step import StepContext


class Twins:
    """Fresh latents of a step, N(0, I), and what the source makes of them. It has no weights and no state.

    Args:
        source: the generator before the first step, frozen, in eval mode; it is sampled by its own moments.
        latents_from, levels_from: streams of the draws, which the two networks do not share.
    """

    def __init__(
        self,
        source: nn.Module,
        latents_from: Stream = Stream.TWIN_LATENTS,
        levels_from: Stream = Stream.TWIN_LEVELS,
    ) -> None:
        self.source = cast(Generator, source)
        self.latents_from, self.levels_from = latents_from, levels_from
        self.levels = levels(source)[1:]  # the 4 x 4 map is never compared

    def planned(self, position: int, batch_size: int, seed: int) -> list[Draw]:
        """Return the latents of a discriminator or generator step."""
        return [normal_draw(seed, self.latents_from, position, (batch_size, self.source.z_dim))]

    def latents(self, context: StepContext) -> Tensor:
        """Return the latents B x Z of a step."""
        return context.draws(self.planned(context.position, len(context.labels), context.seed)[0])[0]

    def images(self, z: Tensor, context: StepContext) -> Tensor:
        """Return the source's images B x 3 x S x S of latents, with the labels of the step's fakes."""
        with torch.no_grad(), context.autocast():
            return self.source(z, context.labels) if self.source.num_classes else self.source(z)

    def drawn_level(self, context: StepContext, count: int) -> int:
        """Return the number of a level from 0 to `count` - 1, drawn by the step."""
        return int(rng(context.seed, self.levels_from, context.position).integers(count))

    def maps(self, context: StepContext, trained: list[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what the levels `trained` of the generator and those of the source make of a step's latents."""
        z = self.latents(context)
        with recorded(trained) as target:
            context.generate(z)
        with recorded(self.levels) as source:
            self.images(z, context)
        return target, source


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosines N x M of the angles between whole maps N x C x H x W and M x C x H x W, in float32."""
    left, right = (F.normalize(maps.flatten(1).float(), dim=1) for maps in (one, other))
    return left @ right.T
