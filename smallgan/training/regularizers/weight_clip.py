"""Weight clipping (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1): weights from -c to c bound the slope."""

import torch
from torch import Tensor, nn

from smallgan.tables.regularizers import WeightClipOptions


class WeightClip:
    """Brings all weights that are trained, biases and the gains of norms too, back into [-c, c]."""

    def __init__(self, options: WeightClipOptions, network: nn.Module, _draws: torch.Generator) -> None:
        self.limit = options.limit
        self.weights: list[Tensor] = [weight for weight in network.parameters() if weight.requires_grad]

    @torch.no_grad()
    def __call__(self) -> None:
        """Clip the weights."""
        torch._foreach_clamp_min_(self.weights, -self.limit)
        torch._foreach_clamp_max_(self.weights, self.limit)
