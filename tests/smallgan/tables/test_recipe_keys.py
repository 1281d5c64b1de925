"""docs/recipes.md says what the models take: every key, none else, and nothing of another version."""

import importlib.util
import re

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


def test_every_key_stands_there_once_and_says_what_it_is():
    text = tables()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*) \|$", text, re.MULTILINE)
    values = Recipe().model_dump()
    expected = [key for key, value in values.items() if not isinstance(value, dict)]
    expected += [key for value in values.values() if isinstance(value, dict) for key in value]
    assert sorted(row[0] for row in rows) == sorted(expected)
    assert [row[0] for row in rows if not row[3].strip()] == []


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="needed the marks"):
        page("no marks")
    with pytest.raises(ValueError, match="needed the marks"):
        page(BEGIN)
