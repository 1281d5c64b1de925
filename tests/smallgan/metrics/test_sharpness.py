"""Sharpness, and the judge that has no network."""

import numpy as np
import torch

from smallgan.metrics.features.extract import NO_WEIGHTS, extract, feature_net
from smallgan.metrics.sharpness import laplacian_variance, sharpness

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
