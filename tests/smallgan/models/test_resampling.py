"""Halving and doubling convolutions: torch's own, but for rounding, with the gradient taken as a matrix product."""

import pytest
import torch

from smallgan.models.resampling import DoublingConv2d, HalvingConv2d, weight_gradient

PAIRS = [(HalvingConv2d, torch.nn.Conv2d, 2), (DoublingConv2d, torch.nn.ConvTranspose2d, 1)]


def ours_and_torchs(ours, torchs, dtype=torch.float64):
    one, other = ours(3, 5).to(dtype), torchs(3, 5, 4, 2, 1, bias=False).to(dtype)
    other.load_state_dict(one.state_dict())
    return one, other


@pytest.mark.parametrize(("ours", "torchs", "factor"), PAIRS)
@pytest.mark.parametrize("side", [2, 4, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_torchs(ours, torchs, factor, side, layout):
    one, other = ours_and_torchs(ours, torchs)
    images = torch.randn(6, 3, side * factor, side * factor, dtype=torch.float64).contiguous(memory_format=layout)
    results = []
    for network in (one, other):
        x = images.clone().requires_grad_()
        (network(x) ** 2).sum().backward()
        results.append((x.grad, network.weight.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_weight_gradient_by_hand():
    large, small = torch.arange(16.0).view(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)
    small[0, 0, 1, 0] = 2  # its patch begins at row 1, column -1
    expected = [[0, 4, 5, 6], [0, 8, 9, 10], [0, 12, 13, 14], [0, 0, 0, 0]]
    assert (weight_gradient(large, small)[0, 0] / 2).tolist() == expected


@pytest.mark.parametrize(("ours", "torchs", "factor"), PAIRS)
def test_gradients_of_gradients_are_right(ours, torchs, factor):
    """Penalties on gradients (R1) go back through these layers twice."""
    one, other = ours_and_torchs(ours, torchs)
    draws = torch.Generator().manual_seed(0)
    shapes = (2, 3, 2 * factor, 2 * factor), one.weight.shape
    inputs = [torch.randn(shape, dtype=torch.float64, generator=draws, requires_grad=True) for shape in shapes]

    def convolved(network):
        return lambda images, weight: torch.func.functional_call(network, {"weight": weight}, (images,))

    assert torch.autograd.gradcheck(convolved(one), inputs)
    assert torch.autograd.gradgradcheck(convolved(one), inputs)
    penalties = []
    for network in (one, other):
        images, weight = inputs
        scores = convolved(network)(images, weight).square().sum()
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
        penalties.append(torch.autograd.grad(gradient.square().sum(), (images, weight)))
    torch.testing.assert_close(*penalties)


@pytest.mark.parametrize(("ours", "torchs", "factor"), PAIRS)
def test_autocast_is_obeyed(ours, torchs, factor):
    one, other = ours_and_torchs(ours, torchs, torch.float32)
    images = torch.randn(6, 3, 4 * factor, 4 * factor)
    gradients = []
    for network in (one, other):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = network(images)
        assert result.dtype == torch.bfloat16
        result.float().square().sum().backward()
        assert network.weight.grad.dtype == torch.float32
        gradients.append(network.weight.grad)
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.05 * gradients[1].abs().max().item())


@pytest.mark.parametrize(("ours", "factor"), [(HalvingConv2d, 2), (DoublingConv2d, 1)])
def test_what_needs_no_gradient_gets_none(ours, factor):
    network = ours(3, 5).requires_grad_(False)
    images = torch.randn(2, 3, 4 * factor, 4 * factor, requires_grad=True)
    network(images).sum().backward()
    assert network.weight.grad is None
    assert images.grad is not None
