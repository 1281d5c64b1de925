import math

import pytest
import torch

from smallgan.core.run_dir import read_jsonl
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import AdversarialTrainer
from smallgan.training.lesson import LessonTrainer, log10_norms
from smallgan.training.scratch import fresh_networks
from smallgan.training.train import train

TINY = {
    "data.source": "ring",
    "data.limit": 40,
    "model.base_width": 4,
    "method": {"name": "lesson", "freeze_at": 3},
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
        found = log10_norms(weight * 2, [weight])
        sigmoid = 1 / (1 + math.exp(-score))
        assert found["gradient_minimax"].item() == pytest.approx(math.log10(2 * sigmoid), abs=1e-4)
        assert found["gradient_nonsaturating"].item() == pytest.approx(math.log10(2 * (1 - sigmoid)), abs=1e-4)


def test_a_gradient_of_zero_has_a_logarithm():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    assert log10_norms(weight * 0, [weight])["gradient_minimax"].item() == pytest.approx(-30)


def test_the_generator_stays_from_the_step_on_and_the_discriminator_goes_on(tmp_path):
    run = train(load_recipe(None, TINY), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    from smallgan.core.checkpoint import read_tensors

    first, last = (read_tensors(run.checkpoint(step)) for step in (3, 6))
    same = {part: all(torch.equal(first[k], last[k]) for k in first if k.startswith(f"{part}.")) for part in "gd"}
    assert same == {"g": True, "d": False}
    lines = list(read_jsonl(run.stats))
    assert all({"gradient_minimax", "gradient_nonsaturating", "loss_g"} <= line.keys() for line in lines)


def test_until_then_it_is_adversarial_training():
    lesson, plain = load_recipe(None, TINY), load_recipe(None, TINY | {"method": "adversarial"})
    trainers = [
        kind(settings, torch.device("cpu"), *fresh_networks(settings))
        for kind, settings in ((LessonTrainer, _in_fp32(lesson)), (AdversarialTrainer, _in_fp32(plain)))
    ]
    from smallgan.data.images import ImageBatches
    from smallgan.data.points import draw_points
    from smallgan.tables.data_sources import MIXTURES

    batches = ImageBatches(draw_points(MIXTURES["ring"], 40), 4, 0, torch.device("cpu"))
    for trainer in trainers:
        trainer.step(batches.batch(0), 0)
    one, other = (trainer.generator.state_dict() for trainer in trainers)
    assert all(torch.equal(one[name], other[name]) for name in one)


def _in_fp32(recipe):
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": "fp32"})})
