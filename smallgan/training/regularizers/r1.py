"""R1 (Mescheder et al. 2018, arXiv:1801.04406, equation 9): the discriminator's gradient at real images."""

import torch
from torch import Tensor, nn

from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.step import StepContext


class R1:
    """1/2 E |grad D(x)|^2, the gradient taken at the reals before DiffAugment."""

    def __init__(self, _options: RegularizerOptions, _network: nn.Module, _draws: torch.Generator) -> None:
        """Nothing is kept between steps."""

    def __call__(self, context: StepContext) -> Tensor:
        """Return the penalty, a scalar with a graph to the discriminator's weights."""
        real = context.real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(context.score(real).sum(), real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
