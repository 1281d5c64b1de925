"""Which trainer a recipe asks for, and the batches that it is fed."""

from __future__ import annotations

import torch

from smallgan.images import ImageBatches
from smallgan.recipe import Recipe
from smallgan.training.biggan import BigGANTrainer
from smallgan.training.dcgan import DCGANTrainer
from smallgan.training.loop import Trainer
from smallgan.training_data import TrainingData


def prepare(recipe: Recipe, data: TrainingData, device: torch.device) -> tuple[Trainer, ImageBatches]:
    """Return the trainer at its start, and batches of the images it trains on."""
    settings, own = recipe.train, recipe.biggan
    if settings.model == "dcgan":
        batches = ImageBatches(data.mixture.pixels, settings.batch_size, recipe.seed, device)
        return DCGANTrainer(recipe, device), batches
    classes = data.classes if own.conditional else []
    batches = ImageBatches(
        data.mixture.pixels,
        settings.batch_size * own.d_steps,
        recipe.seed,
        device,
        data.labels if classes else None,
        balanced=own.class_balanced,
    )
    return BigGANTrainer(recipe, device, classes), batches
