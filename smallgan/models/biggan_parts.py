"""Generators of released files that lack a part of the official BigGAN, or have one more."""

from typing import NoReturn

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.models.base import Adjust, Modulate
from smallgan.models.biggan import BigGANConfig, BigGANGenerator


class _NoEmbedding(nn.Module):
    """Stands where the class embedding of a file without one would be."""

    def forward(self, labels: Tensor) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(
            f"{len(labels)} labels were given, but this generator's file has no class embedding (shared.weight); "
            "give class vectors, or the whole file (the official G_ema.pth has the embedding)"
        )


class WithoutClasses(BigGANGenerator):
    """A generator whose file has no class embedding; it makes images of class vectors alone."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__(config)
        self.shared = _NoEmbedding()  # type: ignore[assignment]


class ScaledFirstMap(BigGANGenerator):
    """A generator that the public BSA code adapted: a scale and a bias follow its first layer."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__(config)
        self.bsa_linear_scale = nn.Parameter(torch.ones(config.widths[0]))
        self.bsa_linear_bias = nn.Parameter(torch.zeros(config.widths[0]))

    def synthesize(
        self, z: Tensor, class_vectors: Tensor, modulate: Modulate | None = None, adjust: Adjust | None = None
    ) -> Tensor:
        """Return images as any generator does; `adjust` sees the first map after its scale and bias."""

        def scaled(hidden: Tensor) -> Tensor:
            hidden = hidden * self.bsa_linear_scale[:, None, None] + self.bsa_linear_bias[:, None, None]
            return hidden if adjust is None else adjust(hidden)

        return super().synthesize(z, class_vectors, modulate, scaled)
