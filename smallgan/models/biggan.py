"""BigGAN (Brock, Donahue, Simonyan 2019, arXiv:1809.11096): class-conditional residual generator and discriminator.

Names and shapes of the parameters are those of the released PyTorch checkpoints, so that they load as they are:
`blocks.{i}.0` is block i, `blocks.{i}.1` the self-attention after it (Zhang et al. 2019, arXiv:1805.08318), where there
is one. In the generator `bn1.gain` and `bn1.bias` are layers that make a batch norm's gain and bias from the condition.

Hierarchical latents: z is cut in (blocks + 1) equal chunks; the first makes the 4 x 4 map, chunk i + 1 conditions block
i, behind the class vector: [class vector, chunk]. Without them (the CIFAR checkpoints) every block has the class's
vector alone.

Where we differ from the released code, in speed and not in value: the 1 x 1 convolution of a generator's skip path runs
before the nearest-neighbour doubling, not after it (a quarter of the work; the two commute).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augment.errors import UsageError
from smallgan.models.base import Adaptable, Adjust, ConditionalNorm, Modulate, OrderedLayers
from smallgan.models.batch_norm import batch_norm
from smallgan.models.spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear
from smallgan.tables.models import BigGANOptions

_GENERATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""Channels at 4 x 4 and after each block, in units of `ch`."""
_DISCRIMINATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
"""Channels after each block, in units of `ch`."""
BOTTOM = 4  # Side of the first map


@dataclass(frozen=True)
class BigGANConfig:
    """What a generator and its discriminator are built from."""

    size: int
    """Side of the images in pixels: 32, 64, 128, 256 or 512."""
    ch: int
    """Unit of width; 96 in the released ImageNet models."""
    z_dim: int
    """Length of z, all chunks together."""
    num_classes: int
    shared_dim: int = 128
    """Length of the shared class vector; 0: every batch norm has tables of its own (the CIFAR checkpoints)."""
    hierarchical: bool = True
    attention: int = 0
    """Side of the maps after which self-attention stands; 0: none."""
    bn_eps: float = 1e-5
    sn_eps: float = 1e-6
    d_ch: int | None = None
    """Unit of width of the discriminator; None: as the generator's."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at 4 x 4 and after each block of the generator."""
        if self.size not in _GENERATOR_WIDTHS:
            raise UsageError(f"size {self.size}: BigGAN is built for {', '.join(map(str, _GENERATOR_WIDTHS))} px")
        return tuple(self.ch * unit for unit in _GENERATOR_WIDTHS[self.size])

    @property
    def chunk(self) -> int:
        """Length of a chunk of z: of the one that makes the 4 x 4 map, and of each block's."""
        return self.z_dim // len(self.widths) if self.hierarchical else self.z_dim

    @property
    def condition(self) -> int:
        """V, length of a block's condition; 0 where it is a label."""
        return self.shared_dim + self.chunk if self.hierarchical else self.shared_dim


class StoredBatchNorm(nn.Module):
    """Batch norm without gain and bias, its moments under BigGAN's names."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, 0.1
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def normalize(self, hidden: Tensor) -> Tensor:
        """Return normalised maps: by the batch's moments in training, by the stored ones else."""
        mean, variance = cast(Tensor, self.stored_mean), cast(Tensor, self.stored_var)
        return batch_norm(hidden, mean, variance, None, None, self.training, self.momentum, self.eps)


class ConditionalBatchNorm(StoredBatchNorm, ConditionalNorm):
    """Its condition is a vector, or a label where there is no shared class vector."""

    def __init__(self, channels: int, config: BigGANConfig) -> None:
        super().__init__(channels, config.bn_eps)
        self.channels, self.condition = channels, config.condition
        for name in self.layer_names:
            if config.shared_dim:
                layer: nn.Module = SpectralLinear(config.condition, channels, bias=False, eps=config.sn_eps)
            else:
                layer = nn.Embedding(config.num_classes, channels)
            self.add_module(name, layer)


class OutputBatchNorm(StoredBatchNorm):
    """The generator's last batch norm, with a gain and a bias of its own; its epsilon is 1e-5 whatever the others'."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1e-5)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x C x H x W."""
        return self.normalize(hidden) * self.gain[:, None, None] + self.bias[:, None, None]


class SelfAttention(nn.Module):
    """x + gamma o(softmax(theta(x)' phi(x)) g(x)); phi and g are max-pooled 2 x 2, gamma starts at 0."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.theta = SpectralConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.phi = SpectralConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.g = SpectralConv2d(channels, channels // 2, 1, bias=False, eps=eps)
        self.o = SpectralConv2d(channels // 2, channels, 1, bias=False, eps=eps)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x C x H x W."""
        found = attend(hidden, self.theta, self.phi, self.g)
        return cast(Tensor, self.gamma * self.o(found) + hidden)


