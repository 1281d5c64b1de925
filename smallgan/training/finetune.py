"""Fine-tuning: all weights of a pretrained BigGAN trained on, against its own discriminator or a fresh one."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.rng import Stream, rng
from smallgan.data.images import ImageBatches
from smallgan.models.adapters import parse_class_vector, starting_class_vector
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.models.spectral import SpectralEmbedding
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.methods import FinetuneOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.adversarial import AdversarialTrainer, batches_of
from smallgan.training.data import TrainingData
from smallgan.training.scratch import classes_of


def prepare(
    recipe: Recipe, data: TrainingData, device: torch.device, source: PretrainedSource, log: Callable[[str], None]
) -> tuple[AdversarialTrainer, ImageBatches]:
    """Return the trainer of the pretrained networks, with a class table of the new set, and the batches.

    Raises UsageError for a generator that cannot be fine-tuned.
    """
    assert isinstance(recipe.method, FinetuneOptions)
    classes = classes_of(recipe, data, log)
    log(source.description)
    for note in source.pretrained.notes:
        log(note)
    generator, discriminator = networks_to_tune(source, recipe.method.class_vector, max(len(classes), 1))
    if discriminator is None:
        log("no pretrained discriminator was found beside the generator: a fresh one is trained")
        discriminator = BigGANDiscriminator(generator.config)
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
        initialize(discriminator, draws)
    else:
        log("with the pretrained discriminator")
    trainer = AdversarialTrainer(recipe, device, generator, discriminator, classes, data.mixture.pixels)
    return trainer, batches_of(recipe, data, classes, device)


def networks_to_tune(
    source: PretrainedSource, start: str, num_classes: int
) -> tuple[BigGANGenerator, BigGANDiscriminator | None]:
    """Return copies of the pretrained networks in which each of `num_classes` classes starts at the same vector.

    `start` is the recipe's `method.class_vector`. Raises UsageError when the source is no plain BigGAN.
    """
    found = source.pretrained
    if not isinstance(found.generator, BigGANGenerator) or not isinstance(found.config, BigGANConfig):
        raise UsageError(
            f"{found.path}: finetune needs a BigGAN of the official layout; BigGAN-deep's discriminator was never "
            "released, so adapt it with --transfer apgc or bsa"
        )
    if hasattr(found.generator, "bsa_linear_scale"):
        raise UsageError(
            f"{found.path}: already adapted by the public BSA code, with a scale and a bias that a BigGAN has no place "
            "for; finetune the generator that it came from, or adapt this one with --transfer apgc or bsa"
        )
    generator = copy.deepcopy(found.generator)
    config = replace(found.config, num_classes=num_classes)
    if config.shared_dim:
        vector = starting_class_vector(found.generator, start)
        generator.shared = nn.Embedding.from_pretrained(vector.repeat(num_classes, 1), freeze=False)
    else:
        for norm in generator.norms:
            for name in ("gain", "bias"):
                table = cast(nn.Embedding, getattr(norm, name)).weight
                setattr(norm, name, nn.Embedding.from_pretrained(_start_rows(table, start, num_classes), freeze=False))
    generator.config, generator.num_classes = config, num_classes
    if not isinstance(found.discriminator, BigGANDiscriminator):
        return generator, None
    discriminator = copy.deepcopy(found.discriminator)
    rows = _start_rows(discriminator.embed.weight, start, num_classes)
    embed = SpectralEmbedding(*rows.shape, eps=discriminator.config.sn_eps)
    with torch.no_grad():
        embed.weight.copy_(rows)
        embed.u0.fill_(1.0)  # equal rows have this singular vector
    discriminator.embed, discriminator.config = embed, replace(discriminator.config, num_classes=num_classes)
    return generator, discriminator


def _start_rows(table: Tensor, start: str, count: int) -> Tensor:
    """Return `count` equal rows: the mean of a table's, or of those that `method.class_vector` names."""
    shares = parse_class_vector(start, len(table)) or dict.fromkeys(range(len(table)), 1.0)
    weights = torch.tensor(list(shares.values()), device=table.device)
    return (weights / weights.sum() @ table.detach()[list(shares)]).repeat(count, 1)
