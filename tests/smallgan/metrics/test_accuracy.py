"""Accuracy of a classifier from a confusion matrix."""

import numpy as np
import pytest

from augment.errors import UsageError
from smallgan.data.confusion import confusion
from smallgan.metrics import refuse_lacking
from smallgan.metrics.accuracy import accuracy, score_of
from smallgan.metrics.score_text import table
from smallgan.tables.metrics import METRICS
from smallgan.tables.recipe import load_recipe


def test_accuracy_is_the_share_on_the_diagonal_with_wilsons_interval():
    labels, logits = np.array([0, 0, 1, 2]), np.array([[5.0, 1, 0], [0, 2, 1], [0, 3, 1], [9, 0, 1]])
    matrix = confusion(labels, logits)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    found = accuracy(np.array([[0, 10], [0, 0]]))
    assert found.value == 0
    assert found.interval == pytest.approx((0, 3.8415 / 13.8415), abs=1e-4)  # as worked out in augment.core.shares
    assert accuracy(matrix).value == 0.5


def test_a_score_says_what_it_is_of_and_has_the_source_classifier_beside_it():
    found = {"classes": ["a", "b"], "adapted": [[3, 1], [0, 4]], "source_only": [[2, 2], [2, 2]]}
    score = score_of(found, "print", "reals crop to 28 px", 7)
    assert (score.value, score.parts["source_only"]) == (0.875, 0.5)
    assert score.interval[0] < 0.875 < score.interval[1]
    assert (score.identity["num_real"], score.identity["reals"], score.identity["num_fake"]) == (8, "print", None)
    assert "(8 test images; source only 0.500)" in table([score])


def test_nothing_that_makes_images_can_ask_for_it():
    assert "accuracy" in METRICS
    with pytest.raises(UsageError, match="--metrics accuracy: is of a classifier, not of images"):
        refuse_lacking(["accuracy"], {"real": True})
    with pytest.raises(UsageError, match="accuracy needs a classifier, which adda trains"):
        load_recipe(None, {"score.metrics": ["accuracy"]})
