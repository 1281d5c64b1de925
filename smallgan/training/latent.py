"""A latent prior that is fitted to the training images, as a part of the trainer and of its checkpoints."""

from typing import Any

import torch
from torch import Tensor, nn

from smallgan.data.images import Pixels
from smallgan.models.perceptual import Perceptual
from smallgan.sampling.mixture import Mixture
from smallgan.tables.dotted import load
from smallgan.tables.latents import LATENTS
from smallgan.tables.recipe import Recipe
from smallgan.training.reconstruction import perceptual_record


class Metric(nn.Module):
    """Distance of images: Euclidean distance of their coordinates, which are pixels or features.

    Args:
        network: whose last layer, averaged over the places, gives features; None: pixels.
    """

    def __init__(self, network: Perceptual | None = None) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return coordinates B x F of images B x C x H x W in [-1, 1], in float32."""
        if self.network is None:
            return images.float().flatten(1)
        return self.network.features(images)[-1].float().mean(dim=(2, 3))


class Latent(nn.Module):
    """A prior that was fitted to images, as a network of the checkpoint: a resumed run draws from the very same.

    It stays on the CPU, where latents are drawn. Its buffers are the memory of the prior's arrays.
    """

    def __init__(self, prior: Mixture, metric: Metric) -> None:
        super().__init__()
        self.prior = prior
        self.metric = [metric]  # in a list: a frozen network is no part of the checkpoint
        for name, array in prior.tensors.items():
            self.register_buffer(name, torch.from_numpy(array))


def fitted(recipe: Recipe, pixels: Pixels | None, z_dim: int, device: torch.device) -> Latent | None:
    """Return the recipe's latent prior, fitted to the training images; None for a standard normal.

    Raises the errors of the row's `fit`.
    """
    row = LATENTS[recipe.latent.name] if recipe.latent else None
    if row is None or row.fit is None:
        return None
    assert pixels is not None
    made: Latent = load(row.fit)(recipe.latent, pixels, z_dim, recipe.seed, device)
    return made


def description_of(latent: Latent | None) -> dict[str, Any]:
    """Return what a checkpoint says of a prior beside its tensors: nothing of a standard normal."""
    if latent is None:
        return {}
    (metric,) = latent.metric
    return {"latent": latent.prior.name} | ({"perceptual": perceptual_record(metric.network)} if metric.network else {})
