"""BigGAN: counts of the released checkpoints, and its layers against a restatement in float64."""

import copy

import float64_net as f64
import numpy as np
import pytest
import torch
from tiny_networks import shaken, spectral_layers

from augment.errors import UsageError
from smallgan.models.base import Adaptable
from smallgan.models.biggan import (
    BigGANConfig,
    BigGANDiscriminator,
    BigGANGenerator,
    DiscriminatorBlock,
    GeneratorBlock,
    SelfAttention,
    initialize,
)
from smallgan.models.spectral import SpectralLinear, freeze, thaw

TINY = BigGANConfig(size=32, ch=4, z_dim=20, num_classes=5, shared_dim=6, attention=16)
CIFAR = BigGANConfig(size=32, ch=64, z_dim=128, num_classes=10, shared_dim=0, hierarchical=False)


def latents(count=3, z_dim=TINY.z_dim, seed=1):
    return torch.randn(count, z_dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator():
    return shaken(BigGANGenerator(TINY))


@pytest.mark.parametrize(
    ("config", "keys", "parameters"),
    [
        (BigGANConfig(128, 96, 120, 1000, attention=64), 166, 70_433_988),
        (BigGANConfig(256, 96, 140, 1000, attention=128), 194, 82_097_604),
        (BigGANConfig(512, 96, 128, 1000, attention=64), 222, 82_296_804),
        (BigGANConfig(64, 64, 120, 1000, attention=32), 138, 31_969_540),
        (CIFAR, 72, 4_304_387),
    ],
)
def test_generators_have_the_counts_of_the_released_ones(config, keys, parameters):
    with torch.device("meta"):
        network = BigGANGenerator(config)
    assert len(network.state_dict()) == keys
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_the_discriminator_has_the_counts_of_the_released_one():
    with torch.device("meta"):
        network = BigGANDiscriminator(BigGANConfig(128, 96, 120, 1000, attention=64))
    assert len(network.state_dict()) == 88
    assert sum(each.numel() for each in network.parameters()) == 87_982_370


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_sizes_are_what_they_say(size):
    config = BigGANConfig(size, 1, 9, 2, shared_dim=3)
    with torch.no_grad():
        images = BigGANGenerator(config).eval()(torch.randn(1, config.chunk * len(config.widths)))
        assert images.shape == (1, 3, size, size)
        assert BigGANDiscriminator(config)(images).shape == (1,)


def test_another_size_is_refused():
    with pytest.raises(UsageError, match="size 96: BigGAN is built for 32, 64, 128, 256, 512 px"):
        BigGANGenerator(BigGANConfig(96, 4, 20, 5))


def spectral(state, name, eps=TINY.sn_eps):
    return f64.iterated(state[f"{name}.weight"], state[f"{name}.u0"], eps)


def restated_block(state, maps, condition, config):
    """One block of the generator, the doubling before the skip's convolution as in the released code."""

    def norm(name, hidden):
        hidden = f64.normalized(hidden, state[f"{name}.stored_mean"], state[f"{name}.stored_var"], config.bn_eps)
        gain, bias = (condition @ spectral(state, f"{name}.{each}").T for each in ("gain", "bias"))
        return f64.relu(f64.modulated(hidden, gain, bias))

    hidden = f64.doubled(norm("bn1", maps))
    hidden = norm("bn2", f64.convolve(hidden, spectral(state, "conv1"), state["conv1.bias"]))
    hidden = f64.convolve(hidden, spectral(state, "conv2"), state["conv2.bias"])
    return hidden + f64.convolve(f64.doubled(maps), spectral(state, "conv_sc"), state["conv_sc.bias"])


def test_a_generator_block_equals_its_restatement():
    block = shaken(GeneratorBlock(8, 6, TINY)).double()
    maps, condition = np.random.default_rng(0).normal(size=(2, 8, 4, 4)), np.random.default_rng(1).normal(size=(2, 11))
    with torch.no_grad():
        found = block(torch.from_numpy(maps), torch.from_numpy(condition), None, 0).numpy()
    np.testing.assert_allclose(found, restated_block(f64.arrays(block), maps, condition, TINY), rtol=1e-9, atol=1e-9)


def test_attention_equals_its_restatement():
    layer = shaken(SelfAttention(16, TINY.sn_eps)).double()
    maps, state = np.random.default_rng(2).normal(size=(2, 16, 4, 4)), f64.arrays(layer)
    weights = [spectral(state, name) for name in ("theta", "phi", "g", "o")]
    expected = f64.attended(maps, *weights, state["gamma"])
    with torch.no_grad():
        found = layer(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert abs(expected - maps).max() > 1e-3


def test_a_whole_generator_equals_its_restatement(generator):
    z, labels, state = latents(), torch.tensor([4, 0, 2]), f64.arrays(generator)
    chunks = np.split(z.double().numpy(), 4, axis=1)
    hidden = (chunks[0] @ spectral(state, "linear").T + state["linear.bias"]).reshape(3, 16, 4, 4)
    for number in range(3):
        condition = np.concatenate([state["shared.weight"][labels], chunks[number + 1]], axis=1)
        hidden = restated_block(f64.part(state, f"blocks.{number}.0"), hidden, condition, TINY)
        if number == 1:
            attention = f64.part(state, "blocks.1.1")
            weights = [spectral(attention, name) for name in ("theta", "phi", "g", "o")]
            hidden = f64.attended(hidden, *weights, attention["gamma"])
    last = f64.part(state, "output_layer.0")
    hidden = f64.normalized(hidden, last["stored_mean"], last["stored_var"], 1e-5)
    hidden = f64.relu(hidden * last["gain"][:, None, None] + last["bias"][:, None, None])
    expected = np.tanh(f64.convolve(hidden, spectral(state, "output_layer.2"), state["output_layer.2.bias"]))
    with torch.no_grad():
        np.testing.assert_allclose(generator(z, labels).numpy(), expected, rtol=0, atol=1e-5)
        exact = copy.deepcopy(generator).double()(z.double(), labels)
    np.testing.assert_allclose(exact.numpy(), expected, rtol=0, atol=1e-7)


def test_the_last_norm_keeps_its_own_epsilon():
    network = BigGANGenerator(BigGANConfig(32, 4, 20, 5, shared_dim=6, bn_eps=1e-4, sn_eps=1e-4))
    assert network.output_layer[0].eps == 1e-5
    assert {norm.eps for norm in network.norms} == {1e-4}
    assert {layer.eps for layer in spectral_layers(network).values()} == {1e-4}


def test_chunks_reach_their_own_block_only(generator):
    z = latents(1)
    with torch.no_grad():
        first, conditions = generator.conditions(z, generator.class_vectors(torch.tensor([1])))
    assert torch.equal(first, z[:, :5])
    for number, condition in enumerate(conditions):
        assert torch.equal(condition[:, :6], generator.shared.weight[1:2])
        assert torch.equal(condition[:, 6:], z[:, 5 * (number + 1) : 5 * (number + 2)])


def test_without_chunks_every_block_sees_the_class_alone():
    network = shaken(BigGANGenerator(BigGANConfig(32, 4, 20, 5, shared_dim=6, hierarchical=False)))
    vectors = network.class_vectors(torch.tensor([1, 2]))
    first, conditions = network.conditions(latents(2), vectors)
    assert first.shape == (2, 20)
    assert [each is vectors for each in conditions] == [True] * 3
    assert network(latents(2)).shape == (2, 3, 32, 32)


def test_tables_of_gains_are_read_by_label():
    network = shaken(BigGANGenerator(BigGANConfig(32, 4, 20, 5, shared_dim=0, hierarchical=False)))
    assert network.class_dim == 0
    gain, bias = network.norms[0].modulation(torch.tensor([3]))
    assert torch.equal(gain.flatten(), 1 + network.norms[0].gain.weight[3])
    assert torch.equal(bias.flatten(), network.norms[0].bias.weight[3])
    with torch.no_grad():
        images = network(latents(1).repeat(2, 1), torch.tensor([0, 3]))
    assert not torch.equal(images[0], images[1])


def test_labels_and_their_class_vectors_give_the_same_images(generator):
    z, labels = latents(), torch.tensor([4, 0, 2])
    with torch.no_grad():
        expected = generator(z, labels)
        assert torch.equal(generator.synthesize(z, generator.class_vectors(labels)), expected)
        assert torch.equal(generator(z), generator(z, torch.zeros(3, dtype=torch.int64)))
        assert not torch.equal(generator(z), expected)


def test_eval_mode_changes_nothing_and_training_moves_the_vectors(generator):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(generator(latents()), generator(latents()))
        assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())
        generator.train()(latents())
    moved = {name for name, tensor in generator.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {name.rsplit(".")[-1] for name in moved} == {"u0", "sv0", "stored_mean", "stored_var"}
    assert {f"{name}.u0" for name in spectral_layers(generator)} <= moved


def test_images_do_not_depend_on_their_batch(generator):
    z, labels = latents(5), torch.arange(5)
    with torch.no_grad():
        whole = generator(z, labels)
        alone = torch.cat([generator(z[k : k + 1], labels[k : k + 1]) for k in range(5)])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-5)


def test_a_frozen_generator_gives_the_same_bits(generator):
    with torch.no_grad():
        expected = generator(latents())
    freeze(generator)
    assert torch.equal(generator(latents()), expected)
    assert not any(each.requires_grad for each in generator.parameters())
    assert "_fixed" not in {name.rsplit(".")[-1] for name in generator.state_dict()}
    thaw(generator)
    with torch.no_grad():
        generator.linear.weight.mul_(2).add_(1)
        assert not torch.equal(generator(latents()), expected)


def test_modulation_handed_in_takes_the_place_of_every_norms_own(generator):
    seen = []

    def own(number, hidden, condition):
        seen.append((number, hidden.shape[1], condition.shape[1]))
        gain, bias = generator.norms[number].modulation(condition)
        return hidden * gain + bias

    z, vectors = latents(), generator.class_vectors(torch.tensor([4, 0, 2]))
    with torch.no_grad():
        assert torch.equal(generator.synthesize(z, vectors, own, lambda first: first), generator.synthesize(z, vectors))
        doubled = generator.synthesize(z, vectors, None, lambda first: 2 * first)
    assert seen == [(number, norm.channels, norm.condition) for number, norm in enumerate(generator.norms)]
    assert not torch.equal(doubled, generator.synthesize(z, vectors))
    assert isinstance(generator, Adaptable)


def test_sigma_passes_its_gradient_to_the_weight_alone():
    layer = SpectralLinear(5, 4, eps=1e-6).double().eval()
    layer.u0.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = layer.weight.detach().requires_grad_()
    v = torch.nn.functional.normalize(layer.u0.double() @ rows.detach(), eps=1e-6)
    u = torch.nn.functional.normalize(v @ rows.detach().T, eps=1e-6)
    (x @ (rows / (u @ rows @ v.T)).T).square().sum().backward()
    (layer(x) - layer.bias).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, rows.grad)


