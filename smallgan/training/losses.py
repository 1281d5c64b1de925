"""Adversarial losses: pure functions from raw scores to scalars. sp(x) = log(1 + e^x)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(NamedTuple):
    """What each network minimises."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """(scores of reals B, scores of fakes B) -> scalar"""
    generator: Callable[[Tensor], Tensor]
    """(scores of fakes B) -> scalar"""


def nonsaturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """Return E sp(-D(x)) + E sp(D(g)) (Goodfellow et al. 2014), the binary cross-entropy on raw scores.

    >>> import torch
    >>> round(nonsaturating_d(torch.zeros(2), torch.zeros(2)).item(), 4)  # 2 log 2
    1.3863
    """
    return softplus(-real).mean() + softplus(fake).mean()


def nonsaturating_g(fake: Tensor) -> Tensor:
    """Return E sp(-D(g)): the gradient does not vanish while the discriminator wins."""
    return softplus(-fake).mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Return E max(0, 1 - D(x)) + E max(0, 1 + D(g)) (Lim and Ye 2017; Miyato et al. 2018).

    >>> import torch
    >>> hinge_d(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])).item()  # (0 + 0.5) / 2 + (0 + 1) / 2
    0.75
    """
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_g(fake: Tensor) -> Tensor:
    """Return -E D(g)."""
    return -fake.mean()


def orthogonal_penalty(weights: Iterable[Tensor]) -> Tensor:
    """Return the sum over weights of |W W' * (1 - I)|^2 (Brock et al. 2019, equation 3), W taken as out x rest.

    It is zero when the rows are orthogonal, whatever their lengths. Autograd of this is twice the gradient that the
    released code writes down by hand: its strength of 1e-4 equals 0.5e-4 here.

    >>> import torch
    >>> orthogonal_penalty([torch.tensor([[1.0, 0.0], [2.0, 1.0]])]).item()  # rows meet at 2, above and below: 4 + 4
    8.0
    """
    total: list[Tensor] = []
    for weight in weights:
        rows = weight.flatten(1)
        # |W W'|^2 = |W' W|^2: the smaller of the two products does, and the diagonal of the first is taken off.
        product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        total.append(product.square().sum() - rows.square().sum(dim=1).square().sum())
    return torch.stack(total).sum()


LOSSES = {
    "nonsaturating": AdversarialLoss(nonsaturating_d, nonsaturating_g),
    "hinge": AdversarialLoss(hinge_d, hinge_g),
}
