"""Unrolling (Metz et al. 2017, arXiv:1611.02163): the generator's loss is read from the discriminator K steps on.

These are steps of Adam by the loss alone, all on the batch of the last discriminator step. The discriminator, what it
keeps beside its weights, and its optimiser stay as they are. As published, the generator's gradient passes through the
steps; without that it is the gradient at the weights K steps on.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from smallgan.training.compiling import uncompiled

AdversarialTrainer = Any
"""That of `smallgan.training.adversarial`, which imports this file."""
_LEAST = 1e-30  # Of a mean squared gradient: its root has no gradient at 0


class Ahead:
    """A discriminator with weights, buffers and Adam's moments of its own, which start as those of `network`."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Adam) -> None:
        self.network, self.settings = network, optimizer.param_groups[0]
        trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
        self.weights = {name: each.detach().requires_grad_() for name, each in trained.items()}
        self.buffers = {name: each.clone() for name, each in network.named_buffers()}
        self.moments = {name: _moments(optimizer, each) for name, each in trained.items()}

    def __call__(self, images: Tensor, *labels: Tensor) -> Tensor:
        """Return raw scores B of images B x C x H x W, and labels B where the network takes them."""
        with uncompiled():
            scores: Tensor = functional_call(self.network, {**self.weights, **self.buffers}, (images, *labels))
        return scores

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield none: no weight of the network is trained here."""
        return iter(())

    def step(self, loss: Tensor, *, through: bool) -> None:
        """Take a step of Adam down a loss of these weights; `through` keeps the graph of the step."""
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, [*self.weights.values()], create_graph=through, allow_unused=True
        )
        beta1, beta2 = self.settings["betas"]
        for (name, weight), gradient in zip([*self.weights.items()], gradients, strict=True):
            if gradient is None:
                continue
            mean, square, count = self.moments[name]
            mean, square, count = mean.lerp(gradient, 1 - beta1), square.lerp(gradient.square(), 1 - beta2), count + 1
            self.moments[name] = mean, square, count
            root = (square / (1 - beta2**count)).clamp_min(_LEAST).sqrt() + self.settings["eps"]
            moved = weight - self.settings["lr"] * mean / (1 - beta1**count) / root
            self.weights[name] = moved if through else moved.detach().requires_grad_()


def looked_ahead(
    trainer: AdversarialTrainer, real: Tensor, fake: Tensor, labels: Tensor, position: int, number: int
) -> AdversarialTrainer:
    """Return a view of the trainer whose discriminator is `unroll` steps on, on reals and fakes B x C x H x W.

    `position` is that of the last discriminator step; `fake` has a graph to the generator.
    """
    ahead, through = Ahead(trainer.discriminator, trainer.optimizers["d"]), trainer.options.unroll_through
    view = copy.copy(trainer)
    view.discriminator = ahead
    real = trainer.augmentation.with_pseudo_reals(real, fake.detach(), position)
    for _ in range(trainer.options.unroll):
        loss, _, _ = view.discriminator_loss(real, fake if through else fake.detach(), labels, position, number)
        ahead.step(loss, through=through)
    return view


def _moments(optimizer: torch.optim.Adam, weight: nn.Parameter) -> tuple[Tensor, Tensor, Tensor]:
    """Return Adam's means of the gradient and its square, and its number of steps; zeros before the first."""
    state = optimizer.state.get(weight)
    if not state:
        return torch.zeros_like(weight), torch.zeros_like(weight), torch.zeros((), device=weight.device)
    return state["exp_avg"], state["exp_avg_sq"], state["step"]
