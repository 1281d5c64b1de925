"""Orthogonal regularisation (Brock et al. 2019, arXiv:1809.11096): off the diagonal (equation 3), or in full (2)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from smallgan.models.spectral import rows_of
from smallgan.tables.regularizers import OrthogonalOptions
from smallgan.training.step import StepContext


class Orthogonal:
    """The penalty of all weights of a network but its shared class vectors."""

    def __init__(self, options: OrthogonalOptions, network: nn.Module, _draws: torch.Generator) -> None:
        self.full, self.weights = options.full, matrices(network)

    def __call__(self, _context: StepContext) -> Tensor:
        """Return the penalty, a scalar."""
        return orthogonal_penalty(self.weights, full=self.full)


def matrices(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of a network with two axes or more, but for its shared class vectors."""
    named = network.named_parameters()
    return [weight for name, weight in named if weight.ndim >= 2 and not name.startswith("shared")]


def orthogonal_penalty(weights: Iterable[Tensor], *, full: bool = False) -> Tensor:
    """Return the sum over weights of |W W' * (1 - I)|^2, W taken as first axis x rest; of |W W' - I|^2 with `full`.

    The first axis is that of the outputs, and of a transposed convolution that of the inputs. The sum is zero when the
    rows are orthogonal, whatever their lengths, and with `full` of length 1. Autograd of this is
    twice the gradient that the released code writes down by hand: its strength of 1e-4 equals 0.5e-4 here.

    >>> import torch
    >>> orthogonal_penalty([torch.tensor([[1.0, 0.0], [2.0, 1.0]])]).item()  # rows meet at 2, above and below: 4 + 4
    8.0

    With `full` the squared lengths 1 and 5 are to be 1 too: 8 + 0 + 16

    >>> orthogonal_penalty([torch.tensor([[1.0, 0.0], [2.0, 1.0]])], full=True).item()
    24.0
    """
    total: list[Tensor] = []
    for weight in weights:
        rows = rows_of(weight)
        # |W W'|^2 = |W' W|^2: the smaller of the two products does, and the diagonal of the first is taken off.
        product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        lengths = rows.square().sum(dim=1)
        term = product.square().sum() - lengths.square().sum()
        total.append(term + (lengths - 1).square().sum() if full else term)
    return torch.stack(total).sum()
