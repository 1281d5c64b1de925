"""One step of BSA or APGC: a latent for each training image, and an adapter that makes the image of it.

No discriminator. The latents are learned codes, as published, or matched ones (`smallgan.training.transfer_latents`).
After Noguchi and Harada 2019 (arXiv:1904.01774) and the public code of both methods, with their slips mended: codes
start where the recipe says, rates fall by optimiser steps, and every batch is used.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.device import autocast
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Batch, ImageBatches, Pixels, as_tensor, pairs, to_images, to_pixels
from smallgan.models.adapters import AdaptedGenerator, parameter_table
from smallgan.models.base import Adaptable
from smallgan.models.perceptual import Perceptual
from smallgan.models.spectral import held
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.sampling.prior import Prior
from smallgan.tables.dotted import load
from smallgan.tables.methods import APGCOptions, BSAOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.foresight import KEPT_BYTES, foresee
from smallgan.training.loop import Trainer
from smallgan.training.loss_scale import step
from smallgan.training.micro_batches import accumulated
from smallgan.training.reconstruction import (
    PERCEPTUAL_WEIGHT,
    distances,
    load_perceptual,
    perceptual_record,
    told,
    weighed,
)
from smallgan.training.transfer_latents import latents_of

PAIRS_SHOWN = 50  # Training images in the picture of reconstructions
_CHUNK = 25


class TransferTrainer(Trainer):
    """Adapter, latents and their optimisers; the pretrained generator is frozen and no part of a checkpoint.

    Args:
        recipe: its `method` and `train` sections are read.
        adapter: at its start, from the row of the method.
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
        settings = recipe.method
        assert isinstance(settings, BSAOptions)
        if pixels.shape[1:3] != (adapter.size, adapter.size):
            raise UsageError(f"data.size {pixels.shape[1]}: the pretrained generator makes {adapter.size} px; use that")
        if settings.recompute and not adapter.pretrained.can_recompute:
            raise UsageError("method.recompute: only a BigGAN is made of blocks; set train.micro_batch instead")
        adapter.pretrained.recompute = settings.recompute
        self._shown = pixels[:PAIRS_SHOWN]
        self.device, self.seed, self.precision = device, recipe.seed, str(recipe.train.precision)
        self.settings = settings
        weight = settings.perceptual_weight
        self.perceptual_weight = PERCEPTUAL_WEIGHT[settings.variant] if weight is None else weight
        self.generator = adapter.to(device).to(memory_format=torch.channels_last)
        self.perceptual = perceptual if self.perceptual_weight else None
        if self.perceptual is not None:
            self.perceptual.to(device).to(memory_format=torch.channels_last)
        self._kept = self._keep_layers(pixels)
        self.latents = latents_of(recipe, pixels, adapter.z_dim, device, self.perceptual)
        self._num_images, name = len(pixels), self.latents.name
        self._batch_size = min(recipe.train.batch_size, len(pixels))
        betas = (settings.beta1, settings.beta2)
        self._rates = {
            "g_ema": [settings.lr_class, settings.lr_first, settings.lr_adapter],
            name: [self.latents.rate],
        }
        self.generator_ema = self.generator.eval()  # nothing is averaged
        self.networks = {"g_ema": self.generator, name: self.latents.network}
        self.optimizers = {"g_ema": torch.optim.Adam(self._groups(), settings.lr_adapter, betas, fused=True)}
        learned = list(self.latents.network.parameters())
        if learned:
            self.optimizers[name] = torch.optim.Adam(learned, self.latents.rate, betas, fused=True)
        self.description = {
            "model": settings.name,
            "size": adapter.size,
            "z_dim": adapter.z_dim,
            "method": settings.model_dump(mode="json"),
            "around_codes": self.latents.prior.around_codes,
            "pretrained": dict(origin or {}),
            "perceptual": perceptual_record(self.perceptual),
        }

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) on training images and their places in the set.

        Returns scalars on the device, unread: loss_g (all terms, weighted), the plain values of pixel, perceptual and
        class_vector, and of learned codes latent, of matched latents distance and rejected.
        """
        self._set_rates(number)
        self.latents.begin(number, self._generate)
        in_passes = self.settings.recompute or self.micro_batch is not None
        with held(self.generator) if in_passes else nullcontext():  # or each pass would move the spectral norms
            found = self._descend(batch, number)
        step(list(self.optimizers.values()), None)
        self.generator.eval()
        return found

    def _descend(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Make the gradients of a step; return what it tells."""
        settings = self.settings
        latents = self.latents.of(batch.indices)
        noisy = self.latents.noisy(latents, number)
        self.generator.train()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        size, weight = self.micro_batch, self.perceptual_weight
        if size is not None and size < len(noisy):
            terms = accumulated(self._distances, noisy, batch, size, settings.variant, weight)
        else:
            found = self._distances(noisy, batch)
            terms = told(weighed(found, settings.variant, weight), found)
        own, said = self.latents.loss(latents, number)
        loss = terms.loss if own is None else terms.loss + own
        vector = self.generator.class_vector
        if vector is not None:
            said["class_vector"] = vector.square().mean()
            loss = loss + settings.class_weight * said["class_vector"]
        if loss.requires_grad:  # of parts, nothing may be left
            loss.backward()
        return {
            "loss_g": loss.detach(),
            "pixel": terms.pixel,
            "perceptual": terms.perceptual,
            **{name: value.detach() for name, value in said.items()},
        }

    def _distances(self, latents: Tensor, batch: Batch) -> list[Tensor]:
        with autocast(self.device, self.precision):
            images = self.generator(latents)
            layers = self.perceptual.features(images) if self.perceptual else []
        return distances(images, batch.images, layers, self._real_layers(batch), self.settings.variant)

    def needs_whole_batch(self) -> str | None:
        """Return None: an adapter leaves the batch norms' moments alone, so an image does not depend on its batch."""
        return None

    @property
    def prior(self) -> Prior:
        """How it is sampled: around learned codes as they are now, or from a standard normal."""
        return self.latents.prior

    def preview(self) -> Pixels:
        """Return what to show beside samples: training images, each above the image of its code."""
        return pairs(self._shown, to_pixels(self.reconstruct(range(len(self._shown)))))

    @property
    def details(self) -> dict[str, Any]:
        """What a dry run tells of it beside the numbers of parameters: sizes of the adapters, memory, operations."""
        sizes = self._num_images, self._batch_size, self.micro_batch
        seen = foresee(self.generator, self.perceptual, self.settings, *sizes)
        return {"adapters": adapter_table(self.generator.pretrained), "foreseen": seen}

    def reconstruct(self, indices: Sequence[int] | None = None) -> Tensor:
        """Return the images N x 3 x S x S of the images' latents, without noise; None: of all training images."""
        chosen = torch.arange(self._num_images) if indices is None else torch.tensor(list(indices))
        with torch.no_grad(), autocast(self.device, self.precision):
            parts = [self.generator_ema(self.latents.of(part.to(self.device))) for part in chosen.split(_CHUNK)]
        return torch.cat(parts)

    def _generate(self, latents: Tensor, _labels: Tensor) -> Tensor:
        """Return images as a step makes them: all moments are frozen, so an image does not depend on its batch."""
        with autocast(self.device, self.precision):
            images: Tensor = self.generator_ema(latents)
        return images

    def _groups(self) -> list[dict[str, Any]]:
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

    def _keep_layers(self, pixels: Pixels) -> list[Tensor] | None:
        if self.perceptual is None:
            return None
        kept: list[list[Tensor]] = []
        for first in range(0, len(pixels), _CHUNK):
            images = to_images(as_tensor(pixels[first : first + _CHUNK]).to(self.device))
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


