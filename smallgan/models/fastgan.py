"""FastGAN (Liu, Zhu, Song, Elgammal 2021, arXiv:2101.04775): a light generator with gated convolutions and skip-layer
excitation, and a discriminator whose maps can be decoded.

Kept from the paper: gated linear units behind batch norm, skip-layer excitation from low to high maps, a second
convolution at some levels, residual halving blocks (a 4 x 4 convolution beside average pooling), 5 x 5 patch scores
of the 8 x 8 maps, a decoder of real images that trains the discriminator's maps (the regularizer `autoencode`).

Where we differ:
- a linear layer makes the 4 x 4 map; a transposed 4 x 4 convolution doubles the side, in place of nearest-neighbour
  doubling and a 3 x 3 convolution; a second 3 x 3 convolution stands at 8 and 16 px, and up to 64 px from sides of 128;
- no noise on the maps: an image is a function of its latent and its class alone, in training and in sampling;
- no spectral norm; the averaged generator's batch-norm statistics are measured, not copied;
- excitation 4 -> 32 and 8 -> 64 for sides up to 64, the paper's 4 -> 64, 8 -> 128, 16 -> 256, 32 -> 512 above;
- one image comes out, by tanh at every side; the paper's second one at 128 px and the branch that scores it do not;
- no norm and no excitation in the discriminator; its weights start as He et al. (2015) say, and R1 takes the place of
  the norms; one LeakyReLU follows the sum of a block's two paths, which start with half the variance each;
- beside the patches a score of the whole image with the standard deviation within groups of four images (Karras et
  al. 2018); an image's score is the mean of this score and the mean of its patches, so the hinge is not taken by patch;
- class-conditional: a class embedding beside z, and a projection term in the discriminator (Miyato and Koyama 2018);
- narrower by default, most of all up to 64 px, where it is to train on a CPU.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smallgan.core import distributed
from smallgan.models.base import AcrossBatch, OrderedLayers
from smallgan.models.batch_norm import BatchNorm2d
from smallgan.models.dcgan import initialize as initialize_convolutions
from smallgan.models.resampling import DoublingConv2d, HalvingConv2d
from smallgan.tables.models import MODELS, FastGANOptions

_SMALL, _LARGE = (24, 16, 12, 6, 3), (64, 64, 32, 16, 16, 8, 4, 2)
"""Channels of the generator at 4, 8, 16, ... px in units of `base_width`: for sides up to 64, and above."""
LARGEST_SMALL = 64  # Side up to which the widths and the excitations of small generators are used
FIRST = 4  # Side of the generator's first map
GROUP = 4  # Images whose standard deviation the discriminator sees
_BUILT_FROM = ("size", "z_dim", "base_width", "num_classes", "class_dim")  # What a checkpoint tells of a generator


class GLU(nn.Module):
    """Maps B x 2C x H x W -> B x C x H x W: the first half of the channels times the sigmoid of the second.

    On a CPU three to four times as fast as torch's own, whose gradient also reaches the batch norm before it in an
    order in which that is slow.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the gated maps."""
        values, gates = maps.chunk(2, dim=1)
        return values * torch.sigmoid(gates.contiguous(memory_format=torch.channels_last))


def doubling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the layers that make B x out x 2S x 2S of B x in x S x S: transposed convolution, batch norm, GLU."""
    return nn.Sequential(DoublingConv2d(in_channels, 2 * out_channels), BatchNorm2d(2 * out_channels), GLU())


