"""Several networks in one pass: each gives the scores that it gives alone, and each image is decoded once."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from augment.errors import MissingError, UsageError
from augment.sources import image_set
from smallgan.core import weights
from smallgan.core.run_dir import read_jsonl
from smallgan.metrics import run_scorer
from smallgan.metrics.features import image_sets
from smallgan.metrics.features.extract import extract, extract_all, feature_net, feature_nets
from smallgan.metrics.run_scorer import judges_of
from smallgan.metrics.score import differing_keys
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score, versus
from smallgan.tables.recipe import dump_recipe, load_recipe

CPU = torch.device("cpu")
SHIPPED = weights.SHIPPED_FEATURES


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


def noise(folder, count, seed=0, side=32):
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng([seed, index]).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def sets(tmp_path):
    return noise(tmp_path / "fakes", 6), noise(tmp_path / "reals", 7, seed=1, side=40)


def names(features):
    return [net.name for net in feature_nets(features, CPU)[0]]


def test_the_panel_is_those_of_its_networks_that_are_here(monkeypatch):
    assert names("panel") == [SHIPPED, "pixels8"], "SqueezeNet's weights are not in the cache"
    assert names("pixels8, panel") == names(["pixels8", "panel"]) == ["pixels8", SHIPPED], (
        "each once, in the order named"
    )
    assert names(None) == [SHIPPED]
    file = weights.locate("squeezenet1_1-features")
    file.parent.mkdir(parents=True)
    file.touch()
    asked = []
    alone = feature_net
    monkeypatch.setattr(
        "smallgan.metrics.features.extract.feature_net",
        lambda name, *rest: asked.append(name) or alone("pixels8" if name.startswith("squeeze") else name, *rest),
    )
    feature_nets("panel", CPU)
    assert asked == [SHIPPED, "squeezenet1_1-64", "pixels8"]


@pytest.mark.parametrize("features", ["", " , ", ()])
def test_no_name_at_all_is_told(features):
    with pytest.raises(UsageError, match="--features panel"):
        feature_nets(features, CPU)


def test_a_network_asked_for_beside_others_must_be_here():
    with pytest.raises(MissingError, match="squeezenet1_1"):
        feature_nets("pixels8,squeezenet1_1-64", CPU)


def test_one_pass_gives_what_each_network_gives_alone():
    nets, _ = feature_nets("panel", CPU)
    images = [
        np.random.default_rng(index).integers(0, 256, (20 + index % 2, 24, 3), dtype=np.uint8) for index in range(5)
    ]
    passes = []
    found = extract_all((passes.append(1) or image for image in images), nets)
    assert len(passes) == 5
    for net, features in zip(nets, found, strict=True):
        np.testing.assert_array_equal(features.features, extract(images, net).features)
        np.testing.assert_array_equal(features.logits, extract(images, net).logits)


def test_each_network_scores_as_alone_and_each_image_is_decoded_once(sets, monkeypatch):
    fakes, reals = sets
    metrics = ("is", "kmmd", "copies")
    decoded = []
    decode = image_set.decode_noted
    monkeypatch.setattr(image_set, "decode_noted", lambda *parts: decoded.append(1) or decode(*parts))
    together = score(fakes, reals, ScoreOptions(features="panel", metrics=metrics, baselines=True))
    assert len(decoded) == 6 + 7
    made = []
    monkeypatch.setattr(image_sets, "extract_all", lambda *_, **__: made.append(1))
    alone = score(fakes, reals, ScoreOptions(features=SHIPPED, metrics=metrics, baselines=True))
    alone += score(fakes, reals, ScoreOptions(features="pixels8", metrics=metrics[1:], baselines=True))
    assert made == [], "features of each network are kept under its own name"
    assert [(one.metric, one.identity["features"]) for one in together] == [
        *((name, SHIPPED) for name in metrics),
        *((name, "pixels8") for name in metrics[1:]),
    ]
    for one, other in zip(together, alone, strict=True):
        assert differing_keys(one, other) == []
        assert (one.value, one.interval, one.baseline) == (other.value, other.interval, other.baseline)


def test_only_the_networks_that_are_not_in_the_cache_look_at_the_images(sets, capsys):
    fakes, reals = sets
    score(fakes, reals, ScoreOptions(features="pixels8"))
    capsys.readouterr()
    score(fakes, reals, ScoreOptions(features="panel"))
    assert "features of fakes: 6 from the cache for 1 of 2 networks" in capsys.readouterr().err


def test_a_network_without_classes_is_not_asked_for_them_beside_one_that_has_some(capsys):
    nets, _ = feature_nets("panel", CPU)
    assert [judge.metrics for judge in judges_of(nets, ("is", "kid"))] == [("is", "kid"), ("kid",)]
    assert [judge.net.name for judge in judges_of(nets, ("is",))] == [SHIPPED]
    assert "pixels8 has no class predictions, so it scores nothing here" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--metrics is: needs class predictions, which none of pixels8, squeeze"):
        judges_of([nets[1], type(nets[1])(**{**vars(nets[1]), "name": "squeeze"})], ("is", "kid"))


def run_command(*args):
    from smallgan.cli import score as command

    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("score")(command.score)
    return CliRunner().invoke(app, ["score", *map(str, args)])


def test_command(sets, tmp_path):
    fakes, reals = sets
    words = fakes, "--real", reals, "--features", "panel", "--quick", "--metrics", "is,kmmd"
    shown = run_command(*words, "--out", tmp_path / "scores.jsonl")
    assert shown.exit_code == 0, shown.output
    labels = [line.split("  ")[0] for line in shown.stdout.splitlines()[:3]]
    assert labels == [f"IS ({SHIPPED})", f"KMMD ({SHIPPED})", "KMMD (8 x 8 pixels)"]
    assert [line["identity"]["features"] for line in read_jsonl(tmp_path / "scores.jsonl")] == [SHIPPED] * 2 + [
        "pixels8"
    ]


def test_two_sets_are_compared_by_each_network(sets, tmp_path):
    fakes, reals = sets
    others = noise(tmp_path / "others", 6, seed=5)
    one = versus(fakes, others, reals, ScoreOptions(metrics=("kid", "sharpness")))
    assert list(one.differences) == ["kid", "sharpness"], "one network needs no name"
    found = versus(fakes, others, reals, ScoreOptions(features="panel", metrics=("kid",)))
    assert found.differences == {
        f"kid by {a.identity['features']}": b.value - a.value for a, b in zip(found.one, found.other, strict=True)
    }
    shown = run_command(fakes, "--versus", others, "--real", reals, "--features", "panel", "--metrics", "kid")
    assert shown.exit_code == 0, shown.output
    assert [line.split(" A ")[0].strip() for line in shown.stdout.splitlines()[2:4]] == [
        f"KID ({SHIPPED})",
        "KID (8 x 8 pixels)",
    ]


@pytest.mark.parametrize("features", ["panel", [SHIPPED, "pixels8"], f"{SHIPPED},pixels8"])
def test_a_run_is_scored_by_all_networks_of_its_recipe_at_each_snapshot(tmp_path, features, monkeypatch):
    from smallgan.training.train import train

    settings = {
        "data.source": str(noise(tmp_path / "photos", 6)),
        **{"data.size": 32, "model.base_width": 8, "train.batch_size": 4, "train.steps": 1, "train.snapshot_every": 1},
        **{"score.features": features, "score.metrics": ["is", "kmmd", "copies"], "score.num_fake": 4},
    }
    drawn = []
    sample = run_scorer.sample_pixels
    monkeypatch.setattr(run_scorer, "sample_pixels", lambda *parts: drawn.append(1) or sample(*parts))
    recipe = load_recipe(None, settings)
    run = train(recipe, out=tmp_path / "run", device="cpu", log=lambda _line: None)
    lines = read_jsonl(run.scores)
    asked = [("is", SHIPPED), ("kmmd", SHIPPED), ("copies", SHIPPED), ("kmmd", "pixels8"), ("copies", "pixels8")]
    assert [(line["metric"], line["identity"]["features"]) for line in lines] == asked * 2
    assert len(drawn) == 2, "once a snapshot"
    assert "features" in dump_recipe(recipe)
    again = score(run.path, None, ScoreOptions(device="cpu", features="panel", metrics=("kmmd",), num_fake=4))
    assert [one.value for one in again] == pytest.approx(
        [line["value"] for line in lines[5:] if line["metric"] == "kmmd"]
    )
    assert json.loads(run.scores.read_text(encoding="utf-8").splitlines()[0])["run"] == "run"
