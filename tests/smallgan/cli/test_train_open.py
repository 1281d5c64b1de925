"""`smallgan train photos` and nothing else: the rest is chosen, said, and written into the recipe."""

import pytest
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.tables.losses import LOSSES
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


def test_what_is_not_chosen_because_of_another_key_is_said(tiny_set, monkeypatch):
    monkeypatch.setattr("smallgan.training.plan.dry_run", lambda _recipe, **_: {})
    done = train(tiny_set, "--set", "regularizers.lecam.weight=0.3", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert "with regularizers.lecam.weight given nothing is chosen for your images" in done.output
    done = train(tiny_set, "--set", "method=imle", "--dry-run", "--json")
    assert done.exit_code == 0, done.output


def test_a_size_that_the_dcgan_does_not_make_gets_a_model_that_does(tiny_set, monkeypatch):
    planned = []
    monkeypatch.setattr("smallgan.training.plan.dry_run", lambda recipe, **_: planned.append(recipe) or {})
    done = train(tiny_set, "--size", 256, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert planned[0].model.name == "fastgan"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--method", "imle"), "no DATA given: imle on the sample set"),
        (("--method", "adda"), "method.target: adda needs the images to adapt to"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_method_without_a_quickstart_trains_on_the_sample_set_by_its_own_defaults(monkeypatch, words, says):
    monkeypatch.setattr("smallgan.training.plan.dry_run", lambda _recipe, **_: {})
    done = train(*words, "--dry-run", "--json") if "imle" in words else train(*words)
    said = f"{done.output} {done.exception}"
    assert says in said
    assert "mistake" not in said


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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--minutes", 0), "--minutes 0: must be more than 0, and at most 1,000,000"),
        (("--minutes", "nan"), "--minutes nan: must be more than 0, and at most 1,000,000"),
        (("--lr", "inf"), "--lr: input should be a finite number, found inf"),
        (("--minutes", 1, "--steps", 5), "--minutes and --steps cannot be combined; give one of them"),
        (("--minutes", 1, "--epochs", 5), "--minutes and --epochs cannot be combined; give one of them"),
        (
            ("--policy", "hflip", "--generator", "runs/a"),
            "--generator runs/a: only the transform gan uses it, and the policy 'hflip' has none; add gan, or leave "
            "--generator out",
        ),
        (("--group-size", 8), "--group-size works only with --transfer apgc; use that, or leave --group-size out"),
        (("--loss", "nosuch"), f"--loss: unknown loss 'nosuch'; there are {', '.join(LOSSES.names)}"),
        (
            ("--diffaugment", "colour"),
            "--diffaugment: unknown operation 'colour'; did you mean 'color'? There are color, translation, cutout, "
            "none",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(monkeypatch, words, says):
    monkeypatch.setattr("smallgan.training.train.train", lambda *_, **__: pytest.fail("it began"))
    error = train("photos", *words).exception
    assert isinstance(error, UsageError)
    assert str(error) == says


def test_a_file_is_no_run_folder(tiny_set, here):
    (here / "afile").touch()
    error = train(tiny_set, *SMALL, "--steps", 1, "--out", "afile").exception
    assert str(error) == "--out afile: this is a file; name a folder"


def test_a_folder_with_a_run_cannot_have_another(tiny_set, here):
    run = here / "run"
    run.mkdir()
    (run / "recipe.yaml").touch()
    error = train(tiny_set, *SMALL, "--model", "dcgan", "--new", "--out", "run").exception
    assert str(error) == "--out run: this folder holds a run already; for a new run name another folder"


@pytest.mark.parametrize(("size", "says"), [(32, False), (64, True)])
def test_images_that_are_enlarged_are_told_of(tiny_set, size, says):
    done = train(tiny_set, "--size", size, "--model", "dcgan", "--steps", 1, "--metrics", "none", "--dry-run")
    assert done.exit_code == 0, done.output
    note = (
        "note: 12 of 12 images are smaller than 64 px (the median is 32 px) and are enlarged, which blurs them; "
        "--size 32 fits them"
    )
    assert (note in done.stderr) is says


def test_tf32_on_a_cpu_is_told_of(tiny_set):
    words = "--model", "dcgan", "--precision", "tf32", "--device", "cpu", "--metrics", "none", "--dry-run"
    done = train(tiny_set, "--size", 32, "--steps", 1, *words)
    assert done.exit_code == 0, done.output
    assert "note: tf32 has no effect on a CPU: it trains in fp32" in done.stderr


def test_what_the_user_decided_is_not_told_as_chosen(tiny_set, monkeypatch):
    monkeypatch.setattr("smallgan.training.train.has_fast_bf16", lambda _device: True)
    words = tiny_set, *SMALL, "--steps", 1, "--device", "cpu", "--dry-run"
    assert "- bf16, which is faster here\n" in train(*words).stderr
    assert "bf16, which" not in train(*words, "--precision", "fp32").stderr
