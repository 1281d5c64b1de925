"""One step of IMLE: each training image is made again from the latent that it was matched to; no discriminator.

Before the first round an image's latent is its principal components, from which a generator learns soonest; then
`smallgan.training.matching` chooses among samples of the prior. The loss is that of a transfer with a Laplacian pyramid
beside the pixels, each term divided by its own value (`smallgan.training.reconstruction`).
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from smallgan.core import distributed
from smallgan.core.device import autocast
from smallgan.core.draws import Draw, Draws, normal_draw
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Batch, ImageBatches, Pixels, pairs, to_images, to_pixels
from smallgan.models.perceptual import Perceptual
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.methods import IMLEOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.ema import batch_norms, measure_on_prior, update_ema
from smallgan.training.loop import Trainer
from smallgan.training.loss_scale import backward, scales_of, step
from smallgan.training.matching import Matcher, Rounds
from smallgan.training.pca_latents import PCALatents, blended
from smallgan.training.reconstruction import (
    by_itself,
    load_perceptual,
    perceptual_record,
    pyramid_distance,
    reconstruction,
)
from smallgan.training.schedule import cosine_decay
from smallgan.training.scratch import classes_of, starting_networks

LARGEST_SHIFT = 2
"""Images go into the perceptual network cropped by up to so many pixels, the same for both: the grid of its strides
would else show in what the generator makes."""
PAIRS_SHOWN = 50  # Training images in the picture of reconstructions


class IMLETrainer(Trainer):
    """Generator, its average, its optimiser, and the matched latents.

    Args:
        recipe: its `method` and `train` sections are read.
        device: where all of it runs.
        generator: with its first weights.
        pixels: the training images N x S x S x 3, in the order of the batches' indices.
        labels: their classes, int64 N; all 0 without classes.
        perceptual: see `reconstruction.load_perceptual`; None for none.
        classes: names of the classes; () for a generator without.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        generator: nn.Module,
        pixels: Pixels,
        labels: Tensor,
        perceptual: Perceptual | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        options = recipe.method
        assert isinstance(options, IMLEOptions)
        self.device, self.seed, self.precision = device, recipe.seed, str(recipe.train.precision)
        self.options, self.num_steps = options, recipe.train.steps
        self.draws = Draws(device, self._plan)
        whole = min(recipe.train.batch_size, len(pixels))
        self.batch_size = distributed.share(whole)
        self.generator = cast(Any, generator.train().to(device).to(memory_format=torch.channels_last))
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.perceptual = perceptual if options.perceptual_weight else None
        if self.perceptual is not None:
            self.perceptual.to(device).to(memory_format=torch.channels_last)
        self.rounds = Rounds.of(options, options.pca_steps, len(pixels), whole)
        images = to_images(torch.tensor(pixels))
        noise = torch.from_numpy(normal(self.seed, Stream.CODES, 0, (len(pixels), self.generator.z_dim)))
        start = PCALatents(pixels, self.generator.z_dim)(images, noise)
        self.matcher = Matcher(
            pixels,
            labels,
            start,
            options,
            self.seed,
            device,
            self.precision,
            self.perceptual,
            mirror=options.mirror,
        )
        self._shown = pixels[:PAIRS_SHOWN]
        self.description = {
            **self.generator.description,
            "classes": list(classes),
            "perceptual": perceptual_record(self.perceptual),
        }
        self.scales = scales_of(self.precision, ["g"], device)
        states = {f"{name}_scale": scale for name, scale in self.scales.items()}
        self.networks = {"g": self.generator, "g_ema": self.generator_ema, "matcher": self.matcher, **states}
        betas = (options.beta1, options.beta2)
        self.optimizers = {"g": torch.optim.Adam(self.generator.parameters(), options.lr, betas, fused=True)}

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) on training images and their places in the set, after matching where it is due.

        Returns scalars on the device, unread: loss_g (all terms, weighted), the plain values of pixel, pyramid and
        perceptual, and from the first round on distance and rejected.
        """
        options, matcher = self.options, self.matcher
        matcher.match_when_due(self.rounds, number, self.batch_size, self._generate)
        self._set_rate(number)
        mirrored = matcher.mirrored[batch.indices][:, None, None, None]
        real = torch.where(mirrored, batch.images.flip(3), batch.images)
        latents = matcher.latents[batch.indices]
        self.draws.begin(number)
        (noise,) = self.draws(self._noise(number, len(latents)))
        share = options.latent_noise if number >= self.rounds.first else options.pca_noise
        images = self._generate(blended(latents, noise, share), batch.labels)
        layers, real_layers = self._layers(images, real, number)
        weight = options.perceptual_weight / max(len(layers), 1)
        terms = reconstruction(images, real, layers, real_layers, "normalized", weight)
        pyramid = pyramid_distance(images, real)
        loss = terms.loss + options.pyramid_weight * by_itself(pyramid)
        self.optimizers["g"].zero_grad(set_to_none=True)
        backward(loss, self.scales.get("g"))
        step([self.optimizers["g"]], self.scales.get("g"))
        update_ema(self.generator_ema, self.generator, options.ema_decay, number)
        found = {
            "loss_g": loss.detach(),
            "pixel": terms.pixel,
            "pyramid": pyramid.detach(),
            "perceptual": terms.perceptual,
        }
        if number >= self.rounds.first:  # as copies: the next round writes over the values
            found |= {"distance": matcher.distance.clone(), "rejected": matcher.rejected.clone()}
        return found

    def recalibrate_batchnorm(self) -> None:
        """Measure the averaged generator's batch-norm statistics, if it has any."""
        measure_on_prior(self.generator_ema, self.seed, self.device)

    def preview(self) -> Pixels:
        """Return what to show beside samples: training images, each above the image of its latent."""
        count = len(self._shown)
        latents, labels = self.matcher.latents[:count], self.matcher.labels[:count].to(self.device)
        mirrored = self.matcher.mirrored[:count].cpu().numpy()[:, None, None, None]
        above = np.where(mirrored, self._shown[:, :, ::-1], self._shown)
        with torch.no_grad(), autocast(self.device, self.precision):
            return pairs(above, to_pixels(self.generator_ema(latents, *self._condition(labels))))

    @property
    def details(self) -> dict[str, Any]:
        """What a dry run tells of it beside the numbers of parameters: the perceptual network."""
        return {"perceptual": self.description["perceptual"]}

    def _generate(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images of the trained generator, in training mode: what a step compares is what was matched."""
        with autocast(self.device, self.precision):
            images: Tensor = self.generator(latents, *self._condition(labels))
        return images

    def _condition(self, labels: Tensor) -> tuple[Tensor, ...]:
        return (labels,) if self.generator.num_classes else ()

    def _layers(self, images: Tensor, real: Tensor, number: int) -> tuple[list[Tensor], list[Tensor]]:
        if self.perceptual is None:
            return [], []
        down, right = rng(self.seed, Stream.CROPS, number).integers(LARGEST_SHIFT + 1, size=2)
        side = real.shape[-1] - LARGEST_SHIFT
        rows, columns = slice(down, down + side), slice(right, right + side)
        with autocast(self.device, self.precision):
            with torch.no_grad():
                of_real = self.perceptual.features(real[..., rows, columns])
            return self.perceptual.features(images[..., rows, columns]), of_real

    def _plan(self, number: int) -> list[Draw]:
        return [self._noise(number, self.batch_size)]

    def _noise(self, number: int, count: int) -> Draw:
        return normal_draw(self.seed, Stream.CODE_NOISE, number, (count, self.generator.z_dim))

    def _set_rate(self, number: int) -> None:
        """Set the rate of step `number`, which depends on it and on the steps of the run alone."""
        options = self.options
        left = cosine_decay(number, self.num_steps)
        for group in self.optimizers["g"].param_groups:
            group["lr"] = options.lr_last + (options.lr - options.lr_last) * left


def prepare(
    recipe: Recipe,
    data: TrainingData,
    device: torch.device,
    source: PretrainedSource | None,
    log: Callable[[str], None],
) -> tuple[IMLETrainer, ImageBatches]:
    """Return the trainer of a generator, fresh or of a run, and the batches. Raises UsageError and MissingError."""
    options, pixels = recipe.method, data.mixture.pixels
    assert isinstance(options, IMLEOptions)
    log("imle is an experiment: its images are softer than those of adversarial training (docs/imle.md)")
    classes = classes_of(recipe, data, log)
    network, note = load_perceptual(options.perceptual, options.perceptual_weight)
    log(note)
    generator, _ = starting_networks(recipe, classes, source, log)
    if batch_norms(generator):
        log(
            "note: this generator has batch norm, so an image depends on its batch: in a step it is not quite the one "
            "that was matched; a DCGAN has model.g_norm=layer"
        )
    if options.pca_steps >= recipe.train.steps:
        log(
            f"note: method.pca_steps {options.pca_steps} are all of the {recipe.train.steps} steps, so no latent "
            "is ever matched; give more --steps, or fewer of these"
        )
    labels = data.labels if classes else None
    batches = ImageBatches(pixels, min(recipe.train.batch_size, len(pixels)), recipe.seed, device, labels)
    trainer = IMLETrainer(recipe, device, generator, pixels, batches.labels, network, classes)
    if source is not None:
        trainer.description = source.added_to(trainer.description)
    return trainer, batches
