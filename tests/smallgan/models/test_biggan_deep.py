"""BigGAN-deep: counts of the released models, and its layers against a restatement in float64."""

import copy

import float64_net as f64
import numpy as np
import pytest
import torch
from tiny_networks import TINY_DEEP as TINY
from tiny_networks import shaken

from augment.errors import UsageError
from smallgan.models.base import Adaptable
from smallgan.models.biggan_deep import (
    RELEASED_LAYERS,
    BigGANDeepConfig,
    BigGANDeepGenerator,
    DeepBlock,
    DeepConditionalNorm,
    RowsBatchNorm,
    StoredConv2d,
    StoredLinear,
    read_config,
    released_names,
)
from smallgan.models.spectral import freeze, thaw


def latents(count=3, seed=1):
    return torch.randn(count, TINY.z_dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator():
    return shaken(BigGANDeepGenerator(TINY))


@pytest.mark.parametrize(
    ("size", "keys", "parameters"), [(128, 506, 50_388_609), (256, 602, 55_880_833), (512, 698, 56_163_905)]
)
def test_generators_have_the_counts_of_the_released_ones(size, keys, parameters):
    with torch.device("meta"):
        network = BigGANDeepGenerator(BigGANDeepConfig(output_dim=size, layers=RELEASED_LAYERS[size]))
    assert network.size == size
    assert len(network.state_dict()) == keys
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_names_and_shapes_are_the_released_ones():
    with torch.device("meta"):
        network = BigGANDeepGenerator(BigGANDeepConfig())
    names = released_names(network)
    shapes = {names[own]: tuple(tensor.shape) for own, tensor in network.state_dict().items()}
    expected = {
        "embeddings.weight": (128, 1000),
        "generator.gen_z.weight_orig": (32768, 256),
        "generator.gen_z.weight_u": (32768,),
        "generator.gen_z.weight_v": (256,),
        "generator.gen_z.bias": (32768,),
        "generator.layers.0.bn_0.running_means": (51, 2048),
        "generator.layers.0.bn_1.running_vars": (51, 512),
        "generator.layers.0.bn_0.scale.weight_orig": (2048, 256),
        "generator.layers.0.bn_0.offset.weight_v": (256,),
        "generator.layers.0.conv_1.weight_orig": (512, 512, 3, 3),
        "generator.layers.0.conv_1.weight_v": (4608,),
        "generator.layers.8.gamma": (1,),
        "generator.layers.8.snconv1x1_theta.weight_orig": (32, 256, 1, 1),
        "generator.layers.8.snconv1x1_o_conv.weight_orig": (256, 128, 1, 1),
        "generator.layers.10.conv_3.weight_orig": (128, 64, 1, 1),
        "generator.bn.weight": (128,),
        "generator.bn.running_means": (51, 128),
        "generator.conv_to_rgb.weight_orig": (128, 128, 3, 3),
        "generator.conv_to_rgb.bias": (128,),
    }
    assert {name: shapes[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("truncation", "row", "extra"),
    [(1.0, 50, 0.0), (0.14, 7, 0.0), (0.58, 29, 0.0), (0.5, 25, 0.0), (0.035, 1, 0.75), (0.995, 49, 0.75)],
)
def test_moments_lie_between_the_rows_and_nearer_to_the_nearer_one(truncation, row, extra):
    norm = RowsBatchNorm(3, BigGANDeepConfig(truncation=truncation)).double()
    rng = np.random.default_rng(0)
    means, variances = rng.normal(size=(51, 3)), rng.uniform(0.5, 2, size=(51, 3))
    norm.running_means.copy_(torch.from_numpy(means))
    norm.running_vars.copy_(torch.from_numpy(variances))
    above = min(row + 1, 50)
    expected = [(1 - extra) * rows[row] + extra * rows[above] for rows in (means, variances)]
    for found, wanted in zip(norm.moments(), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    maps = rng.normal(size=(2, 3, 4, 4))
    wanted = f64.normalized(maps, *expected, 1e-4)
    np.testing.assert_allclose(norm.train().normalize(torch.from_numpy(maps)).numpy(), wanted, rtol=1e-9)
    assert torch.equal(norm.running_means, torch.from_numpy(means))


@pytest.mark.parametrize("truncation", [0.0, -0.5, 1.5])
def test_a_truncation_without_moments_is_refused(truncation):
    with pytest.raises(UsageError, match="above 0 up to 1"):
        BigGANDeepGenerator(BigGANDeepConfig(truncation=truncation))


def test_weights_are_divided_by_the_stored_vectors():
    # Vectors that no power iteration would leave as they are: what counts is the file's.
    draws = torch.Generator().manual_seed(0)
    for layer in (StoredLinear(5, 4, eps=1e-4), StoredConv2d(3, 4, 3, eps=1e-4)):
        layer = layer.double().eval()
        layer.weight_u.normal_(generator=draws)
        layer.weight_v.normal_(generator=draws)
        state = f64.arrays(layer)
        expected = f64.stored(state["weight"], state["weight_u"], state["weight_v"])
        np.testing.assert_allclose(layer.normalized_weight().detach().numpy(), expected, rtol=1e-10)
        assert f64.arrays(layer).keys() == state.keys()
        assert all(np.array_equal(value, state[name]) for name, value in f64.arrays(layer).items())


def test_training_renews_the_vectors_until_sigma_is_the_largest_singular_value():
    layer = StoredConv2d(3, 4, 3, eps=1e-4).double()
    for _ in range(200):
        weight = layer.normalized_weight()
    assert float(torch.linalg.matrix_norm(weight.flatten(1).detach(), 2)) == pytest.approx(1)
    weight.square().sum().backward()
    assert layer.weight.grad is not None


def spectral(state, name):
    return f64.stored(*(state[f"{name}.{each}"] for each in ("weight", "weight_u", "weight_v")))


def interpolated(state, name):
    return [
        0.5 * state[f"{name}.{each}"][2] + 0.5 * state[f"{name}.{each}"][3]
        for each in ("running_means", "running_vars")
    ]


def restated_block(state, maps, condition, layer):
    up, _, narrow = layer
    hidden = maps
    for number in range(4):
        hidden = f64.normalized(hidden, *interpolated(state, f"bn_{number}"), TINY.eps)
        gain, bias = (condition @ spectral(state, f"bn_{number}.{each}").T for each in ("scale", "offset"))
        hidden = f64.relu(f64.modulated(hidden, gain, bias))
        if up and number == 1:
            hidden = f64.doubled(hidden)
        hidden = f64.convolve(hidden, spectral(state, f"conv_{number}"), state[f"conv_{number}.bias"])
    skip = maps[:, : narrow * TINY.channel_width]
    return hidden + (f64.doubled(skip) if up else skip)


@pytest.mark.parametrize("layer", [(False, 4, 4), (True, 4, 2)])
def test_a_block_equals_its_restatement(layer):
    up, wide, narrow = layer
    block = shaken(DeepBlock(up, 8 * wide, 8 * narrow, TINY)).double()
    rng = np.random.default_rng(1)
    maps, condition = rng.normal(size=(2, 8 * wide, 4, 4)), rng.normal(size=(2, TINY.condition))
    with torch.no_grad():
        found = block(torch.from_numpy(maps), torch.from_numpy(condition), None, 0).numpy()
    expected = restated_block(f64.arrays(block), maps, condition, layer)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_whole_generator_equals_its_restatement(generator):
    z, labels, state = latents(), torch.tensor([4, 0, 2]), f64.arrays(generator)
    condition = np.concatenate([z.double().numpy(), state["embeddings.weight"][:, labels].T], axis=1)
    first = condition @ spectral(state, "generator.gen_z").T + state["generator.gen_z.bias"]
    hidden, number = first.reshape(3, 4, 4, 32).transpose(0, 3, 1, 2), 0
    for layer in TINY.layers:
        if number == 2:
            attention = f64.part(state, f"generator.layers.{number}")
            weights = [spectral(attention, f"snconv1x1_{name}") for name in ("theta", "phi", "g", "o_conv")]
            hidden, number = f64.attended(hidden, *weights, attention["gamma"]), number + 1
        hidden = restated_block(f64.part(state, f"generator.layers.{number}"), hidden, condition, layer)
        number += 1
    hidden = f64.normalized(hidden, *interpolated(state, "generator.bn"), TINY.eps)
    hidden = hidden * state["generator.bn.weight"][:, None, None] + state["generator.bn.bias"][:, None, None]
    rgb = f64.convolve(f64.relu(hidden), spectral(state, "generator.conv_to_rgb"), state["generator.conv_to_rgb.bias"])
    with torch.no_grad():
        np.testing.assert_allclose(generator(z, labels).numpy(), np.tanh(rgb[:, :3]), atol=2e-4)


def test_it_is_what_adapters_and_samplers_expect(generator):
    assert isinstance(generator, Adaptable)
    assert (generator.size, generator.z_dim, generator.num_classes, generator.class_dim) == (32, 10, 5, 6)
    assert len(generator.norms) == 16
    assert all(isinstance(norm, DeepConditionalNorm) for norm in generator.norms)
    assert generator.first_layer.weight.shape == (16 * generator.first_channels, 16)


def test_labels_and_their_class_vectors_give_the_same_images(generator):
    z, labels = latents(), torch.tensor([4, 0, 2])
    with torch.no_grad():
        expected = generator(z, labels)
        assert torch.equal(generator.synthesize(z, generator.class_vectors(labels)), expected)
        assert torch.equal(generator(z), generator(z, torch.zeros(3, dtype=torch.int64)))
        assert not torch.equal(generator(z), expected)


def test_modulation_handed_in_takes_the_place_of_every_norms_own(generator):
    seen = []

    def own(number, hidden, condition):
        seen.append((number, hidden.shape[1], condition.shape[1]))
        gain, bias = generator.norms[number].modulation(condition)
        return hidden * gain + bias

    z, vectors, maps = latents(), generator.class_vectors(torch.tensor([4, 0, 2])), []
    with torch.no_grad():
        expected = generator.synthesize(z, vectors)
        assert torch.equal(generator.synthesize(z, vectors, own, lambda first: maps.append(first) or first), expected)
        assert not torch.equal(generator.synthesize(z, vectors, None, lambda first: 2 * first), expected)
    assert seen == [(number, norm.channels, norm.condition) for number, norm in enumerate(generator.norms)]
    assert maps[0].shape == (3, generator.first_channels, 4, 4)


def test_eval_mode_changes_nothing_and_batches_do_not_matter(generator):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with torch.no_grad():
        whole = generator(latents())
        assert torch.equal(generator(latents()), whole)
        # In float64: sums in another order differ by more of float32's digits on one machine than on another
        double, z = copy.deepcopy(generator).double(), latents().double()
        torch.testing.assert_close(double(z), torch.cat([double(one[None]) for one in z]), rtol=0, atol=1e-12)
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


def test_a_frozen_generator_gives_the_same_bits(generator):
    with torch.no_grad():
        expected = generator(latents())
    freeze(generator)
    assert torch.equal(generator(latents()), expected)
    thaw(generator)
    with torch.no_grad():
        generator.first_layer.weight.add_(1)
        assert not torch.equal(generator(latents()), expected)


def test_settings_are_read_from_the_released_form():
    settings = {"output_dim": 8, "layers": [[True, 4, 1]], "attention_layer_position": 9, "architectures": ["x"]}
    config = read_config(settings, 0.4)
    assert (config.size, config.layers, config.z_dim, config.truncation) == (8, ((True, 4, 1),), 128, 0.4)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"output_dim": 256}, "output_dim is 256, but its layers make 128 px"),
        ({"layers": [[True, 4]]}, "not the settings of a BigGAN-deep"),
        ({"layers": []}, "output_dim is 128"),
        ({"output_dim": 8, "layers": [[True, 4, 2]]}, "the last layer has 2 units of width"),
        ({"z_dim": "many"}, "not the settings of a BigGAN-deep"),
    ],
)
def test_other_settings_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        read_config(settings, 1.0)
