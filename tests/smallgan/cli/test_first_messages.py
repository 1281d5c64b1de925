"""What a newcomer types first, and what is said to it."""

import re

import pytest
from sampled_models import TINY, generator
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.models.pretrained import save_generator
from smallgan.tables.recipe import load_recipe, read_recipe
from smallgan.training.factory import open_pretrained

SMALL = ("--size", 32, "--batch-size", 4, "--set", "score.metrics=[]", "--set", "model.base_width=8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def named(tmp_path):
    """A pretrained generator of three classes with names, as the files of a publisher lie."""
    file = tmp_path / "pretrained" / "tiny.safetensors"
    file.parent.mkdir()
    save_generator(file, generator(TINY))
    (file.parent / "classes.txt").write_text("ape\nbee\ncat\n", encoding="utf-8")
    return file


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--size", 100), "--size 100: the models make 32, 64, 128, 256, 512 px; use one of these"),
        (
            ("--size", 256, "--model", "dcgan"),
            "--size 256: DCGAN makes 32, 64, 128 px; use one of these, or --model biggan or fastgan",
        ),
    ],
)
def test_a_side_that_cannot_be_made_is_refused_with_those_that_can(tiny_set, words, says):
    error = call("train", tiny_set, *words).exception
    assert isinstance(error, UsageError)
    assert str(error) == says


def test_epochs_become_steps(tiny_set, here):
    # 12 images in batches of 4: an epoch has 3 steps.
    words = "train", tiny_set, *SMALL, "--set", "train.epochs=2", "--model", "dcgan"
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert "2 epochs of 12 originals are 6 steps" in done.output
    recipe = read_recipe(here / "runs" / "00000-train" / "recipe.yaml")
    assert (recipe.train.steps, recipe.train.epochs) == (6, None)
    again = call(*words)
    assert "already trained to step 6" in again.output
    assert [run.name for run in (here / "runs").iterdir()] == ["00000-train"]


@pytest.mark.usefixtures("here")
def test_epochs_hold_where_the_rest_is_chosen(tiny_set):
    done = call("train", tiny_set, *SMALL[:6], "--epochs", 1, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert "chosen for 12 images" in done.output
    assert '"steps": 3,' in done.output


def test_of_steps_and_epochs_the_longer_holds():
    from smallgan.tables.recipe import steps_of_epochs

    def steps(**given):
        recipe = load_recipe(None, {f"train.{key}": value for key, value in given.items()})
        return steps_of_epochs(recipe, 100).train.steps

    # 100 images in batches of 10: an epoch has 10 steps.
    assert steps(batch_size=10, epochs=3) == 30
    assert steps(batch_size=10, epochs=3, steps=20) == 30
    assert steps(batch_size=10, epochs=3, steps=40) == 40
    assert steps(batch_size=10, steps=40) == 40


def test_what_was_given_in_steps_stays_with_epochs_alone():
    from smallgan.tables.recipe import steps_of_epochs

    def snapshots(**given):
        recipe = load_recipe(None, {f"train.{key}": value for key, value in given.items()})
        return steps_of_epochs(recipe, 100).train.snapshot_every

    # 30 steps, of the 5,000 that are the default: 500 becomes 3.
    assert snapshots(batch_size=10, epochs=3) == 3
    assert snapshots(batch_size=10, epochs=3, snapshot_every=10) == 10
    assert snapshots(batch_size=10, epochs=3, steps=15, snapshot_every=10) == 20


@pytest.mark.parametrize(
    ("start", "number"),
    [("bee", "1"), ("ape:3 + cat", "0:3+2"), ("2", "2"), ("mean", "mean"), ("0:1+bee:2", "0:1+1:2")],
)
def test_a_class_vector_takes_names(named, start, number):
    recipe = load_recipe(None, {"method.name": "apgc", "method.pretrained": str(named), "method.class_vector": start})
    opened, _ = open_pretrained(recipe)
    assert opened.method.class_vector == number


def test_a_class_vector_of_no_class_says_which_there_are(named):
    recipe = load_recipe(None, {"method.name": "bsa", "method.pretrained": str(named), "method.class_vector": "bea"})
    with pytest.raises(
        UsageError, match=r"no class is called 'bea'; did you mean 'bee'\? Write .* 0 to 2: ape, bee, cat$"
    ):
        open_pretrained(recipe)


@pytest.mark.process
def test_weights_are_listed_as_a_table_and_verified_one_by_one():
    listed = call("weights", "list").stdout.splitlines()
    assert re.match(r"name +state +for +licence$", listed[0])
    assert len({line.index(" features ") for line in listed if " features " in line}) == 1
    [own] = [line for line in listed if line.startswith("smallgan-small64-v1")]
    assert own.split()[1:3] == ["here", "features"]
    verdicts = call("weights", "verify").stdout.splitlines()
    assert [line for line in verdicts if line.startswith("smallgan-small64-v1: ")] == [
        "smallgan-small64-v1: ok, sha256 12cf6f73ccfa75c2"
    ]
    assert "resnet50: not here; get it: smallgan weights fetch resnet50" in verdicts
    assert len(verdicts) == len(listed) - 1
