"""Orthogonal regularisation (Brock et al. 2019, arXiv:1809.11096, equation 3), off the diagonal."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from smallgan.models.spectral import rows_of
from smallgan.tables.regularizers import RegularizerOptions
from smallgan.training.step import StepContext


class Orthogonal:
    """The penalty of all weights of a network but its shared class vectors."""

    def __init__(self, _options: RegularizerOptions, network: nn.Module, _draws: torch.Generator) -> None:
        named = network.named_parameters()
        self.weights = [weight for name, weight in named if weight.ndim >= 2 and not name.startswith("shared")]

    def __call__(self, _context: StepContext) -> Tensor:
        """Return the penalty, a scalar."""
        return orthogonal_penalty(self.weights)


def orthogonal_penalty(weights: Iterable[Tensor]) -> Tensor:
    """Return the sum over weights of |W W' * (1 - I)|^2, W taken as out x rest.

    It is zero when the rows are orthogonal, whatever their lengths. Autograd of this is twice the gradient that the
    released code writes down by hand: its strength of 1e-4 equals 0.5e-4 here.

    >>> import torch
    >>> orthogonal_penalty([torch.tensor([[1.0, 0.0], [2.0, 1.0]])]).item()  # rows meet at 2, above and below: 4 + 4
    8.0
    """
    total: list[Tensor] = []
    for weight in weights:
        rows = rows_of(weight)
        # |W W'|^2 = |W' W|^2: the smaller of the two products does, and the diagonal of the first is taken off.
        product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        total.append(product.square().sum() - rows.square().sum(dim=1).square().sum())
    return torch.stack(total).sum()
