"""Verdicts: numbers worked out by hand, and simulated studies whose truth is known."""

from __future__ import annotations

import math

import pytest

from benchmarks.verdict_simulation import simulate
from smallgan.report.verdict import holm, judge, mean_interval, smallest_detectable


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


# Differences 1, 2, 3, 4, 5: mean 3, standard deviation sqrt(2.5), standard error sqrt(0.5), so t = 3 sqrt(2) with 4
# degrees of freedom. Student's tables give 2.776445 for 97.5 % and 0.940965 for 80 %.


def test_a_comparison_worked_out_by_hand():
    (one,) = judge({"none": by_seed(10, 20, 30, 40, 50), "hflip": by_seed(11, 22, 33, 44, 55)}, "none")
    assert one.mean == 3
    assert one.interval == pytest.approx((3 - 2.776445 * math.sqrt(0.5), 3 + 2.776445 * math.sqrt(0.5)), abs=1e-5)
    # with 4 degrees of freedom P(T > t) = 1/2 - s (1 + (1 - s^2) / 2) / 2, where s = t / sqrt(4 + t^2)
    s = 3 * math.sqrt(2) / math.sqrt(4 + 18)
    assert one.p == pytest.approx(1 - s * (1 + (1 - s**2) / 2), abs=1e-9)
    assert one.p_holm == one.p
    assert one.detectable == pytest.approx((2.776445 + 0.940965) * math.sqrt(0.5), abs=1e-5)
    assert one.call == "higher"
    assert not one.only_suggests


def test_pairing_takes_out_what_a_seed_does_to_all():
    base = by_seed(0.10, 0.90, 0.30, 0.70, 0.50)
    better = {seed: value - 0.01 - 0.001 * seed for seed, value in base.items()}
    (one,) = judge({"none": base, "hflip": better}, "none")
    assert one.call == "lower"
    # not paired, the spread over seeds (0.32) would bury the 0.012
    low, high = mean_interval(list(better.values()))
    assert high - low > 0.5


def test_holm_worked_out_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; the last may not fall below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_stops_a_call_that_one_policy_alone_would_get():
    # t = 3 with 4 degrees of freedom: p = 0.0399 by itself, 0.16 as the best of four
    step = math.sqrt(2.5) / (math.sqrt(5) * 3)
    moved = [step * 3 * value for value in (-1, -0.5, 0, 0.5, 1)]
    base = by_seed(1, 2, 3, 4, 5)
    hflip = {seed: value + move + 0.5 * 1.0606602 for (seed, value), move in zip(base.items(), moved, strict=True)}
    flat = {seed: value + (0.1 if seed % 2 else -0.1) for seed, value in base.items()}
    alone = judge({"none": base, "hflip": hflip}, "none")[0]
    among = judge({"none": base, "hflip": hflip, "a": flat, "b": flat, "c": flat}, "none")[0]
    assert alone.interval == among.interval
    assert alone.p == among.p
    assert among.p_holm == pytest.approx(min(1, 4 * alone.p))
    assert among.detectable > alone.detectable


def test_three_seeds_only_suggest():
    (one,) = judge({"none": by_seed(1.0, 1.1, 1.2), "hflip": by_seed(0.5, 0.61, 0.69)}, "none")
    assert one.call == "lower"
    assert one.only_suggests
    assert one.detectable > 0


def test_only_common_seeds_are_compared():
    (one,) = judge({"none": {0: 1.0, 1: 1.0, 2: 1.0}, "hflip": {1: 1.5, 2: 1.6, 7: 99.0}}, "none")
    assert one.seeds == (1, 2)
    assert one.mean == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("hflip", "why"),
    [
        ({0: 0.5}, "one seed"),
        ({5: 0.5}, "no scored seed"),
        ({}, "no scored seed"),
        ({0: 1.5, 1: 2.5}, "same under every seed"),
        ({0: 1.0, 1: 2.0}, "same under every seed"),
    ],
)
def test_what_cannot_be_tested_says_why(hflip, why):
    (one,) = judge({"none": {0: 1.0, 1: 2.0}, "hflip": hflip}, "none")
    assert one.call == "untested"
    assert why in one.why
    assert one.p is None
    assert one.p_holm is None
    assert one.interval is None


def test_an_untested_policy_does_not_count_in_the_correction():
    scores = {"none": by_seed(1, 2, 3), "hflip": by_seed(1.1, 2.3, 3.2), "gan": {0: 5.0}}
    first, second = judge(scores, "none")
    assert first.p_holm == first.p
    assert second.call == "untested"


def test_more_seeds_detect_less():
    assert (
        smallest_detectable(1, 20) < smallest_detectable(1, 5) < smallest_detectable(1, 3) < smallest_detectable(1, 2)
    )
    assert smallest_detectable(1, 5, 4) > smallest_detectable(1, 5)


# Simulated studies, smaller than those of benchmarks/verdict_simulation.py


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_a_study_without_effects_seldom_cries_wolf(num_seeds):
    # 5 % is the promise, which 2,000 studies know to one point; without Holm's correction it would be 15 %
    assert 0.01 < simulate(num_seeds, 0, repetitions=2000).wolf <= 0.06


def test_a_large_effect_is_found_and_only_that():
    found = simulate(5, 6, repetitions=60)
    assert found.right >= 0.85
    assert found.wolf <= 0.05
    assert simulate(5, 0.2, repetitions=60).missed >= 0.85
