"""Are fakes nearer to the training images than images are that were held out?"""

import numpy as np
import pytest
import torch

from augment.errors import InputError, UsageError
from smallgan.metrics import RealSet, evaluate, real_facts
from smallgan.metrics.features.extract import FeatureNet, Features
from smallgan.metrics.memorisation import nearest_ratio as module
from smallgan.metrics.memorisation.nearest_ratio import nearest_ratio

NET = FeatureNet("net", "net", "0" * 64, "none", "fp32", 1, 0, lambda _: None, torch.device("cpu"), None)


@pytest.fixture(autouse=True)
def _forget():
    real_facts.forget()
    yield
    real_facts.forget()


def on_a_line(*places):
    return Features(np.array(places, np.float64)[:, None], np.zeros((len(places), 0)))


TRAINED = RealSet(on_a_line(0, 100, 200), "trained on")
HELD_OUT = on_a_line(10, 90, 210, 220, 115)  # 10, 10, 10, 20 and 15 from the nearest: 10 in the median


def scored(fakes, **options):
    given = {"reals_fingerprint": "held out", "training_set": TRAINED, **options}
    [score] = evaluate(fakes, HELD_OUT, NET, metrics=["nearest_ratio"], **given)
    return score


def test_it_is_the_ratio_of_two_medians():
    assert nearest_ratio(np.array([[5.0], [97.0], [30.0]]), HELD_OUT.features, TRAINED.features.features) == 0.5
    score = scored(on_a_line(5, 97, 30))
    assert score.value == 0.5
    assert (score.identity["reals"], score.identity["num_real"], score.identity["num_fake"]) == ("held out", 5, 3)
    assert "3 training images (trained on)" in score.identity["estimator"]
    assert scored(HELD_OUT).value == 1


@pytest.mark.parametrize(("place", "alarms"), [(7.9, True), (8.0, False), (30.0, False)])
def test_below_eight_tenths_it_is_an_alarm(place, alarms):
    assert any("nearer to training images" in note for note in scored(on_a_line(place)).notes) == alarms


def test_the_interval_holds_the_value_and_does_not_reach_below_0():
    draws = np.random.default_rng(0)
    sets = [Features(draws.normal(size=(count, 3)), np.zeros((count, 0))) for count in (40, 30, 60)]
    [score] = evaluate(
        *sets[:2], NET, metrics=["nearest_ratio"], reals_fingerprint="h", training_set=RealSet(sets[2], "t")
    )
    assert 0 <= score.interval[0] < score.value < score.interval[1] < 3


def test_the_distances_of_the_held_out_images_are_found_once(monkeypatch):
    plain, looked_at = module.nearest_distance, []
    monkeypatch.setattr(module, "nearest_distance", lambda one, two: looked_at.append(len(one)) or plain(one, two))
    for _ in range(2):
        scored(on_a_line(5, 97, 30), intervals=False)
    assert looked_at.count(5) == 1


@pytest.mark.parametrize(
    "without", [{"training_set": None}, {"reals_fingerprint": "trained on"}, {"training_set": RealSet(HELD_OUT, None)}]
)
def test_without_images_held_out_it_is_refused(without):
    with pytest.raises(UsageError, match="nearest_ratio: compares held-out images with those trained on"):
        scored(on_a_line(1), **without)


def test_held_out_images_that_were_trained_on_are_refused():
    with pytest.raises(InputError, match="half of the held-out images or more are training images"):
        evaluate(
            on_a_line(1),
            on_a_line(0, 100, 7),
            NET,
            metrics=["nearest_ratio"],
            reals_fingerprint="h",
            training_set=TRAINED,
        )
