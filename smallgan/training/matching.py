"""Matching: each training image gets a latent of the prior whose sample is near to it, anew in each round.

Implicit maximum likelihood (Li and Malik 2018, arXiv:1809.09087) brings the nearest of many samples nearer to each
training image, so every image is covered. Samples that are near an image already are left out before (rejection
sampling, Vashist et al. 2024, arXiv:2409.17439): matched latents then lie as those of the prior do, and not in its easy
part alone. What the generator is, and how it learns, makes no difference here.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from smallgan.core import distributed
from smallgan.core.device import autocast
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Pixels, to_images
from smallgan.models.perceptual import Perceptual
from smallgan.tables.methods import MatchingOptions
from smallgan.training.pca_latents import blended

PIXELS_SIDE, LAYER_SIDE = 16, 4  # Sides of what is compared: of the images, and of each perceptual layer
PROJECTED = 160  # Length that a layer's block of features is brought to by a random projection
LEAST_ROUND = 20  # Steps of the first round, at least
LEAST_POOL = 2  # Fresh latents of a round for each training image, at least
_CHUNK = 64  # Images through the networks at a time
_ROWS = 256  # Training images in a block of distances
_FAR = 1e30  # In the place of a distance that is not finite

Generate = Callable[[Tensor, Tensor], Tensor]
"""Latents B x Z and classes B -> images B x 3 x S x S."""


@dataclass(frozen=True)
class Rounds:
    """When latents are matched: round 0 at step `first`, each round twice as long as the one before it."""

    first: int  # Step, from 0
    shortest: int  # Steps of round 0
    longest: int  # Steps that no round has more of; of less than `shortest`, all have as many as round 0

    @classmethod
    def of(cls, options: MatchingOptions, first: int, num_images: int, batch_size: int) -> "Rounds":
        """Return the rounds that the options ask for, of a set of `num_images`, the first beginning at step `first`."""
        one_pass = max(LEAST_ROUND, math.ceil(num_images / batch_size))
        return cls(first, options.round_steps or one_pass, options.round_most)

    def steps(self, number: int) -> int:
        """Return how many steps round `number` has."""
        return int(min(self.shortest * 2 ** min(number, 30), max(self.longest, self.shortest)))

    def starting(self, step: int) -> int | None:
        """Return the number of the round that begins at `step`, None where none does."""
        number, start = 0, self.first
        while start < step:
            start += self.steps(number)
            number += 1
        return number if start == step else None


class Matcher(nn.Module):
    """Latents of the training images, which are matched anew in each round; they are its state in a checkpoint.

    Two images are compared by 16 x 16 pixels and, with a perceptual network, by each of its layers pooled to 4 x 4 and
    randomly projected. Blocks are divided by their spread over the training images; pixels count as much as all layers
    together. What is left is brought to unit length, so distances are within 0 and 2.

    Args:
        pixels: the training images N x S x S x 3.
        labels: their classes, int64 N; an image is matched to samples of its class alone.
        start: their latents before the first round, N x Z.
        options: of matching.
        seed: of the run.
        device: where the networks run; the state is kept there.
        precision: that they run in.
        perceptual: the network, already on the device; None for none.
        mirror: match an image or its mirror image, whichever is nearer.
    """

    latents: Tensor
    """N x Z"""
    mirrored: Tensor
    """Whether the mirror image was matched, bool N."""
    distance: Tensor
    """Mean distance of the training images to their samples in the last round, a scalar; 0 before the first."""
    rejected: Tensor
    """Share of the samples of that round that were too near to an image."""

    def __init__(
        self,
        pixels: Pixels,
        labels: Tensor,
        start: Tensor,
        options: MatchingOptions,
        seed: int,
        device: torch.device,
        precision: str,
        perceptual: Perceptual | None = None,
        *,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.options, self.seed, self.device, self.precision = options, seed, device, precision
        self.labels = labels.cpu()
        self._describe = _Features(perceptual, seed, device, precision)
        self._real = self._describe.fit(pixels, mirror=mirror)
        self.radius = self._median_nearest() * options.eps
        self.register_buffer("latents", start.clone().to(device))
        self.register_buffer("mirrored", torch.zeros(len(pixels), dtype=torch.bool, device=device))
        self.register_buffer("distance", torch.zeros((), device=device))
        self.register_buffer("rejected", torch.zeros((), device=device))

    def num_fresh(self, num_images: int) -> int:
        """Return how many fresh latents are drawn for a round in which `num_images` training images pass."""
        count = len(self.latents)
        return max(min(self.options.pool * count, num_images), LEAST_POOL * count)

    def match_when_due(self, rounds: Rounds, step: int, batch_size: int, generate: Generate) -> None:
        """Match where one of the rounds begins at `step`; every rank does all of it, and takes what rank 0 found.

        `batch_size` images of a step are of this rank.
        """
        number = rounds.starting(step)
        if number is not None:
            num_fresh = self.num_fresh(rounds.steps(number) * batch_size * distributed.count())
            with distributed.alone():
                self.match(number, num_fresh, generate)
            distributed.copy_from_main(self.buffers())

    @torch.no_grad()
    def match(self, number: int, num_fresh: int, generate: Generate) -> None:
        """Match the images to samples of `num_fresh` latents drawn for round `number`, and to those of their last ones.

        No sample is matched twice. Samples within `radius` of an image of their class are left out, but for the
        farthest of them where there would be too few.
        """
        latents, labels = self._pool(number, num_fresh)
        parts = zip(latents.split(_CHUNK), labels.to(self.device).split(_CHUNK), strict=True)
        features = torch.cat([self._describe(generate(*part)) for part in parts])
        order = torch.from_numpy(rng(self.seed, Stream.MATCH_ORDER, number).permutation(len(self.labels)))
        rejected, distances = 0, torch.empty(len(order), device=self.device)
        for label in self.labels.unique():
            images = order[self.labels[order] == label].to(self.device)
            samples = (labels == label).nonzero().flatten().to(self.device)
            free, num_rejected = self._free(images, features[samples])
            samples = samples[free]
            blocks = (self._squared(rows, features[samples]).sqrt().cpu().numpy() for rows in images.split(_ROWS))
            chosen = samples[torch.from_numpy(_ASSIGNMENTS[self.options.assignment](blocks)).to(self.device)]
            pairs = torch.stack([(real[images] - features[chosen]).square().sum(dim=1) for real in self._real])
            squared, self.mirrored[images] = pairs.min(dim=0).values, pairs.argmin(dim=0) == 1
            self.latents[images], distances[images] = latents[chosen], squared.sqrt()
            rejected += num_rejected
        self.distance.copy_(distances.mean())
        self.rejected.fill_(rejected / len(latents))

    def _pool(self, number: int, num_fresh: int) -> tuple[Tensor, Tensor]:
        """Return the latents of a round and their classes, which are as frequent as those of the training images."""
        count, z_dim = self.latents.shape
        fresh = torch.from_numpy(normal(self.seed, Stream.POOL_LATENTS, number, (num_fresh, z_dim))).to(self.device)
        labels = self.labels.repeat(-(-num_fresh // count))[:num_fresh]
        if self.options.keep is None:
            return fresh, labels
        noise = torch.from_numpy(normal(self.seed, Stream.KEPT_LATENTS, number, (count, z_dim))).to(self.device)
        kept = blended(self.latents, noise, self.options.keep)
        return torch.cat([fresh, kept]), torch.cat([labels, self.labels])

    def _free(self, images: Tensor, features: Tensor) -> tuple[Tensor, int]:
        """Return the places of the samples that may be matched, and how many were too near."""
        everywhere = torch.arange(len(features), device=features.device)
        if not self.radius:
            return everywhere, 0
        nearest = torch.full((len(features),), torch.inf, device=features.device)
        for rows in images.split(_ROWS):
            nearest = torch.minimum(nearest, self._squared(rows, features).amin(dim=0))
        free = everywhere[nearest > self.radius**2]
        num_rejected = len(features) - len(free)
        if len(free) < len(images):
            free = nearest.argsort(descending=True, stable=True)[: len(images)].sort().values
        return free, num_rejected

    def _squared(self, images: Tensor, features: Tensor) -> Tensor:
        """Return the squared distances of training images (their places, B) to features M x F: B x M."""
        squared = [squared_distances(real[images], features) for real in self._real]
        return squared[0] if len(squared) == 1 else torch.minimum(*squared)

    def _median_nearest(self) -> float:
        """Return the median distance from a training image to its nearest other one; 0 for a single image."""
        count = len(self._real[0])
        nearest = []
        for rows in torch.arange(count, device=self.device).split(_ROWS):
            squared = self._squared(rows, self._real[0])
            squared[torch.arange(len(rows), device=self.device), rows] = torch.inf
            nearest.append(squared.amin(dim=1))
        return float(torch.cat(nearest).sqrt().median()) if count > 1 else 0.0


class _Features:
    """Images -> unit vectors, by networks and scales that do not change in a run."""

    def __init__(self, perceptual: Perceptual | None, seed: int, device: torch.device, precision: str) -> None:
        self.perceptual, self.seed, self.device, self.precision = perceptual, seed, device, precision
        self._projections: dict[int, Tensor] = {}
        self._scales: list[tuple[Tensor, Tensor]] = []

    def fit(self, pixels: Pixels, *, mirror: bool) -> list[Tensor]:
        """Learn mean and spread of each block on the training images; return their features, then the mirrored ones'.

        N x F each.
        """
        orientations: list[list[Sequence[Tensor]]] = [[] for _ in range(1 + mirror)]
        for first in range(0, len(pixels), _CHUNK):
            images = to_images(torch.tensor(pixels[first : first + _CHUNK]).to(self.device))
            for way, parts in enumerate(orientations):
                parts.append(self._blocks(images.flip(3) if way else images))
        whole = [[torch.cat(block) for block in zip(*parts, strict=True)] for parts in orientations]
        for number, blocks in enumerate(zip(*whole, strict=True)):
            every = torch.cat(blocks)
            mean = every.mean(dim=0)
            spread = (every - mean).square().sum(dim=1).mean().sqrt().clamp(min=1e-6)
            weight = 1.0 if number == 0 else (len(whole[0]) - 1) ** -0.5  # pixels, and all layers together
            self._scales.append((mean, weight / spread))
        return [self._joined(blocks) for blocks in whole]

    def __call__(self, images: Tensor) -> Tensor:
        """Return features B x F of images B x 3 x S x S."""
        return self._joined(self._blocks(images))

    def _joined(self, blocks: Sequence[Tensor]) -> Tensor:
        scaled = [(block - mean) * factor for block, (mean, factor) in zip(blocks, self._scales, strict=True)]
        return normalize(torch.cat(scaled, dim=1))

    @torch.no_grad()
    def _blocks(self, images: Tensor) -> list[Tensor]:
        blocks = [_pooled(images, PIXELS_SIDE)]
        if self.perceptual is not None:
            with autocast(self.device, self.precision):
                layers = self.perceptual.features(images)
            blocks += [self._projected(_pooled(layer, LAYER_SIDE), number) for number, layer in enumerate(layers)]
        return blocks

    def _projected(self, block: Tensor, number: int) -> Tensor:
        width = block.shape[1]
        if width <= PROJECTED:
            return block
        if number not in self._projections:
            drawn = normal(self.seed, Stream.PROJECTION, number, (width, PROJECTED)) / PROJECTED**0.5
            self._projections[number] = torch.from_numpy(drawn).to(self.device)
        return block @ self._projections[number]


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return |one[i] - other[j]|^2, A x B, of vectors A x F and B x F."""
    squared = one.square().sum(dim=1)[:, None] - 2 * one @ other.T + other.square().sum(dim=1)
    return squared.clamp_(min=0)


