"""Recipes: the settings of a run or of a grid of runs; load, override, check, dump. Torch-free.

The sections are in `recipe_schema`, what a `grid` means in `sweep`, what is said of a mistake in `recipe_errors`.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from augment.core.suggest import instead
from augment.errors import InputError, UsageError
from smallgan.core.resources import shipped_folder
from smallgan.tables import recipe_yaml
from smallgan.tables.options import marked
from smallgan.tables.recipe_errors import Mistake, mistakes_in, policy_mistakes, unread_keys
from smallgan.tables.recipe_schema import Recipe
from smallgan.tables.recipe_yaml import Source
from smallgan.tables.sweep import Variant, expand_grid, flat, merged, put

__all__ = ["Recipe", "dump_recipe", "load_recipe", "parse_overrides", "read_recipe"]

_NO_FILE = "recipe"  # Name of the recipe of a user who named none
SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def load_recipe(
    name_or_file: str | None, overrides: Mapping[str, Any] | None = None, flags: Mapping[str, str] | None = None
) -> Recipe:
    """Return a recipe from a YAML file, the name of a shipped recipe, or the defaults (None), with overrides applied.

    `overrides` maps dotted paths to values, {"train.steps": 300}; `flags` says which of them a user gave by a flag,
    {"train.steps": "--steps"}, for messages. Raises InputError (no such recipe, not YAML) and
    UsageError, which lists all mistakes at once, those in policies and in the variants of its grid included, each by
    its path and its line in the file.
    """
    source = recipe_yaml.read(_find(name_or_file)) if name_or_file else Source(_NO_FILE)
    if name_or_file:
        source = replace(source, name=name_or_file)
    for path, value in (overrides or {}).items():
        section = put(source.values, path, value)
        if section is not None:
            raise UsageError(f"{path}: {section!r} is a value, not a section")
        source.lines.pop(path, None)
    source = replace(source, flags=dict(flags or {}))
    return _check(source, with_variants=True)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe that a run or a study was begun with. Raises InputError and UsageError.

    Policies and the variants of a grid are not checked again: a run outlives the policy file that it was made by.
    """
    return _check(recipe_yaml.read(path), with_variants=False)


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML with every key that this recipe reads; those of a study only where it is one."""
    values = recipe.model_dump(mode="json")
    drop_unread(values)
    if not recipe.is_study and recipe.budget == "steps":
        del values["grid"], values["budget"], values["downstream"]
        if recipe.train.epochs is None:
            del values["train"]["epochs"]
    if values["train"]["init"] is None:
        del values["train"]["init"]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def drop_unread(values: dict[str, Any], kept: Collection[str] = ()) -> set[str]:
    """Take out of a recipe's values what nothing in it reads, but for the paths `kept`; return the paths taken out."""
    dropped = set[str]()
    # One key may be read because of another that is not
    while unread := {each.path for each in unread_keys(values)} - set(kept):
        for owner, _, key in (path.partition(".") for path in unread):
            del (values[owner] if key else values)[key or owner]
        dropped |= unread
    return dropped


def values_to_go_on(recipe: Recipe, method: str | None = None) -> dict[str, Any]:
    """Return dotted keys of a run's recipe that a run that starts from its weights takes over.

    They are those of model, side and training, but for the precision; of the method, its loss and its regularizers too,
    unless `method` names another one. What is for the beginning of a training alone is off. Raises UsageError for a
    transfer.
    """
    if "model" not in recipe.method_row.sections:
        raise UsageError(
            f"the run is a transfer by {recipe.method.name}, whose networks are another's: adapt its source by "
            "--transfer finetune --pretrained, or start from a run that was trained from scratch"
        )
    values: dict[str, Any] = yaml.safe_load(dump_recipe(recipe))
    same = method in (None, recipe.method.name)
    sections = ("model", "latent", "train", *(("method", "loss", "regularizers") if same else ()))
    taken = {f"data.{key}": values["data"][key] for key in ("size", "resize_mode")}
    taken |= flat({name: values[name] for name in sections if name in values})
    del taken["train.precision"]  # another machine may train in another
    if "method.pca_steps" in taken:
        taken["method.pca_steps"] = 0
    kept = {path: value for path, value in taken.items() if not path.startswith("regularizers.warm_start")}
    return kept | ({"regularizers.warm_start": None} if len(kept) < len(taken) else {})


def dump_study(recipe: Recipe) -> str:
    """Return the recipe of a study as YAML: only what it was given, as defaults depend on what a variant chooses.

    The recipe of each run has every key in it.
    """
    return yaml.safe_dump({"name": recipe.name, **given(recipe)}, sort_keys=False, allow_unicode=True)


def given(recipe: Recipe) -> dict[str, Any]:
    """Return the values that a recipe was given, without the defaults."""
    return recipe.model_dump(mode="json", exclude_unset=True)


def variants_of(recipe: Recipe) -> list[Variant]:
    """Return the variants of a checked recipe; without a grid one, named after its method or policy."""
    if recipe.grid is None:
        return [Variant(recipe.method.name if recipe.method_row.is_transfer else recipe.augment.policy)]
    return expand_grid(recipe.grid)[0]


def variant_recipe(recipe: Recipe, variant: Variant, seed: int) -> Recipe:
    """Return the recipe of one variant under one seed, without a grid."""
    own = recipe.model_dump(mode="json", exclude_unset=True, exclude={"grid"})  # a long grid, dumped for each variant
    values, _ = merged(own, variant.overrides)
    return Recipe.model_validate({**values, "seeds": [seed]})


