"""Weights of a run as the start of another one: the same model on other images, optimiser and steps afresh."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from augment.errors import UsageError
from smallgan.core.run_dir import RunDir
from smallgan.core.weights import SHIPPED_GAN, run_folder
from smallgan.models.plain_source import PlainSource
from smallgan.models.pretrained import part_of
from smallgan.models.weight_files import read_contents
from smallgan.sampling.pretrained import PretrainedSource, class_names, find_pretrained
from smallgan.tables.recipe import Recipe
from smallgan.tables.sweep import flat


def opened(recipe: Recipe, path: str) -> PretrainedSource:
    """Return the run that a recipe starts from. Raises UsageError for another model or side, and InputError."""
    if not RunDir(run_folder(path)).exists():
        raise UsageError(f"--init {path}: no run of smallgan; expected the folder of one, or {SHIPPED_GAN}")
    source = find_pretrained(path)
    assert recipe.model is not None
    model, size = source.pretrained.model, source.generator.size
    if model != recipe.model.name:
        raise UsageError(f"--init {path}: the model of this run is {model}, and {recipe.model.name} was asked for")
    if size != recipe.data.size:
        raise UsageError(
            f"--init {path}: this run makes images of {size} px, and {recipe.data.size} px were asked for; leave the "
            "size out, or train from scratch at that size (--set train.init=null)"
        )
    return source


def start(
    recipe: Recipe,
    classes: Sequence[str],
    networks: tuple[nn.Module, nn.Module],
    source: PretrainedSource,
    log: Callable[[str], None],
) -> None:
    """Fill fresh networks of the recipe's model with the weights of a run; what cannot be is a UsageError."""
    path, found = recipe.train.init, source.pretrained
    names = list(class_names(found)[0])
    if names != list(classes):
        raise UsageError(
            f"--init {path}: this run has {_classes(names)}, and these images have {_classes(classes)}; put them in "
            "the same class folders, or use --transfer finetune, which makes new class vectors"
        )
    generator: Any = found.generator.network if isinstance(found.generator, PlainSource) else found.generator
    _check_same(str(path), generator.description, _description(networks[0]))
    networks[0].load_state_dict(generator.state_dict())
    if recipe.loss is None:  # the method has no discriminator
        log(f"weights of {path}: the averaged generator's; the optimiser starts afresh")
        return
    # As it was trained: of one that judges packs of images `found` has none
    discriminator = part_of(read_contents(found.path).tensors, "d.")
    if not discriminator:
        log(f"weights of {path}: the averaged generator's; the run has no discriminator, so a fresh one is trained")
        return
    try:
        networks[1].load_state_dict(discriminator)
    except RuntimeError as error:
        raise UsageError(
            f"--init {path}: its discriminator is another one ({str(error).splitlines()[-1].strip()}); leave "
            "model.d_width, model.d_norm, model.d_spectral_norm and method.pack as in that run"
        ) from error
    log(f"weights of {path}: the averaged generator's and the discriminator's; the optimisers start afresh")


def _check_same(path: str, has: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    left, right = flat(has), flat(wanted)
    for key in dict.fromkeys([*left, *right]):
        then, now = left.get(key), right.get(key)
        if then != now:
            name = key.rpartition(".")[2]
            raise UsageError(f"--init {path}: {name} of this run is {then}, and {now} was asked for; leave it out")


def _description(network: nn.Module) -> Mapping[str, Any]:
    return network.description  # type: ignore[return-value] # every generator of a model has one


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"the classes {shown}" if names else "no classes"
