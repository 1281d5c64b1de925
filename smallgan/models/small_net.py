"""SmallNet: the small residual classifier whose features ship with the package, for scores without a download.

Ten convolutions on 64 x 64 pixels in the manner of He et al. 2016 (arXiv:1512.03385, section 4.2, with projection
shortcuts). tools/train_features.py trains it; its card in weights.yaml says on what. It stands here because
scores (metrics) and the perceptual loss (models), which know nothing of each other, both use it.
"""

import torch
from torch import nn

SIZE = 64  # Height and width in pixels that it was trained at
WIDTHS = (32, 32, 64, 128, 256)
"""Channels after the stem and after each residual block; the last is the width of its features."""


class ConvNorm(nn.Module):
    """Convolution without bias, then batch norm; `features.fold_batch_norms` makes one convolution of the two."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map B x inputs x H x W to B x outputs x ceil(H / stride) x ceil(W / stride)."""
        normed: torch.Tensor = self.bn(self.conv(x))
        return normed


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is a 1 x 1 projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map B x inputs x H x W to B x outputs x H/stride x W/stride, never negative."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class SmallNet(nn.Module):
    """Images to pooled features and class logits.

    Args:
        num_classes: K, the number of classes it tells apart.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, WIDTHS[0], 5, 2)
        strides = (1, 2, 2, 2)
        self.blocks = nn.Sequential(
            *(Residual(a, b, stride) for a, b, stride in zip(WIDTHS[:-1], WIDTHS[1:], strides, strict=True))
        )
        self.head = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (B x 256, never negative: the mean over all places) and logits (B x K).

        Args:
            images: B x 3 x H x W in [-1, 1]; H = W = 64 as trained, any size from 16 up works.
        """
        features = self.blocks(torch.relu(self.stem(images))).mean(dim=(2, 3))
        return features, self.head(features)
