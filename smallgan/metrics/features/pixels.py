"""Eight by eight pixels as features: a judge without a network."""

from torch import Tensor, nn

from smallgan.data.images import to_images
from smallgan.metrics.features.inference import Tensors, resized


class Pixels8(nn.Module):
    """Images shrunk to 8 x 8 pixels: 192 colours in [-1, 1], no logits."""

    def __init__(self, _tensors: Tensors) -> None:
        super().__init__()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 192 and logits B x 0."""
        features = resized(to_images(pixels), 8).flatten(1)
        return features, features[:, :0]
