"""One DCGAN step. It updates the networks and returns numbers; it prints nothing and writes nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smallgan.core.device import autocast
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Batch
from smallgan.models.dcgan import DCGANDiscriminator, DCGANGenerator, initialize
from smallgan.tables.recipe import Recipe
from smallgan.training.ema import STATISTICS_BATCH, STATISTICS_BATCHES, measure_statistics, update_ema
from smallgan.training.frozen import without_gradients
from smallgan.training.losses import LOSSES


class DCGANTrainer:
    """Generator, discriminator, their optimisers and the averaged generator."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        settings = recipe.train
        self.device, self.seed, self.precision = device, recipe.seed, settings.precision
        self.ema_decay = settings.ema_decay
        self.loss = LOSSES[settings.loss]
        generator = DCGANGenerator(recipe.data.size, settings.z_dim, settings.base_width)
        discriminator = DCGANDiscriminator(recipe.data.size, settings.base_width)
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
        for network in (generator, discriminator):
            initialize(network, draws)
        # channels_last is the order in which CPU and GPU convolutions are fastest, and the one our pixels lie in.
        self.generator = generator.to(device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.description: Mapping[str, Any] = {
            "model": "dcgan",
            "size": recipe.data.size,
            "z_dim": settings.z_dim,
            "base_width": settings.base_width,
        }
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
        """Take step `number` (from 0) on a batch of real images: first the discriminator, then the generator.

        Both use the same fakes. Returns scalars on the device, unread, so that a GPU need not wait:
        loss_d, loss_g, and the mean raw scores score_real, score_fake.
        """
        real = batch.images
        latents = normal(self.seed, Stream.TRAIN_LATENTS, number, (len(real), self.generator.z_dim))
        z = torch.from_numpy(latents).to(self.device)

        with autocast(self.device, self.precision):
            fake = self.generator(z)
            real_scores = self.discriminator(real)
            fake_scores = self.discriminator(fake.detach())
        loss_d = self.loss.discriminator(real_scores, fake_scores)
        self._descend("d", loss_d)

        # The generator's gradient passes through the discriminator, whose own gradients are not wanted here.
        with without_gradients(self.discriminator), autocast(self.device, self.precision):
            loss_g = self.loss.generator(self.discriminator(fake))
        self._descend("g", loss_g)

        update_ema(self.generator_ema, self.generator, self.ema_decay, number)
        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            "score_real": real_scores.detach().mean(),
            "score_fake": fake_scores.detach().mean(),
        }

    def recalibrate_batchnorm(self) -> None:
        """Measure the averaged generator's batch-norm statistics; the next step copies the trained one's over them."""
        shape = (STATISTICS_BATCH, self.generator.z_dim)
        draws = (normal(self.seed, Stream.STATISTICS_LATENTS, at, shape) for at in range(STATISTICS_BATCHES))
        measure_statistics(self.generator_ema, ((torch.from_numpy(z).to(self.device),) for z in draws))

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()
