"""Adapters: a few tensors of their own that bend a frozen, pretrained generator to a small set.

BSA (Noguchi and Harada 2019, arXiv:1904.01774) trains the layers that make each conditional batch norm's gain and bias.
APGC (Takeda and Yanai's adaptive point-wise grouped convolutions) lets channels mix in groups of g as well: with x_hat
the normalised maps, v a block's condition, k a group, o and i channels in it,

    out[b, k g + o] = sum_i W[b, k, o, i] x_hat[b, k g + i] + beta[b, k g + o],   W = diag(1 + gain(v)) + D(v),

beta = bias(v) + d(v). gain and bias are the pretrained layers, frozen, since D's diagonal can do all that they could;
D and d are new, start at zero, and so step 0 is the pretrained generator to the last bit. g = 1 is BSA. With the init
`identity`, which is that of the authors' code, W = I + D and beta = d, and D and d start as torch starts its layers.

Both also train a class vector in place of a label, the first layer, and a scale and a bias on the first map. In a
generator whose norms know no condition (DCGAN, FastGAN) both stand behind each norm, BSA as one gain and one bias a
channel, with z, and the class vector where there are classes, as APGC's condition (`smallgan.models.plain_source`).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.memory import free_bytes
from smallgan.models.base import Adaptable, ConditionalNorm
from smallgan.models.grouped_pointwise import mix_groups
from smallgan.models.plain_source import check_places
from smallgan.models.spectral import freeze, thaw
from smallgan.tables.methods import APGCOptions, BSAOptions

Init = Literal["pretrained", "identity"]
BYTES_A_PARAMETER = {True: 16, False: 4}
"""In training a float32 weight, its gradient and Adam's two moments; else the weight."""
MEMORY_SHARE = 0.75  # Most of the free memory that an adapter's layers may take


