"""Every shipped study runs from images to its page as --smoke: 8 images, 4 steps, all its trials."""

import json

import pytest
from class_folder import class_folder
from sampled_models import pretrained_file
from typer.testing import CliRunner

from smallgan.cli import app
from smallgan.core.run_dir import RunDir
from smallgan.core.study_dir import StudyDir
from smallgan.study.plan import SMOKE
from smallgan.tables.recipe import load_recipe, shipped_recipes, variants_of

RECIPES = {name: load_recipe(name) for name in shipped_recipes()}
STUDIES = {name for name, recipe in RECIPES.items() if recipe.grid is not None and recipe.downstream is None}
DOWNSTREAM = {name for name, recipe in RECIPES.items() if recipe.downstream is not None}
TRANSFERS = {"apgc-ratio", "apgc-datasets"}
POINTS = {"modes-ring", "modes-grid", "bourgan"}
UNSEEN = ["--set", "score.features=pixels8", "--set", "score.metrics=[kmmd]"]  # In the place of weights made from MNIST


def smoke(name, folder, *words):
    return CliRunner().invoke(app, ["run", name, "--smoke", "--out", str(folder), "--device", "cpu", "--json", *words])


def test_the_studies_are_shipped():
    assert {
        "da-study-celeba",
        "da-study-pomeranian",
        "which-augmentation",
        "stacked-mnist",
        "gan-lesson",
        *TRANSFERS,
        *POINTS,
    } == STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STUDIES))
def test_a_shipped_study_runs_as_smoke(name, tmp_path, tiny_set):
    words = [] if name in POINTS else ["--set", f"data.source={tiny_set}"]
    words += UNSEEN if name == "stacked-mnist" else []
    if name in TRANSFERS:  # a tiny generator, so that a trial takes a second
        words += ["--set", f"method.pretrained={pretrained_file(tmp_path)}", "--set", "method.perceptual=none"]
    result = smoke(name, tmp_path / "study", *words)
    assert result.exit_code == 0, result.output
    study, recipe = StudyDir(tmp_path / "study"), load_recipe(name)
    trials = study.trials()
    assert [trial.variant for trial in trials] == [variant.name for variant in variants_of(recipe)]
    assert {(trial.state, trial.seed) for trial in trials} == {("done", recipe.seed)}
    assert [trial.variant for trial in trials if trial.reference] == [trials[0].variant]
    for trial in trials:
        run = RunDir(study.run_of(trial))
        assert run.reached(SMOKE["train.steps"])
        assert json.loads(run.data.read_text(encoding="utf-8"))["num_real"] == SMOKE["data.limit"]
    assert study.report.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DOWNSTREAM))
def test_a_shipped_downstream_study_runs_as_smoke(name, tmp_path):
    classes = RECIPES[name].downstream.classes or ("a", "b")
    source = class_folder(tmp_path / "images", number=6, classes=classes)
    words = ["--set", f"data.source={source}", "--set", "downstream.test=0.5"]
    if "gan" in str(RECIPES[name].grid):
        words += ["--set", "model.base_width=8"]
    result = smoke(name, tmp_path / "study", *words)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "study" / "results.json").read_text(encoding="utf-8"))
    assert told["variants"] == [variant.name for variant in variants_of(RECIPES[name])]
    assert told["reference"] == "none"
    assert (tmp_path / "study" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", sorted(STUDIES | DOWNSTREAM))
def test_a_shipped_study_says_what_it_shows_and_what_it_costs(name):
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    assert f"smallgan run {name}" in text
    assert "What it shows" in text
    assert "Cost: " in text
    assert len(load_recipe(name).seeds) == 5


@pytest.mark.parametrize(("name", "numbers"), [("da-study-celeba", "123"), ("da-study-pomeranian", "456")])
def test_the_augmentation_study_has_the_variants_of_its_experiments(name, numbers):
    recipe = load_recipe(name)
    amounts = [(each.overrides["augment.policy"], each.overrides.get("augment.ratio")) for each in variants_of(recipe)]
    names = ["contrast", "negative", "hflip", "vflip", "gan"]
    pairs = ["contrast+hflip", "contrast+gan", "hflip+gan"]
    assert amounts == [
        ("none", None),
        *((name, "1:1") for name in names),
        *((pair, "1:1") for pair in pairs),
        *((pair, "1:2") for pair in pairs),
    ]
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    assert [number for number in numbers if f"Experiment {number}:" not in text] == []


def test_the_ratios_are_those_of_the_posters():
    variants = variants_of(load_recipe("apgc-ratio"))
    assert [variant.overrides.get("method.group_size") for variant in variants] == [None, 4, 8, 16]
    from smallgan.models.adapters import parameter_table
    from smallgan.models.biggan import BigGANConfig, BigGANGenerator

    table = parameter_table(BigGANGenerator(BigGANConfig(size=32, ch=16, z_dim=20, num_classes=2, shared_dim=8)))
    ratios = {row.group_size: row.weights_ratio for row in table}
    assert [ratios[size] for size in (4, 8, 16)] == [2, 4, 8]
