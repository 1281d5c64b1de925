"""Losses against numbers worked out by hand."""

import doctest
import math

import pytest
import torch

from smallgan.training import losses


def test_docstring_examples_hold():
    assert doctest.testmod(losses).failed == 0


def test_nonsaturating_equals_binary_cross_entropy_on_the_sigmoid():
    real, fake = torch.tensor([0.3, -1.2, 4.0]), torch.tensor([-0.7, 2.0, 0.1])
    bce = torch.nn.BCELoss()
    expected_d = bce(real.sigmoid(), torch.ones(3)) + bce(fake.sigmoid(), torch.zeros(3))
    assert losses.nonsaturating_d(real, fake).item() == pytest.approx(expected_d.item(), rel=1e-6)
    assert losses.nonsaturating_g(fake).item() == pytest.approx(bce(fake.sigmoid(), torch.ones(3)).item(), rel=1e-6)


def test_nonsaturating_gradient_does_not_vanish_when_the_discriminator_wins():
    score = torch.tensor([-20.0], requires_grad=True)
    losses.nonsaturating_g(score).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(-1.0, abs=1e-6)


def test_nonsaturating_stays_finite_at_extreme_scores():
    assert math.isfinite(losses.nonsaturating_d(torch.tensor([-500.0]), torch.tensor([500.0])).item())


def test_hinge_ignores_what_is_beyond_the_margin():
    assert losses.hinge_d(torch.tensor([1.0, 7.0]), torch.tensor([-1.0, -9.0])).item() == 0.0
    assert losses.hinge_g(torch.tensor([1.0, 3.0])).item() == -2.0
