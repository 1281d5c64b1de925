"""What every training that starts from scratch begins with: the classes to learn, and fresh networks of the model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from augment.errors import UsageError
from smallgan.core.rng import Stream, rng
from smallgan.models.packing import widen
from smallgan.models.spectral import normalize_spectrally
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.dotted import load
from smallgan.tables.methods import AdversarialOptions
from smallgan.tables.models import MODELS, NormableOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.going_on import start


def classes_of(recipe: Recipe, data: TrainingData, log: Callable[[str], None]) -> list[str]:
    """Return the names of the classes to learn, [] for one class, which is said."""
    if recipe.model is not None and not MODELS[recipe.model.name].has_classes:
        if data.classes:
            able, name = " or ".join(f"--model {row.name}" for row in MODELS if row.has_classes), recipe.model.name
            log(f"the {len(data.classes)} class folders are trained as one: {name} has no classes; use {able}")
        return []
    method: Any = recipe.method
    classes = data.classes if method.conditional else []
    if not classes:
        log("one class: the images are in no sub-folders" if method.conditional else "one class, as the recipe says")
    return classes


def fresh_networks(recipe: Recipe, classes: Sequence[str] = ()) -> tuple[nn.Module, nn.Module]:
    """Return generator and discriminator of the recipe's model, drawn by its seed. Raises UsageError."""
    assert recipe.model is not None
    draws = torch.Generator().manual_seed(int(rng(recipe.seed, Stream.INIT).integers(2**63)))
    build: Callable[..., tuple[nn.Module, nn.Module]] = load(MODELS[recipe.model.name].build)
    generator, discriminator = build(recipe.model, recipe.data.size, max(len(classes), 1), draws)
    if isinstance(recipe.method, AdversarialOptions):
        _check_packing(recipe.method.pack, classes)
        widen(discriminator, recipe.method.pack, draws)
    if isinstance(recipe.model, NormableOptions) and recipe.model.d_spectral_norm:
        normalize_spectrally(discriminator, draws)
    return generator, discriminator


def _check_packing(pack: int, classes: Sequence[str]) -> None:
    if pack > 1 and len(classes) > 1:
        raise UsageError(
            f"method.pack {pack}: images of a pack may be of different classes, and the discriminator takes one class; "
            "leave it out, or set method.conditional=false"
        )


def starting_networks(
    recipe: Recipe, classes: Sequence[str], source: PretrainedSource | None, log: Callable[[str], None]
) -> tuple[nn.Module, nn.Module]:
    """Return fresh networks, filled with the weights of the run that the recipe starts from (None: of none).

    Raises UsageError when that run's networks or classes are others.
    """
    networks = fresh_networks(recipe, classes)
    if source is not None:
        start(recipe, classes, networks, source, log)
    return networks
