"""Regularizers against formulas, how a step uses them, and that their state is kept by a checkpoint."""

import doctest

import numpy as np
import pytest
import torch
import toy_rows

from smallgan.core.checkpoint import load_checkpoint, read_tensors, save_checkpoint
from smallgan.data.images import ImageBatches
from smallgan.models.dcgan import DCGANDiscriminator, initialize
from smallgan.models.resampling import HalvingConv2d
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import REGULARIZERS, R1Options
from smallgan.training.adversarial import build_trainer
from smallgan.training.regularizers import orthogonal
from smallgan.training.regularizers.orthogonal import orthogonal_penalty
from smallgan.training.regularizers.r1 import R1
from smallgan.training.step import StepContext

CPU = torch.device("cpu")


def context(real, score):
    labels, scores = torch.zeros(len(real), dtype=torch.int64), torch.zeros(len(real))
    return StepContext(0, real, real, labels, None, scores, score, lambda z: z, seed=0)


def images(count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def r1_of(network):
    return R1(R1Options(), network, torch.Generator())


def test_docstring_examples_hold():
    assert doctest.testmod(orthogonal).failed == 0


def test_orthogonal_penalty_by_hand():
    # W W' = ((1, 2), (2, 5)): 2 and 2 off the diagonal. The rows of the second are orthogonal, of lengths 3 and 5.
    first, second = torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    assert orthogonal_penalty([first]).item() == 8
    assert orthogonal_penalty([second]).item() == 0
    assert orthogonal_penalty([first, second, first]).item() == 16


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3), (12, 1, 3, 3)])
def test_orthogonal_penalty_and_its_gradient_equal_the_formula(shape):
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draws, dtype=torch.float64, requires_grad=True)
    rows = weight.detach().flatten(1)
    off = (rows @ rows.T) * (1 - torch.eye(len(rows), dtype=torch.float64))
    penalty = orthogonal_penalty([weight])
    penalty.backward()
    torch.testing.assert_close(penalty.detach(), off.square().sum())
    torch.testing.assert_close(weight.grad.flatten(1), 4 * off @ rows)  # the released code adds 2 (...) W


def test_orthogonal_penalty_does_not_look_at_lengths():
    directions = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0][:4]
    scaled = directions * torch.tensor([0.1, 1.0, 2.0, 3.0])[:, None]
    assert orthogonal_penalty([scaled]).item() == pytest.approx(0, abs=1e-4)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weights_whatever_the_images():
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    penalty = r1_of(torch.nn.Identity())(context(images(5, 4), lambda x: (x * weight).sum(dim=(1, 2, 3))))
    penalty.backward()
    torch.testing.assert_close(penalty.detach(), weight.detach().square().sum() / 2)
    torch.testing.assert_close(weight.grad, weight.detach())


def test_r1_of_a_quadratic_discriminator_by_hand():
    # D(x) = a / 2 |x|^2 has the gradient a x: half of a^2 times the mean of |x|^2, which falls by a times that.
    a, real = torch.tensor(3.0, requires_grad=True), images(5, 4)
    squared = real.square().sum(dim=(1, 2, 3)).mean()
    penalty = r1_of(torch.nn.Identity())(context(real, lambda x: a / 2 * x.square().sum(dim=(1, 2, 3))))
    penalty.backward()
    torch.testing.assert_close(penalty.detach(), 4.5 * squared)
    torch.testing.assert_close(a.grad, 3 * squared)
    assert not real.requires_grad


