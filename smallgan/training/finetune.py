"""Fine-tuning: the weights of a pretrained generator trained on, against its own discriminator or a fresh one."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from augment.errors import UsageError
from smallgan.core.rng import Stream, rng
from smallgan.data.images import ImageBatches
from smallgan.models.adapters import parse_class_vector, start_row
from smallgan.models.plain_source import PlainSource
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.dotted import load
from smallgan.tables.methods import AdversarialOptions, FinetuneOptions
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, given, with_values
from smallgan.tables.recipe_schema import DEFAULT_NAMES
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.tables.sweep import flat
from smallgan.training.adversarial import AdversarialTrainer, batches_of
from smallgan.training.data import TrainingData
from smallgan.training.freezing import freeze
from smallgan.training.scratch import classes_of


def prepare(
    recipe: Recipe, data: TrainingData, device: torch.device, source: PretrainedSource, log: Callable[[str], None]
) -> tuple[AdversarialTrainer, ImageBatches]:
    """Return the trainer of the pretrained networks, with a class table of the new set, and the batches.

    Raises UsageError for a generator that cannot be fine-tuned.
    """
    assert isinstance(recipe.method, FinetuneOptions)
    log(source.description)
    for note in source.pretrained.notes:
        log(note)
    model = _model_of(source)
    classes = _classes(recipe, data, source, log)
    generator, discriminator = networks_to_tune(source, recipe.method.class_vector, max(len(classes), 1))
    if discriminator is None:
        if recipe.method.freeze == "d-lower":
            raise UsageError(
                "method.freeze d-lower: there is no pretrained discriminator whose layers could stay, and those of a "
                "fresh one are random; use another, or a source with its discriminator"
            )
        log("no pretrained discriminator was found beside the generator: a fresh one is trained")
        draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
        discriminator = load(str(MODELS[model].fresh_discriminator))(generator, draws)
    else:
        log("with the pretrained discriminator")
    _check_regularizers(recipe, model)
    if line := freeze(recipe.method, generator, discriminator):
        log(line)
    trainer = AdversarialTrainer(recipe, device, generator, discriminator, classes, data.mixture.pixels)
    trainer.description = source.added_to(trainer.description)
    return trainer, batches_of(recipe, data, classes, device)


def networks_to_tune(source: PretrainedSource, start: str, num_classes: int) -> tuple[nn.Module, nn.Module | None]:
    """Return copies of the pretrained networks in which each of `num_classes` classes starts at the same vector.

    `start` is the recipe's `method.class_vector`. A generator without classes stays one. Raises UsageError when the
    source is of no model that can be fine-tuned.
    """
    model, found = _model_of(source), source.pretrained
    generator: Any = found.generator.network if isinstance(found.generator, PlainSource) else found.generator
    generator, discriminator = copy.deepcopy((generator, found.discriminator))
    reclass = MODELS[model].reclass
    if generator.num_classes and reclass is not None:
        load(reclass)(generator, discriminator, partial(_start_rows, start=start, count=num_classes))
    else:
        parse_class_vector(start, generator.num_classes)
    return generator.requires_grad_(True), discriminator and discriminator.requires_grad_(True)


def with_models_defaults(recipe: Recipe, model: str | None) -> Recipe:
    """Return a fine-tuning recipe with the defaults of the source's model for loss, regularizers and rates.

    What the recipe was given stays. The method's own defaults are a BigGAN's, with which it comes back as it is.
    """
    if not isinstance(recipe.method, FinetuneOptions) or model in ("biggan", None) or model not in MODELS:
        return recipe
    row = MODELS[str(model)]
    plain = {f"method.{key}": AdversarialOptions.model_fields[key].default for key in _OF_BIGGAN}
    wanted: dict[str, Any] = {"loss.name": DEFAULT_NAMES["loss"], "regularizers.orthogonal": None, **plain}
    wanted |= {path: value for path, value in row.defaults.items() if path.startswith(("loss", "regul", "method"))}
    asked = flat(given(recipe))
    changes = {path: value for path, value in wanted.items() if not _is_asked(path, asked)}
    return with_values(recipe, changes)


_OF_BIGGAN = ("lr_g", "lr_d", "beta1", "beta2", "mirror")
"""Keys of `method` whose defaults in fine-tuning are those of a BigGAN."""
_LEAST_COMPARED = 3  # Images of a batch: one, and two others that it may be more or less like


def _is_asked(path: str, asked: Mapping[str, Any]) -> bool:
    return any(f"{key}.".startswith(f"{path}.") for key in asked)


def _model_of(source: PretrainedSource) -> str:
    found = source.pretrained
    model = found.model
    if model is None:
        raise UsageError(
            f"{found.path}: finetune needs a BigGAN of the official layout, or a run of smallgan; BigGAN-deep's "
            "discriminator was never released, so adapt it with --transfer apgc or bsa"
        )
    if hasattr(found.generator, "bsa_linear_scale"):
        raise UsageError(
            f"{found.path}: already adapted by the public BSA code, with a scale and a bias that a BigGAN has no place "
            "for; finetune the generator that it came from, or adapt this one with --transfer apgc or bsa"
        )
    if MODELS[model].fresh_discriminator is None:
        raise UsageError(
            f"{found.path}: finetune cannot make a discriminator for the model {model}; use another source"
        )
    return model


def _classes(recipe: Recipe, data: TrainingData, source: PretrainedSource, log: Callable[[str], None]) -> list[str]:
    if source.generator.num_classes or source.generator.class_dim:
        return classes_of(recipe, data, log)
    if data.classes:
        log(f"the {len(data.classes)} class folders are trained as one: the pretrained generator has no classes")
    return []


def _check_regularizers(recipe: Recipe, model: str) -> None:
    for name in recipe.regularizers.chosen():
        if REGULARIZERS[name].needs_source and recipe.train.batch_size < _LEAST_COMPARED:
            raise UsageError(
                f"train.batch_size {recipe.train.batch_size}: regularizers.{name} compares the images of a batch; use "
                f"{_LEAST_COMPARED} or more, or leave it out"
            )
        if REGULARIZERS[name].needs_maps and not MODELS[model].has_maps:
            able = " or ".join(row.name for row in MODELS if row.has_maps)
            raise UsageError(
                f"regularizers.{name}: it needs the discriminator's maps, and that of {model} gives none; tune a run "
                f"of the model {able}, or leave it out"
            )


def _start_rows(table: Tensor, start: str, count: int) -> Tensor:
    """Return `count` equal rows: the mean of a table's, or of those that `method.class_vector` names."""
    return start_row(table, start).repeat(count, 1)
