"""The feature networks: each maps pixels to pooled features and class logits, with its own resize rule inside."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from smallgan.images import to_images
from smallgan.small_net import SIZE, SmallNet

_INCEPTION_SIZE = 299
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


@dataclass(frozen=True)
class Architecture:
    """How the weights of a card become a network."""

    build: Callable[[Tensors], nn.Module]
    """Raises KeyError or RuntimeError when the tensors are those of another architecture."""
    resize: str
    """Resize rule, as it stands in a score's identity."""
    num_features: int


ARCHITECTURES: dict[str, Architecture] = {
    "inception-v3-tf2015": Architecture(TF2015Inception, "bilinear as TensorFlow 1, 299 px", 2048),
    "inception-v3": Architecture(TorchvisionInception, "bilinear with antialias, 299 px", 2048),
    "smallgan-small64-v1": Architecture(SmallFeatures, "bilinear with antialias, 64 px", 256),
}
"""By the name of the card in weights.yaml."""


def fold_batch_norms(net: nn.Module) -> None:
    """Make one convolution of each pair `conv` and `bn`, in place, which is faster; the net must be in eval mode."""
    for module in net.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()


def _resized(images: Tensor, size: int) -> Tensor:
    """Stretch images to size x size; those of that size stay as they are."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
