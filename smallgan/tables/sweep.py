"""Grids: which cells a recipe's `grid` asks for. Plain values in, plain values out: no model, no file, no torch."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHARED = ("grid", "name", "seeds", "budget", "report")
"""Keys that a cell cannot change: they are the study's."""
MOST_CELLS = 500
_AMOUNTS = ("augment.ratio", "augment.count", "augment.generator")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class GridCell:
    """One cell."""

    name: str
    overrides: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value."""
    where: str = ""
    """Its place in the recipe, for messages: grid[2] (hflip)."""


def grid_cells(grid: Any) -> tuple[list[GridCell], list[str]]:
    """Return the cells of a grid, and what is wrong with it, a sentence each.

    A mapping of dotted keys to lists gives their product, the last key changing fastest; a list gives a cell for each
    of its mappings, `name` being its name and all other keys overrides, dotted or in sections. None is one cell.
    """
    if grid is None:
        return [GridCell("all")], []
    if isinstance(grid, Mapping):
        return _product(grid)
    if isinstance(grid, list):
        return _listed(grid)
    return [], [f"grid: needed lists of values by dotted key, or a list of cells; found {grid!r}"]


def put(values: dict[str, Any], path: str, value: Any) -> str | None:
    """Set a dotted path in nested values; return the part of it that is a value and no section, None if all went."""
    *sections, key = path.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            return section
        values = inner
    values[key] = value
    return None


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a recipe's values with a cell's overrides and without what is the study's, and the mistakes."""
    result = copy.deepcopy({key: value for key, value in values.items() if key not in ("grid", "budget", "report")})
    mistakes = []
    for path, value in overrides.items():
        broken = put(result, path, value)
        if broken is not None:
            mistakes.append(f"{path}: {broken!r} is a value, not a section")
    return result, mistakes


def slug(name: str) -> str:
    """Return a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9+._-]+", "-", name).strip("-.") or "cell"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted key -> value."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _product(grid: Mapping[Any, Any]) -> tuple[list[GridCell], list[str]]:
    mistakes = [
        f"grid.{key}: needed a list of at least one value, found {values!r}"
        for key, values in grid.items()
        if not isinstance(values, list) or not values
    ]
    mistakes += [_not_a_cells(f"grid.{key}", key) for key in grid if str(key).split(".")[0] in SHARED]
    if not grid:
        mistakes.append("grid: empty; needed lists of values by dotted key, or leave it out")
    number = 1
    for values in grid.values():
        number *= len(values) if isinstance(values, list) else 1
    if number > MOST_CELLS:
        mistakes.append(f"grid: {number} cells; needed at most {MOST_CELLS}")
    if mistakes:
        return [], mistakes
    keys = [str(key) for key in grid]
    several = [key for key in keys if len(grid[key]) > 1] or keys
    cells: dict[str, GridCell] = {}
    for values in itertools.product(*grid.values()):
        overrides = dict(zip(keys, values, strict=True))
        name = _short(" ".join(_said(key, overrides[key]) for key in several))
        if overrides.get("augment.policy") == "none":  # what is added to nothing has no amount: such cells are one
            overrides = {key: value for key, value in overrides.items() if key not in _AMOUNTS}
            name = _short(" ".join(_said(key, overrides[key]) for key in several if key in overrides))
        if any(cell.overrides == overrides for cell in cells.values()):
            continue
        while name in cells:
            name += "'"
        cells[name] = GridCell(name, overrides, f"grid ({name})")
    return list(cells.values()), []


def _listed(grid: list[Any]) -> tuple[list[GridCell], list[str]]:
    cells: list[GridCell] = []
    mistakes: list[str] = []
    if not grid or len(grid) > MOST_CELLS:
        return [], [f"grid: {len(grid)} cells; needed 1 to {MOST_CELLS}, or leave it out"]
    for number, entry in enumerate(grid):
        if not isinstance(entry, Mapping):
            mistakes.append(f"grid[{number}]: needed a name and overrides such as augment.policy, found {entry!r}")
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
            mistakes.append(f"grid[{number}].name: needed a name of 1 to {_LONGEST_NAME} letters, found {name!r}")
            continue
        where = f"grid[{number}] ({name})"
        overrides = flat({str(key): value for key, value in entry.items() if key != "name"})
        for key in [key for key in overrides if key.split(".")[0] in SHARED]:
            mistakes.append(_not_a_cells(f"{where}.{key}", key))
            del overrides[key]
        for other in cells:
            if slug(other.name).lower() == slug(name).lower():
                mistakes.append(f"{where}: {other.where} has that name already; needed one of its own")
            elif other.overrides == overrides:
                mistakes.append(f"{where}: the same as {other.where}; leave one of the two out")
        cells.append(GridCell(name, overrides, where))
    return cells, mistakes


def _not_a_cells(where: str, key: str) -> str:
    if str(key) == "seeds":
        return f"{where}: every cell has the same seeds, as they are its repeats; write seeds beside grid"
    return f"{where}: a cell cannot change {key}, which is the study's; write it beside grid"


def _said(key: str, value: Any) -> str:
    """Return a value as the name of a cell says it: by itself where it is a word, else after its key."""
    if isinstance(value, str):
        return value.rstrip("/").rsplit("/", 1)[-1]
    return f"{key.rsplit('.', 1)[-1]}={value}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}~"