def attend(hidden: Tensor, theta: nn.Module, phi: nn.Module, g: nn.Module) -> Tensor:
    """Return softmax(theta(x)' phi(x)) g(x) as maps of the side of x; phi(x) and g(x) are max-pooled 2 x 2."""
    query = theta(hidden).flatten(2)
    key, value = (F.max_pool2d(layer(hidden), 2).flatten(2) for layer in (phi, g))
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    return cast(Tensor, (value @ weights.transpose(1, 2)).unflatten(2, hidden.shape[2:]))


class GeneratorBlock(nn.Module):
    """Doubles the side: norm, ReLU, up, 3 x 3, norm, ReLU, 3 x 3, beside a skip of up and 1 x 1."""

    def __init__(self, in_channels: int, out_channels: int, config: BigGANConfig) -> None:
        super().__init__()
        self.conv1 = SpectralConv2d(in_channels, out_channels, 3, eps=config.sn_eps)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, eps=config.sn_eps)
        self.conv_sc = SpectralConv2d(in_channels, out_channels, 1, eps=config.sn_eps)
        self.bn1 = ConditionalBatchNorm(in_channels, config)
        self.bn2 = ConditionalBatchNorm(out_channels, config)

    def forward(self, hidden: Tensor, condition: Tensor, modulate: Modulate | None, number: int) -> Tensor:
        """Return maps B x out x 2H x 2W; `number` is that of this block's first batch norm."""
        skip = F.interpolate(self.conv_sc(hidden), scale_factor=2.0)
        hidden = F.relu(self.bn1(hidden, condition, modulate, number))
        hidden = self.conv1(F.interpolate(hidden, scale_factor=2.0))
        hidden = F.relu(self.bn2(hidden, condition, modulate, number + 1))
        return cast(Tensor, self.conv2(hidden) + skip)


