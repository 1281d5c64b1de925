"""Verdicts: numbers worked out by hand, and simulated studies whose truth is known."""

from __future__ import annotations

import math

import pytest

from benchmarks.verdict_simulation import simulate
from smallgan.report.verdict import compare_to_reference, holm, mean_interval, min_detectable_difference


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


# Differences 1, 2, 3, 4, 5: mean 3, standard deviation sqrt(2.5), standard error sqrt(0.5), so t = 3 sqrt(2) with 4
# degrees of freedom. Student's tables give 2.776445 for 97.5 % and 0.940965 for 80 %.


def test_a_comparison_worked_out_by_hand():
    (one,) = compare_to_reference({"none": by_seed(10, 20, 30, 40, 50), "hflip": by_seed(11, 22, 33, 44, 55)}, "none")
    assert one.mean == 3
    assert one.interval == pytest.approx((3 - 2.776445 * math.sqrt(0.5), 3 + 2.776445 * math.sqrt(0.5)), abs=1e-5)
    # with 4 degrees of freedom P(T > t) = 1/2 - s (1 + (1 - s^2) / 2) / 2, where s = t / sqrt(4 + t^2)
    s = 3 * math.sqrt(2) / math.sqrt(4 + 18)
    assert one.p == pytest.approx(1 - s * (1 + (1 - s**2) / 2), abs=1e-9)
    assert one.p_holm == one.p
    assert one.min_detectable == pytest.approx((2.776445 + 0.940965) * math.sqrt(0.5), abs=1e-5)
    assert one.conclusion == "higher"
    assert not one.has_few_seeds


def test_pairing_takes_out_what_a_seed_does_to_all():
    base = by_seed(0.10, 0.90, 0.30, 0.70, 0.50)
    better = {seed: value - 0.01 - 0.001 * seed for seed, value in base.items()}
    (one,) = compare_to_reference({"none": base, "hflip": better}, "none")
    assert one.conclusion == "lower"
    # not paired, the spread over seeds (0.32) would bury the 0.012
    low, high = mean_interval(list(better.values()))
    assert high - low > 0.5


def test_holm_worked_out_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; the last may not fall below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_corrects_what_would_be_significant_for_one_policy_alone():
    # t = 3 with 4 degrees of freedom: p = 0.0399 by itself, 0.16 as the best of four
    step = math.sqrt(2.5) / (math.sqrt(5) * 3)
    moved = [step * 3 * value for value in (-1, -0.5, 0, 0.5, 1)]
    base = by_seed(1, 2, 3, 4, 5)
    hflip = {seed: value + move + 0.5 * 1.0606602 for (seed, value), move in zip(base.items(), moved, strict=True)}
    flat = {seed: value + (0.1 if seed % 2 else -0.1) for seed, value in base.items()}
    alone = compare_to_reference({"none": base, "hflip": hflip}, "none")[0]
    among = compare_to_reference({"none": base, "hflip": hflip, "a": flat, "b": flat, "c": flat}, "none")[0]
    assert alone.interval == among.interval
    assert alone.p == among.p
    assert among.p_holm == pytest.approx(min(1, 4 * alone.p))
    assert among.min_detectable > alone.min_detectable


def test_three_seeds_are_preliminary():
    (one,) = compare_to_reference({"none": by_seed(1.0, 1.1, 1.2), "hflip": by_seed(0.5, 0.61, 0.69)}, "none")
    assert one.conclusion == "lower"
    assert one.has_few_seeds
    assert one.min_detectable > 0


def test_only_common_seeds_are_compared():
    (one,) = compare_to_reference({"none": {0: 1.0, 1: 1.0, 2: 1.0}, "hflip": {1: 1.5, 2: 1.6, 7: 99.0}}, "none")
    assert one.seeds == (1, 2)
    assert one.mean == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("hflip", "why"),
    [
        ({0: 0.5}, "with one seed"),
        ({5: 0.5}, "no scored seed"),
        ({}, "no scored seed"),
        ({0: 1.5, 1: 2.5}, "same under every seed"),
        ({0: 1.0, 1: 2.0}, "same under every seed"),
    ],
)
def test_what_cannot_be_tested_says_why(hflip, why):
    (one,) = compare_to_reference({"none": {0: 1.0, 1: 2.0}, "hflip": hflip}, "none")
    assert one.conclusion == "not tested"
    assert why in one.why
    assert one.p is None
    assert one.p_holm is None
    assert one.interval is None


def test_an_untested_policy_does_not_count_in_the_correction():
    scores = {"none": by_seed(1, 2, 3), "hflip": by_seed(1.1, 2.3, 3.2), "gan": {0: 5.0}}
    first, second = compare_to_reference(scores, "none")
    assert first.p_holm == first.p
    assert second.conclusion == "not tested"


def test_more_seeds_detect_less():
    sizes = [min_detectable_difference(1, num_seeds) for num_seeds in (20, 5, 3, 2)]
    assert sizes == sorted(set(sizes))
    assert min_detectable_difference(1, 5, 4) > min_detectable_difference(1, 5)


# Simulated studies, smaller than those of benchmarks/verdict_simulation.py


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_a_study_without_effects_has_few_false_positives(num_seeds):
    # 5 % is the promise, which 2,000 studies know to one point; without Holm's correction it would be 15 %
    assert 0.01 < simulate(num_seeds, 0, repetitions=2000).false_positive <= 0.06


def test_a_large_effect_is_found_and_only_that():
    rates = simulate(5, 6, repetitions=60)
    assert rates.correct >= 0.85
    assert rates.false_positive <= 0.05
    assert simulate(5, 0.2, repetitions=60).missed >= 0.85
