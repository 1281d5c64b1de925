"""The averaged generator: weights averaged over steps, buffers copied."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`: w <- d w + (1 - d) w', with d = min(decay, (1 + step) / (10 + step)).

    The warm-up keeps the random start out of the average in short runs. Buffers (batch-norm statistics) are already
    running averages and are copied. `step` counts from 0.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)