def prepare(
    recipe: Recipe, data: TrainingData, device: torch.device, source: PretrainedSource, log: Callable[[str], None]
) -> tuple[TransferTrainer, ImageBatches]:
    """Return the trainer of an adapter at its start, and the batches of the images.

    Raises UsageError (group size, class vector, memory, a generator that the method cannot adapt).
    """
    options, pixels = recipe.method, data.mixture.pixels
    assert isinstance(options, BSAOptions)
    log(source.description)
    for note in source.pretrained.notes:
        log(note)
    if data.classes:
        log(f"the {len(data.classes)} class folders are adapted to as one; --transfer finetune keeps classes apart")
    network, note = load_perceptual(options.perceptual, options.perceptual_weight)
    adapter = build_adapter(recipe, source.generator, device)
    log(describe_adapter(options, source.generator, adapter))
    log(note)
    # A small set is one batch: an image twice in it would be twice the work for one code's gradient.
    batches = ImageBatches(pixels, min(recipe.train.batch_size, len(pixels)), recipe.seed, device)
    return TransferTrainer(recipe, adapter, pixels, device, network, source.origin), batches


def build_adapter(recipe: Recipe, pretrained: Adaptable, device: torch.device) -> AdaptedGenerator:
    """Return the adapter of the recipe's method at its start, drawn by the recipe's seed. Raises UsageError."""
    draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.ADAPTER_INIT).integers(2**63)))
    adapter: AdaptedGenerator = load(str(recipe.method_row.adapter))(recipe.method, pretrained, draws, device)
    return adapter


def describe_adapter(options: BSAOptions, pretrained: Adaptable, adapter: AdaptedGenerator) -> str:
    """Return a line that says how many parameters the adapter has, beside BSA on the same generator."""
    wanted = options.group_size if isinstance(options, APGCOptions) else None
    rows = parameter_table(pretrained, () if wanted is None else (wanted,))
    row = next(row for row in rows if row.group_size == wanted)
    line = (
        f"{row.name}: {row.weights:,} weights after the batch norms, {row.weights_ratio:.2f} times BSA's; "
        f"{row.layer_parameters:,} with biases ({row.layer_ratio:.2f} times)"
    )
    trained = sum(parameter.numel() for parameter in adapter.parameters())
    beside = ", beside a code for each image" if options.latents == "learned" else ""
    return f"{line}; {trained:,} trained in all{beside}"


def adapter_table(pretrained: Adaptable) -> list[dict[str, Any]]:
    """Return the sizes of BSA and of APGC at each usual group size, on this generator, as plain data."""
    return [
        {
            "adapter": row.name,
            "weights": row.weights,
            "ratio": round(row.weights_ratio, 2),
            "with biases": row.layer_parameters,
            "ratio with biases": round(row.layer_ratio, 2),
            "trained in all": row.trained,
        }
        for row in parameter_table(pretrained)
    ]
