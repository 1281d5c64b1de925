"""Adversarial losses: pure functions from raw scores to scalars. sp(x) = log(1 + e^x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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


LOSSES = {
    "nonsaturating": AdversarialLoss(nonsaturating_d, nonsaturating_g),
    "hinge": AdversarialLoss(hinge_d, hinge_g),
}
