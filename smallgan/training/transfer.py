"""One step of BSA or APGC: a code for each training image, and an adapter that makes the image of it; no discriminator.

After Noguchi and Harada 2019 (arXiv:1904.01774) and the public code of both methods, with their slips mended: codes
start where the recipe says, rates fall by optimiser steps, and every batch is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.device import autocast
from smallgan.core.rng import Stream, normal
from smallgan.data.images import Batch, Pixels, to_images
from smallgan.models.adapters import AdaptedGenerator
from smallgan.models.perceptual import Perceptual
from smallgan.tables.recipe import Recipe
from smallgan.training.reconstruction import PERCEPTUAL_WEIGHT, latent_distance, reconstruction

TARGETS_A_CODE = 10
"""Normal draws for each code of a batch, in the latent regulariser."""
KEPT_BYTES = 2 << 30
"""Most memory for the perceptual layers of the training images, which never change; beyond it they are made anew."""
_CHUNK = 25


class Codes(nn.Module):
    """A latent of its own for each training image: N x Z, in the order of the set."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self, indices: Tensor) -> Tensor:
        """Return the codes B x Z of the images at `indices` (int64 B)."""
        return nn.functional.embedding(indices, self.weight)


class TransferTrainer:
    """Adapter, codes and their optimisers; the pretrained generator is frozen and no part of a checkpoint.

    Args:
        recipe: its `transfer` and `train` sections are read.
        adapter: see `build_adapter`.
        pixels: the training images N x S x S x 3, in the order of the batches' indices.
        device: where all of it runs.
        perceptual: see `reconstruction.load_perceptual`; None for none.
        origin: JSON values that say which generator was adapted, for the checkpoint.

    Raises UsageError when the images have another side than the generator's.
    """

    def __init__(
        self,
        recipe: Recipe,
        adapter: AdaptedGenerator,
        pixels: Pixels,
        device: torch.device,
        perceptual: Perceptual | None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        settings = recipe.transfer
        if pixels.shape[1:3] != (adapter.size, adapter.size):
            raise UsageError(f"data.size {pixels.shape[1]}: the pretrained generator makes {adapter.size} px; use that")
        self.device, self.seed, self.precision = device, recipe.seed, recipe.train.precision
        self.settings = settings
        weight = settings.perceptual_weight
        self.perceptual_weight = PERCEPTUAL_WEIGHT[settings.variant] if weight is None else weight
        self.generator = adapter.to(device).to(memory_format=torch.channels_last)
        shape = (len(pixels), adapter.z_dim)
        start = normal(recipe.seed, Stream.CODES, 0, shape)
        self.codes = Codes(torch.from_numpy(start) if settings.codes == "normal" else torch.zeros(shape)).to(device)
        self.perceptual = perceptual if self.perceptual_weight else None
        if self.perceptual is not None:
            self.perceptual.to(device).to(memory_format=torch.channels_last)
        self._kept = self._keep_layers(pixels)
        betas = (recipe.train.beta1, recipe.train.beta2)
        self._rates = {
            "g_ema": [settings.lr_class, settings.lr_first, settings.lr_adapter],
            "codes": [settings.lr_codes],
        }
        self.optimizers = {
            "g_ema": torch.optim.Adam(self._groups(), settings.lr_adapter, betas, fused=True),
            "codes": torch.optim.Adam(self.codes.parameters(), settings.lr_codes, betas, fused=True),
        }
        self.description: dict[str, Any] = {
            "model": settings.method,
            "size": adapter.size,
            "z_dim": adapter.z_dim,
            "transfer": settings.model_dump(mode="json"),
            "pretrained": dict(origin or {}),
        }

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What a checkpoint holds: the adapter's own tensors, as the generator of samples, and the codes."""
        return {"g_ema": self.generator, "codes": self.codes}

    @property
    def generator_ema(self) -> AdaptedGenerator:
        """The adapted generator itself, in eval mode: nothing is averaged."""
        return self.generator.eval()

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) on training images and their places in the set.

        Returns scalars on the device, unread: loss_g (all terms, weighted), and the plain values of pixel, perceptual,
        latent and class_vector.
        """
        settings, real = self.settings, batch.images
        self._set_rates(number)
        codes = self.codes(batch.indices)
        noise = self._normal(Stream.CODE_NOISE, number, len(codes)) * settings.code_noise
        with autocast(self.device, self.precision):
            images = self.generator.train()(codes + noise)
            layers = self.perceptual.features(images) if self.perceptual else []
        terms = reconstruction(images, real, layers, self._real_layers(batch), settings.variant, self.perceptual_weight)
        latent = latent_distance(codes, self._normal(Stream.LATENT_TARGETS, number, TARGETS_A_CODE * len(codes)))
        class_vector = self.generator.class_vector.square().mean()
        loss = terms.loss + settings.latent_weight * latent + settings.class_weight * class_vector
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        return {
            "loss_g": loss.detach(),
            "pixel": terms.pixel,
            "perceptual": terms.perceptual,
            "latent": latent.detach(),
            "class_vector": class_vector.detach(),
        }

    def recalibrate_batchnorm(self) -> None:
        """Do nothing: moments are the pretrained generator's, and nothing is averaged."""

    def reconstruct(self, indices: Sequence[int] | None = None) -> Tensor:
        """Return the images N x 3 x S x S of the learned codes, without noise; None: of all training images."""
        chosen = torch.arange(len(self.codes.weight)) if indices is None else torch.tensor(list(indices))
        with torch.no_grad(), autocast(self.device, self.precision):
            parts = [self.generator_ema(self.codes(part.to(self.device))) for part in chosen.split(_CHUNK)]
        return torch.cat(parts)

    def _groups(self) -> list[dict[str, Any]]:
        """Return the adapter's parameters by rate, in the order of `_rates`; a group may be empty."""
        groups: list[list[nn.Parameter]] = [[], [], []]
        for name, parameter in self.generator.named_parameters():
            groups[{"class_vector": 0, "first.weight": 1}.get(name, 2)].append(parameter)
        return [{"params": group} for group in groups]

    def _set_rates(self, number: int) -> None:
        """Set the rates of step `number`, which depend on it alone, so that a resumed run has them right."""
        factor = self.settings.lr_decay ** (number // self.settings.lr_decay_every)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor

    def _normal(self, stream: Stream, number: int, count: int) -> Tensor:
        return torch.from_numpy(normal(self.seed, stream, number, (count, self.generator.z_dim))).to(self.device)

    def _keep_layers(self, pixels: Pixels) -> list[Tensor] | None:
        """Return the perceptual layers of all training images, or None when they would take too much memory."""
        if self.perceptual is None:
            return None
        kept: list[list[Tensor]] = []
        for first in range(0, len(pixels), _CHUNK):
            images = to_images(torch.from_numpy(pixels[first : first + _CHUNK]).to(self.device))
            kept.append(self._layers_of(images))
            if sum(layer[0].nbytes for layer in kept[0]) * len(pixels) > KEPT_BYTES:
                return None
        return [torch.cat(parts) for parts in zip(*kept, strict=True)]

    def _real_layers(self, batch: Batch) -> list[Tensor]:
        if self.perceptual is None:
            return []
        if self._kept is None:
            return self._layers_of(batch.images)
        return [layer[batch.indices] for layer in self._kept]

    def _layers_of(self, images: Tensor) -> list[Tensor]:
        assert self.perceptual is not None
        with torch.no_grad(), autocast(self.device, self.precision):
            return self.perceptual.features(images)
