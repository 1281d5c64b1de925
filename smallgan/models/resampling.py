"""4 x 4 convolutions that halve or double the side, with a faster weight gradient on small maps on a CPU.

On maps of 8 x 8 and less the CPU library's weight gradient of these layers runs at a fraction of the speed of a matrix
product (measured: a third to a half of it). There it is taken as that product: patches of the larger map, laid out as
rows, times the smaller map. Equal but for rounding; everything else, and every GPU, runs torch's own convolutions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

LARGEST_SMALL_SIDE = 8


class HalvingConv2d(nn.Conv2d):
    """B x C x 2S x 2S -> B x C' x S x S."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolution of maps B x C x 2S x 2S."""
        if images.device.type == "cpu" and images.shape[-1] <= LARGEST_SMALL_SIDE:
            maps: Tensor = _Resample.apply(*_autocast(images, self.weight), False)
            return maps if self.bias is None else maps + self.bias.to(maps.dtype)[:, None, None]
        return super().forward(images)


class DoublingConv2d(nn.ConvTranspose2d):
    """B x C x S x S -> B x C' x 2S x 2S."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=False)

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution of maps B x C x S x S; `output_size` is always 2S and not needed."""
        if images.device.type == "cpu" and images.shape[-1] <= LARGEST_SMALL_SIDE // 2:
            return _Resample.apply(*_autocast(images, self.weight), True)  # type: ignore[no-any-return]
        return super().forward(images, output_size)


def weight_gradient(large: Tensor, small: Tensor) -> Tensor:
    """Return sum over images and places of small x the 4 x 4 patch of large that belongs to it: C' x C x 4 x 4.

    `large` is B x C x 2S x 2S and `small` B x C' x S x S: a halving convolution's input and output gradient, or a
    doubling one's output gradient and input.
    """
    batch, channels, height, width = large.shape
    rows = pad(large, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous()
    b, y, x, c = rows.stride()
    shape = (batch, height // 2, width // 2, 4, 4, channels)
    patches = rows.as_strided(shape, (b, 2 * y, 2 * x, y, x, c)).reshape(-1, 16 * channels)
    gradient = small.permute(0, 2, 3, 1).reshape(len(patches), -1).T @ patches
    return gradient.view(-1, 4, 4, channels).permute(0, 3, 1, 2)


class _Resample(torch.autograd.Function):
    """Halving and doubling are each other's gradient: what differs is which of the two runs forward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, doubles: bool) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.doubles = doubles
        return (conv_transpose2d if doubles else conv2d)(images, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        for_images, for_weight, _ = ctx.needs_input_grad
        opposite = conv2d if ctx.doubles else conv_transpose2d
        large, small = (gradient, images) if ctx.doubles else (images, gradient)
        return (
            opposite(gradient, weight, stride=2, padding=1) if for_images else None,
            weight_gradient(large, small) if for_weight else None,
            None,
        )


def _autocast(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cast as autocast would; it does not look inside functions of our own."""
    if torch.is_autocast_enabled(images.device.type):
        dtype = torch.get_autocast_dtype(images.device.type)
        return images.to(dtype), weight.to(dtype)
    return images, weight
