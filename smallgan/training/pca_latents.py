"""Latents made of images: the whitened principal components of their small copies, so that alike images lie near."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from smallgan.data.images import Pixels, to_images

SIDE = 16  # Of the small copies, in pixels
LIMIT = 3.0  # Components are clipped to this many standard deviations: the prior has hardly any beyond
MOST_IMAGES = 2048  # That the components are worked out on
_CHUNK = 256
_LEAST_DEVIATION = 1e-5  # As a share of the first component's, and at all: what is less is rounding


class PCALatents(nn.Module):
    """Images -> latents of zero mean and, over (up to 2,048 of) the training images, unit variance in each component.

    Where a latent is longer than there are components (at most one less than images, and 768), the rest is noise.

    Args:
        pixels: the training images N x S x S x 3.
        z_dim: length of a latent.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, pixels: Pixels, z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        # Of a large set as many as do, from everywhere in it.
        chosen = np.unique(np.linspace(0, len(pixels) - 1, min(len(pixels), MOST_IMAGES)).round().astype(np.int64))
        parts = (to_images(torch.tensor(pixels[part])) for part in np.split(chosen, range(_CHUNK, len(chosen), _CHUNK)))
        small = np.concatenate([_small(images).double().numpy() for images in parts])
        mean = small.mean(axis=0)
        _, lengths, directions = np.linalg.svd(small - mean, full_matrices=False)
        deviations = lengths / np.sqrt(len(small))
        count = min(z_dim, len(small) - 1, int((deviations > _LEAST_DEVIATION * max(deviations[0], 1.0)).sum()))
        directions = directions[:count]
        # The sign of a direction is the library's choice: its largest entry is made positive.
        signs = np.sign(directions[np.arange(count), np.abs(directions).argmax(axis=1)])
        whitening = (directions.T * signs) / deviations[:count]
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("components", torch.from_numpy(whitening).float())

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return latents B x Z of images B x 3 x S x S; `noise` B x Z, standard normal, fills what is left of them."""
        scores = ((_small(images) - self.mean) @ self.components).clamp(-LIMIT, LIMIT)
        return torch.cat([scores, noise[:, scores.shape[1] :]], dim=1)


def blended(latents: Tensor, noise: Tensor, share: float) -> Tensor:
    """Return sqrt(1 - share^2) latents + share noise: what is standard normal stays so."""
    return math.sqrt(1 - share**2) * latents + share * noise


def _small(images: Tensor) -> Tensor:
    small: Tensor = adaptive_avg_pool2d(images.float(), SIDE)
    return small.flatten(1)