class BigGANGenerator(Adaptable):
    """(z, class) -> 4 x 4 -> ... -> S x S."""

    can_recompute = True

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        self.size, self.z_dim, self.num_classes = config.size, config.z_dim, config.num_classes
        widths = config.widths
        self.class_dim, self.first_channels = config.shared_dim, widths[0]
        if config.shared_dim:
            self.shared = nn.Embedding(config.num_classes, config.shared_dim)
        self.linear = SpectralLinear(config.chunk, widths[0] * BOTTOM**2, eps=config.sn_eps)
        self.blocks = nn.ModuleList()
        side = BOTTOM
        for wide, narrow in pairwise(widths):
            side *= 2
            block: list[nn.Module] = [GeneratorBlock(wide, narrow, config)]
            if side == config.attention:
                block.append(SelfAttention(narrow, config.sn_eps))
            self.blocks.append(nn.ModuleList(block))
        self.output_layer = nn.Sequential(
            OutputBatchNorm(widths[-1]), nn.ReLU(), SpectralConv2d(widths[-1], 3, 3, eps=config.sn_eps)
        )

    @property
    def description(self) -> dict[str, Any]:
        """What `load` builds it from again, as JSON values."""
        return {"model": "biggan", "config": asdict(self.config)}

    def class_vectors(self, labels: Tensor) -> Tensor:
        """Return the class vectors B x shared_dim of labels B, or the labels where there is no shared embedding."""
        return cast(Tensor, self.shared(labels)) if self.config.shared_dim else labels

    def synthesize(
        self, z: Tensor, class_vectors: Tensor, modulate: Modulate | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """Return images for latents B x Z and class vectors B x shared_dim."""
        first, conditions = self.conditions(z, class_vectors)
        hidden = self.linear(first).view(z.shape[0], -1, BOTTOM, BOTTOM)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        if adjust is not None:
            hidden = adjust(hidden)
        for number, (layers, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            block, *attention = cast(nn.ModuleList, layers)
            hidden = self.through(block, hidden, condition, modulate, 2 * number)
            for layer in attention:
                hidden = layer(hidden)
        return torch.tanh(self.output_layer(hidden).float())

    def conditions(self, z: Tensor, class_vectors: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return what makes the first map, and each block's condition."""
        if not self.config.hierarchical:
            return z, [class_vectors] * len(self.blocks)
        first, *chunks = z.split(self.config.chunk, dim=1)
        return first, [torch.cat([class_vectors, chunk], dim=1) for chunk in chunks]

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that makes the 4 x 4 map."""
        return self.linear

    @property
    def norms(self) -> list[ConditionalBatchNorm]:
        """The conditional batch norms, in the order in which `modulate` numbers them."""
        return [norm for block in self.blocks for norm in (block[0].bn1, block[0].bn2)]  # type: ignore[index]

    @property
    def norm_layers(self) -> Sequence[nn.Module]:
        """All batch norms, the last one too, in the order in which maps pass them."""
        return [*self.norms, self.output_layer[0]]

    @property
    def class_table(self) -> nn.Embedding | None:
        """The class vectors, None where every batch norm has tables of its own."""
        return self.shared if self.config.shared_dim else None

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the latent on."""
        return [[self.linear], *([block] for block in self.blocks), [self.output_layer]]


class DiscriminatorBlock(nn.Module):
    """ReLU (not in the first), 3 x 3, ReLU, 3 x 3, average pool (not in the last), beside a skip."""

    def __init__(self, in_channels: int, out_channels: int, eps: float, *, first: bool, halves: bool) -> None:
        super().__init__()
        self.first, self.halves = first, halves
        self.conv1 = SpectralConv2d(in_channels, out_channels, 3, eps=eps)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, eps=eps)
        self.has_skip_conv = halves or in_channels != out_channels
        if self.has_skip_conv:
            self.conv_sc = SpectralConv2d(in_channels, out_channels, 1, eps=eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x out x H/2 x W/2, or of the same side in the last block."""
        path = self.conv2(F.relu(self.conv1(hidden if self.first else F.relu(hidden))))
        if self.halves:
            # Averaging and a 1 x 1 convolution commute; averaging first is a quarter of the work.
            path, hidden = F.avg_pool2d(path, 2), F.avg_pool2d(hidden, 2)
        return cast(Tensor, path + (self.conv_sc(hidden) if self.has_skip_conv else hidden))


class BigGANDiscriminator(nn.Module):
    """S x S -> ... -> sum over places -> score: linear(h) + <embed(label), h> (Miyato and Koyama 2018)."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config, self.size = config, config.size
        ch = config.d_ch or config.ch
        widths = (3, *(ch * unit for unit in _DISCRIMINATOR_WIDTHS[config.size]))
        side, self.blocks = config.size, nn.ModuleList()
        for number, (wide, narrow) in enumerate(pairwise(widths)):
            halves = number < 2 if config.size == 32 else number < len(widths) - 2
            side = side // 2 if halves else side
            block: list[nn.Module] = [DiscriminatorBlock(wide, narrow, config.sn_eps, first=number == 0, halves=halves)]
            if halves and side == config.attention:
                block.append(SelfAttention(narrow, config.sn_eps))
            self.blocks.append(nn.ModuleList(block))
        self.linear = SpectralLinear(widths[-1], 1, eps=config.sn_eps)
        self.embed = SpectralEmbedding(config.num_classes, widths[-1], eps=config.sn_eps)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return raw scores B (float32) for images B x 3 x S x S in [-1, 1] and labels B (None: all of class 0)."""
        if labels is None:
            labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        hidden = images
        for block in self.blocks:
            for layer in cast(nn.ModuleList, block):
                hidden = layer(hidden)
        pooled = F.relu(hidden).float().sum(dim=(2, 3))
        score: Tensor = self.linear(pooled).squeeze(1) + (self.embed(labels) * pooled).sum(dim=1)
        return score.float()

    @property
    def ordered_layers(self) -> OrderedLayers:
        """Its layers from the image on."""
        return [*([block] for block in self.blocks), [self.linear]]


def build(
    options: BigGANOptions, size: int, num_classes: int, draws: torch.Generator
) -> tuple[BigGANGenerator, BigGANDiscriminator]:
    """Return generator and discriminator for images of `size` px with weights drawn from `draws`.

    z is rounded down to whole chunks. Raises UsageError when it is shorter than one number per chunk, or when no maps
    of both networks have the side of the attention.
    """
    config = BigGANConfig(
        size, options.base_width, options.z_dim, num_classes, options.shared_dim, attention=options.attention
    )
    chunks, sides = len(config.widths), [2**power for power in range(3, 10) if 2**power < size]
    if options.z_dim < chunks:
        raise UsageError(f"model.z_dim {options.z_dim}: must be at least {chunks}, one number a chunk of z")
    if options.attention and options.attention not in sides:
        raise UsageError(
            f"model.attention {options.attention}: no maps of that side in both networks of {size} px; use one of "
            f"{', '.join(map(str, sides))}, or 0 for none"
        )
    generator = BigGANGenerator(replace(config, z_dim=options.z_dim // chunks * chunks, d_ch=options.d_width))
    discriminator = BigGANDiscriminator(generator.config)
    for network in (generator, discriminator):
        initialize(network, draws, options.init)
    return generator, discriminator


def load(state: Mapping[str, Any]) -> BigGANGenerator:
    """Return the generator that a checkpoint describes, its weights not yet loaded. Raises KeyError and TypeError."""
    return BigGANGenerator(BigGANConfig(**state["config"]))


def initialize(network: nn.Module, generator: torch.Generator, how: str = "orthogonal") -> None:
    """Draw the weights: orthogonal as for ImageNet, or N(0, 0.02) as for CIFAR; biases 0, spectral vectors normal."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if how == "orthogonal":
                nn.init.orthogonal_(module.weight, generator=generator)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(cast(Tensor, module.bias))
            if hasattr(module, "u0"):
                cast(Tensor, module.u0).normal_(generator=generator)
