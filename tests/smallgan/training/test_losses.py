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


def test_orthogonal_penalty_by_hand():
    # W W' = ((1, 2), (2, 5)): 2 and 2 off the diagonal. The rows of the second are orthogonal, of lengths 3 and 5.
    first, second = torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    assert losses.orthogonal_penalty([first]).item() == 8
    assert losses.orthogonal_penalty([second]).item() == 0
    assert losses.orthogonal_penalty([first, second, first]).item() == 16


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3), (12, 1, 3, 3)])
def test_orthogonal_penalty_and_its_gradient_equal_the_formula(shape):
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draws, dtype=torch.float64, requires_grad=True)
    rows = weight.detach().flatten(1)
    off = (rows @ rows.T) * (1 - torch.eye(len(rows), dtype=torch.float64))
    penalty = losses.orthogonal_penalty([weight])
    penalty.backward()
    torch.testing.assert_close(penalty.detach(), off.square().sum())
    torch.testing.assert_close(weight.grad.flatten(1), 4 * off @ rows)  # the released code adds 2 (...) W


def test_orthogonal_penalty_does_not_look_at_lengths():
    directions = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0][:4]
    scaled = directions * torch.tensor([0.1, 1.0, 2.0, 3.0])[:, None]
    assert losses.orthogonal_penalty([scaled]).item() == pytest.approx(0, abs=1e-4)
