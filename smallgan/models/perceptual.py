"""Frozen networks whose inner maps say how alike two images look (Johnson, Alahi, Fei-Fei 2016, arXiv:1603.08155).

Each is cut into stages; the output of every stage is a layer to compare. They are built from tensors alone: where the
tensors come from is not their affair.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.models.small_net import SmallNet

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], as torchvision normalises."""
_VGG16_CUTS = (0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 23)  # conv1_1 .. conv4_3, each behind its ReLU
_SQUEEZENET_CUTS = (0, 2, 4, 5, 7, 8, 10, 11, 12, 13)  # The first ReLU and the eight Fire modules


class Perceptual(nn.Module):
    """A frozen network as a list of stages.

    Args:
        name: what it is called in logs.
        stages: each takes the output of the one before.
        mean: subtracted from RGB in [0, 1].
        std: what the difference is divided by.
        unit: divide each place of a layer by the root of its mean square over the channels, as
            Zhang et al. 2018 (arXiv:1801.03924) do up to a factor; for networks whose activations are in the hundreds.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        stages: Sequence[nn.Module],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        *,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.unit = name, unit
        self.card, self.sha256 = "", ""  # of its weights, where they come from a file
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return a list of maps B x C x H x W, one a stage, for images B x 3 x S x S in [-1, 1] at their own size."""
        hidden, layers = ((images + 1) / 2 - self.mean) / self.std, []
        for stage in self.stages:
            hidden = stage(hidden)
            layers.append(_unit_length(hidden) if self.unit else hidden)
        return layers


def vgg16(tensors: Mapping[str, Tensor]) -> Perceptual:
    """Return the ten layers conv1_1 to conv4_3 of torchvision's VGG16, each behind its ReLU, from its state dict.

    Raises UsageError for tensors of another network, as the functions below do.
    """
    from torchvision import models

    with torch.device("meta"):  # no time is spent on first values that are replaced at once
        layers = models.vgg16(weights=None, init_weights=False).features[: _VGG16_CUTS[-1]]
    return Perceptual("vgg16", _cut(_filled(layers, tensors, "VGG16"), _VGG16_CUTS))


def squeezenet1_1(tensors: Mapping[str, Tensor]) -> Perceptual:
    """Return nine layers of torchvision's SqueezeNet 1.1, from its state dict or from that of its `features`.

    Its activations are hundreds to thousands, so each place is brought to a mean square of 1 over the channels.
    """
    from torchvision import models

    with torch.device("meta"):
        layers = models.squeezenet1_1(weights=None).features
    return Perceptual("squeezenet1_1", _cut(_filled(layers, tensors, "SqueezeNet 1.1"), _SQUEEZENET_CUTS), unit=True)


def small_net(tensors: Mapping[str, Tensor]) -> Perceptual:
    """Return five layers of the network that ships with the package: behind its stem and its four blocks."""
    try:
        net = SmallNet(num_classes=len(tensors["head.bias"]))
        net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, RuntimeError) as error:
        raise _another("SmallNet", error) from error
    stem = nn.Sequential(net.stem, nn.ReLU())
    return Perceptual("shipped", [stem, *net.blocks], (0.5,) * 3, (0.5,) * 3)


def _unit_length(hidden: Tensor) -> Tensor:
    hidden = hidden.float()
    return hidden * torch.rsqrt(hidden.square().mean(dim=1, keepdim=True) + 1e-10)


def _cut(layers: nn.Sequential, cuts: Sequence[int]) -> list[nn.Module]:
    return [cast(nn.Module, layers[first:last]) for first, last in pairwise(cuts)]


def _filled(layers: nn.Sequential, tensors: Mapping[str, Tensor], what: str) -> nn.Sequential:
    """Give layers without values (on the meta device) theirs; what the tensors hold beyond these layers is left."""
    wanted: dict[str, Any] = layers.state_dict()
    short = {name.removeprefix("features."): tensor.float() for name, tensor in tensors.items()}
    try:
        layers.load_state_dict({name: short[name] for name in wanted}, assign=True)
    except (KeyError, RuntimeError) as error:
        raise _another(what, error) from error
    return layers


def _another(what: str, error: Exception) -> UsageError:
    return UsageError(f"these are not torchvision's {what} weights ({str(error).splitlines()[0]}); give its state dict")
