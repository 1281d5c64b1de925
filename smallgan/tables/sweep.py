"""Grids: the variants that a recipe's `grid` expands to. Plain values in and out; no torch."""

import copy
import itertools
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

SHARED = ("grid", "name", "seeds", "budget", "report")  # Keys of the whole study, which a variant cannot change
NAMED = ("model", "method", "latent", "loss")  # Sections that a name alone may stand for
MAX_VARIANTS = 100_000  # A slip of the keyboard, and not a plan: each takes a millisecond and 20 kB to plan
_AMOUNTS = ("augment.ratio", "augment.count", "augment.generator")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Variant:
    """One configuration of a grid."""

    name: str
    overrides: dict[str, Any] = field(default_factory=dict)  # Dotted key -> value
    where: str = ""  # Its place in the recipe, for messages: grid[2] (hflip)


def expand_grid(grid: Any) -> tuple[list[Variant], list[str]]:
    """Return the variants of a grid, and what is wrong with it, a sentence each.

    A mapping of dotted keys to lists gives their product, the last key changing fastest. In a list, each mapping is a
    variant: `name`, and overrides by dotted key or in sections. None is one variant.
    """
    if grid is None:
        return [Variant("all")], []
    if isinstance(grid, Mapping):
        return _product(grid)
    if isinstance(grid, list):
        return _listed(grid)
    return [], [f"grid: expected lists of values by dotted key, or a list of variants; found {grid!r}"]


def put(values: dict[str, Any], path: str, value: Any) -> str | None:
    """Set a dotted path in nested values; return None, or the part of the path that is a value, not a section."""
    *sections, key = path.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if isinstance(inner, str) and section in NAMED:
            inner = values[section] = {"name": inner}
        if not isinstance(inner, dict):
            return section
        values = inner
    values[key] = value
    return None


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a recipe's values with a variant's overrides and without the keys of the study, and the mistakes."""
    result = copy.deepcopy({key: value for key, value in values.items() if key not in ("grid", "budget", "report")})
    mistakes = []
    for path, value in overrides.items():
        broken = put(result, path, value)
        if broken is not None:
            mistakes.append(f"{path}: {broken!r} is a value, not a section")
    return result, mistakes


def slug(name: str) -> str:
    """Return a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9+._-]+", "-", name).strip("-.") or "variant"


def frozen(value: Any) -> Hashable:
    """Return what stands for a value of YAML as the key of a dict: equal values, lists and mappings have equal keys."""
    try:
        return _frozen(value)
    except RecursionError:  # an alias of YAML may stand for what it is in
        return repr(value)


def _frozen(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, Hashable) else repr(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted key -> value; an empty one inside a section is a value: {r1: {}} has r1 on."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and (value or "." not in f"{prefix}{key}"):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _product(grid: Mapping[Any, Any]) -> tuple[list[Variant], list[str]]:
    mistakes = [
        f"grid.{key}: expected a list of at least one value, found {values!r}"
        for key, values in grid.items()
        if not isinstance(values, list) or not values
    ]
    mistakes += [_of_the_study(f"grid.{key}", key) for key in grid if str(key).split(".")[0] in SHARED]
    if not grid:
        mistakes.append("grid: empty; expected lists of values by dotted key, or leave it out")
    number = math.prod(len(values) if isinstance(values, list) else 1 for values in grid.values())
    if number > MAX_VARIANTS:
        mistakes.append(f"grid: {number:,} variants; expected at most {MAX_VARIANTS:,}")
    if mistakes:
        return [], mistakes
    keys = [str(key) for key in grid]
    several = [key for key in keys if len(grid[key]) > 1] or keys
    variants: dict[str, Variant] = {}
    seen: set[Hashable] = set()
    copies: dict[str, int] = {}
    for values in itertools.product(*grid.values()):
        overrides = dict(zip(keys, values, strict=True))
        if overrides.get("augment.policy") == "none":  # nothing is added: variants that differ in amounts are the same
            overrides = {key: value for key, value in overrides.items() if key not in _AMOUNTS}
        if (mark := frozen(overrides)) in seen:
            continue
        seen.add(mark)
        plain = name = _short(" ".join(_words(key, overrides[key]) for key in several if key in overrides) or "none")
        while name in variants:
            copies[plain] = copies.get(plain, 1) + 1
            name = f"{plain} ({copies[plain]})"
        variants[name] = Variant(name, overrides, f"grid ({name})")
    return list(variants.values()), []


def _listed(grid: list[Any]) -> tuple[list[Variant], list[str]]:
    variants: list[Variant] = []
    mistakes: list[str] = []
    if not grid or len(grid) > MAX_VARIANTS:
        return [], [f"grid: {len(grid):,} variants; expected 1 to {MAX_VARIANTS:,}, or leave it out"]
    names: dict[str, Variant] = {}
    contents: dict[Hashable, Variant] = {}
    for number, entry in enumerate(grid):
        if not isinstance(entry, Mapping):
            mistakes.append(f"grid[{number}]: expected a name and overrides such as augment.policy, found {entry!r}")
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
            mistakes.append(f"grid[{number}].name: expected a name of 1 to {_LONGEST_NAME} letters, found {name!r}")
            continue
        where = f"grid[{number}] ({name})"
        overrides = flat({str(key): value for key, value in entry.items() if key != "name"})
        for key in [key for key in overrides if key.split(".")[0] in SHARED]:
            mistakes.append(_of_the_study(f"{where}.{key}", key))
            del overrides[key]
        variant = Variant(name, overrides, where)
        named = names.setdefault(slug(name).lower(), variant)
        same = contents.setdefault(frozen(overrides), variant)
        if named is not variant:
            mistakes.append(f"{where}: {named.where} has that name already; use one of its own")
        if same is not variant and same is not named:
            mistakes.append(f"{where}: the same as {same.where}; leave one of the two out")
        variants.append(variant)
    return variants, mistakes


def _of_the_study(where: str, key: str) -> str:
    if str(key) == "seeds":
        return f"{where}: all variants are run under the same seeds; write seeds beside grid"
    return f"{where}: a variant cannot change {key}, which belongs to the whole study; write it beside grid"


def _words(key: str, value: Any) -> str:
    """Return a value as it stands in the name of a variant: text by itself, anything else after its key."""
    if isinstance(value, str):
        return value.rstrip("/").rsplit("/", 1)[-1]
    return f"{key.rsplit('.', 1)[-1]}={value}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}~"
