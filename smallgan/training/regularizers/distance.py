"""The distance loss of BourGAN: images as far apart as their latents say, in logarithms."""

import math

import torch
from torch import Tensor, nn

from smallgan.core.draws import Draw
from smallgan.core.rng import Stream
from smallgan.tables.regularizers import DistanceOptions
from smallgan.training.latent import Latent
from smallgan.training.step import StepContext

SMALLEST = 1e-12  # Added to squared distances: two latents, and so two images, may coincide


class Distance:
    """E (log |G(z) - G(z')| - log(scale |z - z'|))^2 for independent z and z' of the prior."""

    def __init__(self, _options: DistanceOptions, _network: nn.Module, _draws: torch.Generator, latent: Latent) -> None:
        self.latent = latent

    def __call__(self, context: StepContext) -> Tensor:
        """Return the term, a scalar, for two batches of latents of the prior; a pair has the same class."""
        latents = [context.draws(each)[0] for each in self.planned(context.number, len(context.labels), context.seed)]
        images = [self.latent.metric[0](context.generate(z)) for z in latents]
        return distance_loss(images, latents, float(self.latent.prior.scale))

    def planned(self, number: int, batch_size: int, seed: int) -> list[Draw]:
        """Return both batches of latents of step `number`."""
        prior, stream = self.latent.prior, Stream.DISTANCE_LATENTS
        return [prior.draw(seed, stream, 2 * number + at, batch_size, prior.centres.shape[1]) for at in range(2)]


def distance_loss(images: list[Tensor], latents: list[Tensor], scale: float) -> Tensor:
    """Return the mean over the rows of (log |x - x'| - log(scale |z - z'|))^2.

    Args:
        images: coordinates x and x', both B x F.
        latents: z and z', both B x Z.
        scale: distance of images that a distance of 1 between latents stands for.
    """
    return (_log_distances(*images) - _log_distances(*latents) - math.log(scale)).square().mean()


def _log_distances(one: Tensor, other: Tensor) -> Tensor:
    return ((one - other).square().sum(dim=1) + SMALLEST).log() / 2