class AdaptedGenerator(nn.Module, ABC):
    """A generator (z -> images) made of a frozen pretrained one, which is not part of its state, and an adapter.

    Its parameters and its `state_dict` are the adapter's own; `to` moves the pretrained generator as well.

    Args:
        pretrained: it is frozen here (`spectral.freeze`), and stays usable as it is.
        class_vector: start of the learned class vector, class_dim values; see `starting_class_vector`.
        train_first: train a copy of the first layer.

    Raises UsageError for a generator without a place for an adapter.
    """

    num_classes = 0
    """No label is needed: the learned class vector stands for all of them."""

    def __init__(self, pretrained: Adaptable, class_vector: Tensor, *, train_first: bool = True) -> None:
        super().__init__()
        check_places(pretrained)
        freeze(pretrained)
        self._outside = (pretrained,)  # in a tuple, where torch does not register it
        self.z_dim, self.size = pretrained.z_dim, pretrained.size
        device = next(pretrained.parameters()).device
        start = class_vector.detach().clone().to(device)
        self.class_vector = nn.Parameter(start) if pretrained.class_dim else None  # a generator without classes
        self.scale = nn.Parameter(torch.ones(pretrained.first_channels, device=device))
        self.bias = nn.Parameter(torch.zeros(pretrained.first_channels, device=device))
        self.first = copy.deepcopy(pretrained.first_layer) if train_first else None
        if self.first is not None:
            thaw(self.first)

    @property
    def pretrained(self) -> Adaptable:
        """The frozen generator."""
        return self._outside[0]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - as other generators are called
        """Return images B x 3 x S x S in [-1, 1] for latents B x Z; labels may be given, and nothing reads them."""
        vectors = z[:, :0] if self.class_vector is None else self.class_vector.expand(z.shape[0], -1)
        with self.pretrained.first_layer.register_forward_hook(self._first_layer):
            return self.pretrained.synthesize(z, vectors, self.modulate, self._adjust)

    def _first_layer(self, _layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Let the trained copy answer for the first layer: its architecture decides what the output becomes, not we."""
        return output if self.first is None else self.first(*inputs)

    @abstractmethod
    def modulate(self, number: int, normalized: Tensor, condition: Tensor) -> Tensor:
        """Return what conditional batch norm `number` gives: B x C x H x W, from maps of that shape and B x V."""

    def _adjust(self, hidden: Tensor) -> Tensor:
        """Scale and shift the first map in float32; its own type after it, or the norms that follow would change."""
        return (hidden.float() * self.scale[:, None, None] + self.bias[:, None, None]).to(hidden.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdaptedGenerator:
        """Move the pretrained generator too. Its spectral norms are computed anew: another device rounds otherwise."""
        self.pretrained._apply(fn, recurse)
        freeze(self.pretrained)
        return cast(AdaptedGenerator, super()._apply(fn, recurse))


class BSA(AdaptedGenerator):
    """Trains copies of the layers that make the gains and biases; their spectral norm stays on."""

    def __init__(self, pretrained: Adaptable, class_vector: Tensor, *, train_first: bool = True) -> None:
        super().__init__(pretrained, class_vector, train_first=train_first)
        self.norms = nn.ModuleList(_modulation_only(norm) for norm in pretrained.norms)

    def modulate(self, number: int, normalized: Tensor, condition: Tensor) -> Tensor:
        """Return x_hat (1 + gain(v)) + bias(v)."""
        gain, bias = cast(ConditionalNorm, self.norms[number]).modulation(condition)
        return normalized * gain + bias


class APGC(AdaptedGenerator):
    """Mixes the channels of each group by weights that a layer makes from the condition.

    Args:
        group_size: g, channels a group; 0: all channels of a batch norm are one group.
        init: see the module.
        draws: random generator (CPU) of the init `identity`.

    Raises UsageError for a g that does not divide the width of every batch norm.
    """

    def __init__(
        self,
        pretrained: Adaptable,
        class_vector: Tensor,
        group_size: int = 16,
        init: Init = "pretrained",
        draws: torch.Generator | None = None,
        *,
        train_first: bool = True,
    ) -> None:
        super().__init__(pretrained, class_vector, train_first=train_first)
        check_group_size(pretrained, group_size)
        self.group_size, self.init = group_size, init
        device = self.scale.device
        sizes = [(norm.condition, norm.channels) for norm in pretrained.norms]
        self.mixing = nn.ModuleList(_layer(v, c * (group_size or c), init, draws, device) for v, c in sizes)
        self.shifts = nn.ModuleList(_layer(v, c, init, draws, device) for v, c in sizes)

    def modulate(self, number: int, normalized: Tensor, condition: Tensor) -> Tensor:
        """Return W x_hat + beta, group by group."""
        batch, channels = normalized.shape[:2]
        group_size = self.group_size or channels
        off: Tensor = self.mixing[number](condition)
        shift: Tensor = self.shifts[number](condition)[:, :, None, None]
        # What the frozen layers give is added first and D's product last: adding zeros to it leaves every bit.
        if self.init == "pretrained":
            gain, bias = self.pretrained.norms[number].modulation(condition)
            bias = bias + shift
        else:
            gain, bias = torch.ones_like(shift), shift
        if group_size == 1:
            return normalized * (gain + off[:, :, None, None]) + bias
        return mix_groups(normalized, gain, bias, off.view(batch, channels // group_size, group_size, group_size))


def check_group_size(generator: Adaptable, group_size: int) -> None:
    """Raise UsageError, which lists the group sizes that are possible, unless this one divides every width."""
    common = _common_width(generator)
    if group_size < 0 or (group_size and common % group_size):
        widths = ", ".join(map(str, sorted({norm.channels for norm in generator.norms})))
        fitting = ", ".join(str(size) for size in range(1, common + 1) if common % size == 0)
        raise UsageError(
            f"--group-size {group_size}: the batch norms have {widths} channels; use one that divides them all: "
            f"{fitting}, or 0 for no groups"
        )


def check_memory(generator: Adaptable, group_size: int, available: int | None, *, training: bool = True) -> None:
    """Raise UsageError when APGC's layers at this group size cannot fit into `available` bytes (None: unknown).

    They may take `MEMORY_SHARE` of it: what else a step needs would otherwise bring the machine to a standstill, which
    is worse than a refusal (measured: 19.2 GiB of 20 free, ungrouped at 128 px).
    """
    parameters = _size(generator, group_size).layer_parameters
    needed = parameters * BYTES_A_PARAMETER[training]
    if available is not None and needed > MEMORY_SHARE * available:
        what = "weights, gradients and Adam's two moments" if training else "weights"
        raise UsageError(
            f"--group-size {group_size}: {parameters:,} parameters need {needed / 2**30:.1f} GiB ({what}, float32), "
            f"and {available / 2**30:.1f} GiB are free; use a smaller group size such as 16"
        )


@dataclass(frozen=True)
class AdapterSize:
    """Counts of one adapter's parameters, and their ratios to BSA on the same generator."""

    name: str
    group_size: int | None  # Channels a group, 0 for no groups; None for BSA
    weights: int  # Of the layers that make the channels' mixing (BSA: gains and biases), without their biases
    weights_ratio: float
    layer_parameters: int  # Of all layers after the batch norms, biases included
    layer_ratio: float
    trained: int  # All that is trained but the codes: also class vector, first layer, scale and bias of the first map


def parameter_table(generator: Adaptable, group_sizes: Sequence[int] = (1, 4, 8, 16, 0)) -> list[AdapterSize]:
    """Return the size of BSA, then of APGC at each group size that divides the generator's widths; 0: ungrouped.

    Nothing is built, so the generator may lie on the meta device.
    """
    common = _common_width(generator)
    fitting = [size for size in group_sizes if size == 0 or common % size == 0]
    return [_size(generator, None), *(_size(generator, size) for size in fitting)]


def _size(generator: Adaptable, group_size: int | None) -> AdapterSize:
    norms = [(norm.condition, norm.channels) for norm in generator.norms]
    bsa = sum(parameter.numel() for norm in generator.norms for parameter in norm.parameters())
    first = sum(parameter.numel() for parameter in generator.first_layer.parameters())
    shared = generator.class_dim + first + 2 * generator.first_channels
    if group_size is None:
        return AdapterSize("BSA", None, bsa, 1.0, bsa, 1.0, bsa + shared)
    weights = sum(condition * channels * (group_size or channels) for condition, channels in norms)
    layers = sum((condition + 1) * channels * ((group_size or channels) + 1) for condition, channels in norms)
    name = f"APGC, g = {group_size}" if group_size else "APGC, ungrouped"
    return AdapterSize(name, group_size, weights, weights / bsa, layers, layers / bsa, layers + shared)


def _common_width(generator: Adaptable) -> int:
    return math.gcd(*(norm.channels for norm in generator.norms))


def starting_class_vector(generator: Adaptable, start: str) -> Tensor:
    """Return class_dim values: the mean of all ("mean"), a class ("3" or "#3"), or a weighted mean ("3:0.5+17:0.5").

    Weights are shares of their sum, and 1 where none is given. A generator without classes has none: 0 values for
    "mean". Raises UsageError.
    """
    check_places(generator)
    if not generator.class_dim:
        parse_class_vector(start, 0)
        return torch.zeros(0)
    if not generator.num_classes:
        raise UsageError(
            "this generator's file has no class embedding (shared.weight), so no class vector to start from; use the "
            "whole file (the official G_ema.pth has the embedding)"
        )
    device = next(generator.parameters()).device
    with torch.no_grad():
        return start_row(generator.class_vectors(torch.arange(generator.num_classes, device=device)), start)


def start_row(table: Tensor, start: str) -> Tensor:
    """Return V values of a table K x V of classes: the mean of its rows, or of those that `start` names, by weight.

    `start` is as in `starting_class_vector`. Raises UsageError.
    """
    shares = parse_class_vector(start, len(table))
    if shares is None:
        return table.detach().mean(dim=0)
    rows = table.detach()[list(shares)]
    weights = torch.tensor(list(shares.values()), device=table.device)
    return rows[0] if len(shares) == 1 else (weights / weights.sum()) @ rows


def parse_class_vector(start: str, num_classes: int) -> dict[int, float] | None:
    """Return the weight of each class that a start such as "3:0.5+17:0.5" names, None for "mean". Raises UsageError."""
    if start.strip() == "mean":
        return None
    if not num_classes:
        raise UsageError(f"class vector {start!r}: this generator has no classes; leave it out")
    shares: dict[int, float] = {}
    for part in start.split("+"):
        index, _, weight = (piece.strip() for piece in part.partition(":"))
        try:
            label, share = int(index.removeprefix("#")), float(weight or 1)
        except ValueError:
            label, share = -1, 0.0
        if not 0 <= label < num_classes or not 0 < share < math.inf or label in shares:
            raise UsageError(
                f"class vector {start!r}: cannot use {part.strip()!r}; write mean, a class from 0 to "
                f"{num_classes - 1}, or different classes with weights above 0 such as 0:0.5+{num_classes - 1}:0.5"
            )
        shares[label] = share
    return shares


def _modulation_only(norm: ConditionalNorm) -> ConditionalNorm:
    own = copy.deepcopy(norm)
    for name, _ in list(own.named_buffers(recurse=False)):
        own.register_buffer(name, None)
    thaw(own)
    return own


def _layer(inputs: int, outputs: int, init: Init, draws: torch.Generator | None, device: torch.device) -> nn.Linear:
    """Return a layer of zeros (`pretrained`), or one drawn as torch draws its own: uniform within 1 / sqrt(inputs)."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            if init == "pretrained":
                parameter.zero_()
            else:
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=draws)
    return layer.to(device)


def build_bsa(
    options: BSAOptions, pretrained: Adaptable, _draws: torch.Generator, device: torch.device, *, training: bool = True
) -> BSA:
    """Return BSA on a pretrained generator, at its start, on `device`. Raises UsageError for a class vector."""
    del training  # it takes the same memory
    vector = starting_class_vector(pretrained.to(device), options.class_vector)
    return BSA(pretrained, vector, train_first=options.lr_first > 0)


def build_apgc(
    options: APGCOptions, pretrained: Adaptable, draws: torch.Generator, device: torch.device, *, training: bool = True
) -> APGC:
    """Return APGC on a pretrained generator, at its start, on `device`.

    Not for training, it takes less memory, and waits for a checkpoint's "g_ema" to be loaded into it. Raises
    UsageError (group size, class vector, too little memory, or a generator that cannot be adapted).
    """
    vector = starting_class_vector(pretrained.to(device), options.class_vector)
    check_group_size(pretrained, options.group_size)
    check_memory(pretrained, options.group_size, free_bytes(device), training=training)
    return APGC(pretrained, vector, options.group_size, options.init, draws, train_first=options.lr_first > 0)
