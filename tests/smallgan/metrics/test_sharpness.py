"""Sharpness, and the judge that has no network."""

import numpy as np
import pytest
import torch
from PIL import Image

from augment.errors import InputError, UsageError
from smallgan.metrics.features import image_sets
from smallgan.metrics.features.extract import NO_WEIGHTS, extract, feature_net
from smallgan.metrics.features.laplacian import laplacian_variance
from smallgan.metrics.run_scorer import RunScorer
from smallgan.metrics.score import differing_keys
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.metrics.sharpness import sharpness
from smallgan.tables.recipe_schema import ScoreSection

NETWORKS = ("smallgan-small64-v1", "pixels8")
CPU = torch.device("cpu")


def board(high, side=6):
    """Gray 128, and every other place `high` levels above it."""
    rows, columns = np.indices((side, side))
    return np.repeat((128 + high * ((rows + columns) % 2))[..., None], 3, axis=2).astype(np.uint8)


def test_the_variance_of_a_chequerboard_is_known():
    # Four neighbours differ by `high`: the Laplacian is 4 high or -4 high, half of the places each.
    values = laplacian_variance([board(0), board(10), board(20)])
    np.testing.assert_allclose(values, [0, (4 * 10) ** 2, (4 * 20) ** 2], rtol=1e-9)


def test_it_is_a_ratio_of_medians_and_none_where_the_reals_are_flat():
    assert sharpness(np.array([1.0, 4.0, 100.0]), np.array([2.0])) == 2.0
    assert np.isnan(sharpness(np.array([1.0]), np.array([0.0])))


def test_blur_lowers_it_and_noise_raises_it():
    draws = np.random.default_rng(0)
    smooth = np.kron(draws.integers(60, 200, (4, 8, 8, 3)), np.ones((1, 8, 8, 1)))
    noisy = np.clip(smooth + draws.normal(0, 20, smooth.shape), 0, 255)
    blurred = (smooth + np.roll(smooth, 1, 1) + np.roll(smooth, 1, 2) + np.roll(smooth, (1, 1), (1, 2))) / 4
    real, blur, noise = (laplacian_variance(each.astype(np.uint8)) for each in (smooth, blurred, noisy))
    assert sharpness(blur, real) < 0.5 < 1.4 < sharpness(noise, real)


def test_eight_by_eight_pixels_are_means_and_need_no_weights():
    net, note = feature_net("pixels8", CPU)
    assert (net.sha256, net.num_features, net.num_logits, net.label, note) == (NO_WEIGHTS, 192, 0, "8 x 8 pixels", None)
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 255
    features = extract([image], net).features.reshape(3, 8, 8)
    np.testing.assert_allclose(features[:, :, [0, -1]], np.broadcast_to([-1.0, 1.0], (3, 8, 2)), atol=1e-6)


def save(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def boards(tmp_path, monkeypatch):
    """Fakes of 10 levels, reals of 20: the variance goes with the square."""
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    return save(tmp_path / "fakes", [board(10)] * 5), save(tmp_path / "reals", [board(20)] * 6)


def test_as_a_metric_it_is_of_the_images_and_comes_once_whatever_the_networks(boards, monkeypatch):
    fakes, reals = boards
    alone = [score(fakes, reals, ScoreOptions(features=name, metrics=("sharpness",)))[0] for name in NETWORKS]
    found = score(fakes, reals, ScoreOptions(features="panel", metrics=("sharpness", "kid"), baselines=True))
    assert [one.label for one in found] == ["sharpness", "KID (smallgan-small64-v1)", "KID (8 x 8 pixels)"]
    for one in (*alone, found[0]):
        assert one.value == pytest.approx(1 / 4)
        assert one.parts == pytest.approx({"fakes": 40**2, "reals": 80**2})
        assert differing_keys(one, found[0]) == []
        assert one.notes == ()
    assert (
        found[0].identity["features"] is found[0].identity["weights_sha256"] is found[0].identity["precision"] is None
    )
    assert found[0].identity["resize"] == "reals crop to 6 px"
    assert found[0].baseline == pytest.approx(1)
    monkeypatch.setattr(image_sets, "extract_all", None)
    [again] = score(fakes, reals, ScoreOptions(features="pixels8", metrics=("sharpness",)))
    assert again.value == found[0].value, "it is kept with the features"


def test_it_is_measured_before_the_network_resizes():
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    net, _ = feature_net("pixels8", CPU)
    assert extract([image], net).laplacian == pytest.approx(laplacian_variance([image]))


def test_what_has_no_pixels_no_detail_or_no_inside_is_refused(boards, tmp_path):
    np.savez(tmp_path / "a.npz", features=np.random.default_rng(0).normal(size=(6, 3)), network="net")
    with pytest.raises(InputError, match="sharpness: looks at pixels, and of the fakes features alone are known"):
        score(tmp_path / "a.npz", tmp_path / "a.npz", ScoreOptions(metrics=("sharpness",)))
    flat, small = (save(tmp_path / name, [image] * 5) for name, image in (("flat", board(0)), ("small", board(9, 2))))
    options = ScoreOptions(features="pixels8", metrics=("sharpness",))
    with pytest.raises(InputError, match="more than half of these are flat"):
        score(boards[0], flat, options)
    with pytest.raises(InputError, match="needs sides of 3 pixels, 5 of the fakes have less"):
        score(small, boards[1], options)
    with pytest.raises(UsageError, match="sharpness: needs real images"):
        score(boards[0], None, options)


def test_a_run_without_held_out_images_scores_the_rest_and_says_what_it_leaves_out(capsys):
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    nets = [feature_net(name, CPU)[0] for name in NETWORKS]
    settings = ScoreSection(metrics=("nearest_ratio", "sharpness", "copies"))
    scorer = RunScorer.of_pixels(nets, settings, (images, "a"), (images, "a"), "crop", 0)
    assert [judge.metrics for judge in scorer.judges] == [("sharpness", "copies"), ("copies",)]
    assert "nearest_ratio is not scored: it compares with images held out, and none is" in capsys.readouterr().err
    scorer = RunScorer.of_pixels(nets, settings, (images[:3], "b"), (images[3:], "a"), "crop", 0)
    scores = scorer.evaluate([extract(images[::-1], net) for net in nets])
    assert [one.metric for one in scores] == ["nearest_ratio", "sharpness", "copies", "nearest_ratio", "copies"]
    # of six fakes three are training images and three are held-out ones, at distances 0 and d
    assert scores[0].value <= 1
