"""R2 (Mescheder et al. 2018, arXiv:1801.04406, equation 9): the discriminator's gradient at fakes."""

import torch
from torch import Tensor, nn

from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.regularizers.r1 import squared_slopes
from smallgan.training.step import StepContext


class R2:
    """1/2 E |grad D(g)|^2, the gradient taken at the fakes before DiffAugment."""

    def __init__(self, _options: RegularizerOptions, _network: nn.Module, _draws: torch.Generator) -> None:
        """Nothing is kept between steps."""

    def __call__(self, context: StepContext) -> Tensor:
        """Return the penalty, a scalar with a graph to the discriminator's weights."""
        return squared_slopes(context.score, context.fake.to(context.real.dtype)).mean() / 2
