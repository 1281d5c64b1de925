"""Unrolling: values and gradients of a game of two numbers by hand; the discriminator stays as it is."""

import copy
from types import SimpleNamespace

import pytest
import torch
from sampled_models import pixels
from tensors import tensors
from tiny_training import CPU, TINY, trained

from augment.errors import UsageError
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.out_of_memory import with_micro_batch
from smallgan.training.unrolling import Ahead, looked_ahead

LR, EPS = 0.1, 1.0


class Slope(torch.nn.Module):
    """D(x) = w x."""

    def __init__(self, w):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x):
        return self.w * x


def game(unroll, through, w=0.5):
    """A trainer of D(x) = w x on its loss (w g - w)^2 / 2, reals at 1, by Adam with an eps of 1 and no memory."""
    network = Slope(w)
    adam = torch.optim.Adam(network.parameters(), LR, (0.0, 0.0), eps=EPS)
    options = SimpleNamespace(unroll=unroll, unroll_through=through)
    trainer = SimpleNamespace(discriminator=network, optimizers={"d": adam}, options=options)
    trainer.augmentation = SimpleNamespace(with_pseudo_reals=lambda real, _fake, _position: real)
    return trainer


def ahead(trainer, fake):
    def loss(self):
        return lambda real, fake, *_: ((self.discriminator(fake) - self.discriminator(real)).square() / 2, None, None)

    class View(SimpleNamespace):
        @property
        def discriminator_loss(self):
            return loss(self)

    view = View(**vars(trainer))
    return looked_ahead(view, torch.ones((), dtype=torch.float64), fake, None, 0, 0).discriminator


def test_a_step_ahead_and_its_gradient_by_hand():
    # The loss w^2 (g - 1)^2 / 2 has the slope s = w (g - 1)^2 in w; Adam without memory: w' = w - lr s / (|s| + 1).
    # At w = 0.5 and g = 3: s = 2, w' = 0.5 - 0.1 * 2 / 3. With ds/dg = 2 w (g - 1) = 2 the weight moves by
    # dw'/dg = -lr ds/dg / (s + 1)^2 = -0.2 / 9, and the score w' g by w' + g dw'/dg.
    for through, slope in ((True, 0.5 - 0.2 / 3 - 3 * 0.2 / 9), (False, 0.5 - 0.2 / 3)):
        fake = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        score = ahead(game(1, through), fake)(fake)
        score.backward()
        assert score.item() == pytest.approx(3 * (0.5 - 0.2 / 3), abs=1e-12)
        assert fake.grad.item() == pytest.approx(slope, abs=1e-12)


def test_the_gradient_through_three_steps_is_that_of_finite_differences():
    def score(g):
        fake = torch.tensor(g, dtype=torch.float64, requires_grad=True)
        return fake, ahead(game(3, True), fake)(fake)

    fake, value = score(1.7)
    value.backward()
    difference = (score(1.7 + 1e-6)[1] - score(1.7 - 1e-6)[1]).item() / 2e-6
    assert fake.grad.item() == pytest.approx(difference, rel=1e-7)


def test_no_steps_ahead_are_the_step_as_it_was_bit_for_bit():
    (plain, terms), (unrolled, ahead_terms) = trained(), trained(**{"method.unroll": 0})
    assert all(torch.equal(value, ahead_terms[name]) for name, value in terms.items())
    assert all(torch.equal(value, tensors(unrolled)[name]) for name, value in tensors(plain).items())


def test_steps_ahead_are_those_that_the_discriminator_would_take():
    trainer, _ = trained(2, **{"method.unroll": 3, "method.unroll_through": False})
    batch = ImageBatches(pixels(), 4, 0, CPU).batch(2)
    fake = trainer._fakes(batch.labels, 2)
    found = looked_ahead(trainer, batch.images, fake, batch.labels, 2, 2).discriminator
    real = copy.deepcopy(trainer)
    for _ in range(3):
        real._discriminator_step(batch.images, fake, batch.labels, 2, 2)
    for name, weight in real.discriminator.named_parameters():
        torch.testing.assert_close(found.weights[name].detach(), weight.detach(), rtol=1e-4, atol=1e-6)
    for name, buffer in real.discriminator.named_buffers():
        torch.testing.assert_close(found.buffers[name], buffer, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", ["dcgan", "biggan"])
def test_the_discriminator_and_its_optimiser_stay_as_they_are(monkeypatch, model):
    trainer, _ = trained(1, **{"model.name": model, "method.unroll": 2, "method.diffaugment": "translation"})
    step, seen = trainer._generator_step, []

    def generator_step(*arguments):
        before = tensors(trainer), copy.deepcopy(trainer.optimizers["d"].state_dict())
        seen.append(step(*arguments))
        after = tensors(trainer)
        changed = {name[:2] for name, value in before[0].items() if not torch.equal(value, after[name])}
        assert changed == {"g."}
        torch.testing.assert_close(trainer.optimizers["d"].state_dict(), before[1], rtol=0, atol=0)
        assert all(each.requires_grad for each in trainer.discriminator.parameters())
        return seen[-1]

    monkeypatch.setattr(trainer, "_generator_step", generator_step)
    trainer.step(ImageBatches(pixels(), 4, 0, CPU).batch(1), 1)
    assert torch.isfinite(seen[0]["loss_g"])


@pytest.mark.parametrize(("settings", "reached"), [({"method.unroll": 1}, True), ({}, False)])
def test_scores_of_reals_reach_the_generator_through_the_steps_alone(monkeypatch, settings, reached):
    trainer, _ = trained(0, **{"loss.name": "relativistic", **settings})
    seen, inner = [], trainer.loss.generator
    monkeypatch.setattr(trainer.loss, "generator", lambda real, *more: seen.append(real) or inner(real, *more))
    trainer.step(ImageBatches(pixels(), 4, 0, CPU).batch(0), 0)
    assert [each.requires_grad for each in seen] == [reached]


def test_weights_that_are_frozen_stay():
    network = torch.nn.Sequential(Slope(2.0), Slope(3.0))
    network[0].requires_grad_(False)
    found = Ahead(network, torch.optim.Adam(network[1].parameters(), LR))
    found.step(found(torch.ones((), dtype=torch.float64)), through=True)
    assert [*found.weights] == ["1.w"]
    assert found.weights["1.w"].item() == pytest.approx(3.0 - LR)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"regularizers.r1.weight": 1.0}, r"method\.unroll: .* by its loss alone, and regularizers\.r1 is part"),
        ({"regularizers.weight_clip": {}}, r"regularizers\.weight_clip is part of them"),
        ({"train.precision": "fp16"}, r"method\.unroll: it needs unscaled gradients"),
        ({"method.unroll": None, "method.unroll_through": False}, r"method\.unroll_through: read where method\.unroll"),
    ],
)
def test_what_unrolling_does_not_go_with_is_said(changes, why):
    with pytest.raises(UsageError, match=why):
        load_recipe(None, TINY | {"method.unroll": 2} | changes)


def test_micro_batches_are_refused():
    settings = load_recipe(None, TINY | {"method.unroll": 2, "train.micro_batch": 2})
    with pytest.raises(UsageError, match=r"micro_batch 2: method.unroll looks ahead on the whole batch"):
        with_micro_batch(settings, lambda: (build_trainer(settings, CPU), None), print)
