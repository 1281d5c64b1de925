"""The feature networks: each maps pixels to pooled features and class logits, with its own resize rule inside."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from smallgan.data.images import to_images
from smallgan.models.small_net import SIZE, SmallNet

_INCEPTION_SIZE = 299
_IMAGENET_SIZE = 224
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
Tensors = dict[str, Tensor]


class SmallFeatures(nn.Module):
    """The shipped SmallNet: 256 features, one logit a class that it was trained on."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.net = SmallNet(num_classes=len(tensors["head.bias"]))
        self.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 256 and logits B x K."""
        result: tuple[Tensor, Tensor] = self.net(_resized(to_images(pixels), SIZE))
        return result


class TorchvisionInception(nn.Module):
    """torchvision's Inception v3: 2048 average-pooled features, 1000 logits.

    It gets images in [-1, 1]: that is what ImageNet normalisation followed by the network's own `transform_input` comes
    to.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        with torch.device("meta"):  # no time is spent on first values that are replaced at once
            self.net = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        self.net.load_state_dict(tensors, assign=True)
        self.net.aux_logits, self.net.AuxLogits = False, None
        self.head, self.net.fc = self.net.fc, nn.Identity()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 2048 and logits B x 1000."""
        features = self.net(_resized(to_images(pixels), _INCEPTION_SIZE))
        return features, self.head(features)


class TF2015Inception(nn.Module):
    """The Inception of the published scores, by torch-fidelity: 2048 pooled features, 1008 logits without their bias.

    torch-fidelity takes those logits ("logits_unbiased") for its Inception Score, as the original TensorFlow code did.
    It resizes as TensorFlow 1 does. Its constructor unpickles what it is given, so it is given bytes that we wrote
    ourselves from tensors read safely.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        buffer.seek(0)
        self.net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=buffer
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to features B x 2048 and logits B x 1008."""
        features, logits = self.net(pixels.permute(0, 3, 1, 2))
        return features, logits


class _ImageNet(nn.Module):
    """What torchvision's classifiers for 224 px share: stretched to that size, then ImageNet's mean and std."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (_IMAGENET_MEAN, _IMAGENET_STD))
        self.register_buffer("shift", (0.5 - mean) / std)  # images are 2 p - 1 for p in [0, 1]
        self.register_buffer("scale", 0.5 / std)

    def prepared(self, pixels: Tensor) -> Tensor:
        """Map uint8 B x H x W x 3 to what the network was trained on, B x 3 x 224 x 224."""
        return _resized(to_images(pixels), _IMAGENET_SIZE) * self.scale + self.shift


class ResNet50(_ImageNet):
    """torchvision's ResNet-50 (He et al. 2016): 2048 average-pooled features, 1000 logits."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        from torchvision.models import resnet50

        with torch.device("meta"):
            self.net = resnet50(weights=None)
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

        with torch.device("meta"):
            net = mobilenet_v2(weights=None)
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

        with torch.device("meta"):
            net = squeezenet1_1(weights=None)
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


@dataclass(frozen=True)
class Architecture:
    """How the weights of a card become a network."""

    build: Callable[[Tensors], nn.Module]
    """Raises KeyError or RuntimeError when the tensors are those of another architecture."""
    resize: str
    """Resize rule, as it stands in a score's identity."""
    num_features: int


_AT_224 = "bilinear with antialias, 224 px"
ARCHITECTURES: dict[str, Architecture] = {
    "inception-v3-tf2015": Architecture(TF2015Inception, "bilinear as TensorFlow 1, 299 px", 2048),
    "inception-v3": Architecture(TorchvisionInception, "bilinear with antialias, 299 px", 2048),
    "resnet50": Architecture(ResNet50, _AT_224, 2048),
    "mobilenet_v2": Architecture(MobileNetV2, _AT_224, 1280),
    "squeezenet1_1": Architecture(SqueezeNet, _AT_224, 512),
    "squeezenet1_1-features": Architecture(SqueezeNet, _AT_224, 512),
    "smallgan-small64-v1": Architecture(SmallFeatures, "bilinear with antialias, 64 px", 256),
}
"""By the name of the card in weights.yaml."""


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
            module.to(torch.bfloat16).register_forward_pre_hook(_as_bfloat16)
        elif isinstance(module, nn.AdaptiveAvgPool2d | nn.Linear):
            module.register_forward_pre_hook(_as_float32)


def _as_bfloat16(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(each.to(torch.bfloat16) for each in given)


def _as_float32(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(each.float() for each in given)


def _resized(images: Tensor, size: int) -> Tensor:
    """Stretch images to size x size; those of that size stay as they are."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
