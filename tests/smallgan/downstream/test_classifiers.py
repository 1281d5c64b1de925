"""Each classifier learns what it must, from its seed alone, and no option of training changes what is asked of it."""

import numpy as np
import pytest
import torch

from augment.errors import UsageError
from augment.policy.expression import parse_policy
from smallgan.downstream import frozen
from smallgan.downstream.network import NUM_VALIDATIONS, changed, is_looked_at, learning_rate, order
from smallgan.downstream.task import StopRequestedError, Task, fit
from smallgan.metrics.features.extract import network_module
from smallgan.models.small_resnet import SmallResNet
from smallgan.tables.classifiers import CLASSIFIERS

CPU = torch.device("cpu")


def bars(number, seed):
    """Images of 16 px with a bright bar that stands (class 0) or lies (class 1), on noise."""
    draws = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    pixels = draws.integers(0, 90, (number, 16, 16, 3), dtype=np.uint8)
    for image, label, at in zip(pixels, labels, draws.integers(2, 12, number), strict=True):
        (image if label else image.transpose(1, 0, 2))[at : at + 3] = 220
    return pixels, labels.astype(np.int64)


def task(**changes):
    train, labels = bars(24, 1)
    values = {"options": None, "train": train, "labels": labels, "num_steps": 40}
    values |= {"test": bars(40, 2)[0], "num_classes": 2, "seed": 0, "device": CPU}
    return Task(**(values | changes))


def options(name, **values):
    return CLASSIFIERS[name].options(name=name, **values)


FAST = {"batch_size": 8}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("resnet", {"width": 8, **FAST}),
        ("linear", {"features": "pixels8"}),
        ("knn", {"features": "pixels8", "neighbours": 3}),
        ("torchvision", {"network": "smallgan-small64-v1", **FAST}),
    ],
)
def test_a_classifier_tells_two_plain_classes_apart(name, values):
    few = {"num_steps": 12} if name == "torchvision" else {}
    found = fit(task(**few), options(name, **values))
    assert found.shape == (40, 2)
    assert found.sum(axis=1) == pytest.approx(np.ones(40))
    assert found.min() > 0 or name == "linear"
    assert (found.argmax(axis=1) == bars(40, 2)[1]).mean() >= (0.8 if name in ("resnet", "torchvision") else 0.6)


