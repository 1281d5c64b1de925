import doctest

import numpy as np
import pytest

from augment.errors import InputError
from smallgan.metrics import distances
from smallgan.metrics import kmmd as module
from smallgan.metrics.kmmd import kmmd
from smallgan.metrics.memorisation import nearest
from smallgan.metrics.memorisation.nearest import nearest_distance


def plain(fake, real):
    """The ten lines that everybody can check."""
    fake, real = fake.astype(np.float64), real.astype(np.float64)

    def squares(x, y):
        return ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)

    width = squares(real, real).mean()

    def kernel(x, y):
        return np.exp(-squares(x, y) / (2 * width)).mean()

    return np.sqrt(max(0, kernel(real, real) + kernel(fake, fake) - 2 * kernel(real, fake))), width


@pytest.fixture
def sets():
    rng = np.random.default_rng(1)
    real = rng.gamma(2, size=(151, 40)).astype(np.float32)
    return rng.gamma(2.2, size=(97, 40)).astype(np.float32), real


@pytest.mark.parametrize("block", [16, 1024])
def test_equals_ten_lines_of_numpy(sets, block, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", block)
    found = kmmd(*sets)
    value, width = plain(*sets)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.parts["bandwidth"] == pytest.approx(width, rel=1e-12)


def test_far_from_the_origin_no_digits_are_lost(sets):
    fake, real = (each.astype(np.float64) for each in sets)
    assert kmmd(fake + 1e4, real + 1e4).value == pytest.approx(kmmd(fake, real).value, rel=1e-6)


def test_equal_sets_are_at_distance_0(sets):
    _, real = sets
    assert kmmd(real, real[::-1]).value == pytest.approx(0, abs=1e-7)


def test_its_largest_value_is_the_root_of_2():
    real = np.zeros((1000, 1))
    real[0] = 1  # nearly all reals at one place, so that k(R, R) is nearly 1
    assert 1.41 < kmmd(np.full((3, 1), 1e3), real).value <= np.sqrt(2)


def test_scaling_all_features_changes_nothing(sets):
    fake, real = sets
    assert kmmd(fake * 7.5, real * 7.5).value == pytest.approx(kmmd(fake, real).value, rel=1e-6)


@pytest.mark.parametrize("reals", [np.ones((1, 3)), np.ones((5, 3)), np.zeros((5, 3))])
def test_reals_that_do_not_differ_are_an_error(reals):
    with pytest.raises(InputError, match="at least two different real images"):
        kmmd(np.ones((4, 3)), reals)


def test_reals_that_differ_by_rounding_alone_are_an_error():
    noise = np.random.default_rng(0).normal(size=(9, 50)) * 1e-7
    with pytest.raises(InputError, match="at least two different"):
        kmmd(np.ones((4, 50)), 1 + noise)


def test_one_fake_has_a_value(sets):
    fake, real = sets
    assert kmmd(fake[:1], real).value == pytest.approx(plain(fake[:1], real)[0], rel=1e-9)


def test_nearest_distance_equals_plain_numpy(sets, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 20)
    fake, real = (each.astype(np.float64) for each in sets)
    expected = np.sqrt(((fake[:, None] - real[None]) ** 2).sum(axis=2)).min(axis=1)
    np.testing.assert_allclose(nearest_distance(fake, real), expected, rtol=1e-9)


def test_a_copy_is_at_distance_0(sets):
    _, real = sets
    assert nearest_distance(real[3:5], real).max() < 1e-5


@pytest.mark.parametrize("source", [module, nearest])
def test_doctests(source):
    assert doctest.testmod(source).failed == 0