def restated_discriminator_block(state, maps, *, first, halves):
    """The released order: convolve the skip, then average."""
    hidden = f64.convolve(maps if first else f64.relu(maps), spectral(state, "conv1"), state["conv1.bias"])
    hidden = f64.convolve(f64.relu(hidden), spectral(state, "conv2"), state["conv2.bias"])
    skip = f64.convolve(maps, spectral(state, "conv_sc"), state["conv_sc.bias"]) if "conv_sc.bias" in state else maps
    return f64.halved(hidden + skip) if halves else hidden + skip


@pytest.mark.parametrize(("narrow", "first", "halves"), [(6, True, True), (6, False, True), (3, False, False)])
def test_a_discriminator_block_equals_its_restatement(narrow, first, halves):
    block = shaken(DiscriminatorBlock(3, narrow, TINY.sn_eps, first=first, halves=halves)).double()
    maps = np.random.default_rng(3).normal(size=(2, 3, 8, 8))
    expected = restated_discriminator_block(f64.arrays(block), maps, first=first, halves=halves)
    with torch.no_grad():
        np.testing.assert_allclose(block(torch.from_numpy(maps)).numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [32, 64])
def test_a_whole_discriminator_equals_its_restatement(size):
    config = BigGANConfig(size, 2, 20, 5, shared_dim=6)
    network = shaken(BigGANDiscriminator(config))
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    labels, state, hidden = torch.tensor([4, 1]), f64.arrays(network), images.double().numpy()
    for number in range(len(network.blocks)):
        halves = number < (2 if size == 32 else len(network.blocks) - 1)
        block = f64.part(state, f"blocks.{number}.0")
        hidden = restated_discriminator_block(block, hidden, first=number == 0, halves=halves)
    pooled = f64.relu(hidden).sum(axis=(2, 3))
    expected = (pooled @ spectral(state, "linear").T + state["linear.bias"])[:, 0]
    expected = expected + (spectral(state, "embed")[labels] * pooled).sum(axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(network(images, labels).numpy(), expected, rtol=2e-4)
        assert torch.equal(network(images), network(images, torch.zeros(2, dtype=torch.int64)))


@pytest.mark.parametrize("how", ["orthogonal", "normal"])
def test_initial_weights_depend_on_the_seed_alone(how):
    networks = []
    for _ in range(2):
        networks.append(BigGANGenerator(TINY))
        initialize(networks[-1], torch.Generator().manual_seed(5), how)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    weight = first["blocks.0.0.conv1.weight"].flatten(1)
    if how == "orthogonal":
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
    else:
        assert 0.018 < float(weight.std()) < 0.022
    assert not first["linear.bias"].any()
