"""Latents from principal components: what whitening means, worked out on sets whose components are known."""

import numpy as np
import torch

from smallgan.data.images import to_images
from smallgan.training import pca_latents
from smallgan.training.pca_latents import LIMIT, PCALatents, blended


def pixels(count=40, size=32):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def noise(count, z_dim):
    return torch.randn(count, z_dim, generator=torch.Generator().manual_seed(1))


def latents(images, z_dim):
    return PCALatents(images, z_dim)(to_images(torch.tensor(images)), noise(len(images), z_dim))


def test_components_have_mean_0_variance_1_and_no_correlation(monkeypatch):
    monkeypatch.setattr(pca_latents, "LIMIT", 100.0)
    found = latents(pixels(), 10)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.T @ found / 40, torch.eye(10), rtol=0, atol=1e-3)


def test_two_images_lie_at_plus_and_minus_one_and_noise_fills_the_rest():
    found, wanted = latents(pixels(2), 5), noise(2, 5)
    assert sorted(found[:, 0].round(decimals=4).tolist()) == [-1, 1]
    assert torch.equal(found[:, 1:], wanted[:, 1:])


def test_the_first_component_is_the_direction_of_most_variance():
    level = np.array([0, 100, 200, 150, 50, 255, 20, 180], np.uint8)  # images of one gray each: all variance is level
    images = np.broadcast_to(level[:, None, None, None], (8, 32, 32, 3))
    found, wanted = latents(images, 4), noise(8, 4)
    scaled = (level - level.mean()) / level.std()
    np.testing.assert_allclose(found[:, 0].numpy(), scaled, rtol=1e-3)  # the sign that is positive for a gain in level
    assert torch.equal(found[:, 1:], wanted[:, 1:]), "there is no second component"


def test_outliers_are_clipped():
    images = np.zeros((40, 32, 32, 3), np.uint8)
    images[0] = 255
    assert latents(images, 1).abs().max() == LIMIT  # (1 - 1/40) / sqrt(39/1600) = 6.2 otherwise


def test_equal_images_have_no_components():
    images = np.full((5, 32, 32, 3), 77, np.uint8)
    assert torch.equal(latents(images, 3), noise(5, 3))


def test_a_blend_keeps_length_on_average():
    one, other = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 10.0]])
    torch.testing.assert_close(blended(one, other, 0.6), torch.tensor([[4.0, 6.0]]))
    assert torch.equal(blended(one, other, 0.0), one)
    assert torch.equal(blended(one, other, 1.0), other)