def greedy(blocks: Iterable[NDArray[np.floating]]) -> NDArray[np.int64]:
    """Return for each row, one after another, the nearest column that no row before took.

    `blocks` are the rows of a matrix of distances, some at a time; it has at least as many columns as rows.

    >>> import numpy as np
    >>> greedy([np.array([[1.0, 2.0, 9.0], [1.0, 3.0, 4.0]]), np.array([[0.0, 1.0, 5.0]])]).tolist()
    [0, 1, 2]
    """
    chosen: list[int] = []
    for block in blocks:
        block = block.copy()
        block[:, chosen] = np.inf
        for at, row in enumerate(block):
            chosen.append(int(row.argmin()))
            block[at + 1 :, chosen[-1]] = np.inf
    return np.array(chosen, np.int64)


def optimal(blocks: Iterable[NDArray[np.floating]]) -> NDArray[np.int64]:
    """Return for each row a column of its own, so that the sum of distances is the least there is (Hungarian).

    >>> import numpy as np
    >>> optimal([np.array([[1.0, 2.0, 9.0], [1.0, 3.0, 4.0]]), np.array([[0.0, 1.0, 5.0]])]).tolist()
    [1, 2, 0]
    """
    distances = np.concatenate(list(blocks)).astype(np.float64)
    distances[~np.isfinite(distances)] = _FAR  # of a network that diverged, which the loop tells at its next report
    return np.asarray(linear_sum_assignment(distances)[1], np.int64)


_ASSIGNMENTS: dict[str, Callable[[Iterator[NDArray[np.floating]]], NDArray[np.int64]]] = {
    "greedy": greedy,
    "hungarian": optimal,
}


def _pooled(maps: Tensor, side: int) -> Tensor:
    return adaptive_avg_pool2d(maps.float(), min(side, *maps.shape[2:])).flatten(1)
