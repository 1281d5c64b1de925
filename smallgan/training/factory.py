"""From a recipe to a trainer: what a pretrained generator decides of the recipe, and what the method prepares."""

from collections.abc import Callable
from typing import Any

import torch

from augment.errors import InputError, UsageError
from smallgan.data.images import ImageBatches
from smallgan.sampling.pretrained import PretrainedSource, find_pretrained
from smallgan.tables.dotted import load
from smallgan.tables.methods import TransferOptions
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.finetune import with_models_defaults
from smallgan.training.going_on import opened
from smallgan.training.loop import Trainer

SIZES = sorted({size for row in MODELS for size in row.sizes if size > 1})  # 1 is for points


def open_pretrained(recipe: Recipe) -> tuple[Recipe, PretrainedSource | None]:
    """Return the recipe with what its pretrained generator decides, and that generator, or the run it starts from.

    That is the size of the images, the numbers of classes that the recipe names, and in fine-tuning the loss, the
    regularizers and the rates, which are those of the source's model where the recipe leaves them open. Without any
    of this the recipe comes back as it is, with None. Raises UsageError when the recipe asks for another size or for a
    class that is not there, and InputError for a file that is no generator.
    """
    if recipe.train.init is not None:
        return recipe, opened(recipe, recipe.train.init)
    if not isinstance(recipe.method, TransferOptions):
        return recipe, None
    source = find_pretrained(recipe.method.pretrained)
    path, size = source.pretrained.path, source.generator.size
    if source.latent != "normal":
        raise UsageError(
            f"{path}: its latents are drawn from the prior {source.latent}, fitted to its own images, and a transfer "
            "draws them from a standard normal; name a generator that was trained with latent.name normal"
        )
    if size not in SIZES:
        raise InputError(f"{path}: it makes images of {size} px; expected one of {', '.join(map(str, SIZES))} px")
    if "size" in recipe.data.model_fields_set and recipe.data.size != size:
        raise UsageError(
            f"data.size {recipe.data.size}: the pretrained generator makes {size} px ({path}); leave the size out"
        )
    recipe = with_models_defaults(recipe, source.pretrained.model)
    assert isinstance(recipe.method, TransferOptions)
    changes: dict[str, Any] = {"data": recipe.data.model_copy(update={"size": size})}
    vector = source.class_vector(recipe.method.class_vector)
    if vector != recipe.method.class_vector:
        changes["method"] = recipe.method.model_copy(update={"class_vector": vector})
    return recipe.model_copy(update=changes), source


def prepare(
    recipe: Recipe,
    data: TrainingData,
    device: torch.device,
    source: PretrainedSource | None,
    log: Callable[[str], None],
) -> tuple[Trainer, ImageBatches]:
    """Return the trainer at its start, and the batches of its images.

    Args:
        recipe: as `open_pretrained` returned it.
        data: its images.
        device: where all of it runs.
        source: the pretrained generator of a transfer, None otherwise.
        log: takes lines that a user should read.

    Raises UsageError (group size, class vector, memory, a generator that the method cannot adapt).
    """
    made: tuple[Trainer, ImageBatches] = load(recipe.method_row.prepare)(recipe, data, device, source, log)
    return made
