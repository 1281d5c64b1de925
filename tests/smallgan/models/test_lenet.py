"""LeNet and the domain discriminator: the published sizes, what is gray, and the first weights."""

import math

import pytest
import torch

from smallgan.models.lenet import DomainDiscriminator, LeNet, initialise


def sizes(network):
    return {name: tuple(each.shape) for name, each in network.named_parameters() if name.endswith("weight")}


def test_networks_have_the_published_sizes():
    net = LeNet(28, 10)
    assert sizes(net) == {
        **{"first.weight": (20, 1, 5, 5), "second.weight": (50, 20, 5, 5)},
        **{"hidden.weight": (500, 800), "last.weight": (10, 500)},
    }
    assert sum(each.numel() for each in net.parameters()) == 431_080  # Caffe's LeNet
    shapes = list(sizes(DomainDiscriminator(500, 500)).values())
    assert shapes == [(500, 500), (500, 500), (1, 500)]


def test_images_of_other_sides_and_in_color_are_classified():
    net = LeNet(32, 3, gray=False)
    images = torch.zeros(2, 3, 32, 32)
    assert net.features(images).shape == (2, 500)
    assert net(images).shape == (2, 3)
    assert DomainDiscriminator(3, 7)(net(images)).shape == (2,)


def test_the_features_are_those_before_the_rectifier_which_the_last_layer_applies():
    net = initialise(LeNet(28, 2), torch.Generator().manual_seed(0))
    features = net.features(torch.rand(4, 3, 28, 28) * 2 - 1)
    assert (features < 0).any()
    torch.testing.assert_close(net.classify(features), features.clamp(min=0) @ net.last.weight.T + net.last.bias)


def test_a_red_image_is_a_dark_gray_one():
    net = initialise(LeNet(28, 2), torch.Generator().manual_seed(0))
    red = torch.full((1, 3, 28, 28), -1.0)
    red[:, 0] = 1  # 0.299 of white, which is 0.299 * 2 - 1 in images
    gray = torch.full((1, 3, 28, 28), 2 * 0.299 - 1)
    torch.testing.assert_close(net.features(red), net.features(gray))


def test_first_weights_are_glorots_and_depend_on_the_draws_alone():
    net, again = (initialise(LeNet(28, 10), torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert not net.hidden.bias.any()
    bound = math.sqrt(6 / (800 + 500))
    assert net.hidden.weight.abs().max() <= bound
    assert net.hidden.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
