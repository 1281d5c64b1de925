import doctest

import numpy as np
import pytest
import torch

from augment.errors import UsageError
from smallgan.metrics import mode_coverage, wasserstein
from smallgan.metrics.features.extract import Features, extract, feature_net
from smallgan.metrics.measure import MetricInputs, MetricOptions
from smallgan.metrics.run_scorer import judges_of
from smallgan.metrics.wasserstein import wasserstein_1

CPU = torch.device("cpu")


def features_of(points, name="grid"):
    return extract(np.array(points, np.float32).reshape(-1, 1, 1, 2), feature_net(name, CPU)[0])


@pytest.mark.parametrize("module", [mode_coverage, wasserstein])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_the_network_gives_coordinates_and_half_squared_distances_in_standard_deviations():
    found = features_of([[0.0, 0.1], [4.0, -2.05]])
    assert found.features.tolist() == pytest.approx(np.array([[0.0, 0.1], [4.0, -2.05]]))
    assert found.logits.shape == (2, 25)
    assert found.logits.max(axis=1) == pytest.approx([-2.0, -0.5], rel=1e-4)  # 2 and 1 standard deviations of 0.05


def test_modes_good_share_and_divergence_of_points_counted_by_hand():
    # Three good points at two modes, and one 4 standard deviations from a third
    found = features_of([[0, 0], [0, 0.05], [2, 2], [4.2, 4]])
    inputs, options = MetricInputs(found), MetricOptions(intervals=False)
    measured = [getattr(mode_coverage, f"measure_{name}")(inputs, options) for name in ("modes", "good", "kl")]
    expected = 0.5 * np.log(0.5 * 25) + 2 * 0.25 * np.log(0.25 * 25)
    assert [each.value for each in measured] == pytest.approx([2, 0.75, expected])


def test_intervals_lie_within_what_is_possible_and_hold_the_value():
    rng = np.random.default_rng(0)
    centers = rng.integers(0, 5, size=(400, 2)) * 2 - 4
    found = features_of(centers + 0.05 * rng.standard_normal((400, 2)))
    real = features_of(rng.integers(0, 5, size=(400, 2)) * 2 - 4)
    for measure in (
        *(getattr(mode_coverage, f"measure_{name}") for name in ("modes", "good", "kl")),
        wasserstein.measure,
    ):
        measured = measure(MetricInputs(found, real), MetricOptions())
        low, high = measured.interval
        assert 0 <= low <= measured.value <= high
    assert mode_coverage.measure_modes(MetricInputs(found), MetricOptions()).interval[1] <= 25


def test_the_interval_of_w1_is_that_of_the_rows_that_are_matched(monkeypatch):
    monkeypatch.setattr(wasserstein, "MOST", 60)
    fake, real = np.random.default_rng(0).standard_normal((2, 960, 2))
    few, all_of_them = (
        wasserstein.measure(MetricInputs(features_of(fake[:n]), features_of(real[:n])), MetricOptions()).interval
        for n in (60, 960)
    )
    assert 0.6 < (all_of_them[1] - all_of_them[0]) / (few[1] - few[0]) < 1.7  # 960 rows would give a quarter


def test_the_interval_of_modes_is_as_wide_as_modes_were_seen_once():
    found = features_of([[0, 0], [2, 0], [4, 0], *[[0, 2]] * 5])  # three of the four were seen once
    assert mode_coverage.modes_interval(found.logits) == pytest.approx((4 - 1.96 * 3**0.5, 4 + 1.96 * 3**0.5), rel=1e-3)
    everywhere = features_of([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)] * 2)
    assert mode_coverage.modes_interval(everywhere.logits) == (25, 25)


@pytest.mark.slow
def test_intervals_hold_the_mean_of_other_draws_about_as_often_as_they_say():
    shares = np.random.default_rng(0).dirichlet(np.full(25, 0.3))
    draws = [np.log(np.eye(25)[np.random.default_rng(k).choice(25, 300, p=shares)] + 1e-30) for k in range(400)]
    for value, interval in (
        (mode_coverage.num_modes, mode_coverage.modes_interval),
        (mode_coverage.reverse_kl, mode_coverage.kl_interval),
    ):
        mean = np.mean([value(logits) for logits in draws])
        inside = [low <= mean <= high for low, high in map(interval, draws)]
        assert 0.9 < np.mean(inside) <= 1


def test_classes_of_a_classifier_count_all_samples_and_have_no_good_share():
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4]]))
    logits -= logits.max(axis=1, keepdims=True)
    inputs = MetricInputs(Features(np.zeros((2, 1)), logits))
    assert mode_coverage.measure_modes(inputs, MetricOptions(intervals=False)).value == 1
    with pytest.raises(UsageError, match="no classifier gives"):
        mode_coverage.measure_good(inputs, MetricOptions())


def test_wasserstein_of_a_shift_is_its_length_and_of_equal_sets_zero():
    points = np.random.default_rng(1).standard_normal((50, 2))
    assert wasserstein_1(points, points[::-1]) == pytest.approx(0)
    assert wasserstein_1(points, points + np.array([3, 4])) == pytest.approx(5)


def test_wasserstein_finds_the_best_matching_of_all():
    from itertools import permutations

    one, other = np.random.default_rng(2).standard_normal((2, 6, 2))
    best = min(np.hypot(*(one - other[list(order)]).T).mean() for order in permutations(range(6)))
    assert wasserstein_1(one, other) == pytest.approx(best)


def test_a_network_must_tell_modes_and_read_points():
    pixels8 = feature_net("pixels8", CPU)[0]
    with pytest.raises(UsageError, match=r"--metrics modes: needs a network that tells modes \(stacked-digits, ring"):
        judges_of([pixels8], ("kid", "modes"))
    with pytest.raises(UsageError, match="--features pixels8: it reads images, and these are points"):
        extract(np.zeros((2, 1, 1, 2), np.float32), pixels8)
    with pytest.raises(UsageError, match="--features ring: it reads points, and these are images"):
        extract(np.zeros((2, 8, 8, 3), np.uint8), feature_net("ring", CPU)[0])
