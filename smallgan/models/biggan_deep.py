"""BigGAN-deep's generator (Brock, Donahue, Simonyan 2019, arXiv:1809.11096, appendix B) in the Hugging Face layout.

The released weights are those of huggingface/pytorch-pretrained-BigGAN. What differs from biggan.py: four batch norms a
block around 1 x 1, 3 x 3, 3 x 3, 1 x 1 convolutions at a quarter of the width; a skip that drops channels instead of
convolving them; one condition [z, class vector] for the first layer and for all blocks; spectral norms with two stored
vectors, sigma = u W v; a first map in the order height, width, channel; a last convolution with three outputs in use.

Batch norms hold rows of moments, one for each truncation of z from 0 to 1 (51 of them, 0.02 apart). A generator is
fixed to one truncation, 1 where none is named. Between two rows the moments are interpolated, the nearer row counting
more. The public code gives the two rows each other's weight, so between rows its moments are not these; nor are they at
0.14, 0.28, 0.56, 0.58 and 0.94, which its division puts a hair beside their row, and so on the neighbour's moments.

Parameters are called as in the released files, but for `weight`, which torch's old spectral norm calls `weight_orig`:
`released_names` translates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augment.errors import UsageError
from smallgan.models.base import Adaptable, Adjust, ConditionalNorm, Modulate
from smallgan.models.biggan import BOTTOM, attend
from smallgan.models.spectral import SpectralConv2d, SpectralLayer, SpectralLinear

Layer = tuple[bool, int, int]  # (doubles the side, channels in, channels out), channels in units of the width
_START: tuple[Layer, ...] = ((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8))
_MIDDLE: tuple[Layer, ...] = ((True, 8, 8), (False, 8, 8))
_END: tuple[Layer, ...] = ((True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1))
RELEASED_LAYERS: dict[int, tuple[Layer, ...]] = {
    128: _START + _END,
    256: _START + _MIDDLE + _END,
    512: _START + _MIDDLE + _END + ((False, 1, 1), (True, 1, 1)),
}
"""The blocks of the released models, by the side of their images."""


@dataclass(frozen=True)
class BigGANDeepConfig:
    """What a generator is built from; the names are those of the released config.json, and `truncation`."""

    output_dim: int = 128  # Side of the images in pixels
    z_dim: int = 128
    class_embed_dim: int = 128
    channel_width: int = 128  # Unit of width
    num_classes: int = 1000
    layers: tuple[Layer, ...] = RELEASED_LAYERS[128]
    attention_layer_position: int = 8  # Number of the block before which self-attention stands
    eps: float = 1e-4
    n_stats: int = 51  # Rows of moments: for truncation 0, ..., 1 at equal distances
    truncation: float = 1.0  # The one whose moments are used, above 0 and at most 1; ours, not of the file

    @property
    def size(self) -> int:
        """Side of the images that the blocks make."""
        return int(BOTTOM * 2 ** sum(up for up, _, _ in self.layers))

    @property
    def condition(self) -> int:
        """V, length of the condition."""
        return self.z_dim + self.class_embed_dim


def read_config(settings: Mapping[str, Any], truncation: float) -> BigGANDeepConfig:
    """Return the configuration in a released config.json; keys that say nothing of the network are passed over.

    Raises ValueError that names what is wrong.
    """
    known = {each.name for each in fields(BigGANDeepConfig)} - {"truncation"}
    values = {name: value for name, value in settings.items() if name in known}
    try:
        if "layers" in values:
            values["layers"] = tuple((bool(up), int(wide), int(narrow)) for up, wide, narrow in values["layers"])
        values |= {name: int(value) for name, value in values.items() if name not in ("layers", "eps")}
        values |= {"eps": float(values["eps"])} if "eps" in values else {}
        config = BigGANDeepConfig(**values, truncation=truncation)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not the settings of a BigGAN-deep ({error})") from error
    if not config.layers or config.size != config.output_dim:
        raise ValueError(f"output_dim is {config.output_dim}, but its layers make {config.size} px")
    if config.layers[-1][2] != 1:
        raise ValueError(f"the last layer has {config.layers[-1][2]} units of width, expected 1")
    return config


class _Stored(SpectralLayer):
    """Spectral norm of torch's old kind: both singular vectors are stored, and in eval mode taken as they are."""

    weight_u: Tensor
    weight_v: Tensor

    def _prepare(self, eps: float) -> None:
        self.eps = eps
        rows = self.weight.flatten(1)
        self.register_buffer("weight_u", torch.ones(rows.shape[0]))
        self.register_buffer("weight_v", torch.ones(rows.shape[1]))
        self.register_buffer("_fixed", None, persistent=False)

    def _sigma(self, rows: Tensor) -> Tensor:
        """Return u W v; in training one power iteration renews v, then u."""
        u, v = self.weight_u, self.weight_v
        if self.training and self._held is None:
            u, v = self._iterated(rows)
            with torch.no_grad():
                self.weight_u.copy_(u)
                self.weight_v.copy_(v)
        return u @ (rows @ v)

    @torch.no_grad()
    def _iterated(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        v = F.normalize(rows.T @ self.weight_u, dim=0, eps=self.eps)
        return F.normalize(rows @ v, dim=0, eps=self.eps), v

    @torch.no_grad()
    def hold(self) -> None:
        """Take the power iteration of a training step now, and none until `release`."""
        rows = self.weight.flatten(1)
        with torch.autocast(rows.device.type, enabled=False):
            self._held = self._iterated(rows)
        self.weight_u.copy_(self._held[0])
        self.weight_v.copy_(self._held[1])


class StoredLinear(SpectralLinear, _Stored):
    """Fully connected layer."""


class StoredConv2d(SpectralConv2d, _Stored):
    """Convolution with stride 1 that keeps the side."""


class RowsBatchNorm(nn.Module):
    """Batch norm by the stored moments of one truncation, in training too."""

    def __init__(self, channels: int, config: BigGANDeepConfig) -> None:
        super().__init__()
        self.channels, self.eps = channels, config.eps
        self.position = round(config.truncation * (config.n_stats - 1), 6)
        """Row of the moments; the digits behind the point say how far towards the next."""
        self.register_buffer("running_means", torch.zeros(config.n_stats, channels))
        self.register_buffer("running_vars", torch.ones(config.n_stats, channels))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return means and variances C of this truncation."""
        row = int(self.position)
        extra = self.position - row
        means, variances = cast(Tensor, self.running_means), cast(Tensor, self.running_vars)
        if not extra:
            return means[row], variances[row]
        return means[row].lerp(means[row + 1], extra), variances[row].lerp(variances[row + 1], extra)

    def normalize(self, hidden: Tensor) -> Tensor:
        """Return normalised maps B x C x H x W."""
        mean, variance = self.moments()
        return F.batch_norm(hidden, mean, variance, None, None, False, 0.0, self.eps)


class DeepConditionalNorm(RowsBatchNorm, ConditionalNorm):
    """x_hat (1 + scale(condition)) + offset(condition)."""

    layer_names = ("scale", "offset")

    def __init__(self, channels: int, config: BigGANDeepConfig) -> None:
        super().__init__(channels, config)
        self.condition = config.condition
        self.scale = StoredLinear(config.condition, channels, bias=False, eps=config.eps)
        self.offset = StoredLinear(config.condition, channels, bias=False, eps=config.eps)


class DeepOutputNorm(RowsBatchNorm):
    """The last batch norm, with a weight and a bias of its own."""

    def __init__(self, channels: int, config: BigGANDeepConfig) -> None:
        super().__init__(channels, config)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x C x H x W."""
        return self.normalize(hidden) * self.weight[:, None, None] + self.bias[:, None, None]


class DeepSelfAttention(nn.Module):
    """x + gamma o(softmax(theta(x)' phi(x)) g(x)); phi and g are max-pooled 2 x 2."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.snconv1x1_theta = StoredConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.snconv1x1_phi = StoredConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.snconv1x1_g = StoredConv2d(channels, channels // 2, 1, bias=False, eps=eps)
        self.snconv1x1_o_conv = StoredConv2d(channels // 2, channels, 1, bias=False, eps=eps)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x C x H x W."""
        found = attend(hidden, self.snconv1x1_theta, self.snconv1x1_phi, self.snconv1x1_g)
        return cast(Tensor, hidden + self.gamma * self.snconv1x1_o_conv(found))


class DeepBlock(nn.Module):
    """Norm, ReLU and convolution four times; the side doubles before the second convolution where `up` says so."""

    def __init__(self, up: bool, in_channels: int, out_channels: int, config: BigGANDeepConfig) -> None:
        super().__init__()
        self.up, self.out_channels, middle = up, out_channels, in_channels // 4
        widths = (in_channels, middle, middle, middle, out_channels)
        for index, ((wide, narrow), kernel) in enumerate(zip(pairwise(widths), (1, 3, 3, 1), strict=True)):
            self.add_module(f"bn_{index}", DeepConditionalNorm(wide, config))
            self.add_module(f"conv_{index}", StoredConv2d(wide, narrow, kernel, eps=config.eps))

    @property
    def norms(self) -> list[DeepConditionalNorm]:
        """The four batch norms."""
        return [cast(DeepConditionalNorm, self.get_submodule(f"bn_{index}")) for index in range(4)]

    def forward(self, hidden: Tensor, condition: Tensor, modulate: Modulate | None, number: int) -> Tensor:
        """Return maps B x out x H' x W'; `number` is that of this block's first batch norm."""
        skip = hidden[:, : self.out_channels]
        for index, norm in enumerate(self.norms):
            hidden = F.relu(norm(hidden, condition, modulate, number + index))
            if self.up and index == 1:
                hidden = F.interpolate(hidden, scale_factor=2.0)
            hidden = self.get_submodule(f"conv_{index}")(hidden)
        return hidden + (F.interpolate(skip, scale_factor=2.0) if self.up else skip)


class _Trunk(nn.Module):
    """What the released files keep below `generator.`."""

    def __init__(self, config: BigGANDeepConfig) -> None:
        super().__init__()
        width, eps = config.channel_width, config.eps
        self.gen_z = StoredLinear(config.condition, BOTTOM**2 * width * config.layers[0][1], eps=eps)
        self.layers = nn.ModuleList()
        for number, (up, wide, narrow) in enumerate(config.layers):
            if number == config.attention_layer_position:
                self.layers.append(DeepSelfAttention(width * wide, eps))
            self.layers.append(DeepBlock(up, width * wide, width * narrow, config))
        self.bn = DeepOutputNorm(width, config)
        self.conv_to_rgb = StoredConv2d(width, width, 3, eps=eps)


class BigGANDeepGenerator(Adaptable):
    """(z, class) -> 4 x 4 -> ... -> S x S."""

    can_recompute = True

    def __init__(self, config: BigGANDeepConfig) -> None:
        super().__init__()
        if not 0 < config.truncation <= 1:
            raise UsageError(f"truncation {config.truncation}: BigGAN-deep has moments for above 0 up to 1")
        self.config = config
        self.size, self.z_dim, self.num_classes = config.size, config.z_dim, config.num_classes
        self.class_dim, self.first_channels = config.class_embed_dim, config.channel_width * config.layers[0][1]
        self.embeddings = nn.Linear(config.num_classes, config.class_embed_dim, bias=False)
        self.generator = _Trunk(config)

    def class_vectors(self, labels: Tensor) -> Tensor:
        """Return the class vectors B x class_dim of labels B."""
        return F.embedding(labels, self.embeddings.weight.T)

    def synthesize(
        self, z: Tensor, class_vectors: Tensor, modulate: Modulate | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """Return images for latents B x Z and class vectors B x class_dim."""
        trunk = self.generator
        condition = torch.cat([z, class_vectors], dim=1)
        hidden = trunk.gen_z(condition).view(z.shape[0], BOTTOM, BOTTOM, -1).permute(0, 3, 1, 2)
        if adjust is not None:
            hidden = adjust(hidden)
        number = 0
        for layer in trunk.layers:
            if isinstance(layer, DeepBlock):
                hidden = self.through(layer, hidden, condition, modulate, number)
                number += len(layer.norms)
            else:
                hidden = layer(hidden)
        to_rgb = trunk.conv_to_rgb  # only three of its outputs are in use
        weight, bias = to_rgb.normalized_weight()[:3], cast(Tensor, to_rgb.bias)[:3]
        return torch.tanh(F.conv2d(F.relu(trunk.bn(hidden)), weight, bias, padding=1).float())

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that makes the 4 x 4 map, its outputs in the order height, width, channel."""
        return self.generator.gen_z

    @property
    def norms(self) -> list[DeepConditionalNorm]:
        """The conditional batch norms, in the order in which `modulate` numbers them."""
        return [norm for layer in self.generator.layers if isinstance(layer, DeepBlock) for norm in layer.norms]


def released_names(network: nn.Module) -> dict[str, str]:
    """Return the name in a released file for every name of the network's state."""
    state = network.state_dict()
    return {name: f"{name}_orig" if f"{name}_u" in state else name for name in state}
