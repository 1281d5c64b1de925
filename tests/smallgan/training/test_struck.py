"""A run whose loss uses a feature network: its checkpoints record it, and its scores by that network decide nothing."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import smallgan.data.split
import smallgan.training.train
from smallgan.core import weights
from smallgan.core.run_dir import read_jsonl
from smallgan.metrics.score import STRUCK
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import load_recipe
from smallgan.training.train import train

SHIPPED = weights.SHIPPED_FEATURES


@pytest.fixture(autouse=True)
def _few_images_select(monkeypatch):
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 4)


def a_run(folder, **settings):
    """A BSA run of two snapshots on eight squares, four of twelve held out, and what it said."""
    (folder / "photos").mkdir(parents=True)
    for index in range(12):
        pixels = np.random.default_rng([7, index]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{index:02d}.png")
    given = {
        "data.source": str(folder / "photos"),
        **{"data.holdout": 0.34, "method.name": "bsa", "method.perceptual": "shipped"},
        **{"train.steps": 2, "train.snapshot_every": 1, "train.batch_size": 4},
        **{"score.metrics": ["kmmd"], "score.num_fake": 8},
    }
    said = []
    return train(load_recipe(None, given | settings), out=folder / "run", device="cpu", log=said.append), said


def test_a_judge_that_trained_the_model_is_marked_and_selects_nothing(tmp_path):
    run, said = a_run(tmp_path, **{"score.features": "panel", "score.metrics": ["kmmd", "sharpness"]})
    record = json.loads((run.checkpoint(2) / "state.json").read_text(encoding="utf-8"))["perceptual"]
    assert record == {"name": "shipped", "weights": SHIPPED, "weights_sha256": weights.find(SHIPPED)[1]}
    lines = read_jsonl(run.scores)
    marks = {(line["metric"], line["identity"]["features"]): line["standing"] for line in lines}
    assert marks == {("kmmd", SHIPPED): STRUCK, ("sharpness", None): "", ("kmmd", "pixels8"): ""}
    assert any(f"note: struck: {SHIPPED} helped to train this model" in line for line in said)
    assert not any("every scoring network" in line for line in said)
    readings = [line for line in read_jsonl(run.diagnostics) if line["step"]]
    best = run.best_record()
    assert best["merit"] == min(line["merit"] for line in readings)
    assert best["meaning"].startswith("lowest KMMD (8 x 8 pixels) of samples at snapshots against 2 held-out images")
    assert load_model(run.path, torch.device("cpu")).perceptual == record
    found = score(run.path, None, ScoreOptions(device="cpu", features="panel", metrics=("kmmd",), num_fake=8))
    assert [one.standing for one in found] == [STRUCK, ""]
    assert found[0].notes[0].startswith(f"struck: {SHIPPED} helped")


@pytest.mark.parametrize("method", ["bsa", "imle"])
def test_without_another_judge_no_checkpoint_is_best_and_the_way_out_is_told(tmp_path, method):
    run, said = a_run(tmp_path, **{"method.name": method, "data.size": 32})
    assert {line["standing"] for line in read_jsonl(run.scores)} == {STRUCK}
    assert run.best_record() is None
    assert any("every scoring network was also used in training; --set score.features=panel" in line for line in said)


def test_a_loss_of_pixels_strikes_nobody(tmp_path):
    run, said = a_run(tmp_path, **{"method.perceptual": "none"})
    assert {line["standing"] for line in read_jsonl(run.scores)} == {""}
    assert run.best_record() is not None
    assert not any("struck" in line for line in said)