def _refining(channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
    return nn.Sequential(convolution, BatchNorm2d(2 * channels), GLU())


class SkipExcitation(nn.Module):
    """Skip-layer excitation: high * sigmoid(W2 silu(W1 low)), low pooled to 4 x 4 and read as one vector.

    W1 is the paper's 4 x 4 convolution and W2 its 1 x 1; with one place left both are matrix products.
    """

    def __init__(self, low_channels: int, high_channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(low_channels * FIRST**2, high_channels, bias=False)
        self.excite = nn.Linear(high_channels, high_channels, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Return maps of the shape of `high`, B x C' x H' x W', each channel times a gate made of `low`."""
        pooled = F.adaptive_avg_pool2d(low, FIRST).flatten(1)
        gates = torch.sigmoid(self.excite(F.silu(self.squeeze(pooled))))
        return high * gates[:, :, None, None]


class FastGANGenerator(nn.Module):
    """z, and a class where there are several -> 4 x 4 -> ... -> S x S."""

    def __init__(self, size: int, z_dim: int, base_width: int, num_classes: int = 0, class_dim: int = 0) -> None:
        super().__init__()
        self.size, self.z_dim, self.num_classes = size, z_dim, num_classes
        built_from = size, z_dim, base_width, num_classes, class_dim
        self.description: dict[str, Any] = {"model": "fastgan", **dict(zip(_BUILT_FROM, built_from, strict=True))}
        widths = generator_widths(size, base_width)
        if num_classes:
            self.classes = nn.Embedding(num_classes, class_dim)
        self.first = nn.Linear(z_dim + (class_dim if num_classes else 0), 2 * widths[FIRST] * FIRST**2, bias=False)
        self.first_norm, self.glu = BatchNorm2d(2 * widths[FIRST]), GLU()
        largest_refined = 16 if size <= LARGEST_SMALL else 64
        self.levels = nn.ModuleDict()
        for low, side in pairwise(widths):
            level = doubling(widths[low], widths[side])
            self.levels[str(side)] = nn.Sequential(level, _refining(widths[side])) if side <= largest_refined else level
        self.reach = 8 if size <= LARGEST_SMALL else 16  # side of the excited maps over that of the exciting ones
        self.excitations = nn.ModuleDict()
        for side in filter(self._excited, widths):
            self.excitations[str(side)] = SkipExcitation(widths[side // self.reach], widths[side])
        self.to_rgb = nn.Conv2d(widths[size], 3, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z and labels B (None: all of class 0)."""
        if self.num_classes:
            labels = torch.zeros(z.shape[0], dtype=torch.int64, device=z.device) if labels is None else labels
            z = torch.cat([z, self.classes(labels)], dim=1)
        return self.synthesize(z)

    def synthesize(self, z: Tensor) -> Tensor:
        """Return images for latents B x Z, in a generator with classes [latents, class vectors]."""
        hidden = self.first(z).view(z.shape[0], -1, FIRST, FIRST).contiguous(memory_format=torch.channels_last)
        made = {FIRST: self.glu(self.first_norm(hidden))}
        for name, level in self.levels.items():
            side = int(name)
            hidden = level(made[side // 2])
            made[side] = self.excitations[name](made[side // self.reach], hidden) if self._excited(side) else hidden
        return torch.tanh(self.to_rgb(made[self.size]).float())

    @property
    def norm_layers(self) -> Sequence[nn.Module]:
        """The batch norms, in the order in which maps pass them."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    @property
    def first_layer(self) -> nn.Module:
        """The layer that makes the 4 x 4 map."""
        return self.first

    @property
    def class_table(self) -> nn.Embedding | None:
        """The class vectors, None without classes."""
        return self.classes if self.num_classes else None

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the latent on, each side's with its excitation."""
        sides = [[level, *self._excitation(side)] for side, level in self.levels.items()]
        return [[self.first, self.first_norm], *sides, [self.to_rgb]]

    def _excitation(self, side: str) -> list[nn.Module]:
        return [self.excitations[side]] if side in self.excitations else []

    def _excited(self, side: int) -> bool:
        return side >= FIRST * self.reach


class HalvingBlock(nn.Module):
    """B x C x 2S x 2S -> B x C' x S x S: 4 x 4 convolution and 3 x 3, beside average pooling and 1 x 1; no norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            HalvingConv2d(in_channels, out_channels, bias=True),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.direct = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps B x C' x S x S."""
        return F.leaky_relu_(self.main(maps) + self.direct(maps), 0.2)


class MinibatchDeviation(AcrossBatch):
    """Adds a channel: the standard deviation within a group of images, averaged over channels and places.

    Groups are consecutive images, 4 of them, or 3 or 2 where 4 does not divide the batch, else the whole batch.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps B x (C + 1) x H x W for maps B x C x H x W."""
        whole = distributed.gathered(maps.float())
        size = next((size for size in range(GROUP, 1, -1) if len(whole) % size == 0), len(whole))
        groups = whole.unflatten(0, (-1, size))
        variance = (groups - groups.mean(dim=1, keepdim=True)).square().mean(dim=1)
        deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3)).repeat_interleave(size)  # the root has no slope at 0
        deviation = deviation[distributed.rows(len(whole))]
        channel = deviation[:, None, None, None].expand(-1, 1, *maps.shape[2:])
        return torch.cat([maps, channel.to(maps.dtype)], dim=1)


class FastGANDiscriminator(nn.Module):
    """S x S -> ... -> 8 x 8 maps, scored by patch -> 4 x 4 -> score of the whole image."""

    def __init__(self, size: int, base_width: int, num_classes: int = 0) -> None:
        super().__init__()
        self.size = size
        widths = discriminator_widths(size, base_width)
        *wide, self.map_channels, last = widths.values()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[size], 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        layers += [HalvingBlock(*pair) for pair in pairwise([*wide, self.map_channels])]
        self.to_maps = nn.Sequential(*layers)
        self.patches = nn.Sequential(
            nn.Conv2d(self.map_channels, self.map_channels, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(self.map_channels, 1, FIRST, bias=False),  # the other score has one
        )
        self.to_vector = nn.Sequential(
            HalvingBlock(self.map_channels, last),
            MinibatchDeviation(),
            nn.Flatten(),
            nn.Linear((last + 1) * FIRST**2, last),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.score = nn.Linear(last, 1)
        self.embed = nn.Embedding(num_classes, last) if num_classes else None

    def maps(self, images: Tensor) -> Tensor:
        """Return the maps B x `map_channels` x 8 x 8 of images B x 3 x S x S in [-1, 1]."""
        return cast(Tensor, self.to_maps(images))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return raw scores B (float32) for images B x 3 x S x S in [-1, 1] and labels B (None: all of class 0).

        The score of an image depends on the others of its group, see `MinibatchDeviation`.
        """
        maps = self.maps(images)
        by_patch = self.patches(maps).float().mean(dim=(1, 2, 3))
        vector = self.to_vector(maps)
        whole = self.score(vector).squeeze(1).float()
        if self.embed is not None:
            labels = torch.zeros(len(images), dtype=torch.int64, device=images.device) if labels is None else labels
            whole = whole + (self.embed(labels) * vector).sum(dim=1)
        return cast(Tensor, (by_patch + whole) / 2)

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the image on; what scores the 8 x 8 maps is the last one."""
        first, _, *blocks = self.to_maps
        return [[first], *([block] for block in blocks), [self.patches, self.to_vector, self.score]]


def build(
    options: FastGANOptions, size: int, num_classes: int, draws: torch.Generator
) -> tuple[FastGANGenerator, FastGANDiscriminator]:
    """Return generator and discriminator for images of `size` px with weights drawn from `draws`.

    With one class neither network takes labels. Raises UsageError for a size that FastGAN does not make.
    """
    classes = num_classes if num_classes > 1 else 0
    generator = FastGANGenerator(size, options.z_dim, options.base_width, classes, options.class_dim)
    discriminator = FastGANDiscriminator(size, options.d_width or options.base_width, classes)
    initialize(generator, discriminator, draws)
    return generator, discriminator


def load(state: Mapping[str, Any]) -> FastGANGenerator:
    """Return the generator that a checkpoint describes, its weights not yet loaded. Raises KeyError."""
    return FastGANGenerator(*(state[key] for key in _BUILT_FROM))


def load_discriminator(tensors: Mapping[str, Tensor]) -> FastGANDiscriminator:
    """Return the discriminator that a checkpoint's tensors belong to, weights not yet loaded. Raises KeyError."""
    blocks = {name.split(".")[1] for name in tensors if name.startswith("to_maps.")}  # one is the first convolution
    size, classes = 2 ** (len(blocks) + 2), len(tensors.get("embed.weight", ()))
    return FastGANDiscriminator(size, len(tensors["to_maps.0.weight"]) // _first_units(size), classes)


def fresh_discriminator(generator: FastGANGenerator, draws: torch.Generator) -> FastGANDiscriminator:
    """Return a discriminator for a generator's images and classes, as wide as it, with weights drawn from `draws`."""
    discriminator = FastGANDiscriminator(generator.size, generator.description["base_width"], generator.num_classes)
    initialize_discriminator(discriminator, draws)
    return discriminator


def reclass(
    generator: FastGANGenerator, discriminator: FastGANDiscriminator | None, rows: Callable[[Tensor], Tensor]
) -> None:
    """Give both networks, which have classes, tables of other classes: `rows` makes a new table K' x V of one K x V."""
    generator.classes = nn.Embedding.from_pretrained(rows(generator.classes.weight), freeze=False)
    generator.num_classes = len(generator.classes.weight)
    generator.description["num_classes"] = generator.num_classes
    if discriminator is not None and discriminator.embed is not None:
        discriminator.embed = nn.Embedding.from_pretrained(rows(discriminator.embed.weight), freeze=False)


def initialize(generator: FastGANGenerator, discriminator: FastGANDiscriminator, draws: torch.Generator) -> None:
    """Draw the weights: the generator's N(0, 0.02), class embeddings N(0, 1); then the discriminator's."""
    initialize_convolutions(generator, draws)
    for module in generator.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, 0.0, 0.02 if isinstance(module, nn.Linear) else 1.0, generator=draws)
    initialize_discriminator(discriminator, draws)


def initialize_discriminator(discriminator: FastGANDiscriminator, draws: torch.Generator) -> None:
    """Draw the weights by He et al.: the last layers of a block's two paths have half the variance.

    Layers that make a score have gain 1, the projection's vectors a length of about 1; biases are 0.
    """
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            is_score = module.weight.shape[0] == 1
            nn.init.kaiming_normal_(module.weight, 1.0 if is_score else 0.2, generator=draws)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, module.embedding_dim**-0.5, generator=draws)
    with torch.no_grad():
        for block in (each for each in discriminator.modules() if isinstance(each, HalvingBlock)):
            for path in (block.main, block.direct):
                cast(Tensor, path[-1].weight).mul_(0.5**0.5)


def generator_widths(size: int, base_width: int) -> dict[int, int]:
    """Return the channels of the generator's maps by their side, from 4 to `size`. Raises UsageError."""
    MODELS["fastgan"].check_size(size)
    units = _SMALL if size <= LARGEST_SMALL else _LARGE
    return {side: base_width * unit for unit, side in zip(units, _sides(size), strict=False)}


def discriminator_widths(size: int, base_width: int) -> dict[int, int]:
    """Return the channels of the discriminator's maps by their side, from `size` to 4. Raises UsageError.

    They double from 3 units to 24 for sides up to 64, and from 4 units to 32 above.
    """
    MODELS["fastgan"].check_size(size)
    first, last = _first_units(size), 24 if size <= LARGEST_SMALL else 32
    return {side: base_width * min(first * size // side, last) for side in reversed(_sides(size))}


def _first_units(size: int) -> int:
    return 3 if size <= LARGEST_SMALL else 4


def _sides(size: int) -> list[int]:
    return [2**power for power in range(2, size.bit_length())]
