"""R1 (Mescheder et al. 2018, arXiv:1801.04406, equation 9): the discriminator's gradient at real images."""

from collections.abc import Callable

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
        return squared_slopes(context.score, context.real).mean() / 2


def squared_slopes(score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return |grad D|^2 of each score at images B x C x H x W, with a graph to the discriminator's weights.

    Of images that are scored m at a time (`smallgan.models.packing`) the gradient is that of all m: B / m numbers.
    """
    given = images.detach().requires_grad_(True)
    scores = score(given)
    (gradient,) = torch.autograd.grad(scores.sum(), given, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).view(len(scores), -1).sum(dim=1)
