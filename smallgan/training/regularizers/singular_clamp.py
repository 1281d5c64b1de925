"""A clamp of the largest singular value (Brock et al. 2019, arXiv:1809.11096, section 4.1).

It stops the growth of that value in the generator and does not prevent collapse, so it serves to study one. A step of
power iteration after each step of the optimiser follows the two largest values; its vectors are kept.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from smallgan.tables.regularizers import SingularClampOptions
from smallgan.training.regularizers.orthogonal import matrices

FIRST_ITERATIONS = 15  # Before the first clamp, as torch's spectral norm takes


class SingularClamp(nn.Module):
    """W <- W - max(0, s0 - s) u0 v0' for each weight with two rows or more, taken as first axis x rest.

    s is the option `limit`, or `ratio` times the second singular value.
    """

    def __init__(self, options: SingularClampOptions, network: nn.Module, draws: torch.Generator) -> None:
        super().__init__()
        self.options = options
        self.weights = [each for each in matrices(network) if each.requires_grad and min(each.flatten(1).shape) > 1]
        for index, weight in enumerate(self.weights):
            u, rows = torch.randn(2, len(weight), generator=draws), weight.detach().flatten(1).cpu()
            for _ in range(FIRST_ITERATIONS):
                u = _orthonormal(_orthonormal(u @ rows) @ rows.T)
            self.register_buffer(f"u{index}", u)

    @torch.no_grad()
    def forward(self) -> None:
        """Clamp the weights."""
        for weight, u in zip(self.weights, self.buffers(), strict=True):
            rows = weight.flatten(1)
            v = _orthonormal(u @ rows)
            u.copy_(_orthonormal(v @ rows.T))
            first, second = ((u @ rows) * v).sum(dim=1)
            limit = self.options.limit if self.options.ratio is None else self.options.ratio * second
            excess = (first - limit).clamp_min(0)
            weight.sub_((excess * torch.outer(u[0], v[0])).view_as(weight))


def _orthonormal(pair: Tensor) -> Tensor:
    """Return two rows with length 1, the second without what it has of the first."""
    first = normalize(pair[0], dim=0)
    return torch.stack([first, normalize(pair[1] - (pair[1] @ first) * first, dim=0)])
