"""Consistency (Zhang et al. 2020, arXiv:1910.12027; Zhao et al. 2021, arXiv:2002.04724): scores stay under changes.

The changes T are the paper's: half of the images are mirrored, each is shifted by up to an eighth of its side, and what
it leaves behind is mirrored at the edge.
"""

from typing import cast

import torch
from torch import Tensor, nn

from smallgan.core.draws import Draw
from smallgan.core.rng import Stream, rng
from smallgan.tables.regularizers import ConsistencyOptions
from smallgan.training.diffaugment import diffaugment
from smallgan.training.step import StepContext


class Consistency:
    """E (D(T(x)) - D(x))^2, and of fakes too where the options say so.

    With DiffAugment T(x) is augmented by draws of its own, so scores are to stay under that too.
    """

    def __init__(self, options: ConsistencyOptions, _network: nn.Module, _draws: torch.Generator) -> None:
        """Nothing is kept between steps."""
        self.fakes = options.fakes

    def __call__(self, context: StepContext) -> Tensor:
        """Return the penalty, a scalar with a graph to the discriminator's weights."""
        real, fake = context.draws(_changes(context.position, len(context.real), context.seed))
        scored = context.score(changed(context.real, real))
        penalty = (scored - cast(Tensor, context.real_scores)).square().mean()
        if self.fakes:
            scored = context.score(changed(context.fake.to(context.real.dtype), fake))
            penalty = penalty + (scored - context.fake_scores).square().mean()
        return penalty

    def planned(self, position: int, batch_size: int, seed: int) -> list[Draw]:
        """Return what decides the changes in a discriminator step."""
        return [_changes(position, batch_size, seed)]


def changed(images: Tensor, numbers: Tensor) -> Tensor:
    """Return images B x C x S x S mirrored and shifted, as numbers B x 3 from 0 to 1 say."""
    reach = images.shape[-1] // 8
    mirrored = torch.where(numbers[:, 2, None, None, None] < 0.5, images.flip(3), images)
    shifts = (numbers[:, :2] * (2 * reach + 1)).floor().long() - reach
    return diffaugment(mirrored, ("translation",), [shifts], "reflect")


def _changes(position: int, count: int, seed: int) -> Draw:
    address = Stream.CONSISTENCY, position
    return Draw((*address, count), lambda: tuple(rng(seed, *address).random((2, count, 3), dtype="float32")))
