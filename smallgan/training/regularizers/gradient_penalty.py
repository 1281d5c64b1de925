"""The gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, equation 3): slopes of 1 between reals and fakes."""

import torch
from torch import Tensor, nn

from smallgan.core.draws import Draw
from smallgan.core.rng import Stream, rng
from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.regularizers.r1 import squared_slopes
from smallgan.training.step import StepContext

_LEAST = 1e-12  # Of a squared slope: its root has no gradient at 0


class GradientPenalty:
    """E (|grad D(y)| - 1)^2 at y = e x + (1 - e) g, e uniform from 0 to 1 for each real and its fake."""

    def __init__(self, _options: RegularizerOptions, _network: nn.Module, _draws: torch.Generator) -> None:
        """Nothing is kept between steps."""

    def __call__(self, context: StepContext) -> Tensor:
        """Return the penalty, a scalar with a graph to the discriminator's weights."""
        real, scored = context.real, len(context.fake_scores)
        (shares,) = context.draws(_shares(context.position, len(real), context.seed))
        # Images that are scored together lie on one line
        shares = shares[:scored].repeat_interleave(len(real) // scored)[:, None, None, None]
        between = torch.lerp(context.fake.to(real.dtype), real, shares.to(real.dtype))
        slopes = squared_slopes(context.score, between).clamp_min(_LEAST).sqrt()
        return (slopes - 1).square().mean()

    def planned(self, position: int, batch_size: int, seed: int) -> list[Draw]:
        """Return the shares of reals in a discriminator step."""
        return [_shares(position, batch_size, seed)]


def _shares(position: int, count: int, seed: int) -> Draw:
    address = Stream.BETWEEN, position
    return Draw((*address, count), lambda: (rng(seed, *address).random(count, dtype="float32"),))
