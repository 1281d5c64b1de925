"""docs/recipes.md says what the models take: every key, none else, and nothing of another version."""

import importlib.util
import re
from typing import get_args

import pytest
from paths import ROOT

from smallgan.tables.recipe import Recipe

TOOL = ROOT / "tools" / "recipe_keys.py"
spec = importlib.util.spec_from_file_location("recipe_keys", TOOL)
recipe_keys = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe_keys)
BEGIN, PAGE, page, tables = recipe_keys.BEGIN, recipe_keys.PAGE, recipe_keys.page, recipe_keys.tables


def test_the_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "the models changed: python -m tools.recipe_keys"


def test_every_key_of_every_section_and_row_stands_there_and_says_what_it_is():
    text = tables()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows if not row[3].strip()] == []
    headings = re.split(r"^(?:### `?([\w ]+)`?|\*\*`(\w+)`\*\*: .+)$", text, flags=re.MULTILINE)
    found, section = {}, ""
    for named, row, body in zip(headings[1::3], headings[2::3], headings[3::3], strict=True):
        section = named or section
        found[section, row or ""] = re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)
    tables_of = recipe_keys.ROWS | {"classifier": recipe_keys.CLASSIFIERS}
    wanted = {(section, row.name): row.options for section, table in tables_of.items() for row in table}
    plain = {name for name in Recipe.model_fields if (name, "") in found and name not in recipe_keys.ROWS}
    assert plain >= {"data", "augment", "train", "sample", "score", "report"}
    annotations = {name: Recipe.model_fields[name].annotation for name in plain}
    wanted |= {(name, ""): next(iter(get_args(each)), each) for name, each in annotations.items()}
    for place, options in wanted.items():
        assert sorted(found[place]) == sorted(set(options.model_fields) - {"name"}), place
    assert sorted(found["Top level", ""]) == sorted(set(Recipe.model_fields) - plain - set(recipe_keys.ROWS))


def test_the_table_of_defaults_names_all_that_a_row_changes():
    text = tables().partition("### Defaults that a model or a method changes")[2]
    for table in (recipe_keys.MODELS, recipe_keys.METHODS):
        for key in (key for row in table for key in row.defaults):
            assert f"| `{key}` | " in text


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="expected the marks"):
        page("no marks")
    with pytest.raises(ValueError, match="expected the marks"):
        page(BEGIN)
