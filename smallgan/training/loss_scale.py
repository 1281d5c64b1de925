"""Loss scaling for fp16 (Micikevicius et al. 2018, arXiv:1710.03740): small gradients would be 0 in half precision.

A loss is multiplied by a factor before its backward pass and gradients are divided by it before the optimiser uses
them. The factor doubles after 2,000 steps and halves when a gradient was not finite; that step moves no weight.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from smallgan.core import distributed


class LossScale(nn.Module):
    """torch's GradScaler with its state in buffers, as a checkpoint keeps them. The host reads none of it."""

    scale: Tensor
    """The factor, a scalar."""
    growth: Tensor
    """Steps since it changed, int32."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._scaler = GradScaler(device.type)
        self._scaler.scale(torch.zeros((), device=device))  # it makes its tensors on first use
        self.register_buffer("scale", self._scaler._scale)  # changed in place only
        self.register_buffer("growth", self._scaler._growth_tracker)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of the scaled loss, a scalar."""
        self._scaler.scale(loss).backward()

    def step(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Step fused optimisers by unscaled gradients, unless one of those is not finite; adjust the factor."""
        for optimizer in optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()


def scales_of(precision: str, names: Sequence[str], device: torch.device) -> dict[str, LossScale]:
    """Return a loss scale for each of the networks called `names`: for "fp16", {} for other precisions."""
    return {name: LossScale(device) for name in names} if precision == "fp16" else {}


def backward(loss: Tensor, scale: LossScale | None) -> None:
    """Add the gradients of a loss, a scalar."""
    if scale is None:
        loss.backward()
    else:
        scale.backward(loss)


def step(optimizers: Sequence[torch.optim.Optimizer], scale: LossScale | None) -> None:
    """Step the optimisers of a network by the gradients that `backward` gave, averaged over the ranks."""
    distributed.average_gradients(optimizers)
    if scale is not None:
        scale.step(optimizers)
        return
    for optimizer in optimizers:
        optimizer.step()
