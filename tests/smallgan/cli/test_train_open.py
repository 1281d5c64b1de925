"""`smallgan train photos` and nothing else: the rest is chosen, said, and written into the recipe."""

import pytest
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.tables.recipe import read_recipe

SMALL = ("--size", 32, "--set", "score.metrics=[]", "--batch-size", 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*args):
    return CliRunner().invoke(app, ["train", *map(str, args)])


def test_what_was_left_open_is_chosen_and_what_was_given_holds(tiny_set, here):
    done = train(tiny_set, *SMALL, "--steps", 2)
    assert done.exit_code == 0, done.output
    recipe = read_recipe(here / "runs" / "00000-train" / "recipe.yaml")
    assert (recipe.model.base_width, recipe.model.d_width, recipe.train.batch_size) == (48, 32, 2)
    assert recipe.method.diffaugment == "color,translation"
    assert "chosen for" in done.output
    assert "DiffAugment, as there are fewer than 500 images" in done.output


def test_a_model_or_a_recipe_of_ones_own_is_left_alone(tiny_set, here):
    done = train(tiny_set, *SMALL, "--steps", 1, "--model", "dcgan", "--set", "model.base_width=8")
    assert done.exit_code == 0, done.output
    assert "chosen for" not in done.output
    recipe = read_recipe(here / "runs" / "00000-train" / "recipe.yaml")
    assert (recipe.model.base_width, recipe.method.diffaugment) == (8, "none")


def test_a_size_that_the_dcgan_does_not_make_gets_a_model_that_does(tiny_set, monkeypatch):
    planned = []
    monkeypatch.setattr("smallgan.training.plan.dry_run", lambda recipe, **_: planned.append(recipe) or {})
    done = train(tiny_set, "--size", 256, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert planned[0].model.name == "fastgan"


def test_minutes_become_steps_once_and_the_same_command_goes_on(tiny_set, here, monkeypatch):
    words = tiny_set, *SMALL, "--model", "dcgan", "--set", "model.base_width=8", "--minutes", 0.001
    monkeypatch.setattr("smallgan.training.train.seconds_per_step", lambda *_: [0.02])
    first = train(*words)
    assert first.exit_code == 0, first.output
    assert "0.001 minutes are 3 steps of 0.020 s" in first.output
    monkeypatch.setattr("smallgan.training.train.seconds_per_step", lambda *_: [0.001])
    again = train(*words)
    assert "has 3 steps; a timing sets them at its start alone" in again.output
    assert "already trained to step 3" in again.output
    assert [run.name for run in (here / "runs").iterdir()] == ["00000-train"]


@pytest.mark.parametrize("words", [("--minutes", 0), ("--minutes", 1, "--steps", 5), ("--minutes", 1, "--epochs", 5)])
def test_minutes_that_cannot_be_are_refused(tiny_set, words):
    error = train(tiny_set, *words).exception
    assert isinstance(error, UsageError)
    assert "needed more than 0, and no --steps or --epochs beside it" in str(error)
