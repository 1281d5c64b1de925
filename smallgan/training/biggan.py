"""One BigGAN step: hinge loss, spectral norm, two learning rates, averaged generator (Brock et al. 2019).

Fakes are drawn for the classes of the real batch, and the generator's step uses the fakes of the last discriminator
step. The same trainer fine-tunes a pretrained generator and discriminator.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.device import autocast
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Batch
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.tables.recipe import Recipe
from smallgan.training.diffaugment import diffaugment, parse_diffaugment
from smallgan.training.ema import STATISTICS_BATCH, STATISTICS_BATCHES, measure_statistics, update_ema
from smallgan.training.frozen import without_gradients
from smallgan.training.losses import LOSSES, orthogonal_penalty


class BigGANTrainer:
    """Generator, discriminator, their optimisers and the averaged generator."""

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        classes: Sequence[str],
        generator: BigGANGenerator | None = None,
        discriminator: BigGANDiscriminator | None = None,
    ) -> None:
        """Build fresh networks, or go on with a pretrained generator, and discriminator where there is one.

        `classes` are the names of the classes; none makes an unconditional GAN, which is one of a single class.
        """
        settings, own = recipe.train, recipe.biggan
        self.device, self.seed, self.precision, self.own = device, recipe.seed, settings.precision, own
        self.ema_decay, self.loss = settings.ema_decay, LOSSES[settings.loss]
        self.diffaugment = parse_diffaugment(own.diffaugment)
        self.batch_size = settings.batch_size
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
        if generator is None:
            generator = BigGANGenerator(biggan_config(recipe, max(len(classes), 1)))
            initialize(generator, draws, own.init)
        if discriminator is None:
            discriminator = BigGANDiscriminator(generator.config)
            initialize(discriminator, draws, own.init)
        self.config = generator.config
        self.generator = generator.train().to(device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.train().to(device).to(memory_format=torch.channels_last)
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.description: Mapping[str, Any] = {
            "model": "biggan",
            "config": asdict(self.config),
            "classes": list(classes),
        }
        self.regular = [
            parameter
            for name, parameter in self.generator.named_parameters()
            if parameter.ndim >= 2 and not name.startswith("shared")
        ]
        betas = (settings.beta1, settings.beta2)
        self.optimizers = {
            "g": torch.optim.Adam(self.generator.parameters(), settings.lr_g, betas, fused=True),
            "d": torch.optim.Adam(self.discriminator.parameters(), settings.lr_d, betas, fused=True),
        }

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks that a checkpoint holds, by name."""
        return {"g": self.generator, "d": self.discriminator, "g_ema": self.generator_ema}

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0): `d_steps` discriminator steps on as many parts of the batch, one generator step.

        Returns scalars on the device, unread: loss_d, loss_g, score_real, score_fake.
        """
        mirrored = rng(self.seed, Stream.MIRROR, number).random(len(batch.images)) < 0.5
        images = _mirror(batch.images, mirrored) if self.own.mirror else batch.images
        parts = zip(images.split(self.batch_size), batch.labels.split(self.batch_size), strict=True)
        for part, (real, labels) in enumerate(parts):
            with torch.set_grad_enabled(part == self.own.d_steps - 1):  # the generator learns from the last alone
                fake = self._fakes(labels, number * self.own.d_steps + part)
            loss_d, real_scores, fake_scores = self._discriminator_step(
                real, fake, labels, number * self.own.d_steps + part
            )

        with without_gradients(self.discriminator), autocast(self.device, self.precision):
            loss_g = self.loss.generator(self.discriminator(self._augmented(fake, number, 2), labels))
        total = loss_g
        if self.own.orthogonal:
            total = loss_g + self.own.orthogonal * orthogonal_penalty(self.regular)
        self._descend("g", total)

        averaged = number - self.own.ema_start  # before its start the average is a copy
        update_ema(self.generator_ema, self.generator, self.ema_decay if averaged >= 0 else 0.0, max(averaged, 0))
        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            "score_real": real_scores.detach().mean(),
            "score_fake": fake_scores.detach().mean(),
        }

    def recalibrate_batchnorm(self) -> None:
        """Measure the averaged generator's batch-norm statistics; the next step copies the trained one's over them."""
        shape = (STATISTICS_BATCH, self.config.z_dim)
        measure_statistics(
            self.generator_ema,
            (
                (
                    torch.from_numpy(normal(self.seed, Stream.STATISTICS_LATENTS, at, shape)).to(self.device),
                    torch.from_numpy(
                        rng(self.seed, Stream.LABELS, at).integers(self.config.num_classes, size=STATISTICS_BATCH)
                    ).to(self.device),
                )
                for at in range(STATISTICS_BATCHES)
            ),
        )

    def _fakes(self, labels: Tensor, position: int) -> Tensor:
        latents = normal(self.seed, Stream.TRAIN_LATENTS, position, (len(labels), self.config.z_dim))
        with autocast(self.device, self.precision):
            fake: Tensor = self.generator(torch.from_numpy(latents).to(self.device), labels)
        return fake

    def _discriminator_step(
        self, real: Tensor, fake: Tensor, labels: Tensor, position: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        # No batch norm here, so both halves can go through in one pass.
        images = torch.cat([self._augmented(real, position, 0), self._augmented(fake.detach(), position, 1)])
        with autocast(self.device, self.precision):
            scores = self.discriminator(images, labels.repeat(2))
        real_scores, fake_scores = scores.chunk(2)
        loss = self.loss.discriminator(real_scores, fake_scores)
        self._descend("d", loss)
        return loss, real_scores, fake_scores

    def _augmented(self, images: Tensor, position: int, use: int) -> Tensor:
        if not self.diffaugment:
            return images
        return diffaugment(images, self.diffaugment, rng(self.seed, Stream.DIFFAUGMENT, 3 * position + use))

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()


def biggan_config(recipe: Recipe, num_classes: int) -> BigGANConfig:
    """Return the networks that a recipe asks for; z is rounded down to whole chunks."""
    own, settings = recipe.biggan, recipe.train
    config = BigGANConfig(
        recipe.data.size,
        settings.base_width,
        settings.z_dim,
        num_classes,
        own.shared_dim,
        attention=own.attention,
        d_ch=own.d_width,
    )
    slots, sides = len(config.widths), [2**power for power in range(3, 10) if 2**power < config.size]
    if settings.z_dim < slots:
        raise UsageError(f"train.z_dim {settings.z_dim}: needed at least {slots}, one number a chunk of z")
    if own.attention and own.attention not in sides:
        raise UsageError(
            f"biggan.attention {own.attention}: no maps of that side in both networks of {config.size} px; use one of "
            f"{', '.join(map(str, sides))}, or 0 for none"
        )
    return replace(config, z_dim=settings.z_dim // slots * slots)


def _mirror(images: Tensor, mirrored: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
    chosen = torch.from_numpy(mirrored).to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(3), images)
