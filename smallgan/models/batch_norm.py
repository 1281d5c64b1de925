"""Batch norm whose batch is that of all ranks. torch's SyncBatchNorm is for GPUs alone, and R1 cannot go through it."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smallgan.core import distributed


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, its moments in training those of the whole batch."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return normalised maps B x C x H x W."""
        if distributed.count() == 1 or not self.training:
            return super().forward(hidden)
        mean, variance, seen = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None
        assert variance is not None
        assert self.momentum is not None
        cast(Tensor, seen).add_(1)
        return batch_norm(hidden, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)


def batch_norm(
    hidden: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Return normalised maps B x C x H x W as torch's function does, in training by the moments of all ranks' maps.

    `mean` and `variance` C are the running moments, which training moves.
    """
    if distributed.count() == 1 or not training:
        return F.batch_norm(hidden, mean, variance, weight, bias, training, momentum, eps)
    exact = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    # A rank's own moments first: the difference of two large sums would lose digits
    own_variance, own_mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    means, variances = distributed.gathered(torch.stack([own_mean, own_variance])[None]).unbind(1)
    now, spread = means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)
    with torch.no_grad():
        number = distributed.count() * hidden.numel() / hidden.shape[1]
        mean.lerp_(now.to(mean.dtype), momentum)
        variance.lerp_((spread * number / (number - 1)).to(variance.dtype), momentum)
    scale = (spread + eps).rsqrt() if weight is None else (spread + eps).rsqrt() * weight
    normal = (exact - now[:, None, None]) * scale[:, None, None]
    return (normal if bias is None else normal + bias[:, None, None]).to(hidden.dtype)
