"""Recipes: every mistake told at once, each by its path."""

import pytest

from augment.errors import InputError, UsageError
from smallgan.recipe import Recipe, differences, dump_recipe, load_recipe, parse_overrides, read_recipe, shipped_recipes


def test_dump_and_read_give_the_same_recipe(tmp_path):
    recipe = load_recipe("quickstart", {"augment.policy": "hflip+contrast", "seeds": [3]})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(path) == recipe
    assert recipe.seed == 3


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_loads_and_begins_with_what_it_is_for(name):
    assert load_recipe(name).name == name
    assert shipped_recipes()[name].read_text(encoding="utf-8").startswith("# ")


def test_all_mistakes_are_told_at_once_by_path_with_the_nearest_key():
    with pytest.raises(UsageError) as caught:
        load_recipe(None, {"train.step": 3, "train.batch_size": 1, "data.size": 48})
    message = str(caught.value)
    assert "3 mistake(s)" in message
    assert "train.step: no such key; did you mean 'train.steps'" in message
    assert "train.batch_size" in message
    assert "found 1" in message
    assert "data.size" in message
    assert "found 48" in message


def test_ratio_and_count_together_are_refused():
    with pytest.raises(UsageError, match="ratio or count"):
        load_recipe(None, {"augment.ratio": "1:1", "augment.count": 3})


def test_unknown_names_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        load_recipe("quikstart")
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match="not a YAML file"):
        load_recipe(str(broken))
    broken.write_text("- a\n", encoding="utf-8")
    with pytest.raises(InputError, match="found a list"):
        load_recipe(str(broken))


def test_overrides_are_read_as_yaml():
    assert parse_overrides(["train.steps=300", "seeds=[1, 2]", "name=a"]) == {
        "train.steps": 300,
        "seeds": [1, 2],
        "name": "a",
    }
    with pytest.raises(UsageError, match="PATH=VALUE"):
        parse_overrides(["train.steps"])


def test_differences_name_paths_and_both_values():
    one = Recipe()
    other = load_recipe(None, {"train.steps": 7, "data.fit": "pad"})
    assert differences(one, other) == {"train.steps": (5000, 7), "data.fit": ("crop", "pad")}
