"""torchvision's ImageNet classifiers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.data.images import to_images
from smallgan.metrics.features.inference import Tensors, resized

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _empty(make: Callable[..., nn.Module], **options: object) -> Any:
    """Return a network of torchvision's; no time is spent on first values that are replaced at once."""
    with torch.device("meta"):
        return make(weights=None, **options)


class TorchvisionInception(nn.Module):
    """torchvision's Inception v3: 2048 average-pooled features, 1000 logits.

    It gets images in [-1, 1]: that is what ImageNet normalisation followed by the network's own `transform_input` comes
    to.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        self.net = _empty(inception_v3, aux_logits=True, transform_input=False, init_weights=False)
        self.net.load_state_dict(tensors, assign=True)
        self.net.aux_logits, self.net.AuxLogits = False, None
        self.head, self.net.fc = self.net.fc, nn.Identity()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 2048 and logits B x 1000."""
        features = self.net(resized(to_images(pixels), 299))
        return features, self.head(features)


class _ImageNet(nn.Module):
    """What torchvision's classifiers share: stretched to `side` pixels, then ImageNet's mean and std."""

    side = 224
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (_MEAN, _STD))
        self.register_buffer("shift", (0.5 - mean) / std)  # images are 2 p - 1 for p in [0, 1]
        self.register_buffer("scale", 0.5 / std)

    def prepared(self, pixels: Tensor) -> Tensor:
        """Map uint8 B x H x W x 3 to what the network was trained on, B x 3 x side x side."""
        return resized(to_images(pixels), self.side) * self.scale + self.shift


class ResNet50(_ImageNet):
    """torchvision's ResNet-50 (He et al. 2016): 2048 average-pooled features, 1000 logits."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.net = _empty(resnet50)
        self.net.load_state_dict(tensors, assign=True)
        self.head, self.net.fc = self.net.fc, nn.Identity()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 2048 and logits B x 1000."""
        features = self.net(self.prepared(pixels))
        return features, self.head(features)


class MobileNetV2(_ImageNet):
    """torchvision's MobileNetV2 (Sandler et al. 2018): 1280 average-pooled features, 1000 logits."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        net = _empty(mobilenet_v2)
        net.load_state_dict(tensors, assign=True)
        self.body, self.head = net.features, net.classifier[1]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 1280 and logits B x 1000."""
        features = self.body(self.prepared(pixels)).float().mean(dim=(2, 3))
        return features, self.head(features)


class SqueezeNet(_ImageNet):
    """torchvision's SqueezeNet 1.1 (Iandola et al. 2016): 512 features, the mean of the last fire module's maps.

    Its 1000 logits come from a convolution, a ReLU and a mean, as published. Weights that hold the convolutional part
    alone give features without logits (B x 0).
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        net = _empty(squeezenet1_1)
        whole = any(name.startswith("classifier.") for name in tensors)
        (net if whole else net.features).load_state_dict(tensors, assign=True)
        self.body, self.head = net.features, net.classifier[1] if whole else None

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 512 and logits B x 1000, or B x 0 without a classifier."""
        maps = self.body(self.prepared(pixels))
        features = maps.float().mean(dim=(2, 3))
        if self.head is None:
            return features, features[:, :0]
        return features, torch.relu(self.head(maps)).float().mean(dim=(2, 3))


class SqueezeNet64(SqueezeNet):
    """SqueezeNet 1.1 on images of 64 px: its last maps are 3 x 3."""

    side = 64
