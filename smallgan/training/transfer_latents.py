"""What a transfer makes a training image from: a code learned for it, or a latent of the prior matched to it."""

from typing import Protocol

import torch
from torch import Tensor, nn

from smallgan.core import distributed
from smallgan.core.draws import Draw, Draws, normal_draw
from smallgan.core.rng import Stream, normal
from smallgan.data.images import Pixels
from smallgan.models.perceptual import Perceptual
from smallgan.sampling.prior import NORMAL, Prior
from smallgan.tables.methods import BSAOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.matching import Generate, Matcher, Rounds
from smallgan.training.pca_latents import blended
from smallgan.training.reconstruction import latent_distance

TARGETS_A_CODE = 10  # Normal draws for each code of a batch, in the latent regulariser


class Latents(Protocol):
    """The latents of the training images, by their places in the set."""

    name: str
    """Under which `network` stands in a checkpoint."""
    rate: float
    """Learning rate of `network` in the first step."""

    @property
    def network(self) -> nn.Module:
        """What of them a checkpoint holds; it has no parameters where nothing is learned."""

    @property
    def prior(self) -> Prior:
        """How the generator is sampled."""

    def begin(self, number: int, generate: Generate) -> None:
        """Do what is due before step `number`."""

    def of(self, indices: Tensor) -> Tensor:
        """Return the latents B x Z of the images at `indices` (int64 B)."""

    def noisy(self, latents: Tensor, number: int) -> Tensor:
        """Return them with the noise of step `number`."""

    def loss(self, latents: Tensor, number: int) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return their own term of the loss, weighted, None for none, and what is told of them: scalars."""


class Codes(nn.Module):
    """A latent of its own for each training image: N x Z, in the order of the set."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self, indices: Tensor) -> Tensor:
        """Return the codes B x Z of the images at `indices` (int64 B)."""
        return nn.functional.embedding(indices, self.weight)


class LearnedLatents:
    """Codes that are learned with the adapter, and kept near a standard normal: the published methods."""

    name = "codes"

    def __init__(self, recipe: Recipe, num_images: int, z_dim: int, device: torch.device) -> None:
        settings = recipe.method
        assert isinstance(settings, BSAOptions)
        self.settings, self.seed = settings, recipe.seed
        self.draws = Draws(device, self._plan)
        self.batch_size = distributed.share(min(recipe.train.batch_size, num_images))
        self.rate = settings.lr_codes
        shape = (num_images, z_dim)
        is_normal = settings.code_init == "normal"
        start = torch.from_numpy(normal(recipe.seed, Stream.CODES, 0, shape)) if is_normal else torch.zeros(shape)
        self.network = Codes(start).to(device)

    @property
    def prior(self) -> Prior:
        """Around the codes as they are now, unless the recipe wants a standard normal."""
        if self.settings.around_codes is None:
            return NORMAL
        return Prior(self.network.weight.detach().cpu().numpy(), self.settings.around_codes)

    def begin(self, number: int, generate: Generate) -> None:
        """Have the draws of the step ready."""
        del generate
        self.draws.begin(number)

    def of(self, indices: Tensor) -> Tensor:
        """Return the codes B x Z."""
        codes: Tensor = self.network(indices)
        return codes

    def noisy(self, latents: Tensor, number: int) -> Tensor:
        """Return codes + noise."""
        (noise,) = self.draws(self._noise(number, *latents.shape))
        return latents + noise * self.settings.code_noise

    def loss(self, latents: Tensor, number: int) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return their distance to normal draws, weighted; `latent` is the distance as it is."""
        (targets,) = self.draws(self._targets(number, *latents.shape))
        distance = latent_distance(distributed.gathered(latents), targets)
        return self.settings.latent_weight * distance, {"latent": distance.detach()}

    def _plan(self, number: int) -> list[Draw]:
        shape = self.batch_size, self.network.weight.shape[1]
        return [self._noise(number, *shape), self._targets(number, *shape)]

    def _noise(self, number: int, count: int, z_dim: int) -> Draw:
        return normal_draw(self.seed, Stream.CODE_NOISE, number, (count, z_dim))

    def _targets(self, number: int, count: int, z_dim: int) -> Draw:
        shape = TARGETS_A_CODE * count * distributed.count(), z_dim  # all of them for every rank
        return Draw((Stream.LATENT_TARGETS, number), lambda: (normal(self.seed, Stream.LATENT_TARGETS, number, shape),))


class MatchedLatents:
    """Latents of the prior that are matched to the images anew in each round (`smallgan.training.matching`)."""

    name, rate, prior = "matcher", 0.0, NORMAL

    def __init__(
        self, recipe: Recipe, pixels: Pixels, z_dim: int, device: torch.device, perceptual: Perceptual | None
    ) -> None:
        settings = recipe.method
        assert isinstance(settings, BSAOptions)
        self.settings, self.seed, self.z_dim = settings, recipe.seed, z_dim
        self.draws = Draws(device, self._plan)
        whole = min(recipe.train.batch_size, len(pixels))
        self.batch_size = distributed.share(whole)
        self.rounds = Rounds.of(settings, 0, len(pixels), whole)
        start = torch.from_numpy(normal(recipe.seed, Stream.CODES, 0, (len(pixels), z_dim)))
        one_class = torch.zeros(len(pixels), dtype=torch.int64)
        precision = str(recipe.train.precision)
        self.network = Matcher(pixels, one_class, start, settings, recipe.seed, device, precision, perceptual)

    def begin(self, number: int, generate: Generate) -> None:
        """Match where a round begins."""
        self.draws.begin(number)
        self.network.match_when_due(self.rounds, number, self.batch_size, generate)

    def of(self, indices: Tensor) -> Tensor:
        """Return the latents of the last round, B x Z; before the first, draws of the prior."""
        return self.network.latents[indices]

    def noisy(self, latents: Tensor, number: int) -> Tensor:
        """Return the latents with a share of noise; they stay standard normal."""
        (noise,) = self.draws(self._noise(number, len(latents)))
        return blended(latents, noise, self.settings.latent_noise)

    def _plan(self, number: int) -> list[Draw]:
        return [self._noise(number, self.batch_size)]

    def _noise(self, number: int, count: int) -> Draw:
        return normal_draw(self.seed, Stream.CODE_NOISE, number, (count, self.z_dim))

    def loss(self, latents: Tensor, number: int) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return no term: they are draws of the prior already. What the last round found is told."""
        del latents, number
        # As copies: the next round writes over the values
        return None, {"distance": self.network.distance.clone(), "rejected": self.network.rejected.clone()}


def latents_of(
    recipe: Recipe, pixels: Pixels, z_dim: int, device: torch.device, perceptual: Perceptual | None
) -> Latents:
    """Return the latents of the training images N x S x S x 3 at their start, as `method.latents` says.

    `perceptual` is the network of the loss, already on the device; None for none.
    """
    assert isinstance(recipe.method, BSAOptions)
    if recipe.method.latents == "imle":
        return MatchedLatents(recipe, pixels, z_dim, device, perceptual)
    return LearnedLatents(recipe, len(pixels), z_dim, device)
