"""Losses against values and gradients worked out by hand."""

import math

import pytest
import torch

from smallgan.tables.dotted import load
from smallgan.tables.losses import LOSSES

REAL, FAKE = (2.0, -1.0), (0.5, -3.0)
BY_HAND = {
    # softplus(-2) + softplus(1) and softplus(0.5) + softplus(-3), halved; -sigmoid(-r) / 2 and sigmoid(f) / 2
    "nonsaturating": (1.2314270, (-0.0596015, -0.3655293), (0.3112297, 0.0237129), 1.7613322, (-0.1887703, -0.4762871)),
    # (0 + 2) / 2 + (1.5 + 0) / 2; what is beyond the margin has no gradient
    "hinge": (1.75, (0.0, -0.5), (0.5, 0.0), 1.25, (-0.5, -0.5)),
    # (1 + 4) / 4 + (0.25 + 9) / 4; (r - 1) / 2 and f / 2; (0.25 + 16) / 4 and (f - 1) / 2
    "lsgan": (3.5625, (0.5, -1.0), (0.25, -1.5), 4.0625, (-0.25, -2.0)),
    # (softplus(-1.5) + softplus(-2)) / 2 with sigmoid of the same; (softplus(1.5) + softplus(2)) / 2
    "relativistic": (
        0.1641706,
        (-0.0912128, -0.0596015),
        (0.0912128, 0.0596015),
        1.9141706,
        (-0.4087872, -0.4403985),
    ),
    # The discriminator's as above; -(softplus(0.5) + softplus(-3)) / 2 and -sigmoid(f) / 2
    "minimax": (1.2314270, (-0.0596015, -0.3655293), (0.3112297, 0.0237129), -0.5113322, (-0.3112297, -0.0237129)),
    "wasserstein": (-1.75, (-0.5, -0.5), (0.5, 0.5), 1.25, (-0.5, -0.5)),
    # The means are 0.5 and -1.25: reals lead by 3.25 and 0.25, and the mean real leads fakes by 0 and 3.5. A quarter of
    # softplus(-lead) of each; a score's gradient: a quarter of -sigmoid(-lead), and an eighth of the other kind's two.
    "relativistic_average": (
        0.3342196,
        (-0.0754958, -0.1756199),
        (0.1843938, 0.0667219),
        2.0842196,
        (-0.3156062, -0.4332781),
    ),
    # A quarter of (lead - 1)^2: 2.25^2, 0.75^2, 1 and 2.5^2; fakes lead by 0 - 1.5 and -3.5, ...
    "relativistic_average least_squares": (3.21875, (1.5, 0.0), (0.125, -1.625), 10.21875, (-1.875, -3.625)),
    # A quarter of max(0, 1 - lead): 0, 0.75, 1, 0; for the generator 1, 4.5, 4.25 and 1.25
    "relativistic_average hinge": (0.4375, (-0.125, -0.375), (0.375, 0.125), 2.75, (-0.5, -0.5)),
}


def loss(name):
    name, _, form = name.partition(" ")
    row = LOSSES[name]
    return load(row.build)(row.options(**({"form": form} if form else {})))


def test_every_loss_of_the_table_is_worked_out_here():
    assert {name.split()[0] for name in BY_HAND} == set(LOSSES.names)


@pytest.mark.parametrize("name", BY_HAND)
def test_values_and_gradients_by_hand(name):
    value_d, gradient_real, gradient_fake, value_g, gradient_g = BY_HAND[name]
    real, fake = torch.tensor(REAL, requires_grad=True), torch.tensor(FAKE, requires_grad=True)
    found = loss(name).discriminator(real, fake, None)
    found.backward()
    assert found.item() == pytest.approx(value_d, abs=1e-6)
    assert real.grad.tolist() == pytest.approx(gradient_real, abs=1e-6)
    assert fake.grad.tolist() == pytest.approx(gradient_fake, abs=1e-6)
    fake.grad = None
    given = real.detach() if LOSSES[name.split()[0]].generator_needs_reals else None
    found = loss(name).generator(given, fake, None)
    found.backward()
    assert found.item() == pytest.approx(value_g, abs=1e-6)
    assert fake.grad.tolist() == pytest.approx(gradient_g, abs=1e-6)


def test_nonsaturating_equals_binary_cross_entropy_on_the_sigmoid():
    real, fake = torch.tensor([0.3, -1.2, 4.0]), torch.tensor([-0.7, 2.0, 0.1])
    bce, ours = torch.nn.BCELoss(), loss("nonsaturating")
    expected_d = bce(real.sigmoid(), torch.ones(3)) + bce(fake.sigmoid(), torch.zeros(3))
    assert ours.discriminator(real, fake, None).item() == pytest.approx(expected_d.item(), rel=1e-6)
    expected_g = bce(fake.sigmoid(), torch.ones(3)).item()
    assert ours.generator(None, fake, None).item() == pytest.approx(expected_g, rel=1e-6)


def test_nonsaturating_gradient_does_not_vanish_when_the_discriminator_wins():
    score = torch.tensor([-20.0], requires_grad=True)
    loss("nonsaturating").generator(None, score, None).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(-1.0, abs=1e-6)


def test_the_minimax_gradient_vanishes_when_the_discriminator_wins():
    score = torch.tensor([-20.0], requires_grad=True)
    loss("minimax").generator(None, score, None).backward()
    assert score.grad.item() == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("name", ["nonsaturating", "minimax", "relativistic", "relativistic_average"])
def test_softplus_stays_finite_at_extreme_scores(name):
    found = loss(name).discriminator(torch.tensor([-500.0]), torch.tensor([500.0]), None)
    assert math.isfinite(found.item())


def test_hinge_ignores_what_is_beyond_the_margin():
    hinge = loss("hinge")
    assert hinge.discriminator(torch.tensor([1.0, 7.0]), torch.tensor([-1.0, -9.0]), None).item() == 0.0
    assert hinge.generator(None, torch.tensor([1.0, 3.0]), None).item() == -2.0


def test_the_relativistic_loss_compares_in_pairs_and_only_differences_count():
    ours, real, fake = loss("relativistic"), torch.tensor(REAL), torch.tensor(FAKE)
    moved = ours.discriminator(real + 7, fake + 7, None)
    torch.testing.assert_close(moved, ours.discriminator(real, fake, None))
    assert not torch.isclose(ours.discriminator(real, fake.flip(0), None), moved)
    torch.testing.assert_close(ours.generator(real, fake, None), ours.discriminator(fake, real, None))
