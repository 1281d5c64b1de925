"""The perceptual networks: which layers, what they are fed, and that nothing of them learns."""

import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from augment.errors import UsageError
from smallgan.models.perceptual import IMAGENET_MEAN, IMAGENET_STD, small_net, squeezenet1_1, vgg16
from smallgan.models.small_net import SmallNet


def images(size=32, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def whole_vgg():
    torch.manual_seed(0)
    with torch.device("meta"):
        network = models.vgg16(weights=None, init_weights=False)
    network.classifier = torch.nn.Identity()  # 120 million weights that no layer of ours needs
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.05)
    return network.eval()


def test_vgg16_gives_the_ten_layers_from_conv1_1_to_conv4_3(whole_vgg):
    network = vgg16(whole_vgg.state_dict())
    found = network.features(images())
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
    sides = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4]
    assert [tuple(layer.shape) for layer in found] == [(2, c, s, s) for c, s in zip(widths, sides, strict=True)]
    # By hand: ImageNet's normalisation of RGB in [0, 1], then convolution, ReLU and pooling as the paper has them.
    hidden = ((images() + 1) / 2 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
        :, None, None
    ]
    layers = []
    for layer in whole_vgg.features:
        if isinstance(layer, torch.nn.Conv2d):
            hidden = F.relu(F.conv2d(hidden, layer.weight, layer.bias, padding=1))
            layers.append(hidden)
        elif isinstance(layer, torch.nn.MaxPool2d):
            hidden = F.max_pool2d(hidden, 2)
    for ours, wanted in zip(found, layers[:10], strict=True):
        torch.testing.assert_close(ours, wanted)
    assert all((layer >= 0).all() for layer in found)


def test_nothing_of_it_learns_and_the_images_get_a_gradient(whole_vgg):
    network = vgg16(whole_vgg.state_dict())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    inputs = images().requires_grad_()
    sum(layer.mean() for layer in network.features(inputs)).backward()
    assert inputs.grad.abs().sum() > 0


@pytest.mark.parametrize("prefix", ["", "features."])
def test_squeezenet_reads_both_forms_of_its_weights(prefix):
    torch.manual_seed(0)
    whole = models.squeezenet1_1(weights=None)
    tensors = {f"{prefix}{name}": tensor for name, tensor in whole.features.state_dict().items()}
    found = squeezenet1_1(tensors | {"classifier.1.weight": torch.zeros(1)}).features(images(64))
    assert [layer.shape[1] for layer in found] == [64, 128, 128, 256, 256, 384, 384, 512, 512]


def test_squeezenets_layers_do_not_depend_on_the_scale_of_its_activations():
    torch.manual_seed(0)
    tensors = models.squeezenet1_1(weights=None).features.state_dict()
    loud = dict(tensors)
    loud["0.weight"], loud["0.bias"] = 900 * tensors["0.weight"], 900 * tensors["0.bias"]
    one, other = squeezenet1_1(tensors).features(images(64)), squeezenet1_1(loud).features(images(64))
    torch.testing.assert_close(one[0], other[0], rtol=1e-3, atol=1e-3)
    for layer in one:
        power = layer.square().mean(dim=1)
        assert ((power - 1).abs() < 1e-2).logical_or(power < 1e-2).all()
        assert (power > 0.9).any()


def test_a_place_where_nothing_fires_does_not_break_the_gradient():
    network = squeezenet1_1({n: torch.zeros_like(t) for n, t in models.squeezenet1_1().features.state_dict().items()})
    inputs = images(64).requires_grad_()
    sum(layer.mean() for layer in network.features(inputs)).backward()
    assert torch.isfinite(inputs.grad).all()


def test_the_small_network_gives_its_stem_and_its_four_blocks():
    torch.manual_seed(0)
    net = SmallNet(7).eval()
    found = small_net({name: tensor.half() if tensor.dim() else tensor for name, tensor in net.state_dict().items()})
    layers = found.features(images(64))
    assert [tuple(layer.shape[1:]) for layer in layers] == [
        (32, 32, 32), (32, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4)
    ]  # fmt: skip
    torch.testing.assert_close(layers[-1].mean(dim=(2, 3)), net(images(64))[0], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("build", [vgg16, squeezenet1_1, small_net])
def test_tensors_of_another_network_are_refused(build):
    with pytest.raises(UsageError, match="these are not torchvision's"):
        build({"head.bias": torch.zeros(3), "features.0.weight": torch.zeros(2, 2)})