def step_keys(recipe: Recipe) -> tuple[str, ...]:
    """Return the dotted keys of a recipe that are counted in steps, beside train.steps itself."""
    sections = {"train": recipe.train, "method": recipe.method}
    sections |= {f"regularizers.{name}": options for name, options in recipe.regularizers.chosen().items()}
    return tuple(
        f"{name}.{key}" for name, section in sections.items() for key in marked(type(section), "counted_in_steps")
    )


def steps_of_epochs(recipe: Recipe, num_originals: int) -> Recipe:
    """Return the recipe with its epochs as steps, and with what is counted in steps longer or shorter by as much.

    Where it was given steps too, the larger of both holds; where not, what it was given in steps stays as it is.
    Without epochs it comes back as it is.
    """
    settings = recipe.train
    if settings.epochs is None:
        return recipe
    needed = math.ceil(settings.epochs * num_originals / settings.batch_size)
    plain = with_values(recipe, {"train.epochs": None})
    if "steps" in settings.model_fields_set:
        return stretched(plain, max(needed / settings.steps, 1.0))
    own = flat(given(plain))
    kept = {key: own[key] for key in step_keys(plain) if key in own}
    return with_values(stretched(plain, needed / settings.steps), kept | {"train.steps": max(needed, 1)})


def with_latent_dim(recipe: Recipe, num_images: int) -> Recipe:
    """Return the recipe with the length of z that its latent prior has for so many training images.

    Where it gives `model.z_dim` itself, and where the prior has none of its own, it comes back as it is.
    """
    dim = recipe.latent.dim(num_images) if recipe.latent else None
    if dim is None or recipe.model is None or "z_dim" in recipe.model.model_fields_set:
        return recipe
    return with_values(recipe, {"model.z_dim": dim})


def stretched(recipe: Recipe, factor: float) -> Recipe:
    """Return the recipe with all that is counted in steps multiplied by `factor` (above 0)."""
    if factor == 1:
        return recipe
    values, changes = flat(recipe.model_dump()), {"train.steps": max(round(recipe.train.steps * factor), 1)}
    changes |= {key: max(math.ceil(values[key] * factor), 1) for key in step_keys(recipe) if values[key]}
    return with_values(recipe, changes)


def with_values(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values at dotted keys; what was not given stays so."""
    values = given(recipe)
    for path, value in changes.items():
        put(values, path, value)
    return Recipe.model_validate(values)


def json_schema() -> str:
    """Return the JSON Schema of a recipe, for editors that check YAML while one types."""
    schema = Recipe.model_json_schema()
    return json.dumps({"$schema": SCHEMA, **schema, "title": "A recipe of smallgan"}, indent=2) + "\n"


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Return {"train.steps": 300} for ["train.steps=300"]; values are read as YAML. Raises UsageError."""
    overrides: dict[str, Any] = {}
    for text in texts:
        path, sign, value = text.partition("=")
        if not sign or not path:
            raise UsageError(f"--set {text}: found no PATH=VALUE; write for example --set train.steps=300")
        try:
            overrides[path] = yaml.load(value, recipe_yaml.Loader)
        except (yaml.YAMLError, UnicodeEncodeError):  # the latter for bytes of a path that are no text
            overrides[path] = value
    return overrides


def differences(one: BaseModel, other: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Return the dotted paths at which two recipes differ, with both values; None where a recipe has no such key."""
    left, right = flat(one.model_dump(mode="json")), flat(other.model_dump(mode="json"))
    paths = dict.fromkeys([*left, *right])
    return {path: (left.get(path), right.get(path)) for path in paths if left.get(path) != right.get(path)}


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship with smallgan, by name."""
    return {path.stem: path for path in sorted(shipped_folder("recipes").glob("*.yaml"))}


def _find(name_or_file: str) -> Path:
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml"):
        return path
    known = shipped_recipes()
    if name_or_file in known:
        return known[name_or_file]
    raise InputError(f"recipe {name_or_file!r}: no shipped recipe has that name{instead(name_or_file, known)}")


def _check(source: Source, *, with_variants: bool) -> Recipe:
    values = source.values
    recipe, mistakes = mistakes_in(values)
    variants, wrong = expand_grid(values.get("grid"))
    if wrong:  # said better than by the model, which only sees that it is neither of two forms
        mistakes = [mistake for mistake in mistakes if not f"{mistake.path}.".startswith("grid.")]
        mistakes += [Mistake(*text.split(": ", 1)) for text in wrong]
    if with_variants:
        mistakes += policy_mistakes(values)
    for variant in variants if with_variants and values.get("grid") is not None else []:
        own, wrong = merged(values, variant.overrides)
        of_variant = [*(Mistake(*text.split(": ", 1)) for text in wrong), *mistakes_in(own)[1]]
        of_variant += policy_mistakes(own)
        mistakes += [replace(each, variant=variant.where) for each in of_variant if each not in mistakes]
    texts = list(dict.fromkeys([*source.mistakes, *(mistake.text(source) for mistake in mistakes)]))
    if texts or recipe is None:
        if len(texts) == 1 and (source.name == _NO_FILE or texts[0].startswith("--")):  # no recipe, or not its mistake
            raise UsageError(texts[0])
        raise UsageError(f"{source.name}: {len(texts)} mistake(s)\n  " + "\n  ".join(texts))
    return recipe
