"""Scores of very few images: an answer or an error that says what is needed, and never NaN."""

import math

import numpy as np
import pytest
import torch

from augment.errors import SmallganError, UsageError
from smallgan.metrics import METRICS, RealSet, evaluate
from smallgan.metrics.features.extract import FeatureNet, Features

NET = FeatureNet("net", "net", "0" * 64, "none", "fp32", 16, 5, lambda _: None, torch.device("cpu"), None)
COUNTS = (1, 5, 9, 20, 24)
OF_IMAGES = [row.name for row in METRICS if "labels" not in row.needs]


def images(count, seed=0, shift=0.0):
    rng = np.random.default_rng([seed, count])
    features = rng.normal(shift, size=(count, 16)).astype(np.float32)
    logits = rng.normal(size=(count, 5)).astype(np.float32) * 3
    return Features(features, logits, rng.gamma(2.0, size=count))


def scored(name, fake, real):
    further = {"augmented": images(len(real), 9, 2), "source": images(20, 8, 2), "baselines": True}
    if name == "nearest_ratio":
        further["training_set"] = RealSet(images(len(real), 3), "trained on")
    [score] = evaluate(fake, real, NET, metrics=[name], **further)
    return score


def outcome(name, fake, real):
    """Return the score, or the message of the error."""
    try:
        return scored(name, fake, real)
    except SmallganError as error:
        return str(error)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_few_images_have_a_score_or_an_error_with_a_reason(name, count):
    for num_real in COUNTS:
        score = outcome(name, images(count), images(num_real, 1))
        if isinstance(score, str):
            assert min(count, num_real) < 5, "five a side do for every metric"
            assert "need" in score or "give" in score
        else:
            numbers = [score.value, *score.parts.values(), *(score.interval or ()), score.baseline or 0]
            assert all(math.isfinite(each) for each in numbers)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_from_nine_images_on_there_is_an_interval_that_holds_the_score(name):
    score = scored(name, images(20), images(24, 1))
    if name == "fid":
        assert score.interval is None
        assert score.notes[0].startswith("TOO FEW IMAGES FOR FID: 20 where features of width 16 need 32 per set")
    else:
        low, high = score.interval
        assert low <= score.value <= high
        assert low < high


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_that_are_all_alike_have_a_score_or_an_error(name):
    one = images(1)
    alike = one.rows([0] * 9)
    score = scored(name, alike, images(20, 1))
    assert math.isfinite(score.value)
    if name == "repeats":
        assert score.value == 1
    if name == "is":
        assert score.value == pytest.approx(1)
    if name == "recall":
        assert score.value == 0


@pytest.mark.parametrize("name", OF_IMAGES)
def test_reals_that_are_all_alike_have_a_score_or_an_error(name):
    one = images(1)
    alike = one.rows([0] * 9)
    score = outcome(name, images(20), alike)
    if name in {"kmmd", "kmmd_u", "copies", "repeats", "intra"}:
        assert "give more reals" in score
    else:
        assert math.isfinite(score.value)


def test_a_network_without_classes_cannot_give_what_needs_them():
    real = Features(images(9).features, np.zeros((9, 0), np.float32))
    for name in ("is", "target"):
        with pytest.raises(UsageError, match="needs class predictions, and net has none"):
            evaluate(real, real, NET, metrics=[name])
    assert evaluate(real, real, NET, metrics=["kid"], baselines=True)[0].baseline is not None


def test_baselines_are_reals_in_the_place_of_fakes():
    real = images(60, 1)
    [kid, isc] = evaluate(images(20), real, NET, metrics=["kid", "is"], baselines=True)
    assert (kid.baseline_counts, isc.baseline_counts) == ((20, 40), (20, None))
    assert kid.baseline != kid.value
    [many] = evaluate(images(50), real, NET, metrics=["kid"], baselines=True)
    assert many.baseline_counts == (30, 30)
    [without] = evaluate(images(50), real, NET, metrics=["kid"])
    assert without.baseline is None
    assert without.value == many.value


def test_leak_without_augmented_images_says_so():
    with pytest.raises(UsageError, match="--metrics leak: needs augmented images"):
        evaluate(images(5), images(5), NET, metrics=["leak"])
