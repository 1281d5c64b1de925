"""Distance consistency (Ojha et al. 2021, arXiv:2104.06820, equation 3): images differ as their twins do.

Where we differ from the released code: the latents are as many as a batch has, where it takes four, as batch norms
need a batch; the sum over the others and the mean over the batch, so its weight of 1,000 is 1,000 / 3 here; the levels
of our networks, each of which is one map where StyleGAN2 has two.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from smallgan.core.draws import Draw
from smallgan.core.rng import Stream, rng
from smallgan.models.levels import levels
from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.regularizers.twins import Twins, cosines
from smallgan.training.step import StepContext


class DistanceConsistency:
    """KL of how alike an image and the others of its batch are, the source's to the trained generator's."""

    def __init__(
        self, _options: RegularizerOptions, network: nn.Module, _draws: torch.Generator, source: nn.Module
    ) -> None:
        self.levels, self.twins = levels(network)[1:], Twins(source)

    def planned(self, position: int, batch_size: int, seed: int) -> list[Draw]:
        """Return the latents of a discriminator or generator step, and the level of each image."""
        return [*self.twins.planned(position, batch_size, seed), self._levels(position, batch_size, seed)]

    def _levels(self, position: int, batch_size: int, seed: int) -> Draw:
        def make() -> tuple[NDArray[np.int64]]:
            return (rng(seed, Stream.TWIN_LEVELS, position).integers(len(self.levels), size=batch_size),)

        return Draw((Stream.TWIN_LEVELS, position, batch_size), make)

    def __call__(self, context: StepContext) -> Tensor:
        """Return the divergence, a scalar; each image has a level of its own, drawn by the step."""
        target, source = self.twins.maps(context, self.levels)
        (chosen,) = context.draws(self._levels(context.position, len(context.labels), context.seed))
        return distance_consistency(target, source, chosen)


def distance_consistency(target: list[Tensor], source: list[Tensor], chosen: Tensor) -> Tensor:
    """Return the mean over images i of sum_j p_s log(p_s / p_t), p = softmax over j != i of cosines of whole maps.

    Args:
        target, source: maps B x C x H x W of the same latents, one a level; the gradient is the target's alone.
        chosen: the level of each image, int64 B.
    """
    of_target, of_source = (_similarities(maps, chosen) for maps in (target, [each.detach() for each in source]))
    return F.kl_div(of_target, of_source, reduction="batchmean", log_target=True)


def _similarities(maps: list[Tensor], chosen: Tensor) -> Tensor:
    """Return the logarithms of the softmax, B x (B - 1), over the other images of the batch."""
    count = len(chosen)
    every = torch.stack([cosines(one, one) for one in maps])  # levels x B x B
    each = every.gather(0, chosen[None, :, None].expand(1, -1, count))[0]
    # Behind the first number the diagonal is every (B + 1)-th: so it is left out without waiting for a GPU
    others = each.flatten()[1:].view(count - 1, count + 1)[:, :-1]
    return torch.log_softmax(others.reshape(count, count - 1), dim=1)
