"""What all feature networks share: resize, folded batch norms, bfloat16."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Tensors = dict[str, Tensor]  # Weights by name


def resized(images: Tensor, size: int) -> Tensor:
    """Stretch images to size x size; those of that size stay as they are."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def fold_batch_norms(net: nn.Module) -> None:
    """Make one convolution of each convolution and the batch norm after it, in place; the net must be in eval mode.

    "After it" goes by the order in which a module's parts were made, which in all networks here is the order in which
    they run.
    """
    for module in net.modules():
        before: tuple[str, nn.Module] | None = None
        for name, part in list(module.named_children()):
            if before and isinstance(before[1], nn.Conv2d) and isinstance(part, nn.BatchNorm2d):
                setattr(module, before[0], fuse_conv_bn_eval(before[1], part))
                setattr(module, name, nn.Identity())
            before = (name, part)


def to_bfloat16(net: nn.Module) -> None:
    """Let the convolutions of a folded network run in bfloat16, in place; pooled features and logits stay float32."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.to(torch.bfloat16).register_forward_pre_hook(_cast_to(torch.bfloat16))
        elif isinstance(module, nn.AdaptiveAvgPool2d | nn.Linear):
            module.register_forward_pre_hook(_cast_to(torch.float32))


def _cast_to(dtype: torch.dtype) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    return lambda _module, inputs: tuple(each.to(dtype) for each in inputs)
