"""R2, the gradient penalty, consistency and the full orthogonal penalty on values and gradients by hand."""

import numpy as np
import pytest
import torch

from smallgan.core.rng import Stream, rng
from smallgan.models.packing import packed
from smallgan.tables.dotted import load
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.training.regularizers.consistency import changed
from smallgan.training.regularizers.orthogonal import orthogonal_penalty
from smallgan.training.step import StepContext


def images(count=4, size=2, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def context(real, fake, score, position=0):
    labels, scores = torch.zeros(len(real), dtype=torch.int64), (score(real), score(fake))
    return StepContext(7, real, fake, labels, *scores, score, lambda z: z, seed=0, position=position)


def penalty(name, **options):
    row = REGULARIZERS[name]
    return load(row.build)(row.options(**options), torch.nn.Identity(), torch.Generator())


def squares(a):
    """D(x) = a / 2 |x|^2, whose gradient in x is a x."""
    return lambda x: a / 2 * x.square().sum(dim=(1, 2, 3))


def test_r2_is_half_the_squared_gradient_at_the_fakes():
    # Half of a^2 times the mean of |g|^2, which falls by a times that mean.
    a, real, fake = torch.tensor(3.0, requires_grad=True), images(), images(seed=2)
    squared = fake.square().sum(dim=(1, 2, 3)).mean()
    found = penalty("r2")(context(real, fake, squares(a)))
    found.backward()
    torch.testing.assert_close(found.detach(), 4.5 * squared)
    torch.testing.assert_close(a.grad, 3 * squared)


def test_the_gradient_penalty_of_a_linear_discriminator_wants_weights_of_length_1():
    # D(x) = w x has the slope |w| everywhere: (5 - 1)^2 for w = (3, 4), and 2 (5 - 1) w / 5 = (4.8, 6.4) as gradient.
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    points = torch.randn(5, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    found = penalty("gradient_penalty")(context(points, -points, lambda x: x.flatten(1) @ w))
    found.backward()
    assert found.item() == pytest.approx(16)
    assert w.grad.tolist() == pytest.approx([4.8, 6.4])


def test_the_gradient_penalty_is_taken_between_each_real_and_its_fake_at_addressed_shares():
    # D(x) = |x|^2 / 2 has the slope |x|: of real 1 and fake 3 the point between is 3 - 2 e.
    real, fake = torch.ones(4, 1, 1, 1), torch.full((4, 1, 1, 1), 3.0)
    for position in (0, 5):
        shares = rng(0, Stream.BETWEEN, position).random(4, dtype=np.float32)
        assert len(set(shares)) == 4
        found = penalty("gradient_penalty")(context(real, fake, squares(1.0), position))
        assert found.item() == pytest.approx(((3 - 2 * shares - 1) ** 2).mean(), rel=1e-5)


def test_the_gradient_penalty_has_a_gradient_where_the_slope_is_0():
    w = torch.zeros(2, requires_grad=True)
    found = penalty("gradient_penalty")(
        context(torch.ones(3, 2, 1, 1), torch.ones(3, 2, 1, 1), lambda x: x.flatten(1) @ w)
    )
    found.backward()
    assert found.item() == pytest.approx(1, rel=1e-5)
    assert torch.isfinite(w.grad).all()


def test_penalties_on_slopes_take_a_pack_as_one_image():
    # Packs of two of D(x, y) = 3 x + 4 y have the slope 5; twice |(3, 4)|^2 would be that of single images.
    w, points = torch.tensor([3.0, 4.0]), images(6, 1)[:, :1]
    score = lambda x: packed(x, 2).flatten(1) @ w  # noqa: E731
    assert penalty("gradient_penalty")(context(points, -points, score)).item() == pytest.approx(16)
    assert penalty("r1")(context(points, -points, score)).item() == pytest.approx(12.5)


def test_consistency_by_hand():
    # D reads the upper left pixel, w x: mirrored pictures score by the upper right one. Sides below 8 are not shifted.
    w = torch.tensor(2.0, requires_grad=True)
    real = torch.tensor([[1.0, 4.0], [0.0, 0.0]]).expand(6, 1, 2, 2)
    fake = real / 3
    numbers = rng(0, Stream.CONSISTENCY, 3).random((2, 6, 3), dtype=np.float32)
    shares = [(each[:, 2] < 0.5).mean() for each in numbers]
    assert min(shares) > 0
    assert max(shares) < 1
    for fakes, expected in ((False, 9 * shares[0]), (True, 9 * shares[0] + shares[1])):
        w.grad = None
        found = penalty("consistency", fakes=fakes)(context(real, fake, lambda x: w * x[:, 0, 0, 0], 3))
        found.backward()
        assert found.item() == pytest.approx(4 * expected, rel=1e-5)
        assert w.grad.item() == pytest.approx(4 * expected, rel=1e-5)


def test_changed_images_are_mirrored_and_shifted_by_up_to_an_eighth():
    picture = torch.arange(16.0 * 16).view(1, 1, 16, 16)
    numbers = torch.tensor([[0.5, 0.5, 0.9], [0.0, 0.5, 0.9], [0.5, 0.9999, 0.9], [0.5, 0.5, 0.1]])
    same, down, left, mirrored = changed(picture.expand(4, 1, 16, 16), numbers)
    assert torch.equal(same, picture[0])
    assert torch.equal(down[:, 2:], picture[0, :, :-2])
    assert torch.equal(left[:, :, :-2], picture[0, :, :, 2:])
    assert torch.equal(mirrored, picture[0].flip(2))
    points = torch.randn(4, 2, 1, 1)
    assert torch.equal(changed(points, numbers), points)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3)])
def test_the_full_orthogonal_penalty_and_its_gradient_equal_the_formula(shape):
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draws, dtype=torch.float64, requires_grad=True)
    rows = weight.detach().flatten(1)
    off = rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)
    found = orthogonal_penalty([weight], full=True)
    found.backward()
    torch.testing.assert_close(found.detach(), off.square().sum())
    torch.testing.assert_close(weight.grad.flatten(1), 4 * off @ rows)
