"""A few steps of a tiny network on random images, in memory."""

import torch
from sampled_models import pixels

from smallgan.data.images import ImageBatches
from smallgan.tables.latents import LATENTS
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer

CPU = torch.device("cpu")
TINY = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4}


def of_regularizer(row):
    """Return recipe keys of a narrow model and a prior that a row of REGULARIZERS works with, and the row itself."""
    model = {"model.name": "fastgan", "model.base_width": 1} if row.needs_maps else {"model.base_width": 8}
    prior = next(each.name for each in LATENTS if row.needs_of_latent is None or row.needs_of_latent in each.has)
    options = {} if row.limits_weights else {"weight": 1.0}
    return model | {f"regularizers.{row.name}": options, "latent.name": prior}


def trained(steps=2, **settings):
    """Return the trainer of TINY with other recipe keys, and the terms of its last step ({} before the first)."""
    terms = {}
    recipe = load_recipe(None, TINY | settings)
    trainer, batches = build_trainer(recipe, CPU), ImageBatches(pixels(), 4 * recipe.method.d_steps, 0, CPU)
    for number in range(steps):
        terms = trainer.step(batches.batch(number), number)
    return trainer, terms
