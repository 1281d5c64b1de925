"""What the readings of a run warn of: each rule fires where it should, once, and does not fire where it should not."""

import numpy as np
import pytest

from augment.core.shares import wilson
from smallgan.metrics.diagnostics import newest, summary, warnings
from smallgan.metrics.snapshot_reading import median_distance


def run_of(**columns):
    """Readings at steps 0, 100, 200, ... from a list of values for each name; None: not there."""
    rows = zip(*columns.values(), strict=True)
    return [
        {"step": 100 * at, **{name: value for name, value in zip(columns, row, strict=True) if value is not None}}
        for at, row in enumerate(rows)
    ]


def merits(*values, half_width=0.02):
    ends = {"merit_low": [one - half_width for one in values], "merit_high": [one + half_width for one in values]}
    return run_of(merit=values, **ends)


def said(readings, words):
    """Return the steps of the warnings with these words."""
    return [one.step for one in warnings(readings) if words in one.text]


WORSE, COLLAPSE, ALIKE = "getting worse since step", "lose variety", "grow alike"
SATURATED, OVERFITS, COPIES = "learns little", "by heart", "are copies"


def test_three_snapshots_worse_than_the_best_by_more_than_its_half_width():
    readings = merits(1.0, 0.50, 0.30, 0.33, 0.34, 0.33)
    [warning] = warnings(readings)
    assert warning.step == 500
    assert "worse since step 200: KMMD 0.3000 [0.2800, 0.3200] there, 0.3300, 0.3400, 0.3300" in warning.text
    assert "--checkpoint best" in warning.text


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 0.50, 0.30, 0.33, 0.34),  # two only
        (1.0, 0.50, 0.30, 0.33, 0.315, 0.33, 0.34),  # one of three within the half-width
        (1.0, 0.50, 0.40, 0.35, 0.30, 0.25),  # it gets better
        (0.30, 0.50, 0.50, 0.50, 0.50, 0.50),  # only the start was better: no checkpoint was written there
        (1.0, 0.99, 1.05, 1.05, 1.05),  # nothing was learned yet
    ],
)
def test_what_is_not_yet_worse(values):
    assert said(merits(*values), WORSE) == []


@pytest.mark.parametrize(
    ("values", "alike_at_start", "steps"),
    [
        ((0.30, 0.40, 0.45, 0.50, 0.55), 0.9, [300]),  # of a pretrained source, by the third snapshot
        ((0.30, 0.40, 0.31, 0.50, 0.55), 0.9, []),  # once within the interval of the start
        ((0.30, 0.40, 0.45), 0.9, []),  # two only
        ((0.90, 1.00, 1.00, 1.00, 1.00), 0.2, []),  # fresh weights: all samples alike, it may still begin to learn
    ],
)
def test_a_run_that_only_gets_worse_than_the_weights_it_began_with(values, alike_at_start, steps):
    readings = merits(*values)
    readings[0]["alike"] = alike_at_start
    assert said(readings, "worse than the weights it began with: KMMD 0.3000 [0.2800, 0.3200] at step 0") == steps


def test_a_new_best_ends_it_and_a_second_decline_is_told_again():
    readings = merits(1.0, 0.30, 0.40, 0.40, 0.40, 0.40, 0.20, 0.30, 0.30, 0.30)
    assert said(readings, WORSE) == [400, 900]
    assert said([{"step": 0}, {"step": 1}], "") == []


def test_recall_that_halves_twice_in_a_row():
    assert said(run_of(recall=[0.0, 0.5, 0.6, 0.3, 0.3, 0.1]), COLLAPSE) == [400]
    assert said(run_of(recall=[0.0, 0.5, 0.6, 0.3, 0.31, 0.3]), COLLAPSE) == []
    assert said(run_of(recall=[0.15, 0.06, 0.06]), COLLAPSE) == []  # lower by less than 0.1


def test_samples_that_grow_alike():
    assert said(run_of(alike=[0.1, 0.8, 0.9, 0.45, 0.4, 0.2]), ALIKE) == [400]
    assert said(run_of(alike=[0.1, 0.2, 0.3, 0.4, 0.45]), ALIKE) == []  # they grow apart
    assert said(run_of(alike=[0.9, 0.8, 0.55, 0.55]), ALIKE) == []  # above a half
    assert said(run_of(alike=[0.6, 0.49, 0.49]), ALIKE) == []  # not below 0.7 of the highest


def test_a_discriminator_that_tells_everything_apart():
    assert said(run_of(told_apart=[0.5, 1.0, 1.0, 0.995, 0.995]), SATURATED) == [300]
    assert said(run_of(told_apart=[0.5, 1.0, 1.0, 0.98, 1.0, 0.98]), SATURATED) == []
    learning = run_of(told_apart=[0.5, 1.0, 1.0, 1.0, 1.0], merit=[1.0, 0.9, 0.8, 0.7, 0.6])
    assert said(learning, SATURATED) == []


def test_a_discriminator_that_overfits():
    assert said(run_of(r_v=[None, 0.2, 0.6, 0.7, 0.8]), OVERFITS) == [300]
    assert said(run_of(r_v=[None, 0.6, 0.4, 0.6, None, 0.6]), OVERFITS) == []


def test_copies_by_the_lower_end_of_wilsons_interval():
    assert wilson(0.10, 100)[0] > 0.05 > wilson(0.08, 100)[0]
    of_many = {"copies_expected": [0.01] * 3, "num_fake": [100] * 3}
    assert said(run_of(copies=[0.0, 0.08, 0.10], **of_many), COPIES) == [200]
    # Of 24 training images 8 % are expected by chance: twice that is not passed by the lower end for 20 %.
    of_few = {"copies_expected": [0.08], "num_fake": [100]}
    assert said(run_of(copies=[0.2], **of_few), COPIES) == []
    assert said(run_of(copies=[0.3], **of_few), COPIES) == [0]


def test_the_first_readings_warn_alike_whatever_follows():
    readings = merits(1.0, 0.50, 0.30, 0.33, 0.34, 0.33, 0.2, 0.4, 0.4, 0.4, 0.4)
    for end in range(1, len(readings)):
        first = warnings(readings[:end])
        assert warnings(readings)[: len(first)] == first
        assert newest(readings[:end]) == [one for one in first if one.step == readings[end - 1]["step"]]


def test_the_last_word_names_the_best_the_last_and_the_command():
    readings = merits(1.0, 0.3, 0.4)
    assert summary(readings, 100, "runs/a") == (
        "best checkpoint: step 100, KMMD 0.3000 [0.2800, 0.3200] against the images that select it; the last, step "
        "200, has 0.4000. Sample the best: smallgan sample runs/a --checkpoint best"
    )
    assert "the last checkpoint is the best, step 200" in summary(merits(1.0, 0.4, 0.3), 200, "runs/a")
    assert summary([], 100, "runs/a") is None


def test_the_median_distance_of_pairs():
    """On a circle of 1,000 points the median chord is that of a right angle: sqrt(2)."""
    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert median_distance(circle, 0) == pytest.approx(2**0.5, rel=0.03)
    assert median_distance(3 * circle, 0) == pytest.approx(3 * median_distance(circle, 0))
    assert median_distance(np.zeros((5, 2)), 1) == 0
