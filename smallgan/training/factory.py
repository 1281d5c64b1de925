"""Which trainer a recipe asks for, what a pretrained generator decides of the recipe, and the batches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from augment.errors import InputError, UsageError
from smallgan.data.images import ImageBatches
from smallgan.models.adapters import (
    AdaptedGenerator,
    build_adapter,
    parameter_table,
    parse_class_vector,
    starting_class_vector,
)
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator
from smallgan.models.pretrained import Pretrained
from smallgan.models.spectral import SpectralEmbedding
from smallgan.sampling.loading import pretrained_origin
from smallgan.tables.recipe import Recipe
from smallgan.tables.recipe_schema import Side
from smallgan.training.biggan import BigGANTrainer
from smallgan.training.data import TrainingData
from smallgan.training.dcgan import DCGANTrainer
from smallgan.training.loop import Trainer
from smallgan.training.reconstruction import load_perceptual
from smallgan.training.transfer import TransferTrainer

Say = Callable[[str], None]
SIDES = get_args(Side)


@dataclass(frozen=True)
class Source:
    """The generator that a transfer starts from."""

    found: Pretrained
    origin: dict[str, Any]
    """What a checkpoint says of it."""


def open_pretrained(recipe: Recipe) -> tuple[Recipe, Source | None]:
    """Return the recipe with what its pretrained generator decides (the side of the images), and that generator.

    Without a transfer the recipe comes back as it is, with None. Raises UsageError when the recipe asks for another
    side, and InputError for a file that is no generator.
    """
    if recipe.transfer.method is None:
        return recipe, None
    found, origin = pretrained_origin(recipe.transfer.pretrained)
    size = found.generator.size
    if size not in SIDES:
        raise InputError(f"{found.path}: it makes images of {size} px; needed one of {', '.join(map(str, SIDES))} px")
    if "size" in recipe.data.model_fields_set and recipe.data.size != size:
        raise UsageError(
            f"data.size {recipe.data.size}: the pretrained generator makes {size} px ({found.path}); leave the size out"
        )
    decided = {"data": {**recipe.data.model_dump(), "size": size}}
    return Recipe.model_validate({**recipe.model_dump(), **decided}), Source(found, origin)


def prepare(
    recipe: Recipe, data: TrainingData, device: torch.device, source: Source | None, say: Say
) -> tuple[Trainer, ImageBatches]:
    """Return the trainer at its start, and batches of its images; `say` takes what a user should know.

    Raises UsageError (group size, class vector, memory, a generator that the method cannot adapt).
    """
    settings, own = recipe.train, recipe.biggan
    pixels = data.mixture.pixels
    if recipe.transfer.method in ("bsa", "apgc"):
        assert source is not None
        # A small set is one batch: an image twice in it would be twice the work for one code's gradient.
        batches = ImageBatches(pixels, min(settings.batch_size, len(pixels)), recipe.seed, device)
        return _adapter_trainer(recipe, data, device, source, say), batches
    if settings.model == "dcgan":
        return DCGANTrainer(recipe, device), ImageBatches(pixels, settings.batch_size, recipe.seed, device)
    classes = data.classes if own.conditional else []
    if not classes:
        say("one class: the images are in no sub-folders" if own.conditional else "one class, as the recipe says")
    labels = data.labels if classes else None
    size = settings.batch_size * own.d_steps
    batches = ImageBatches(pixels, size, recipe.seed, device, labels, balanced=own.class_balanced)
    generator, discriminator = _to_fine_tune(recipe, source, max(len(classes), 1), say) if source else (None, None)
    return BigGANTrainer(recipe, device, classes, generator, discriminator), batches


def _adapter_trainer(
    recipe: Recipe, data: TrainingData, device: torch.device, source: Source, say: Say
) -> TransferTrainer:
    settings = recipe.transfer
    _say_origin(source, say)
    network, note = load_perceptual(settings.perceptual, settings.perceptual_weight)
    adapter = build_adapter(settings, recipe.seed, source.found.generator, device)
    say(describe_adapter(recipe, source, adapter))
    say(note)
    return TransferTrainer(recipe, adapter, data.mixture.pixels, device, network, source.origin)


def describe_adapter(recipe: Recipe, source: Source, adapter: AdaptedGenerator) -> str:
    """Return a line that says how many parameters the adapter has, beside BSA on the same generator."""
    settings = recipe.transfer
    wanted = None if settings.method == "bsa" else settings.group_size
    row = next(
        row for row in parameter_table(source.found.generator, (settings.group_size,)) if row.group_size == wanted
    )
    line = (
        f"{row.name}: {row.weights:,} weights after the batch norms, {row.weights_ratio:.2f} times BSA's; "
        f"{row.layer_parameters:,} with biases ({row.layer_ratio:.2f} times)"
    )
    trained = sum(parameter.numel() for parameter in adapter.parameters())
    return f"{line}; {trained:,} trained in all, beside a code for each image"


def adapter_table(source: Source) -> list[dict[str, Any]]:
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
        for row in parameter_table(source.found.generator)
    ]


def _say_origin(source: Source, say: Say) -> None:
    found = source.found
    named = source.origin["path"] or "the generator that ships with smallgan"
    say(f"adapting {named} ({found.kind}, {found.generator.size} px, {found.generator.num_classes} classes)")
    for note in found.notes:
        say(note)


def _to_fine_tune(
    recipe: Recipe, source: Source, num_classes: int, say: Say
) -> tuple[BigGANGenerator, BigGANDiscriminator | None]:
    """Return the pretrained networks with a class table of the new set, each class starting at the same vector."""
    found = source.found
    _say_origin(source, say)
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
    config, start = replace(found.config, num_classes=num_classes), recipe.transfer.class_vector
    if config.shared_dim:
        vector = starting_class_vector(found.generator, start)
        generator.shared = nn.Embedding.from_pretrained(vector.repeat(num_classes, 1), freeze=False)
    else:
        for norm in generator.norms:
            for name in ("gain", "bias"):
                table = cast(nn.Embedding, getattr(norm, name)).weight
                setattr(norm, name, nn.Embedding.from_pretrained(_start_rows(table, start, num_classes), freeze=False))
    generator.config, generator.num_classes = config, num_classes
    critic = found.discriminator
    if not isinstance(critic, BigGANDiscriminator):
        say("no pretrained discriminator was found beside the generator: a fresh one is trained")
        return generator, None
    say("with the pretrained discriminator")
    critic = copy.deepcopy(critic)
    rows = _start_rows(critic.embed.weight, start, num_classes)
    fresh = SpectralEmbedding(*rows.shape, eps=critic.config.sn_eps)
    with torch.no_grad():
        fresh.weight.copy_(rows)
        fresh.u0.fill_(1.0)  # equal rows have this singular vector
    critic.embed, critic.config = fresh, replace(critic.config, num_classes=num_classes)
    return generator, critic


def _start_rows(table: Tensor, start: str, count: int) -> Tensor:
    """Return `count` equal rows: the mean of a table's, or of those that `transfer.class_vector` names."""
    shares = parse_class_vector(start, len(table)) or dict.fromkeys(range(len(table)), 1.0)
    weights = torch.tensor(list(shares.values()), device=table.device)
    return (weights / weights.sum() @ table.detach()[list(shares)]).repeat(count, 1)
