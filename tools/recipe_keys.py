"""Write the table of all recipe keys into docs/recipes.md, from the models that check recipes.

python -m tools.recipe_keys            # rewrites what stands between the two marks
python -m tools.recipe_keys --check    # exit code 1 when it is not current
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from smallgan.tables.recipe import Recipe
from smallgan.tables.recipe_schema import ADAPTER, BIGGAN, FINETUNE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
BEGIN, END = "<!-- keys: python -m tools.recipe_keys -->", "<!-- end of keys -->"
_SIGNS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}


def tables() -> str:
    """Return the keys of every section as Markdown tables."""
    schema = Recipe.model_json_schema()
    top = {name: key for name, key in schema["properties"].items() if "$ref" not in key and "allOf" not in key}
    parts = ["### Top level", _table(top)]
    for name, key in schema["properties"].items():
        if "$ref" in key:
            section = schema["$defs"][key["$ref"].rsplit("/", 1)[-1]]
            about = section["description"].split("\n\n")[0].strip()
            parts += [f"### `{name}`", about, _table(section["properties"])]
    parts += ["### Defaults that depend on model and method", _by_method()]
    return "\n\n".join(parts)


def page(text: str) -> str:
    """Return the page with the tables between its two marks. Raises ValueError when it lacks them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: needed the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _table(keys: dict[str, Any]) -> str:
    rows = ["| key | takes | default | what it is |", "|---|---|---|---|"]
    for name, key in keys.items():
        meaning = re.sub(r"\bNone\b", "null", " ".join(key.get("description", "").split())).replace("|", r"\|")
        rows.append(f"| `{name}` | {_takes(key)} | {_said(key.get('default'))} | {meaning} |")
    return "\n".join(rows)


def _takes(key: dict[str, Any]) -> str:
    """Return what a key takes, in words."""
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
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _by_method() -> str:
    columns = {"`model.name: biggan`": BIGGAN, "`bsa`, `apgc`": BIGGAN | ADAPTER, "`finetune`": BIGGAN | FINETUNE}
    keys = list(dict.fromkeys(key for values in columns.values() for key in values))
    plain = Recipe().train.model_dump()
    rows = [f"| key | `dcgan` | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for key in keys:
        cells = [values.get(key, plain[key]) for values in columns.values()]
        rows.append(f"| `train.{key}` | {plain[key]} | {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        sys.exit(int(old != new))
    PAGE.write_text(new, encoding="utf-8", newline="\n")
