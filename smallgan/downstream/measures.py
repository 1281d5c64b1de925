"""How good a classifier is on test images, by scikit-learn; and its parts without some of them, for the intervals."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, recall_score

NUM_BINS = 15  # Of the expected calibration error, as Guo et al. 2017
NUM_GROUPS = 20  # Groups of test images that are left out in turn, fewer where there are fewer images
Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One measure."""

    name: str
    label: str
    better: str  # higher or lower
    most: float  # Its largest possible value; the least is 0
    of: Callable[[Labels, Probabilities], float]
    """Value from true classes T and probabilities T x K."""


def expected_calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean distance of confidence and accuracy over 15 equal bins of confidence (Guo et al. 2017).

    >>> expected_calibration_error(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    0.4
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(bins, right - confidence, NUM_BINS)
    return round(float(np.abs(gaps).sum() / len(labels)), 12)


def recalls(labels: Labels, probabilities: Probabilities) -> list[float]:
    """Return the recall of each class, K; NaN for a class without a test image."""
    classes, predicted = np.arange(probabilities.shape[1]), probabilities.argmax(axis=1)
    return [float(value) for value in recall_score(labels, predicted, labels=classes, average=None, zero_division=0)]


def _log_loss(labels: Labels, probabilities: Probabilities) -> float:
    return float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


MEASURES = (
    Measure("accuracy", "accuracy", "higher", 1.0, lambda y, p: float(accuracy_score(y, p.argmax(axis=1)))),
    Measure(
        "balanced_accuracy",
        "balanced accuracy",
        "higher",
        1.0,
        lambda y, p: float(balanced_accuracy_score(y, p.argmax(axis=1))),
    ),
    Measure(
        "macro_f1",
        "macro F1",
        "higher",
        1.0,
        lambda y, p: float(f1_score(y, p.argmax(axis=1), average="macro", zero_division=0)),
    ),
    Measure("log_loss", "log loss", "lower", math.inf, _log_loss),
    Measure("ece", "expected calibration error", "lower", 1.0, expected_calibration_error),
)
HEADLINE = "accuracy"


def image_groups(labels: Labels) -> NDArray[np.int64]:
    """Return the group of each test image, from 0 up: the same share of every class in each."""
    number = min(NUM_GROUPS, len(labels))
    groups = np.empty(len(labels), np.int64)
    groups[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % number
    return groups


def measured(labels: Labels, probabilities: Probabilities) -> dict[str, list[float]]:
    """Return each measure of one trained classifier: its value, then its jackknife pseudo-values, one a group.

    The pseudo-value of group g is G v - (G - 1) v(without g): for an accuracy in equal groups that of the group.
    """
    groups = image_groups(labels)
    number = int(groups.max()) + 1
    rows = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class that is not in the part, which is meant
        for measure in MEASURES:
            whole = measure.of(labels, probabilities)
            parts = [measure.of(labels[groups != g], probabilities[groups != g]) for g in range(number)]
            rows[measure.name] = [whole, *(number * whole - (number - 1) * part for part in parts)]
    return rows
