"""Fully connected generator and discriminator, as of the first GAN (Goodfellow et al. 2014, arXiv:1406.2661).

For points in the plane (size 1) the generator's output is linear; for images it ends in tanh. Weights are drawn as
torch draws those of a linear layer: uniform within 1 / sqrt(inputs). The discriminator returns the raw score.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.models.batch_norm import BatchNorm2d
from smallgan.tables.models import MODELS, MLPOptions

PIECES = 5  # Of maxout: the largest of so many linear functions


class MLPGenerator(nn.Module):
    """z -> hidden layers -> S x S x 3 in [-1, 1], or for S = 1 two coordinates of any size."""

    def __init__(self, size: int, z_dim: int, width: int, depth: int, activation: str, norm: str) -> None:
        super().__init__()
        self.size, self.z_dim, self.num_classes = size, z_dim, 0
        self.description: dict[str, Any] = {"model": "mlp", "size": size, "z_dim": z_dim, "base_width": width}
        self.description |= {"depth": depth, "activation": activation, "g_norm": norm}
        self.layers = nn.Sequential(*_hidden(z_dim, width, depth, activation, norm), nn.Linear(width, _numbers(size)))

    def forward(self, z: Tensor) -> Tensor:
        """Return images B x 3 x S x S in [-1, 1], or points B x 2 x 1 x 1, for latents B x Z."""
        made: Tensor = self.layers(z)
        images: Tensor = made.view(len(z), -1, self.size, self.size)
        return images if self.size == 1 else torch.tanh(images)


class MLPDiscriminator(nn.Module):
    """S x S -> hidden layers -> score."""

    def __init__(self, size: int, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(*_hidden(_numbers(size), width, depth, activation), nn.Linear(width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return raw scores B (float32) for images B x 3 x S x S or points B x 2 x 1 x 1; higher means more real."""
        scores: Tensor = self.layers(images.flatten(1)).squeeze(1).float()
        return scores


class _Maxout(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        """Return B x W, the largest of each PIECES neighbours of B x (PIECES W)."""
        pieces: Tensor = hidden.unflatten(1, (-1, PIECES))
        return pieces.amax(dim=2)


class _BatchNorm(BatchNorm2d):  # The kind whose statistics are measured for samples (`smallgan.training.ema`)
    def forward(self, hidden: Tensor) -> Tensor:
        """Return B x W, normalised over the batch."""
        normalised: Tensor = super().forward(hidden[:, :, None, None])
        return normalised.flatten(1)


def _hidden(inputs: int, width: int, depth: int, activation: str, norm: str = "none") -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number in range(depth):
        pieces = PIECES if activation == "maxout" else 1
        layers.append(nn.Linear(width if number else inputs, width * pieces))
        layers += [_BatchNorm(width * pieces)] if norm == "batch" else []
        layers.append({"relu": nn.ReLU(), "leaky": nn.LeakyReLU(0.1), "maxout": _Maxout()}[activation])
    return layers


def _numbers(size: int) -> int:
    return 2 if size == 1 else 3 * size * size


def build(
    options: MLPOptions, size: int, _num_classes: int, draws: torch.Generator
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """Return both networks with weights drawn from `draws`. Raises UsageError for a size that they do not make."""
    MODELS["mlp"].check_size(size)
    width, depth = options.d_width or options.base_width, options.d_depth or options.depth
    generator = MLPGenerator(size, options.z_dim, options.base_width, options.depth, options.activation, options.g_norm)
    discriminator = MLPDiscriminator(size, width, depth, options.d_activation)
    for network in (generator, discriminator):
        for layer in (module for module in network.modules() if isinstance(module, nn.Linear)):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=draws)
            nn.init.uniform_(layer.bias, -bound, bound, generator=draws)
    return generator, discriminator


def load(state: Mapping[str, Any]) -> MLPGenerator:
    """Return the generator that a checkpoint describes, its weights not yet loaded. Raises KeyError."""
    return MLPGenerator(*(state[key] for key in ("size", "z_dim", "base_width", "depth", "activation", "g_norm")))