def test_r1_of_a_dcgan_has_the_gradients_of_torchs_own_convolutions():
    ours = DCGANDiscriminator(32, 8, "none")
    initialize(ours, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(5)  # away from the small first weights, where all gradients are near 0
    theirs = DCGANDiscriminator(32, 8, "none")
    for stage in theirs.stages:
        assert isinstance(stage[0], HalvingConv2d)
        stage[0] = torch.nn.Conv2d(stage[0].in_channels, stage[0].out_channels, 4, 2, 1, bias=False)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for network in (ours, theirs):
        penalty = r1_of(network)(context(images(), network))
        penalty.backward()
        found.append([penalty.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    assert len(found[0]) > 4
    assert found[0][0] > 1e-4
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def recipe(**overrides):
    settings = {"data.size": 32, "model.base_width": 8, "model.d_norm": "none", "train.batch_size": 4}
    return load_recipe(None, settings | overrides)


def batches(settings):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    return ImageBatches(pixels, settings.train.batch_size, settings.seed, CPU)


def gradients_of_a_step(monkeypatch, number, **overrides):
    """Return the discriminator's gradients in step `number` of fresh networks, and the step's terms."""
    settings = recipe(**overrides)
    one = build_trainer(settings, CPU)
    found = {}
    keep = one.discriminator.named_parameters
    monkeypatch.setattr(
        one.optimizers["d"], "step", lambda: found.update({n: p.grad.clone() for n, p in keep() if p.grad is not None})
    )
    terms = one.step(batches(settings).batch(0), number)
    return found, terms, one


def test_r1_is_added_every_k_steps_with_k_times_its_weight(monkeypatch):
    r1 = {"regularizers.r1": {"weight": 0.7, "every": 3}}
    for number in range(7):
        plain, _, one = gradients_of_a_step(monkeypatch, number)
        with_r1, terms, _ = gradients_of_a_step(monkeypatch, number, **r1)
        assert ("r1" in terms) == (number % 3 == 0)
        if number % 3:
            assert all(torch.equal(plain[name], with_r1[name]) for name in plain)
            continue
        one.discriminator.zero_grad(set_to_none=True)
        penalty = r1_of(one.discriminator)(context(batches(recipe()).batch(0).images, one.discriminator))
        penalty.backward()
        torch.testing.assert_close(terms["r1"], penalty.detach())
        for name, parameter in one.discriminator.named_parameters():
            if parameter.grad is not None:
                expected = 3 * 0.7 * parameter.grad
                torch.testing.assert_close(with_r1[name] - plain[name], expected, rtol=1e-3, atol=1e-6)


def test_r1s_weight_scaled_by_stylegan2_adas_rule():
    rule = R1Options(weight=0.0002, scaled=True)
    assert rule.strength(64, 64) == pytest.approx(0.0128)
    assert rule.strength(256, 16) == pytest.approx(0.8192)
    assert R1Options(weight=0.7).strength(256, 16) == 0.7
    (r1,) = build_trainer(recipe(**{"regularizers.r1": {"weight": 0.001, "scaled": True}}), CPU).regularizers.all
    assert (r1.strength, r1.every) == (pytest.approx(0.001 * 32 * 32 / 4), 16)


def test_a_weight_of_0_leaves_a_regularizer_out(monkeypatch):
    plain, _, _ = gradients_of_a_step(monkeypatch, 0)
    found, terms, one = gradients_of_a_step(monkeypatch, 0, **{"regularizers.r1.weight": 0})
    assert one.regularizers.all == []
    assert "r1" not in terms
    assert all(torch.equal(plain[name], found[name]) for name in plain)


@pytest.fixture
def toy_penalty():
    with toy_rows.registered(REGULARIZERS, toy_rows.PENALTY):
        yield


@pytest.mark.usefixtures("toy_penalty")
def test_the_state_of_a_regularizer_is_in_the_checkpoint_and_resumes_bit_by_bit(tmp_path):
    settings = recipe(**{"regularizers.toy-penalty": {"weight": 2.0}})
    found = batches(settings)
    whole, one, other = (build_trainer(settings, CPU) for _ in range(3))
    for number in range(5):
        whole.step(found.batch(number), number)
    for number in range(3):
        one.step(found.batch(number), number)
    save_checkpoint(tmp_path / "000003", one, {"step": 3, **one.description})
    kept = read_tensors(tmp_path / "000003", "toy-penalty.")
    assert kept.keys() == {"average"}
    assert torch.equal(kept["average"], one.networks["toy-penalty"].average)
    assert kept["average"] != 0
    load_checkpoint(tmp_path / "000003", other)
    for number in range(3, 5):
        other.step(found.batch(number), number)
    assert whole.networks.keys() == {"g", "d", "g_ema", "toy-penalty"}
    for name, network in whole.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), f"{name}.{key}"
