"""Latents that lie as far apart as training images: Bourgain's embedding as the centres of a mixture of Gaussians.

BourGAN (Xiao, Zhong, Zheng 2018): each coordinate of a point is its distance to the nearest member of a random set;
distances of points are kept up to O(log n), whatever the metric (Bourgain 1985). Constants are those of the released
code, but for the scale of the regularizer `distance`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from augment.errors import InputError, UsageError
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Pixels, to_images
from smallgan.sampling.mixture import Mixture
from smallgan.tables.latents import BourgainOptions
from smallgan.training.latent import Latent, Metric
from smallgan.training.reconstruction import load_perceptual

_CHUNK = 32  # Images that go through a network at a time
_COLUMNS = 4096  # Coordinates that are compared at a time
Floats = NDArray[np.float64]


def fit(options: BourgainOptions, pixels: Pixels, z_dim: int, seed: int, device: torch.device) -> Latent:
    """Return the mixture around the embedded training images.

    Args:
        options: of the prior.
        pixels: the training images N x S x S x 3.
        z_dim: length of z.
        seed: of the run.
        device: where features are computed.

    Raises UsageError for features of points, MissingError for a network that is not there, InputError for images that
    are all the same.
    """
    if options.metric != "pixels" and pixels.shape[-1] != 3:
        raise UsageError(f"latent.metric {options.metric}: it reads images, and these are points; use pixels")
    metric = Metric(None if options.metric == "pixels" else load_perceptual(options.metric)[0]).to(device)
    if len(pixels) < 2:
        raise InputError(f"latent.name bourgain: it needs two training images or more, found {len(pixels)}")
    count = min(options.num_points, len(pixels))
    chosen = np.sort(rng(seed, Stream.LATENT_POINTS).permutation(len(pixels))[:count])
    distances = pairwise(coordinates_of(metric, pixels, chosen, device))
    if not distances.any():
        raise InputError("latent.name bourgain: the training images are all the same, so that no two are apart")
    embedded = embed(distances, random_sets(count, options.num_sets, rng(seed, Stream.LATENT_SETS)))
    centres = rescaled(embedded, z_dim, rng(seed, Stream.LATENT_PROJECTION)).astype(np.float32)
    std, scale = options.std, scale_of(distances, pairwise(centres), options.scale)
    prior = Mixture(centres=centres, std=np.array(std, np.float32), scale=np.array(scale, np.float32))
    return Latent(prior, metric)


def coordinates_of(
    metric: Metric, pixels: Pixels, rows: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Return the coordinates N x F of the images at `rows`."""
    parts: Sequence[NDArray[np.int64]] = [rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK)]
    with torch.no_grad():
        found = [metric(to_images(torch.from_numpy(pixels[part]).to(device))).cpu() for part in parts]
    return torch.cat(found).numpy()


def pairwise(coordinates: NDArray[np.float32]) -> Floats:
    """Return the Euclidean distances N x N of the rows of N x F."""
    count = len(coordinates)
    products = np.zeros((count, count))
    for first in range(0, coordinates.shape[1], _COLUMNS):
        part = coordinates[:, first : first + _COLUMNS].astype(np.float64)
        part -= part.mean(axis=0)  # less is lost where products cancel
        products += part @ part.T
    squares = np.diagonal(products)
    squared = np.maximum(squares[:, None] + squares - 2 * products, 0)
    np.fill_diagonal(squared, 0)
    return np.asarray(np.sqrt(squared))


def random_sets(count: int, num_sets: int, draws: np.random.Generator) -> NDArray[np.bool_]:
    """Return sets of `count` points as K * num_sets rows of membership, K = ceil(log2 count).

    Row i * num_sets + j (i, j from 0) has each point by itself with probability 2 ** -(i + 1).
    """
    sizes = np.arange(1, max(math.ceil(math.log2(count)), 1) + 1)
    probabilities = np.repeat(0.5**sizes, num_sets)[:, None]
    return np.asarray(draws.random((len(probabilities), count)) < probabilities)


def embed(distances: Floats, sets: NDArray[np.bool_]) -> Floats:
    """Return the distance of each point to the nearest member of each set, N x sets; 0 for a set without members."""
    return np.stack([distances[:, each].min(axis=1) if each.any() else np.zeros(len(distances)) for each in sets], 1)


def rescaled(embedded: Floats, z_dim: int, draws: np.random.Generator) -> Floats:
    """Return the points N x Z about their mean, with a root mean square of 1 in a coordinate.

    Where there are not Z coordinates, they are projected by a random Gaussian matrix (Johnson and Lindenstrauss 1984).
    Raises InputError where all points lie in one place.
    """
    centred = embedded - embedded.mean(axis=0)
    if centred.shape[1] != z_dim:
        centred = centred @ draws.standard_normal((centred.shape[1], z_dim))
    size = np.sqrt(np.square(centred).mean())
    if not size > 0:
        raise InputError(
            f"latent.name bourgain: all {len(embedded)} images were embedded in one place; raise latent.num_sets"
        )
    return np.asarray(centred / size)


def scale_of(images: Floats, latents: Floats, how: str) -> float:
    """Return the distance of images that a distance of 1 between latents stands for, from both distances N x N.

    geometric: the geometric mean of the ratios of all pairs, which the squared difference of logarithms is least for;
    released: the square root of the largest, as in the authors' code. Pairs without a distance are left out.
    """
    apart = np.triu((images > 0) & (latents > 0), 1)
    if not apart.any():
        raise UsageError("latent.name bourgain: no two images are apart both as images and as latents")
    ratios = images[apart] / latents[apart]
    return float(np.exp(np.log(ratios).mean()) if how == "geometric" else np.sqrt(ratios.max()))
