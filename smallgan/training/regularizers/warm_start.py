"""A warm start: early in training the generator also learns to make each real image of its principal components.

Latents near each other then make images that look alike before the discriminator has its say, and coarse shapes are
there early. It fades out, and what is left is adversarial training.
"""

from typing import Any

import torch
from torch import Tensor, nn

from smallgan.core.draws import Draw, normal_draw
from smallgan.core.rng import Stream
from smallgan.data.images import Pixels
from smallgan.tables.regularizers import WarmStartOptions
from smallgan.training.pca_latents import PCALatents, blended
from smallgan.training.reconstruction import pyramid_distance
from smallgan.training.step import StepContext

NOISE = 0.3  # On the latents, drawn anew in each step: images between the training images are learned too
PYRAMID_WEIGHT = 0.5  # Of the Laplacian pyramid beside pixels; without it the images are softer


class WarmStart(nn.Module):
    """The distance of real images to those made of their principal components; it fades to 0 by step 2 x `steps`."""

    def __init__(self, options: WarmStartOptions, network: Any, _draws: torch.Generator, pixels: Pixels) -> None:
        super().__init__()
        self.steps = options.steps
        self.latents = PCALatents(pixels, network.z_dim)

    def forward(self, context: StepContext) -> Tensor:
        """Return the distance, a scalar: in full until `steps`, then less by equal parts; no work once it is 0."""
        share = self._share(context.number)
        if share == 0:
            return torch.zeros((), device=context.real.device)
        filling, around = context.draws(self._noise(context.number, len(context.real), context.seed))[0]
        images = context.generate(blended(self.latents(context.real, filling), around, NOISE))
        pixel = (images.float() - context.real).abs().mean()
        return share * (pixel + PYRAMID_WEIGHT * pyramid_distance(images, context.real))

    def planned(self, number: int, batch_size: int, seed: int) -> list[Draw]:
        """Return the noise of step `number`."""
        return [self._noise(number, batch_size, seed)] if self._share(number) else []

    def _share(self, number: int) -> float:
        return min(max(2 - number / self.steps, 0.0), 1.0)

    def _noise(self, number: int, count: int, seed: int) -> Draw:
        return normal_draw(seed, Stream.WARM_START, number, (2, count, self.latents.z_dim), axis=1)
