import doctest

import numpy as np
import pytest

from smallgan.metrics import fid, intervals, latent_kmmd, precision_recall, rbf_multi
from smallgan.metrics.intervals import Spread, group_labels, jackknife, subsampled
from smallgan.metrics.memorisation import nearest


def test_the_jackknife_of_a_mean_is_the_variance_of_the_mean():
    x = np.random.default_rng(0).normal(size=30)
    labels = group_labels(30)
    without = np.array([x[labels != each].mean() for each in range(30)])
    found = jackknife(x.mean(), without, np.ones(30))
    assert found.variance == pytest.approx(x.var(ddof=1) / 30)
    assert found.freedom == 29


def test_the_jackknife_holds_for_groups_of_unequal_size():
    rng = np.random.default_rng(0)
    variances = []
    for _ in range(300):
        x = rng.normal(size=130)
        labels = group_labels(130)
        counts = np.bincount(labels)
        without = np.array([x[labels != each].mean() for each in range(50)])
        variances.append(jackknife(x.mean(), without, counts.astype(float)).variance)
    assert set(counts) == {2, 3}
    assert np.mean(variances) == pytest.approx(1 / 130, rel=0.05)


def test_groups_are_the_same_each_time_shuffled_and_of_one_size():
    labels = group_labels(1000)
    assert (labels == group_labels(1000)).all()
    assert set(np.bincount(labels)) == {20}
    assert (np.diff(labels) != 1).mean() > 0.9
    assert sorted(group_labels(7)) == list(range(7))


def test_halves_give_the_variance_of_a_mean_too():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=200), rng.normal(size=100)
    found = subsampled(lambda some, other: some.mean() - other.mean(), [x, y], 0)
    assert found.variance == pytest.approx(1 / 200 + 1 / 100, rel=0.6)
    large = rng.normal(size=20_000)
    found = subsampled(np.mean, [large], 0)
    assert found.variance == pytest.approx(1 / 20_000, rel=0.6)


def test_no_image_is_drawn_twice():
    seen = []
    subsampled(lambda rows: seen.append(len(set(rows)) == len(rows) == 20) or 0.0, [np.arange(41.0)], 0)
    assert len(seen) > 30
    assert all(seen)


def test_halves_that_are_too_few_have_no_spread():
    assert subsampled(lambda *_sets: 0.0, [np.zeros(7), np.zeros(100)], 0, least=4) is None
    assert subsampled(lambda *_sets: 0.0, [np.zeros(4), np.zeros(100)], 0, least=1) is None


def test_spreads_add_with_welchs_degrees_of_freedom():
    found = Spread(2.0, 10) + Spread(2.0, 10)
    assert (found.variance, found.freedom) == (4.0, 20)
    low, high = Spread(4.0, 20).around(1.0)
    assert (low + high) / 2 == pytest.approx(1)
    assert high - 1 == pytest.approx(2 * 2.085963)  # Student's 97.5 % point of 20 degrees


@pytest.mark.parametrize("unbiased", [True, False])
def test_the_width_moved_by_a_group_enters_the_interval(unbiased):
    """Leaving a group out for good, width and all, gives nearly the values that the interval is made of."""
    rng = np.random.default_rng(2)
    fake, real = rng.normal(0.8, 1.4, size=(40, 6)), rng.normal(size=(40, 6))

    def value(fake, real):
        return rbf_multi.mmd2_rbf_multi(fake, real, unbiased=unbiased).value

    labels = group_labels(40)
    ones, whole = np.ones(40), value(fake, real)
    spread = jackknife(whole, np.array([value(fake[labels != g], real) for g in range(40)]), ones)
    spread += jackknife(whole, np.array([value(fake, real[labels != g]) for g in range(40)]), ones)
    found = rbf_multi.mmd2_rbf_multi(fake, real, unbiased=unbiased).interval
    assert found == pytest.approx(spread.around(whole), rel=0.01)


def test_the_jackknife_of_fid_leaves_groups_out_for_good():
    rng = np.random.default_rng(2)
    fake, real = rng.normal(0.4, 1.4, size=(50, 6)), rng.normal(size=(60, 6))
    whole = fid.fid(fake, real)
    spread = Spread(0, 1)
    for side in (0, 1):
        labels = group_labels(len((fake, real)[side]), 10)
        without = []
        for group in range(10):
            rest = [fake, real]
            rest[side] = rest[side][labels != group]
            without.append(fid.fid(*rest, interval=False).value)
        part = jackknife(whole.value, np.array(without), np.bincount(labels).astype(float))
        spread = part if not side else spread + part
    assert whole.interval == pytest.approx(spread.around(whole.value), rel=1e-9)


@pytest.mark.parametrize(("batch", "spread", "expected"), [(5, 1.0, 1.23), (25, 1.0, 0.25), (10, 0.3, 1.83)])
def test_latent_kmmd_reads_what_simulation_gave_elsewhere(batch, spread, expected):
    codes = np.random.default_rng(0).normal(size=(2000, 120)) * spread
    assert latent_kmmd.latent_kmmd(codes, 0, batch).value == pytest.approx(expected, abs=0.02)


def test_a_batch_of_codes_is_compared_as_images_are():
    rng = np.random.default_rng(4)
    codes, normal = rng.normal(size=(9, 5)) * 0.4, rng.normal(size=(9, 5))
    expected = rbf_multi.mmd2_rbf_multi(codes, normal).value
    assert latent_kmmd._of_batch(np.concatenate([codes, normal])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("source", [intervals, fid, precision_recall, nearest, rbf_multi, latent_kmmd])
def test_doctests(source):
    assert doctest.testmod(source).failed == 0
