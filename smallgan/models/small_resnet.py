"""SmallResNet: a residual classifier for small images and small sets, trained from scratch.

The layers are those of the shipped SmallNet (`small_net`), in three stages, and a stem that keeps images of up to 40 px
at their size, as networks for CIFAR do (He et al. 2016, arXiv:1512.03385, section 4.2).
"""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from smallgan.models.small_net import ConvNorm, Residual

FULL_SIZE = 40  # Larger images are halved by the stem, which takes a quarter of the time
PLACES = 4  # The last maps are averaged to so many places a side: 75 % of digits right at 10 a class, with one 58 %


class SmallResNet(nn.Module):
    """Images to class logits.

    Args:
        num_classes: K.
        size: side of the images in pixels, from 8 up.
        width: channels of the first stage; the second has twice, the third four times as many.
    """

    def __init__(self, num_classes: int, size: int, width: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, width, 3, 1) if size <= FULL_SIZE else ConvNorm(3, width, 5, 2)
        self.blocks = nn.Sequential(
            Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2)
        )
        self.head = nn.Linear(4 * width * PLACES**2, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map B x 3 x S x S in [-1, 1] to logits B x K."""
        maps = self.blocks(torch.relu(self.stem(images)))
        logits: torch.Tensor = self.head(adaptive_avg_pool2d(maps, PLACES).flatten(1))
        return logits
