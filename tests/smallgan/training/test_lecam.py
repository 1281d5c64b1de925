"""LeCam regularisation by hand: its running means, its start, and its gradient."""

import numpy as np
import pytest
import torch

from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import LeCamOptions
from smallgan.training.adversarial import build_trainer
from smallgan.training.regularizers.lecam import LeCam
from smallgan.training.step import StepContext


def context(number, real, fake):
    images = torch.zeros(len(real), 3, 4, 4)
    labels = torch.zeros(len(real), dtype=torch.int64)
    return StepContext(number, images, images, labels, real, fake, lambda x: x, lambda z: z, seed=0)


def test_two_steps_by_hand():
    lecam = LeCam(LeCamOptions(decay=0.75, start=0), torch.nn.Identity(), torch.Generator())
    # Means 2 and -0.5; reals lie 1.5 and 3.5 above the fakes' mean, fakes 3 and 2 below the reals'.
    first = lecam(context(0, torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])))
    assert first.item() == pytest.approx((1.5**2 + 3.5**2) / 2 + (3**2 + 2**2) / 2)
    # Means 0.75 * 2 + 0.25 * 4 = 2.5 and 0.75 * -0.5 + 0.25 * 2 = 0.125; the fake of 4 lies above and adds nothing.
    second = lecam(context(1, torch.tensor([4.0, 4.0]), torch.tensor([0.0, 4.0])))
    assert (lecam.real_mean.item(), lecam.fake_mean.item()) == (2.5, 0.125)
    assert second.item() == pytest.approx(3.875**2 + 2.5**2 / 2)


def test_the_gradient_reaches_the_scores_and_not_the_means():
    lecam = LeCam(LeCamOptions(start=0), torch.nn.Identity(), torch.Generator())
    real, fake = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([-1.0, 0.0], requires_grad=True)
    lecam(context(0, real, fake)).backward()
    torch.testing.assert_close(real.grad, torch.tensor([1.5, 3.5]))  # 2 (D(x) - a_f) / B
    torch.testing.assert_close(fake.grad, torch.tensor([-3.0, -2.0]))


def test_before_its_start_it_adds_nothing_and_the_means_are_those_of_the_step():
    lecam = LeCam(LeCamOptions(start=7), torch.nn.Identity(), torch.Generator())
    for number in range(9):
        real, fake = torch.tensor([number + 0.0, number + 2.0]), torch.tensor([-number, -number])
        found = lecam(context(number, real, fake.float()))
        assert (found == 0) == (number < 7)
        if number <= 7:
            assert (lecam.real_mean.item(), lecam.fake_mean.item()) == (number + 1, -number)
    assert lecam.real_mean.item() == pytest.approx(0.99 * 8 + 0.01 * 9)
    assert lecam.fake_mean.item() == pytest.approx(0.99 * -7 + 0.01 * -8)


def test_published_constants():
    assert LeCamOptions().model_dump() == {"weight": 0.3, "every": 1, "decay": 0.99, "start": 1000}


def test_a_step_adds_it_to_the_discriminators_loss_with_its_weight(monkeypatch):
    settings = {"data.size": 32, "model.base_width": 8, "model.d_norm": "none", "train.batch_size": 4}
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    batch = ImageBatches(pixels, 4, 0, torch.device("cpu")).batch(0)
    gradients = []
    for more in ({}, {"regularizers.lecam": {"weight": 2.0, "start": 0}}, {"regularizers.lecam": {}}):
        trainer = build_trainer(load_recipe(None, settings | more), torch.device("cpu"))
        last = trainer.discriminator.score.bias
        monkeypatch.setattr(trainer.optimizers["d"], "step", lambda last=last: gradients.append(last.grad.clone()))
        terms = trainer.step(batch, 0)
    plain, added, not_yet = gradients
    assert terms["lecam"] == 0
    assert torch.equal(plain, not_yet)
    # At first the means are those of the scores: E 2 relu(D(x) - a_f) - E 2 relu(a_r - D(g)) by the last bias.
    fresh = build_trainer(load_recipe(None, settings), torch.device("cpu"))
    with torch.no_grad():
        real = fresh.discriminator(batch.images)
        fake = fresh.discriminator(fresh._fakes(batch.labels, 0))
        slope = 2 * torch.relu(real - fake.mean()).mean() - 2 * torch.relu(real.mean() - fake).mean()
    torch.testing.assert_close(added - plain, 2.0 * slope.view(1), rtol=1e-3, atol=1e-6)
