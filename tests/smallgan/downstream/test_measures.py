"""Measures by hand; the pseudo-values of an accuracy in equal groups are the accuracies of the groups."""

import numpy as np
import pytest

from smallgan.data.confusion import confusion
from smallgan.downstream.measures import expected_calibration_error, image_groups, measured, recalls

LABELS = np.array([0, 0, 0, 1])
SURE = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8]])  # right, right, wrong, right


def test_the_measures_of_four_images():
    found = {name: values[0] for name, values in measured(LABELS, SURE).items()}
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["log_loss"] == pytest.approx(-(3 * np.log(0.8) + np.log(0.2)) / 4)
    assert found["ece"] == pytest.approx(0.05)  # all at confidence 0.8, three of four right


def test_recall_and_confusion_of_each_class():
    assert recalls(LABELS, SURE) == pytest.approx([2 / 3, 1])
    assert confusion(LABELS, SURE).tolist() == [[2, 1], [0, 1]]


def test_calibration_is_perfect_where_confidence_is_accuracy():
    labels, half = np.array([0, 1]), np.full((2, 2), 0.5)
    assert expected_calibration_error(labels, half) == 0


def test_pseudo_values_of_an_accuracy_are_those_of_the_groups():
    draws = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 25)
    probabilities = draws.dirichlet(np.ones(4), 100)
    groups = image_groups(labels)
    right = probabilities.argmax(axis=1) == labels
    values = measured(labels, probabilities)["accuracy"]
    assert values[0] == right.mean()
    assert values[1:] == pytest.approx([right[groups == group].mean() for group in range(20)])


def test_every_group_has_the_same_share_of_every_class():
    labels = np.tile(np.arange(3), 40)
    groups = image_groups(labels)
    counts = [np.bincount(labels[groups == group], minlength=3) for group in range(20)]
    assert np.ptp(counts, axis=0).max() <= 1