def test_the_same_seed_gives_the_same_bits_and_another_others():
    chosen = options("resnet", width=8, **FAST)
    first, again, other = (fit(task(num_steps=5, seed=seed), chosen) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_global_generators_neither_decide_nor_are_moved():
    chosen = options("resnet", width=8, randaugment=1, **FAST)
    torch.manual_seed(1)
    first, state = fit(task(num_steps=3), chosen), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert np.array_equal(first, fit(task(num_steps=3), chosen))


@pytest.mark.parametrize("extra", [{"mixup": 0.4}, {"label_smoothing": 0.1}, {"randaugment": 2}])
def test_regularisers_are_off_by_default_and_change_the_result(extra):
    plain = options("resnet")
    assert (plain.mixup, plain.label_smoothing, plain.randaugment) == (0, 0, 0)
    chosen = options("resnet", width=8, **FAST)
    changed_options = chosen.model_copy(update=extra)
    assert not np.array_equal(fit(task(num_steps=4), chosen), fit(task(num_steps=4), changed_options))


def log_loss(found, labels):
    return -np.log(found[np.arange(len(found)), labels]).mean()


def test_early_stopping_looks_twenty_times_and_last_at_the_end():
    looks = [step for step in range(150) if is_looked_at(step, 150)]
    assert len(looks) == NUM_VALIDATIONS == 20
    assert looks[-1] == 149
    assert all(is_looked_at(step, 7) for step in range(7))


def test_early_stopping_takes_the_step_with_the_lowest_log_loss_on_the_validation_part():
    chosen, (pixels, labels) = options("resnet", width=8, **FAST), bars(40, 2)
    last = fit(task(), chosen)
    right = fit(task(validation=pixels, validation_labels=labels), chosen)
    wrong = fit(task(validation=pixels, validation_labels=1 - labels), chosen)
    # the validation images are the test images here: what is chosen is no worse on them than the last step
    assert log_loss(right, labels) <= log_loss(last, labels)
    # what learns the truth gets worse by wrong labels: an early step counts, and nothing of training is changed by it
    assert log_loss(wrong, 1 - labels) < log_loss(last, 1 - labels) / 2


def test_no_image_chooses_the_step_unless_asked():
    assert options("resnet").validation == 0
    assert "validation" not in CLASSIFIERS["linear"].options.model_fields


def test_steps_follow_the_originals_unless_they_are_given():
    assert options("resnet").num_steps(100) == 300
    assert options("resnet").num_steps(4000) == 10_000
    assert options("resnet", steps=7).num_steps(4000) == 7
    assert options("torchvision").num_steps(32) == 100


def test_a_pass_shows_every_image_once():
    places = [place for step in range(6) for place in order(0, 10, 5, step)]
    assert [sorted(places[first : first + 10]) for first in (0, 10, 20)] == [list(range(10))] * 3
    assert sorted(order(0, 3, 8, 0))[:2] == [0, 0]  # fewer images than a batch: they come again
    assert order(0, 10, 4, 2) == [*order(0, 10, 10, 0)[8:], *order(0, 10, 10, 1)[:2]]


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [learning_rate(step, 100, 0.5) for step in range(100)]
    assert rates[0] == 0.05
    assert max(rates) == rates[9] == rates[10] == 0.5
    assert rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_on_the_fly_half_of_the_images_are_changed_and_the_address_decides_which():
    pixels = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
    made = changed(pixels, parse_policy("hflip:3+vflip:1"), 5, 2)
    kinds = [pixels, pixels[:, :, ::-1], pixels[:, ::-1]]
    same, mirrored, upside_down = (int((made == kind).all(axis=(1, 2, 3)).sum()) for kind in kinds)
    assert same + mirrored + upside_down == 400
    assert abs(same - 200) < 45
    assert abs(mirrored - 150) < 45
    assert np.array_equal(made, changed(pixels, parse_policy("hflip:3+vflip:1"), 5, 2))
    assert not np.array_equal(made, changed(pixels, parse_policy("hflip:3+vflip:1"), 5, 3))


def test_frozen_features_refuse_what_they_cannot_do():
    with pytest.raises(UsageError, match="made once"):
        fit(task(on_the_fly=parse_policy("hflip")), options("linear", features="pixels8"))
    with pytest.raises(UsageError, match="unknown feature network"):
        fit(task(), options("torchvision", network="mobilenet"))
    with pytest.raises(UsageError, match="no weights to train"):
        fit(task(), options("torchvision", network="pixels8"))


def test_features_of_an_image_are_made_once(monkeypatch):
    asked = []
    plain = frozen.extract
    monkeypatch.setattr(
        frozen, "extract", lambda pixels, net, **more: asked.append(len(pixels)) or plain(pixels, net, **more)
    )
    monkeypatch.setattr(frozen, "_made", {})
    chosen = options("knn", features="pixels8")
    train, labels = bars(24, 71)
    one = task(train=train, labels=labels, test=bars(8, 72)[0])
    first = fit(one, chosen)
    more = np.concatenate([train[:5], train, train[:, :, ::-1]])
    fit(task(train=more, labels=np.concatenate([labels[:5], labels, labels]), test=one.test), chosen)
    assert asked == [24, 8, 24]  # training images, test images, and of the second training part the mirrored ones
    monkeypatch.setattr(frozen, "_made", {})
    assert np.array_equal(fit(one, chosen), first)
    assert asked == [24, 8, 24]  # found in the cache


def test_a_stop_ends_a_training():
    with pytest.raises(StopRequestedError):
        fit(task(stop_requested=lambda: True), options("resnet", width=8))


def test_a_class_without_training_images_gets_no_probability_from_a_linear_probe():
    found = fit(task(num_classes=3), options("linear", features="pixels8"))
    assert found.shape == (40, 3)
    assert (found[:, 2] == 0).all()


@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_the_residual_network_takes_small_images(size):
    net = SmallResNet(5, size, 4).eval()
    assert net(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_a_network_to_train_on_has_its_weights_and_its_batch_norms():
    module = network_module("smallgan-small64-v1")
    assert any(isinstance(each, torch.nn.BatchNorm2d) for each in module.modules())
    assert all(weight.requires_grad for weight in module.parameters())
