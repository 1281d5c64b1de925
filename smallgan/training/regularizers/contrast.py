"""Dual contrastive learning (Zhao et al. 2022, arXiv:2205.03805): an image stays recognisable as its source twin.

The paper's training code was never released; temperature and weights are those of a public re-implementation, and one
level is drawn a step. Where we differ: the latents are fresh ones, not those of the adversarial terms; of a
class-conditional generator an image is told from those of its own class, as the class would tell it otherwise.
"""

import torch
from torch import Tensor, nn

from smallgan.core.rng import Stream
from smallgan.models.levels import levels, recorded
from smallgan.tables.regularizers import DContrastOptions, GContrastOptions
from smallgan.training.regularizers.twins import Twins, cosines
from smallgan.training.step import StepContext


class GContrast:
    """The generator's maps of a latent are nearer to the source's of the same latent than to those of others."""

    def __init__(
        self, options: GContrastOptions, network: nn.Module, _draws: torch.Generator, source: nn.Module
    ) -> None:
        self.options, self.levels, self.twins = options, levels(network)[1:], Twins(source)
        self.planned = self.twins.planned

    def __call__(self, context: StepContext) -> Tensor:
        """Return the contrast at one level, a scalar with a gradient to the generator."""
        level = self.twins.drawn_level(context, len(self.levels))
        target, source = self.twins.maps(context, self.levels)
        alike = cosines(target[level], source[level].detach()) / self.options.temperature
        others = _same(context.labels, context.labels) & ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
        return contrast(alike.diagonal(), alike, others, with_positive=self.options.twin_in_sum)


class DContrast:
    """The discriminator's maps of a fake are nearer to those of its source twin than to those of real images."""

    def __init__(
        self, options: DContrastOptions, network: nn.Module, _draws: torch.Generator, source: nn.Module
    ) -> None:
        self.options, self.levels = options, levels(network)
        self.twins = Twins(source, Stream.D_TWIN_LATENTS, Stream.D_TWIN_LEVELS)
        self.planned = self.twins.planned

    def __call__(self, context: StepContext) -> Tensor:
        """Return the contrast at one level, a scalar with a gradient to the discriminator."""
        level = self.twins.drawn_level(context, len(self.levels))
        z = self.twins.latents(context)
        with torch.no_grad():
            fake = context.generate(z)
        maps: list[Tensor] = []
        for images in (fake, self.twins.images(z, context), context.real):
            with recorded(self.levels[level : level + 1]) as made, context.autocast():
                context.score(images)
            maps += made
        to_twin, to_real = (cosines(maps[0], other) / self.options.temperature for other in maps[1:])
        return contrast(to_twin.diagonal(), to_real, _same(context.labels, context.labels))


def contrast(positive: Tensor, negatives: Tensor, counted: Tensor, *, with_positive: bool = True) -> Tensor:
    """Return InfoNCE, the mean over images of -log(e^p / (e^p + sum over counted j of e^n_j)).

    Args:
        positive: p of N images.
        negatives: n, N x M.
        counted: which of these are counted, bool N x M.
        with_positive: have e^p in the sum; without it the value may be negative, and an image without a counted
            negative does not count.
    """
    if with_positive:
        rest = negatives.masked_fill(~counted, -torch.inf)
        return (torch.cat([positive[:, None], rest], dim=1).logsumexp(dim=1) - positive).mean()
    has_some = counted.any(dim=1)
    rest = negatives.masked_fill(~counted & has_some[:, None], -torch.inf)  # a row of -inf alone has no gradient
    found = torch.where(has_some, rest.logsumexp(dim=1) - positive, 0.0)
    return found.sum() / has_some.sum().clamp(min=1)


def _same(labels: Tensor, others: Tensor) -> Tensor:
    return labels[:, None] == others[None]
