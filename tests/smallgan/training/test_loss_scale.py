"""fp16: a scaled loss gives the plain gradients, a step that is not finite moves nothing, and a checkpoint keeps it."""

import pytest
import torch
from sampled_models import pixels
from tensors import tensors

from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.loss_scale import LossScale, backward, scales_of, step

CPU = torch.device("cpu")


def weight_and_adam():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    return weight, torch.optim.Adam([weight], 0.1, fused=True)


def test_the_scale_cancels():
    found = []
    for scale in (None, LossScale(CPU)):
        weight, adam = weight_and_adam()
        for _ in range(3):
            adam.zero_grad()
            backward(weight.square().sum(), scale)
            step([adam], scale)
        found.append(weight.detach())
    torch.testing.assert_close(*found)


def test_the_gradient_that_is_computed_is_65536_times_the_plain_one():
    weight, _ = weight_and_adam()
    LossScale(CPU).backward(weight.square().sum())
    assert weight.grad.tolist() == [2 * 65536.0, -4 * 65536.0]


def test_a_gradient_that_is_not_finite_moves_nothing_and_halves_the_scale():
    scale = LossScale(CPU)
    weight, adam = weight_and_adam()
    backward(weight.sum() * torch.inf, scale)
    step([adam], scale)
    assert weight.tolist() == [1.0, -2.0]
    assert scale.scale.item() == 32768
    adam.zero_grad()
    backward(weight.sum(), scale)
    step([adam], scale)
    assert weight[0].item() == pytest.approx(0.9)  # Adam's first step is its rate
    assert (scale.scale.item(), scale.growth.item()) == (32768, 1)


def test_other_precisions_scale_nothing():
    assert scales_of("bf16", ["g"], CPU) == {}
    assert scales_of("fp32", ["g"], CPU) == {}


def trainer():
    over = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4, "train.precision": "fp16"}
    return build_trainer(load_recipe(None, over), CPU)


@pytest.mark.slow
def test_killed_and_resumed_in_fp16_equals_uninterrupted_scales_included(tmp_path):
    batches = ImageBatches(pixels(), 4, 0, CPU)
    whole = trainer()
    for number in range(4):
        terms = whole.step(batches.batch(number), number)
        if number == 1:
            whole.scales["generator"].scale.fill_(1024.0)
            save_checkpoint(tmp_path / "step", whole, {"step": 2})
    resumed = trainer()
    load_checkpoint(tmp_path / "step", resumed)
    for number in range(2, 4):
        resumed.step(batches.batch(number), number)
    assert all(torch.isfinite(value) for value in terms.values())
    found, wanted = tensors(resumed), tensors(whole)
    assert found["generator_scale.scale"].item() == 1024
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_transfer_without_a_scaled_loss_refuses_fp16():
    with pytest.raises(Exception, match=r"train\.precision.*fp16 needs a loss that is scaled, and apgc scales none"):
        load_recipe(None, {"method.name": "apgc", "train.precision": "fp16"})
