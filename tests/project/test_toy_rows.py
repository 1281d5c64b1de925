"""A row of one's own is a row like the others: registered, it trains, is sampled, told of, checked and documented."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import toy_rows
from paths import ROOT
from PIL import Image
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import dump_recipe, json_schema, load_recipe, read_recipe
from smallgan.tables.regularizers import REGULARIZERS

TOYS = {
    "toy-model": (MODELS, toy_rows.MODEL, ["model.name=toy-model"]),
    "toy-method": (METHODS, toy_rows.METHOD, ["method.name=toy-method"]),
    "toy-loss": (LOSSES, toy_rows.LOSS, ["loss.name=toy-loss", "model.base_width=8"]),
    "toy-penalty": (REGULARIZERS, toy_rows.PENALTY, ["regularizers.toy-penalty={weight: 2}", "model.base_width=8"]),
}


@pytest.fixture(params=TOYS)
def toy(request):
    table, row, settings = TOYS[request.param]
    with toy_rows.registered(table, row):
        yield row, settings


@pytest.fixture
def eight(tmp_path) -> Path:
    """Eight images of 32 x 32 noise."""
    folder, noise = tmp_path / "eight", np.random.default_rng(0)
    folder.mkdir()
    for number in range(8):
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def train(folder, out, settings, steps=2):
    own = [f"--set={setting}" for setting in (*settings, "score.metrics=[]", "train.report_every=1")]
    call("train", folder, "--size", 32, "--batch-size", 4, "--steps", steps, "--out", out, "--device", "cpu", *own)
    return RunDir(out)


def test_a_toy_row_trains_resumes_and_is_sampled(toy, eight, tmp_path):
    row, settings = toy
    whole = train(eight, tmp_path / "whole", settings, 4)
    train(eight, tmp_path / "cut", settings)
    run = train(eight, tmp_path / "cut", settings, 4)  # the same command with more steps goes on
    assert "resumed from step 2" in run.log.read_text(encoding="utf-8")
    ends = [(each.checkpoint(4) / "tensors.safetensors").read_bytes() for each in (whole, run)]
    assert ends[0] == ends[1]
    assert row.name in run.recipe.read_text(encoding="utf-8")
    told = read_jsonl(run.stats)[-1]
    assert told["step"] == 4
    if row is toy_rows.PENALTY:
        assert np.isfinite(told["toy-penalty"])
    if row is toy_rows.METHOD:
        assert "toy loss " in run.log.read_text(encoding="utf-8")
        assert "the toy method is at it" in run.log.read_text(encoding="utf-8")
    call("sample", run.path, "--count", 3, "--out", tmp_path / "samples", "--device", "cpu")
    assert len(list((tmp_path / "samples").rglob("*.png"))) >= 4  # three and a grid


def test_a_toy_row_has_its_defaults_and_its_keys_are_checked(toy, tmp_path):
    row, settings = toy
    recipe = load_recipe(None, {"data.size": 32, **dict(_parsed(setting) for setting in settings)})
    for path, value in getattr(row, "defaults", {}).items():
        assert recipe.model_dump()[path.split(".")[0]][path.split(".")[1]] == value
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(path) == recipe
    section = settings[0].partition(".")[0]
    wrong = "regularizers.toy-penalty.wieght" if section == "regularizers" else f"{section}.scael"
    with pytest.raises(UsageError, match=f"{wrong}: no such key"):
        load_recipe(None, {"data.size": 32, **dict(_parsed(setting) for setting in settings), wrong: 3})


def _parsed(setting):
    path, _, value = setting.partition("=")
    return path, {"weight": 2} if value.startswith("{") else int(value) if value.isdigit() else value


def test_a_key_of_a_toy_row_is_refused_elsewhere_with_its_reader():
    with toy_rows.registered(LOSSES, toy_rows.LOSS):
        with pytest.raises(
            UsageError, match=r"loss\.scale: read by the loss toy-loss; this recipe uses the loss hinge"
        ):
            load_recipe(None, {"loss.name": "hinge", "loss.scale": 2})
        with pytest.raises(UsageError, match=r"unknown loss 'toy-los'; did you mean 'toy-loss'\?"):
            load_recipe(None, {"loss.name": "toy-los"})
    with toy_rows.registered(MODELS, toy_rows.MODEL):
        with pytest.raises(UsageError, match=r"data\.size: the model toy-model makes 32 px, found 64"):
            load_recipe(None, {"model": "toy-model", "data.size": 64})
        with pytest.raises(
            UsageError, match=r"model\.base_width: read by the models dcgan, biggan, fastgan and mlp; this recipe"
        ):
            load_recipe(None, {"model": {"name": "toy-model", "base_width": 8}, "data.size": 32})


@pytest.fixture
def reload_help():
    """Reads the tables for `smallgan train --help` again, and once more when the row is gone."""
    readers = [importlib.import_module(name) for name in ("smallgan.tables.train_flags", "smallgan.cli.train")]

    def again():
        for module in readers:
            importlib.reload(module)

    yield again
    again()


def test_help_docs_and_schema_name_a_toy_row(reload_help, toy, monkeypatch):
    row, _ = toy
    monkeypatch.syspath_prepend(str(ROOT))
    keys = importlib.import_module("tools.recipe_keys").tables()
    assert f"**`{row.name}`**: " in keys
    assert [name for name in row.options.model_fields if name != "name" and f"| `{name}` | " not in keys] == []
    assert row.name in json.dumps(json.loads(json_schema()))
    if row.name in ("toy-model", "toy-loss"):
        reload_help()
        assert row.name in "".join(call("train", "--help").split())  # a line may break at the hyphen


def test_rows_are_gone_afterwards():
    for table, row, _ in TOYS.values():
        assert row.name not in table
    assert "toy" not in call("train", "--help")
