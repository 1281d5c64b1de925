"""Layers divided by their largest singular value (Miyato et al. 2018, arXiv:1802.05957), in BigGAN's form.

`SpectralNorm` does the same to the layers of any other network.

Each layer keeps a vector `u0` (1 x out). A forward pass takes one power iteration from it,
v = normalise(u W), u' = normalise(v W^T), sigma = v W^T u'^T, and uses W / sigma, W being the weight as out x rest.
In training u' replaces `u0`; in eval mode it does not, but the iteration is still taken: a checkpoint's images depend
on its `u0`. `sv0` only records sigma, as released checkpoints hold it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization


class SpectralLayer(nn.Module):
    """What the layers share; `weight` comes from the torch layer beside it."""

    weight: Tensor
    u0: Tensor
    sv0: Tensor
    eps: float
    _fixed: Tensor | None
    _held: tuple[Tensor, Tensor] | None = None
    """u' and v of the step that is taken, while `held` holds them."""

    def _prepare(self, eps: float) -> None:
        self.eps = eps
        self.register_buffer("u0", torch.randn(1, self.weight.shape[0]))
        self.register_buffer("sv0", torch.ones(1))
        self.register_buffer("_fixed", None, persistent=False)

    def normalized_weight(self) -> Tensor:
        """Return W / sigma in the weight's shape; the gradient passes through sigma too, not through u and v."""
        if self._fixed is not None:
            return self._fixed
        rows = rows_of(self.weight)
        with torch.autocast(rows.device.type, enabled=False):
            return self.weight / self._sigma(rows)

    def _sigma(self, rows: Tensor) -> Tensor:
        u, v = self._held or self._iterated(rows)
        sigma = (F.linear(v, rows) * u).sum()
        if self.training and self._held is None:
            with torch.no_grad():
                self.u0.copy_(u)
                self.sv0.copy_(sigma)
        return sigma

    @torch.no_grad()
    def _iterated(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        v = F.normalize(self.u0 @ rows, eps=self.eps)
        return F.normalize(v @ rows.T, eps=self.eps), v

    @torch.no_grad()
    def hold(self) -> None:
        """Take the power iteration of a training step now, and none until `release`."""
        rows = self.weight.flatten(1)
        with torch.autocast(rows.device.type, enabled=False):
            u, v = self._iterated(rows)
            self.u0.copy_(u)
            self.sv0.copy_((F.linear(v, rows) * u).sum())
        self._held = u, v

    def release(self) -> None:
        """Take one in every training pass again."""
        self._held = None

    def fix(self, fixed: bool) -> None:
        """Keep the present W / sigma (True), as a frozen layer may, or compute it in every pass again (False)."""
        self._fixed = None
        if fixed:
            self._fixed = self.normalized_weight().detach()


def rows_of(weight: Tensor) -> Tensor:
    """Return a weight as out x rest; on a GPU the rest is in the order in which it lies, so that nothing is copied.

    Neither singular values nor products of rows depend on that order. On a CPU, where a copy needs no launch, sums keep
    the order, and so the last bits, that they always had.
    """
    return weight.flatten(1) if weight.device.type == "cpu" else rows_as_they_lie(weight)


def rows_as_they_lie(weight: Tensor) -> Tensor:
    """Return a contiguous or channels_last weight as out x rest, a view."""
    lies_last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return (weight.permute(0, 2, 3, 1) if lies_last else weight).flatten(1)


class SpectralConv2d(nn.Conv2d, SpectralLayer):
    """Convolution with stride 1 that keeps the side."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True, eps: float = 1e-6
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
        self._prepare(eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return maps B x out x H x W for maps B x in x H x W."""
        return F.conv2d(hidden, self.normalized_weight(), self.bias, padding=self.padding)


class SpectralLinear(nn.Linear, SpectralLayer):
    """Fully connected layer."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, eps: float = 1e-6) -> None:
        super().__init__(in_features, out_features, bias)
        self._prepare(eps)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return B x out for B x in."""
        return F.linear(vectors, self.normalized_weight(), self.bias)


class SpectralEmbedding(nn.Embedding, SpectralLayer):
    """Table of vectors, one a class."""

    def __init__(self, num_classes: int, width: int, *, eps: float = 1e-6) -> None:
        super().__init__(num_classes, width)
        self._prepare(eps)

    def forward(self, labels: Tensor) -> Tensor:
        """Return B x width for labels B."""
        return F.embedding(labels, self.normalized_weight())


class SpectralNorm(nn.Module):
    """W -> W / sigma for a weight of any layer, as torch.nn.utils.parametrizations.spectral_norm has it.

    Each pass in training takes one power iteration, u = normalise(W v) and v = normalise(W' u); sigma = u' W v. Other
    than torch's, it starts from `draws` and computes in the weight's precision under autocast.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, draws: torch.Generator, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        for name, length in zip("uv", weight.flatten(1).shape, strict=True):
            self.register_buffer(name, F.normalize(torch.randn(length, generator=draws), dim=0, eps=eps))
        for _ in range(15):  # as torch's
            self._iterate(weight.detach().flatten(1))

    def forward(self, weight: Tensor) -> Tensor:
        """Return W / sigma; the gradient passes through sigma too, not through u and v."""
        rows = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._iterate(rows)
            u, v = self.u.clone(), self.v.clone()  # the next pass changes them in place
            return weight / torch.dot(u, rows @ v)

    @torch.no_grad()
    def _iterate(self, rows: Tensor) -> None:
        self.u.copy_(F.normalize(rows @ self.v, dim=0, eps=self.eps))
        self.v.copy_(F.normalize(rows.T @ self.u, dim=0, eps=self.eps))


def normalize_spectrally(network: nn.Module, draws: torch.Generator) -> None:
    """Give the convolutions, linear layers and class vectors of a network spectral norm, in place."""
    for module in [*network.modules()]:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            register_parametrization(module, "weight", SpectralNorm(module.weight, draws))


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Let all passes inside be of one training step: one power iteration, however many times the weights are used."""
    layers = [module for module in network.modules() if isinstance(module, SpectralLayer) and module._fixed is None]
    for layer in layers:
        layer.hold()
    try:
        yield
    finally:
        for layer in layers:
            layer.release()


def freeze(network: nn.Module) -> None:
    """Put a network in eval mode, without gradients for its weights, its spectral norms computed once and for all.

    Do this after its weights were loaded; `thaw` undoes it.
    """
    network.eval().requires_grad_(False)
    _fix(network, True)


def thaw(network: nn.Module) -> None:
    """Let a frozen network's weights have gradients again, and its spectral norms follow them."""
    network.requires_grad_(True)
    _fix(network, False)


def _fix(network: nn.Module, fixed: bool) -> None:
    for module in network.modules():
        if isinstance(module, SpectralLayer):
            module.fix(fixed)
