import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from augment.errors import InputError, MissingError
from smallgan.core.weights import locate
from smallgan.data import stacked_mnist
from smallgan.data.run_source import source_path
from smallgan.metrics.features.digits import StackedDigits
from smallgan.metrics.features.extract import feature_net
from smallgan.models.digit_net import DigitNet
from smallgan.tables.recipe import load_recipe
from smallgan.training.data import load_data


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """An array file of ten flat digits, digit k of level 20 k + 20; the cache is of the test's own."""
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stacked_mnist, "NUM_IMAGES", 12)
    digits = np.repeat(np.arange(20, 220, 20, dtype=np.uint8), 28 * 28).reshape(10, 28, 28)
    np.savez(tmp_path / "mnist.npz", x_train=digits, y_train=np.arange(10), x_test=digits[:2], y_test=np.arange(2))
    return tmp_path / "mnist.npz"


def test_an_image_is_three_digits_with_a_black_border():
    digits = np.repeat(np.arange(20, 220, 20, dtype=np.uint8), 28 * 28).reshape(10, 28, 28)
    images = stacked_mnist.stacked(digits, 200)
    assert (images.shape, images.dtype) == ((200, 32, 32, 3), np.uint8)
    inside = images[:, 2:30, 2:30]
    assert (inside == inside[:, :1, :1]).all()
    assert images.sum() == inside.sum(dtype=int)
    assert set(np.unique(inside)) == set(range(20, 220, 20))  # each channel by itself: not the same digit three times
    assert (inside[:, 0, 0, 0] != inside[:, 0, 0, 1]).mean() > 0.8
    np.testing.assert_array_equal(images[:7], stacked_mnist.stacked(digits, 7))


def test_it_is_a_source_like_any_other(mnist):
    source = f"stacked-mnist:{mnist}"
    data = load_data(load_recipe(None, {"data.source": source}), torch.device("cpu"))
    assert data.mixture.pixels.shape == (12, 32, 32, 3)
    assert (data.summary["source"], data.summary["size"]) == (source, 32)
    made = source_path(source)
    written = made.stat().st_mtime_ns
    assert (source_path(source), made.stat().st_mtime_ns) == (made, written)  # made once


@pytest.mark.usefixtures("mnist")
def test_what_is_missing_is_named_with_what_to_do(tmp_path):
    with pytest.raises(MissingError, match="smallgan data get mnist"):
        source_path("stacked-mnist")
    with pytest.raises(InputError, match=r"no such file; expected MNIST as \.npz"):
        source_path("stacked-mnist:nothing.npz")
    np.savez(tmp_path / "other.npz", images=np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(InputError, match="found no x_train, expected digits of 28 px"):
        source_path(f"stacked-mnist:{tmp_path / 'other.npz'}")
    with pytest.raises(MissingError, match=r"make them: python -m tools.train_digits mnist.npz"):
        feature_net("stacked-digits", torch.device("cpu"))


class TellsLevels(torch.nn.Module):
    """In the place of a trained classifier: digit k is of level 20 k + 20."""

    def forward(self, digits):
        level = digits[:, 0, 16, 16] * 255
        logits = -((level[:, None] - torch.arange(20, 220, 20)) ** 2)
        return logits[:, :2], logits


def test_a_mode_is_the_number_that_red_green_and_blue_make():
    net = StackedDigits(DigitNet().state_dict())
    net.net = TellsLevels()
    image = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    image[0] = torch.tensor([160, 20, 100])  # 7, 0 and 4
    image[1] = torch.tensor([20, 20, 60])  # 0, 0 and 2
    features, logits = net(image)
    assert logits.argmax(dim=1).tolist() == [704, 2]
    assert logits.amax(dim=1).tolist() == [0, 0]
    assert (features.shape, logits.shape) == ((2, 6), (2, 1000))


@pytest.mark.usefixtures("mnist")
def test_logits_are_log_probabilities_of_three_independent_digits():
    torch.manual_seed(0)
    tensors = DigitNet().state_dict()
    locate("stacked-digits").parent.mkdir(parents=True)
    save_file(tensors, locate("stacked-digits"))
    net = feature_net("stacked-digits", torch.device("cpu"))[0]
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        features, logits = net.forward(pixels)
        alone = DigitNet().eval()
        alone.load_state_dict(tensors)
        of_channels = [alone(pixels[..., at].float()[:, None] / 255)[1].log_softmax(1) for at in range(3)]
    assert (features.shape, logits.shape) == ((2, 192), (2, 1000))
    red, green, blue = of_channels
    apart = (red[:, 3] + green[:, 1] + blue[:, 9]) - (red[:, 8] + green[:, 1] + blue[:, 2])
    assert torch.allclose(logits[:, 319] - logits[:, 812], apart, atol=1e-4)
