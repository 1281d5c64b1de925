"""A network that helped to train a model is struck out as its judge; networks of the same images are related to it."""

import json

import numpy as np
import pytest
import torch

from smallgan.core import weights
from smallgan.metrics import evaluate
from smallgan.metrics.features.extract import NO_WEIGHTS, FeatureNet, Features, feature_net
from smallgan.metrics.score import RELATED, STRUCK, Score
from smallgan.metrics.score_text import table
from smallgan.metrics.standing import FREE, Standing, standing_of
from smallgan.tables.feature_networks import FEATURE_NETWORKS, PANEL

CPU = torch.device("cpu")
LOSSES = {
    "shipped": {"name": "shipped", "weights": weights.SHIPPED_FEATURES, "weights_sha256": "5" * 64},
    "squeezenet": {"name": "squeezenet1_1", "weights": "squeezenet1_1-features", "weights_sha256": "6" * 64},
    "vgg16": {"name": "vgg16", "weights": "vgg16", "weights_sha256": "7" * 64},
    "gone": {"name": "gone", "weights": "a card of another version", "weights_sha256": "8" * 64},
    "none": None,
}


def judge(name, **changes):
    """The network of a row as `feature_net` makes it, without its weights."""
    spec = FEATURE_NETWORKS[name]
    parts = {"weights": spec.card.network if spec.card else "", "trained_on": spec.trained_on, **changes}
    sha256 = parts.pop("sha256", "0" * 64 if spec.card else NO_WEIGHTS)
    return FeatureNet(name, name, sha256, "none", "fp32", 3, 0, lambda _: None, CPU, None, **parts)


@pytest.mark.parametrize(
    ("loss", "marks"),
    [
        ("shipped", {weights.SHIPPED_FEATURES: STRUCK}),
        (
            "squeezenet",
            {"squeezenet1_1-64": STRUCK, "squeezenet1_1": STRUCK, "squeezenet1_1-features": STRUCK}
            | dict.fromkeys(("mobilenet_v2", "resnet50", "inception-v3", "inception-v3-tf2015"), RELATED),
        ),
        ("vgg16", dict.fromkeys([row.name for row in FEATURE_NETWORKS if row.trained_on == "ImageNet"], RELATED)),
        ("gone", {}),
        ("none", {}),
    ],
)
def test_who_is_struck_and_who_is_related(loss, marks):
    found = {row.name: standing_of(judge(row.name), LOSSES[loss]) for row in FEATURE_NETWORKS}
    assert {name: standing.mark for name, standing in found.items() if standing.mark} == marks
    assert all(standing.why.startswith(f"{standing.mark}: {name}") for name, standing in found.items() if standing.mark)


def test_the_network_of_the_run_that_a_run_started_from_is_struck_too():
    later = LOSSES["squeezenet"] | {"before": LOSSES["vgg16"] | {"before": LOSSES["shipped"]}}
    assert standing_of(judge(weights.SHIPPED_FEATURES), later).mark == STRUCK
    assert standing_of(judge("squeezenet1_1"), LOSSES["vgg16"] | {"before": LOSSES["squeezenet"]}).mark == STRUCK
    assert standing_of(judge("resnet50"), LOSSES["shipped"] | {"before": LOSSES["vgg16"]}).mark == RELATED


def test_the_same_weights_under_another_name_are_struck_and_a_card_may_tell_relatives():
    own = judge("pixels8", sha256="8" * 64)
    assert standing_of(own, LOSSES["gone"]).mark == STRUCK
    assert standing_of(judge("pixels8", trained_on="imagenet"), LOSSES["vgg16"]).mark == RELATED
    assert standing_of(judge("pixels8", trained_on="our slides"), LOSSES["vgg16"]) is FREE


def test_no_two_of_the_panel_are_related():
    made_from = [FEATURE_NETWORKS[name].trained_on for name in PANEL]
    assert len(set(made_from)) == len(PANEL)
    net, _ = feature_net(weights.SHIPPED_FEATURES, CPU)
    assert (net.weights, net.trained_on) == (weights.SHIPPED_FEATURES, "Caltech-101")


def test_what_is_struck_stands_in_the_score_and_in_the_text():
    draws = np.random.default_rng(0)
    fake, real = (Features(draws.normal(size=(9, 3)), np.zeros((9, 0)), draws.gamma(2.0, size=9)) for _ in range(2))
    standing = Standing(STRUCK, "struck: it helped")
    scores = evaluate(fake, real, judge("pixels8"), metrics=["kid", "sharpness"], standing=standing)
    plain = evaluate(fake, real, judge("pixels8"), metrics=["kid", "sharpness"])
    assert [one.standing for one in scores] == [STRUCK, ""], "no network has a say in sharpness"
    assert [one.value for one in scores] == [one.value for one in plain]
    assert [one.identity for one in scores] == [one.identity for one in plain]
    assert scores[0].notes == ("struck: it helped",)
    text = table(scores)
    assert text.startswith("KID (pixels8) [struck]  ")
    assert text.count("struck: it helped") == 1
    record = json.loads(json.dumps(scores[0].to_json()))
    assert record["standing"] == STRUCK
    assert Score.from_json(record) == scores[0]
    del record["standing"]
    assert Score.from_json(record).standing == "", "a line of an earlier version"
