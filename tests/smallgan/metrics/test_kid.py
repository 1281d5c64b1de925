import doctest

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from augment.errors import InputError
from smallgan.metrics import distances, kernel_sums
from smallgan.metrics import kid as module
from smallgan.metrics.kid import kid


def plain(fake, real):
    """The ten lines that everybody can check."""
    fake, real = fake.astype(np.float64), real.astype(np.float64)

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return off_diagonal(kernel(fake, fake)) + off_diagonal(kernel(real, real)) - 2 * kernel(fake, real).mean()


@pytest.fixture
def sets():
    rng = np.random.default_rng(1)
    real = rng.gamma(2, size=(151, 40)).astype(np.float32)
    return rng.gamma(2.2, size=(97, 40)).astype(np.float32), real


@pytest.mark.parametrize("block", [16, 1024])
def test_equals_ten_lines_of_numpy(sets, block, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", block)
    assert kid(*sets).value == pytest.approx(plain(*sets), rel=1e-9)


def test_equals_torch_fidelity_with_one_subset_of_all(sets):
    fake, real = sets
    real = real[: len(fake)]
    settings = {"kid_subsets": 1, "kid_subset_size": len(fake), "verbose": False}
    theirs = kid_features_to_metric(*(torch.from_numpy(each.astype(np.float64)) for each in (fake, real)), **settings)
    assert kid(fake, real).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


@pytest.mark.parametrize(("num_fake", "num_real", "word"), [(1, 9, "fake"), (9, 1, "real")])
def test_one_image_is_an_error_that_says_of_which_side(sets, num_fake, num_real, word):
    fake, real = sets
    with pytest.raises(InputError, match=f"at least two {word} images .* found 1"):
        kid(fake[:num_fake], real[:num_real])


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("block", [32, 1024])
def test_values_without_a_group_are_those_of_the_set_without_it(sets, unbiased, block, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", block)
    fake, real = sets
    kernel = module.cubic(fake.shape[1])
    sums = kernel_sums.pair_sums(fake, real, kernel)
    for which, side in enumerate((fake, real)):
        groups = kernel_sums.group_labels(len(side))
        without = (sums.without_fakes, sums.without_reals)[which](unbiased=unbiased)
        for group in (0, 31, groups.max()):
            rest = [fake, real]
            rest[which] = side[groups != group]
            expected = kernel_sums.pair_sums(*rest, kernel).mmd2(unbiased=unbiased)
            assert without[group] == pytest.approx(expected, rel=1e-9)


def test_interval_holds_the_value_and_shrinks_with_the_sets(sets):
    wide = kid(sets[0][:25], sets[1][:25])
    narrow = kid(*sets)
    for found in (wide, narrow):
        assert found.interval[0] < found.value < found.interval[1]
    assert np.diff(narrow.interval) < np.diff(wide.interval) / 1.5
    assert kid(sets[0][:4], sets[1]).interval is None


@pytest.mark.parametrize("source", [module])
def test_doctests(source):
    assert doctest.testmod(source).failed == 0
