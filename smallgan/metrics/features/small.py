"""The feature network that ships with smallgan."""

from torch import Tensor, nn

from smallgan.data.images import to_images
from smallgan.metrics.features.inference import Tensors, resized
from smallgan.models.small_net import SIZE, SmallNet


class SmallFeatures(nn.Module):
    """The shipped SmallNet: 256 features, one logit a class that it was trained on."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.net = SmallNet(num_classes=len(tensors["head.bias"]))
        self.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 256 and logits B x K."""
        result: tuple[Tensor, Tensor] = self.net(resized(to_images(pixels), SIZE))
        return result
