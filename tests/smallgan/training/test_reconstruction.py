"""The transfer's losses, worked out by hand."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from augment.core.files import sha256_file
from augment.errors import InputError, MissingError, UsageError
from smallgan.core import weights
from smallgan.training.reconstruction import (
    latent_distance,
    load_perceptual,
    perceptual_record,
    pyramid_distance,
    reconstruction,
)

REAL = torch.tensor([[[[0.0, 0.5], [-0.5, 1.0]]]]).expand(1, 3, 2, 2)
"""Against 0.5 everywhere: |difference| is 0.5, 0, 1, 0.5, mean 0.5."""
LAYERS = [torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0]]]])]
REAL_LAYERS = [torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[-1.0]]]])]
"""Absolute: (1 + 2) / 2 = 1.5 and 3; squared: (1 + 4) / 2 = 2.5 and 9."""


def half():
    return torch.full((1, 3, 2, 2), 0.5, requires_grad=True)


def test_the_raw_loss_by_hand():
    terms = reconstruction(half(), REAL, LAYERS, REAL_LAYERS, "raw", 0.001)
    assert terms.loss.item() == pytest.approx(0.5 + 0.001 * (1.5 + 3))
    assert terms.pixel.item() == pytest.approx(0.5)
    assert terms.perceptual.item() == pytest.approx((1.5 + 3) / 2)


def test_the_normalized_loss_by_hand():
    images = half()
    layers = [layer.clone().requires_grad_() for layer in LAYERS]
    terms = reconstruction(images, REAL, layers, REAL_LAYERS, "normalized", 0.1)
    assert terms.loss.item() == pytest.approx(1 + 0.1 + 0.1)
    assert terms.pixel.item() == pytest.approx(0.5)
    assert terms.perceptual.item() == pytest.approx((2.5 + 9) / 2)
    terms.loss.backward()
    # d mean|x - y| = sign / 12, divided by 0.5; d mean (f - t)^2 = 2 (f - t) / n, divided by its value, times 0.1
    wanted = torch.tensor([[1.0, 0.0], [1.0, -1.0]]).expand(1, 3, 2, 2) / 12 / 0.5
    torch.testing.assert_close(images.grad, wanted)
    torch.testing.assert_close(layers[0].grad, 0.1 * torch.tensor([[[[1.0, 2.0]]]]) / 2.5)
    torch.testing.assert_close(layers[1].grad, 0.1 * torch.tensor([[[[6.0]]]]) / 9)


@pytest.mark.parametrize("variant", ["normalized", "raw"])
def test_without_a_network_the_pixels_stand_alone(variant):
    terms = reconstruction(half(), REAL, [], [], variant, 0.1)
    assert terms.loss.item() == pytest.approx(1.0 if variant == "normalized" else 0.5)
    assert terms.perceptual.item() == 0


def test_a_perfect_reconstruction_is_no_division_by_zero():
    images = REAL.clone().requires_grad_()
    terms = reconstruction(images, REAL, LAYERS, LAYERS, "normalized", 0.1)
    terms.loss.backward()
    assert terms.loss.item() == 0
    assert torch.equal(images.grad, torch.zeros_like(images))


def test_the_pyramid_distance_by_hand():
    real = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert pyramid_distance(real + 0.7, real).item() == pytest.approx(0, abs=1e-6)  # no level holds a constant
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = ((rows + columns) % 2 * 2 - 1).expand(2, 3, 16, 16)  # its means of 2 x 2 are 0: the first level has all
    assert pyramid_distance(real + 0.25 * board, real).item() == pytest.approx(0.25)
    # Squares of 2 x 2 stay a board of +-1 when the side is halved, and then are 0. Doubled bilinearly each place has
    # 9 / 16 of itself, 3 / 16 of two opposite neighbours and 1 / 16 of an equal one: 1/4 inside, 3/4 is lost. At an
    # edge a neighbour is itself: 3/4 (1 - 1/2) ... = 1/2 is kept, and 1 in a corner.
    squares = ((rows // 2 + columns // 2) % 2 * 2 - 1).expand(2, 3, 16, 16)
    inside, edges, corners = 14 * 14, 4 * 14, 4
    lost = (inside * 0.75 + edges * 0.5 + corners * 0) / 256
    assert pyramid_distance(real + squares, real).item() == pytest.approx(lost + 1, rel=1e-5)


def test_the_latent_distance_by_hand():
    codes = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    # squared distances to the targets: of code 0 they are 1, 4, 18; of code 1 they are 20, 13, 1
    assert latent_distance(codes, targets).item() == pytest.approx((1 + 4 + 1) / 3 + (1 + 1) / 2)


def test_networks_are_found_in_order_and_what_was_taken_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    network, line = load_perceptual("auto")
    assert network.name == "shipped"
    assert line.startswith("perceptual loss: shipped (smallgan-small64-v1, sha256 ")
    assert "vgg16, which is not here" in line


def test_the_convolutions_of_squeezenet_alone_will_do(tmp_path, monkeypatch):
    card = weights.Card("squeezenet1_1-features", "t", "a", "conv.safetensors", "l", "s", url="u")
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "cards", lambda: {card.name: card})
    (tmp_path / "weights").mkdir()
    save_file(models.squeezenet1_1(weights=None).features.state_dict(), tmp_path / "weights" / card.file)
    for name in ("squeezenet1_1", "auto"):
        network, line = load_perceptual(name)
        assert network.name == "squeezenet1_1"
        assert line.startswith("perceptual loss: squeezenet1_1 (squeezenet1_1-features, sha256 ")
        digest = sha256_file(tmp_path / "weights" / card.file)
        wanted = {"name": "squeezenet1_1", "weights": "squeezenet1_1-features", "weights_sha256": digest}
        assert perceptual_record(network) == wanted


def test_a_file_of_another_network_is_named(tmp_path, monkeypatch):
    card = weights.Card("vgg16", "t", "a", "vgg.safetensors", "l", "s", url="u")
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "cards", lambda: {card.name: card})
    (tmp_path / "weights").mkdir()
    save_file({"0.weight": torch.zeros(3)}, tmp_path / "weights" / card.file)
    with pytest.raises(InputError, match=r"vgg\.safetensors: these are not torchvision's VGG16 weights"):
        load_perceptual("vgg16")


@pytest.mark.parametrize(("name", "weight"), [("none", None), ("vgg16", 0.0)])
def test_none_is_said_out_loud(name, weight):
    network, line = load_perceptual(name, weight)
    assert network is None
    assert perceptual_record(network) is None
    assert line.startswith("perceptual loss: NONE")


def test_a_network_that_does_not_exist_or_is_not_here_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="use one of auto, vgg16, squeezenet1_1, shipped, none"):
        load_perceptual("vgg19")
    if "vgg16" in weights.cards():
        with pytest.raises(MissingError, match="smallgan weights fetch vgg16"):
            load_perceptual("vgg16")
