"""Write the table of all recipe keys into docs/recipes.md, from the models that check recipes.

python -m tools.recipe_keys            # rewrites what stands between the two marks
python -m tools.recipe_keys --check    # exit code 1 when it is not current
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from augment.core.table import Table
from smallgan.tables.classifiers import CLASSIFIERS
from smallgan.tables.latents import LATENTS
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, load_recipe
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.tables.sweep import flat

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
BEGIN, END = "<!-- keys: python -m tools.recipe_keys -->", "<!-- end of keys -->"
ROWS: dict[str, Table[Any]] = {
    "model": MODELS,
    "method": METHODS,
    "latent": LATENTS,
    "loss": LOSSES,
    "regularizers": REGULARIZERS,
}
"""Sections whose keys are those of the rows that they choose."""
_SIGNS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}


def tables() -> str:
    """Return the keys of every section, and of every row that a section can choose, as Markdown tables."""
    schema = Recipe.model_json_schema()
    keys = {name: _of_optional(key) for name, key in schema["properties"].items()}
    sections = {name: key for name, key in keys.items() if "$ref" in key or name in ROWS}
    parts = ["### Top level", _table({name: key for name, key in keys.items() if name not in sections})]
    for name, key in sections.items():
        if name in ROWS:
            parts += [f"### `{name}`", key["description"], *_rows(ROWS[name])]
        else:
            section = schema["$defs"][key["$ref"].rsplit("/", 1)[-1]]
            parts += [f"### `{name}`", section["description"].split("\n\n")[0].strip(), _table(section["properties"])]
    parts += ["### `classifier`", "What `downstream.classifier` names, and its keys.", *_rows(CLASSIFIERS)]
    parts += ["### Defaults that a model or a method changes", _changed_defaults()]
    return "\n\n".join(parts)


def _of_optional(key: dict[str, Any]) -> dict[str, Any]:
    """Return a section that may be left out altogether as any other section."""
    return next((form for form in key.get("anyOf", ()) if "$ref" in form), key)


def page(text: str) -> str:
    """Return the page with the tables between its two marks. Raises ValueError when it lacks them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: expected the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _rows(table: Table[Any]) -> list[str]:
    """Return for each row what it is and its keys."""
    parts = []
    for row in table:
        keys = row.options.model_json_schema()["properties"]
        keys = {name: _explained(row.options, name, key) for name, key in keys.items() if name != "name"}
        about = (row.options.__doc__ or "").split("\n\n")[0].strip()
        parts += [f"**`{row.name}`**: {about}", *([_table(keys)] if keys else [])]
    return parts


def _explained(options: type[BaseModel], name: str, key: dict[str, Any]) -> dict[str, Any]:
    """Return a key with its description, which an option that only changes a default has from the class above."""
    above = (each.model_fields.get(name) for each in options.__mro__ if issubclass(each, BaseModel))
    return key | {"description": next((field.description for field in above if field and field.description), "")}


def _table(keys: dict[str, Any]) -> str:
    rows = ["| key | takes | default | what it is |", "|---|---|---|---|"]
    for name, key in keys.items():
        meaning = re.sub(r"\bNone\b", "null", " ".join(key.get("description", "").split())).replace("|", r"\|")
        rows.append(f"| `{name}` | {_takes(key)} | {_said(key.get('default'))} | {meaning} |")
    return "\n".join(rows)


def _takes(key: dict[str, Any]) -> str:
    """Return what a key takes, in words."""
    if "oneOf" in key or "discriminator" in key:
        return "a name, or its keys"
    if "anyOf" in key:
        return " or ".join(_takes(form) for form in key["anyOf"])
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if key["type"] == "array":
        items = key.get("items") or {}
        return f"list of {_takes(items)}" if items else "list"
    if key["type"] == "object":
        return "lists by dotted key" if isinstance(key.get("additionalProperties"), dict) else "keys"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    bounds = [sign.format(f"{key[name]:g}") for name, sign in _SIGNS.items() if name in key]
    multiple = [f"multiple of {key['multipleOf']}"] if "multipleOf" in key else []
    return " ".join([words[key["type"]], *bounds, *multiple])


def _said(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict) and "name" in value:
        return f"`{value['name']}`"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {each}' for key, each in value.items())}}}`"
    return f"`{value}`"


def _changed_defaults() -> str:
    rows = [row for table in (MODELS, METHODS) for row in table if row.defaults]
    keys = list(dict.fromkeys(key for row in rows for key in row.defaults))
    plain = flat(load_recipe(None).model_dump(mode="json"))
    lines = [f"| key | otherwise | {' | '.join(f'`{row.name}`' for row in rows)} |", "|---" * (len(rows) + 2) + "|"]
    for key in keys:
        cells = [_said(row.defaults[key]) if key in row.defaults else "" for row in rows]
        lines.append(f"| `{key}` | {_said(plain.get(key))} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        sys.exit(int(old != new))
    PAGE.write_text(new, encoding="utf-8", newline="\n")
