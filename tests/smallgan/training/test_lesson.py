import math

import pytest
import torch

from augment.errors import UsageError
from smallgan.core.checkpoint import read_tensors
from smallgan.core.run_dir import read_jsonl
from smallgan.tables.recipe import load_recipe
from smallgan.training.gradients import log10_gradient_norms
from smallgan.training.train import train

TINY = {
    "data.source": "ring",
    "data.limit": 40,
    "model.base_width": 4,
    "method.freeze_g_at": 3,
    "train.batch_size": 4,
    "train.steps": 6,
    "train.report_every": 1,
    "train.snapshot_every": 3,
    "score.metrics": [],
}


def test_both_gradients_of_one_weight_by_hand():
    # score = w x: the minimax gradient is sigmoid(s) x, the non-saturating one (1 - sigmoid(s)) x
    for score in (-9.0, 0.0, 3.0):
        weight = torch.nn.Parameter(torch.tensor([score / 2]))
        found = log10_gradient_norms(weight * 2, [weight])
        sigmoid = 1 / (1 + math.exp(-score))
        assert found["gradient_minimax"].item() == pytest.approx(math.log10(2 * sigmoid), abs=1e-4)
        assert found["gradient_nonsaturating"].item() == pytest.approx(math.log10(2 * (1 - sigmoid)), abs=1e-4)


def test_a_gradient_of_zero_has_a_logarithm():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    assert log10_gradient_norms(weight * 0, [weight])["gradient_minimax"].item() == pytest.approx(-30)


def test_the_generator_stays_from_the_step_on_and_the_discriminator_goes_on(tmp_path):
    run = train(load_recipe(None, TINY), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    first, last = (read_tensors(run.checkpoint(step)) for step in (3, 6))
    same = {part: all(torch.equal(first[k], last[k]) for k in first if k.startswith(f"{part}.")) for part in "gd"}
    assert same == {"g": True, "d": False}
    lines = list(read_jsonl(run.stats))
    assert all({"gradient_minimax", "gradient_nonsaturating", "loss_g"} <= line.keys() for line in lines)


def test_until_then_it_is_the_same_training(tmp_path):
    plain = {key: value for key, value in TINY.items() if key != "method.freeze_g_at"} | {"train.steps": 3}
    runs = [
        train(load_recipe(None, settings), out=tmp_path / name, device="cpu", log=lambda _line: None)
        for name, settings in (("plain", plain), ("lesson", TINY | {"train.steps": 3}))
    ]
    one, other = (read_tensors(run.checkpoint(3)) for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_half_precision_is_refused_as_it_loses_small_gradients():
    with pytest.raises(UsageError, match=r"method.freeze_g_at: .* too small for train.precision fp16; use bf16"):
        load_recipe(None, TINY | {"train.precision": "fp16"})


def test_parts_of_a_batch_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"method.freeze_g_at measures the gradient of the whole batch"):
        train(load_recipe(None, TINY | {"train.micro_batch": 2}), out=tmp_path / "run", device="cpu")
