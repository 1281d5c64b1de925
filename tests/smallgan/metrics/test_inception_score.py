import doctest

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from augment.errors import UsageError
from smallgan.metrics import inception_score as module
from smallgan.metrics.inception_score import inception_score


def plain(logits, splits):
    """The ten lines that everybody can check."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        kl = (part * (np.log(part) - np.log(part.mean(axis=0)))).sum(axis=1)
        scores.append(np.exp(kl.mean()))
    return np.mean(scores), np.std(scores)


@pytest.fixture
def logits():
    return np.random.default_rng(5).normal(size=(203, 31)).astype(np.float32) * 3


@pytest.mark.parametrize("splits", [1, 7, 10])
def test_equals_torch_fidelity_and_ten_lines_of_numpy(logits, splits):
    ours = inception_score(logits, splits=splits)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=False)
    mean, std = plain(logits.astype(np.float64), splits)
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.value == pytest.approx(mean, rel=1e-12)
    if splits > 1:
        assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-9)
        assert ours.std == pytest.approx(std, rel=1e-9)


def test_sure_predictions_over_k_classes_score_k():
    found = inception_score(np.tile(np.eye(4) * 2000, (3, 1)))
    assert found.value == pytest.approx(4)
    assert found.parts["h_y"] == pytest.approx(np.log(4))
    assert found.parts["h_y_given_x"] == pytest.approx(0)


def test_unsure_predictions_score_1():
    found = inception_score(np.zeros((6, 5)))
    assert found.value == pytest.approx(1)
    assert (found.parts["h_y"], found.parts["h_y_given_x"]) == pytest.approx((np.log(5), np.log(5)))


def test_value_of_one_split_is_made_of_its_parts(logits):
    found = inception_score(logits)
    assert found.value == pytest.approx(np.exp(found.parts["h_y"] - found.parts["h_y_given_x"]), rel=1e-14)
    assert found.std is None


def test_impossible_classes_add_nothing():
    logits = np.zeros((3, 3))
    logits[:, 2] = -1e5  # its probability underflows to 0 in every row
    assert inception_score(logits).value == pytest.approx(1)


def test_shuffling_keeps_a_set_sorted_by_class_from_being_split_by_class():
    logits = np.repeat(np.eye(4), 100, axis=0) * 50
    assert inception_score(logits, splits=4).value == pytest.approx(1)
    assert inception_score(logits, splits=4, shuffle_seed=0).value > 3.9
    assert inception_score(logits, splits=4, shuffle_seed=0) == inception_score(logits, splits=4, shuffle_seed=0)


def test_more_splits_than_images_is_an_error_that_names_the_option():
    with pytest.raises(UsageError, match=r"--splits 4: must be from 1 to 3"):
        inception_score(np.zeros((3, 2)), splits=4)


def test_doctest():
    assert doctest.testmod(module).failed == 0
