"""DCGAN (Radford, Metz, Chintala 2016, arXiv:1511.06434): strided convolutions, batch norm, ReLU and LeakyReLU.

Kept from the paper: 4 x 4 projection of a 100-d latent, no pooling, no fully connected layer inside, batch norm in both
networks except the generator's output and the discriminator's first and last layer, ReLU and tanh in the generator,
LeakyReLU 0.2 in the discriminator, N(0, 0.02) weights, Adam 2e-4 with beta1 0.5.

Where we differ:
- 4 x 4 kernels in place of 5 x 5, which divide evenly by the stride and so leave no chequerboard at the border;
- half the paper's width by default (`base_width` 64 where the paper has 128), as small sets need less; settable;
- latents from N(0, I) in place of the uniform cube;
- sides of 32 and 128 px beside the paper's 64: one stage less or more;
- the discriminator returns the raw score; the sigmoid is in the loss;
- `g_norm: layer` normalises each place of a map over its channels: an image then does not depend on its batch.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from smallgan.models.base import OrderedLayers
from smallgan.models.batch_norm import BatchNorm2d
from smallgan.models.resampling import DoublingConv2d, HalvingConv2d
from smallgan.tables.models import MODELS, DCGANOptions


class DCGANGenerator(nn.Module):
    """z -> 4 x 4 -> ... -> S x S. The channels double with each halving of the side, up to 8 x `base_width`."""

    def __init__(self, size: int = 64, z_dim: int = 100, base_width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.size, self.z_dim, self.num_classes = size, z_dim, 0
        self.description: dict[str, Any] = {"model": "dcgan", "size": size, "z_dim": z_dim, "base_width": base_width}
        self.description |= {"g_norm": norm} if norm != "batch" else {}
        make_norm = BatchNorm2d if norm == "batch" else _LayerNorm
        widths = _widths(size, base_width)[::-1]
        self.project = _Projection(z_dim, widths[0], 4, bias=False)
        self.project_norm = make_norm(widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(DoublingConv2d(narrow, wide), make_norm(wide), nn.ReLU(inplace=True))
            for narrow, wide in pairwise(widths)
        )
        self.to_rgb = nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z."""
        hidden = self.project(z).contiguous(memory_format=torch.channels_last)
        hidden = nn.functional.relu(self.project_norm(hidden), inplace=True)
        for stage in self.stages:
            hidden = stage(hidden)
        return torch.tanh(self.to_rgb(hidden))

    @property
    def norm_layers(self) -> Sequence[nn.Module]:
        """The normalisations, in the order in which maps pass them."""
        return [self.project_norm, *(cast(nn.Sequential, stage)[1] for stage in self.stages)]

    @property
    def first_layer(self) -> nn.Module:
        """The layer that makes the 4 x 4 map."""
        return self.project

    @property
    def class_table(self) -> None:
        """It has no classes."""
        return None

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the latent on."""
        return [[self.project, self.project_norm], *([stage] for stage in self.stages), [self.to_rgb]]


class DCGANDiscriminator(nn.Module):
    """S x S -> ... -> 4 x 4 -> score. `norm` is batch, or none, as penalties on its gradients want it."""

    def __init__(self, size: int = 64, base_width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.size = size
        widths = _widths(size, base_width)
        self.from_rgb = nn.Conv2d(3, widths[0], 4, 2, 1)
        self.stages = nn.ModuleList(
            nn.Sequential(
                HalvingConv2d(wide, narrow),
                BatchNorm2d(narrow) if norm == "batch" else _Bias(narrow),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for wide, narrow in pairwise(widths)
        )
        self.score = nn.Conv2d(widths[-1], 1, 4)

    def forward(self, images: Tensor) -> Tensor:
        """Return raw scores B (float32) for images B x 3 x S x S in [-1, 1]; higher means more real."""
        hidden = nn.functional.leaky_relu(self.from_rgb(images), 0.2, inplace=True)
        for stage in self.stages:
            hidden = stage(hidden)
        score = nn.functional.linear(hidden.flatten(1), self.score.weight.flatten(1), self.score.bias)
        return score.squeeze(1).float()

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the image on."""
        return [[self.from_rgb], *([stage] for stage in self.stages), [self.score]]


class _Projection(nn.ConvTranspose2d):
    """A transposed convolution of a 1 x 1 map, which is one matrix product; as such it is several times faster."""

    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        """Return maps B x C x 4 x 4 of latents B x Z."""
        maps = nn.functional.linear(z, self.weight.flatten(1).T)
        return maps.view(z.shape[0], self.weight.shape[1], *self.kernel_size)


class _LayerNorm(nn.LayerNorm):
    def forward(self, maps: Tensor) -> Tensor:
        """Return maps B x C x H x W, each place normalised over its channels, times gains C plus biases C."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Bias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps B x C x H x W with the bias added."""
        return maps + self.bias


def build(
    options: DCGANOptions, size: int, _num_classes: int, draws: torch.Generator
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """Return generator and discriminator for images of `size` px with weights drawn from `draws`.

    Raises UsageError for a size that DCGAN does not make.
    """
    generator = DCGANGenerator(size, options.z_dim, options.base_width, options.g_norm)
    discriminator = DCGANDiscriminator(size, options.d_width or options.base_width, options.d_norm)
    for network in (generator, discriminator):
        initialize(network, draws)
    return generator, discriminator


def load(state: Mapping[str, Any]) -> DCGANGenerator:
    """Return the generator that a checkpoint describes, its weights not yet loaded. Raises KeyError."""
    return DCGANGenerator(state["size"], state["z_dim"], state["base_width"], state.get("g_norm", "batch"))


def load_discriminator(tensors: Mapping[str, Tensor]) -> DCGANDiscriminator:
    """Return the discriminator that a checkpoint's tensors belong to, weights not yet loaded. Raises KeyError."""
    width, stages = len(tensors["from_rgb.weight"]), {name.split(".")[1] for name in tensors if "stages." in name}
    norm = "batch" if "stages.0.1.running_mean" in tensors else "none"
    return DCGANDiscriminator(2 ** (len(stages) + 3), width, norm)


def fresh_discriminator(generator: DCGANGenerator, draws: torch.Generator) -> DCGANDiscriminator:
    """Return a discriminator for a generator's images, as wide as it, with weights drawn from `draws`."""
    discriminator = DCGANDiscriminator(generator.size, generator.description["base_width"])
    initialize(discriminator, draws)
    return discriminator


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights as the paper does: N(0, 0.02), batch-norm gains N(1, 0.02), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _widths(size: int, base_width: int) -> list[int]:
    MODELS["dcgan"].check_size(size)
    return [base_width * 2**stage for stage in range(int(math.log2(size)) - 2)]
