"""Recipes: the settings of a run or of a grid of runs; load, override, check, dump. Torch-free.

The sections are in `smallgan.tables.recipe_schema`, what a `grid` means in `smallgan.tables.sweep`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from augment.errors import InputError, UsageError
from smallgan.core.resources import shipped_folder
from smallgan.tables.recipe_schema import (
    AugmentSection,
    BigGANSection,
    DataSection,
    ReportSection,
    SampleSection,
    ScoreSection,
    Section,
    TrainSection,
    TransferSection,
    with_defaults,
)
from smallgan.tables.sweep import Variant, expand_grid, flat, merged, put

__all__ = ["Recipe", "TransferSection", "dump_recipe", "load_recipe", "parse_overrides", "read_recipe"]

SCHEMA = "https://json-schema.org/draft/2020-12/schema"


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1:2 is the text that it looks like, a ratio, not 62 (1 and 2 to the base of 60)."""


_PAIRS = ("tag:yaml.org,2002:str", re.compile(r"[0-9]+(:[0-9.]+)+$"))
_Loader.yaml_implicit_resolvers = {
    first: [_PAIRS, *resolvers] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Recipe(Section):
    """All that decides what a run, or a study of several, computes."""

    name: str = Field(default="train", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Its run or study folder is called after it."""
    data: DataSection = DataSection()
    augment: AugmentSection = AugmentSection()
    train: TrainSection = TrainSection()
    biggan: BigGANSection = BigGANSection()
    transfer: TransferSection = TransferSection()
    sample: SampleSection = SampleSection()
    score: ScoreSection = ScoreSection()
    report: ReportSection = ReportSection()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Every variant is run under each of these seeds; `smallgan train` uses the first."""
    budget: Literal["steps", "epochs"] = "steps"
    """What all variants of a grid share: images seen and checkpoints, or passes over their own set, as published."""
    grid: dict[str, list[Any]] | list[dict[str, Any]] | None = None
    """Lists of values by dotted key, whose product is run, or a list of variants: a name and the keys it changes."""

    @model_validator(mode="wrap")
    @classmethod
    def _defaults(cls, values: Any, handler: ModelWrapValidatorHandler[Recipe]) -> Recipe:
        """Fill in the defaults of the model and the method, where the recipe leaves a key of `train` out.

        What was filled in does not count as set: a variant of a grid may choose another method, and gets its defaults.
        """
        if not isinstance(values, Mapping):
            return handler(values)
        recipe = handler(with_defaults(values))
        if isinstance(values.get("train", {}), Mapping):
            recipe.train.model_fields_set.intersection_update(values.get("train", {}))
        return recipe

    @model_validator(mode="after")
    def _transfer_is_biggan(self) -> Recipe:
        if self.transfer.method and self.train.model != "biggan":
            raise ValueError("a transfer adapts a BigGAN: leave train.model out, or give biggan")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Recipe:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} names one twice, which would be the same run twice")
        return self

    @property
    def seed(self) -> int:
        """Seed of a single run."""
        return self.seeds[0]

    @property
    def is_study(self) -> bool:
        """Whether it asks for what `smallgan run` alone does."""
        return self.grid is not None or self.train.epochs is not None


def load_recipe(name_or_file: str | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe from a YAML file, the name of a shipped recipe, or the defaults (None), with overrides applied.

    `overrides` maps dotted paths to values, {"train.steps": 300}. Raises InputError (no such recipe, not YAML) and
    UsageError, which lists all mistakes at once, those in the variants of its grid included, each by its path.
    """
    values = _read(_find(name_or_file)) if name_or_file else {}
    origin = name_or_file or "recipe"
    for path, value in (overrides or {}).items():
        section = put(values, path, value)
        if section is not None:
            raise UsageError(f"{path}: {section!r} is a value, not a section")
    return _check(values, origin)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a YAML file, such as a run's recipe.yaml. Raises InputError and UsageError."""
    return _check(_read(path), str(path))


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML with every key in it; those of a study only where it is one."""
    values = recipe.model_dump(mode="json")
    if not recipe.is_study and recipe.budget == "steps":
        for section, key in ((values, "grid"), (values, "budget"), (values["train"], "epochs")):
            del section[key]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


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
        return [Variant(recipe.transfer.method or recipe.augment.policy)]
    return expand_grid(recipe.grid)[0]


def variant_recipe(recipe: Recipe, variant: Variant, seed: int) -> Recipe:
    """Return the recipe of one variant under one seed, without a grid."""
    values, _ = merged(given(recipe), variant.overrides)
    return Recipe.model_validate({**values, "seeds": [seed]})


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
            overrides[path] = yaml.load(value, _Loader)
        except yaml.YAMLError:
            overrides[path] = value
    return overrides


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the dotted paths at which two recipes differ, with both values."""
    left, right = flat(one.model_dump(mode="json")), flat(other.model_dump(mode="json"))
    return {path: (left.get(path), right.get(path)) for path in left if left.get(path) != right.get(path)}


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
    hint = _nearest(name_or_file, known)
    raise InputError(f"recipe {name_or_file!r}: no shipped recipe has that name{hint}; there are {', '.join(known)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"{path}: cannot read this recipe ({error.strerror}); name an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({str(error).splitlines()[0]})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found a {type(values).__name__}")
    return values


def _check(values: dict[str, Any], origin: str) -> Recipe:
    recipe, mistakes = _validated(values)
    variants, wrong = expand_grid(values.get("grid"))
    if wrong:  # said better than by the model, which only sees that it is neither of two forms
        mistakes = [mistake for mistake in mistakes if not mistake.startswith(("grid:", "grid."))] + wrong
    for variant in variants if values.get("grid") is not None else []:
        own, wrong = merged(values, variant.overrides)
        wrong += _validated(own)[1]
        mistakes += [f"{variant.where}: {mistake}" for mistake in wrong if mistake not in mistakes]
    if mistakes or recipe is None:
        raise UsageError(f"{origin}: {len(mistakes)} mistake(s)\n  " + "\n  ".join(mistakes))
    return recipe


def _validated(values: dict[str, Any]) -> tuple[Recipe | None, list[str]]:
    """Return the recipe, None where something is wrong with it, and what is, a line each."""
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        items = error.errors()
        return None, list(
            dict.fromkeys(_mistake(item["loc"], item["type"], item["msg"], item.get("input")) for item in items)
        )
    return recipe, []


def _mistake(location: tuple[int | str, ...], kind: str, message: str, found: Any) -> str:
    path = ".".join(str(part) for part in location if part not in _BRANCHES)
    if kind == "extra_forbidden":
        return f"{path}: no such key, found {found!r}{_nearest_key(path)}"
    if kind == "value_error":
        return f"{path or 'recipe'}: {message.removeprefix('Value error, ')}"
    return f"{path or 'recipe'}: {message[0].lower()}{message[1:]}, found {found!r}"


_BRANCHES = ("dict[str,list[any]]", "list[dict[str,any]]")
"""What pydantic puts into the path of a mistake where a key takes one of two forms."""


def _nearest_key(path: str) -> str:
    known = _keys(Recipe().model_dump(mode="json"))
    last = path.rsplit(".", 1)[-1]
    same = [key for key in known if key.rsplit(".", 1)[-1] == last]  # the right key in the wrong section
    return f"; did you mean {same[0]!r}?" if same else _nearest(path, known)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return all dotted keys, those of sections too."""
    keys = []
    for key, value in values.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _keys(value, f"{prefix}{key}.")
    return keys
