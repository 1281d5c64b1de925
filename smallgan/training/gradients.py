"""The lesson of the first GAN: the generator's gradient under two losses, as the discriminator gets better.

The minimax loss, whose gradient carries sigmoid(score) and vanishes once fakes are told apart, and the non-saturating
one, whose gradient carries 1 - sigmoid(score) (Goodfellow et al. 2014, arXiv:1406.2661). The experiment is that of
Arjovsky and Bottou 2017 (arXiv:1701.04862, figure 2), without a fresh discriminator.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import softplus

LEAST_NORM = 1e-30  # So that a gradient that rounds to 0 has a logarithm


def log10_gradient_norms(fake_scores: Tensor, weights: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return the logarithm to base 10 of the norm of the gradient of `weights` under both losses of the generator.

    Args:
        fake_scores: raw scores B of fakes, with a graph to the weights, which stays.
        weights: of the generator.
    """
    losses = {"minimax": -softplus(fake_scores).mean(), "nonsaturating": softplus(-fake_scores).mean()}
    found, trained = {}, list(weights)
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, trained, retain_graph=True)
        norm = torch.stack([each.square().sum() for each in gradients]).sum().sqrt()
        found[f"gradient_{name}"] = norm.clamp_min(LEAST_NORM).log10()
    return found
