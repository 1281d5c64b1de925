"""The verdict on differences and its intervals: cases by hand, and how often chance alone is called a difference."""

import numpy as np
import pytest
from scipy.special import ndtr, stdtr, stdtrit

from smallgan.downstream.compare import CONSTANT, Estimate, differences, estimate, seeds_needed
from smallgan.report.downstream_words import answer

GROUPS = 20


def answers(draws, num_seeds, num_images, seed_spread):
    """Right or wrong, seeds x images: images differ in how hard they are, seeds in how good the classifier is."""
    return lambda hard: (
        hard + draws.normal(0, seed_spread, (num_seeds, 1)) + draws.normal(0, 1, (num_seeds, num_images)) > 0
    ).astype(float)


def table(right):
    """Accuracy of each seed in each group of test images."""
    return np.stack([right[:, group::GROUPS].mean(axis=1) for group in range(GROUPS)], axis=1)


def test_without_an_effect_of_images_the_interval_is_students_over_seeds():
    values = np.array([0.1, 0.4, 0.3, 0.2])
    pure = np.repeat(values[:, None], 5, axis=1)
    found = estimate(values, pure)
    error = values.std(ddof=1) / 2
    assert found.mean == pytest.approx(0.25)
    assert found.error == pytest.approx(error)
    assert found.freedom == pytest.approx(3)
    assert found.interval == pytest.approx((0.25 - stdtrit(3, 0.975) * error, 0.25 + stdtrit(3, 0.975) * error))


def test_where_all_seeds_agree_the_error_is_that_of_the_test_images():
    parts = np.array([0.0, 1.0, 1.0, 0.5])
    found = estimate([0.625] * 3, np.tile(parts, (3, 1)))
    assert found.error == pytest.approx(parts.std(ddof=1) / 2)
    assert found.freedom == pytest.approx(3)
    assert found.of_seeds == pytest.approx(0)


def test_a_difference_by_hand():
    rows = np.repeat(np.array([[0.1], [0.2], [0.3]]), 4, axis=1)
    zero = np.zeros((3, 4))
    (one,) = differences(
        {"none": [0, 0, 0], "hflip": [0.1, 0.2, 0.3]}, {"none": zero, "hflip": rows}, "none", [0, 1, 2]
    )
    t = 0.2 / (0.1 / np.sqrt(3))
    assert one.mean == pytest.approx(0.2)
    assert one.p == one.p_holm == pytest.approx(2 * stdtr(2, -t))
    assert one.conclusion == "not significant"
    assert one.min_detectable == pytest.approx((stdtrit(2, 0.975) + stdtrit(2, 0.8)) * 0.1 / np.sqrt(3))


def test_the_same_predictions_are_not_tested():
    rows = np.full((3, 4), 0.5)
    (one,) = differences({"none": [0.5] * 3, "same": [0.5] * 3}, {"none": rows, "same": rows}, "none", [0, 1, 2])
    assert (one.conclusion, one.p) == ("not tested", None)
    assert "the same" in one.why


def test_a_difference_that_is_the_same_everywhere_is_no_equality():
    low, high = np.full((5, 8), 0.5), np.ones((5, 8))
    (one,) = differences({"none": [0.5] * 5, "all": [1.0] * 5}, {"none": low, "all": high}, "none", range(5))
    assert (one.mean, one.p, one.why) == (0.5, None, CONSTANT)
    columns = ("p_holm", "difference_low", "min_detectable_difference", "seeds_needed", "low")
    base = dict.fromkeys(columns) | {"measure": "accuracy", "per_class": None, "num_seeds": 5, "mean": 0.5, "p": None}
    same = base | {"variant": "none", "is_reference": True, "difference": None, "conclusion": "reference"}
    other = base | {"variant": "all", "is_reference": False, "difference": 0.5, "conclusion": "not tested"}
    constant = " The same under every seed and for all test images, so not tested: all by +50.0 points."
    assert answer({"rows": [same, other]}) == f"No test was possible.{constant}"
    third = other | {"variant": "hflip", "p": 0.5, "conclusion": "not significant", "difference": 0.01}
    assert answer({"rows": [same, other, third]}).endswith(f"(50.0 % accuracy): hflip.{constant}")


def test_more_seeds_lessen_only_their_own_part():
    found = Estimate(0.1, 0.1, 100, of_seeds=0.01, of_images=0.0)
    number = seeds_needed(found, 5, 1)
    assert number is not None
    assert 5 * 0.01 / number < 0.1**2 / 2.8**2 < 5 * 0.01 / (number - 5)
    assert seeds_needed(Estimate(0.1, 0.1, 100, of_seeds=0.0, of_images=0.01), 5, 1) is None


@pytest.mark.parametrize(("num_seeds", "num_images", "spread"), [(5, 200, 0.0), (5, 200, 0.3), (5, 1000, 0.3)])
def test_equal_policies_are_seldom_called_different_and_intervals_hold(num_seeds, num_images, spread):
    draws = np.random.default_rng([num_seeds, num_images])
    alarms = hits = 0
    runs = 300
    truth = ndtr(1 / np.sqrt(1.5**2 + 1 + spread**2))
    for _ in range(runs):
        hard = 1 + draws.normal(0, 1.5, num_images)
        right = answers(draws, num_seeds, num_images, spread)
        drawn = {name: right(hard) for name in ("none", "a", "b", "c")}
        values = {name: each.mean(axis=1).tolist() for name, each in drawn.items()}
        tables = {name: table(each) for name, each in drawn.items()}
        alarms += any(one.is_significant for one in differences(values, tables, "none", range(num_seeds)))
        low, high = estimate(values["none"], tables["none"]).interval
        hits += low <= truth <= high
    assert alarms / runs <= 0.08  # 5 % and three standard errors of 300 draws
    assert 0.91 <= hits / runs <= 0.99
