"""The grouped 1 x 1 convolution of APGC, whose weights differ from sample to sample, as one batched matrix product."""

from typing import Any, cast

import torch
from torch import Tensor


def mix_groups(hidden: Tensor, gain: Tensor, bias: Tensor, weights: Tensor) -> Tensor:
    """Return hidden * gain + bias + (weights applied to the channels of each group), B x C x H x W.

    Where the weights are 0, it is hidden * gain + bias to the last bit. Maps stay in the order in which they lie.

    Args:
        hidden: B x C x H x W.
        gain: B x C x 1 x 1.
        bias: B x C x 1 x 1.
        weights: B x G x g x g, out by in, with G g = C.
    """
    if not hidden.is_contiguous(memory_format=torch.channels_last):
        hidden = hidden.contiguous()
    with torch.autocast(hidden.device.type, enabled=False):
        return cast(Tensor, _Mix.apply(hidden, *(each.to(hidden.dtype) for each in (gain, bias, weights))))


class _Mix(torch.autograd.Function):
    """Keeps no map but the one that it was given, and reads the gain's gradient off the weights'."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, gain: Tensor, bias: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, gain, weights)
        mixed = (hidden * gain).add_(bias)
        return mixed.add_(_as_maps(_as_rows(hidden, weights.shape[1]) @ weights.mT, hidden))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hidden, gain, weights = ctx.saved_tensors
        batch, groups, size, _ = weights.shape
        gradient = gradients[0].contiguous(memory_format=_order(hidden))
        rows = _as_rows(gradient, groups).contiguous()
        of_weights = rows.mT @ _as_rows(hidden, groups)
        of_gain = of_weights.diagonal(dim1=2, dim2=3).reshape(gain.shape)
        whole = weights + torch.diag_embed(gain.view(batch, groups, size))
        of_hidden = _as_maps(rows @ whole, hidden)
        return of_hidden, of_gain, gradient.sum(dim=(2, 3), keepdim=True), of_weights


def _as_rows(maps: Tensor, groups: int) -> Tensor:
    """Return maps B x C x H x W as a view B x G x HW x g: a row for each place."""
    batch, channels, height, width = maps.shape
    if _order(maps) == torch.channels_last:
        places = maps.permute(0, 2, 3, 1).view(batch, height * width, groups, channels // groups)
        return places.transpose(1, 2)
    return maps.view(batch, groups, channels // groups, height * width).mT


def _as_maps(rows: Tensor, like: Tensor) -> Tensor:
    """Return rows B x G x HW x g as maps that lie as `like`, B x C x H x W, do."""
    batch, channels, height, width = like.shape
    if _order(like) == torch.channels_last:
        return rows.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
    return rows.mT.reshape(like.shape)


def _order(maps: Tensor) -> torch.memory_format:
    if maps.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
