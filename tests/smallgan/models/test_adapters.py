"""BSA and APGC: step 0, what is trained and saved, and the mixing of channels against plainer ways of doing it."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augment.errors import UsageError
from smallgan.core.device import autocast
from smallgan.models.adapters import APGC, BSA, check_memory, parameter_table, parse_class_vector, starting_class_vector
from smallgan.models.base import Adaptable, Generator
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator
from smallgan.models.grouped_pointwise import mix_groups

CPU = torch.device("cpu")
TINY = BigGANConfig(size=32, ch=4, z_dim=16, num_classes=3, shared_dim=8, attention=16)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def pretrained(seed=0, config=TINY):
    """A generator that stands for a trained one: moments, attention and class vectors are not their first values."""
    network = BigGANGenerator(config)
    initialize(network, draws(seed))
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("stored_var"):
                buffer.uniform_(0.5, 2.0, generator=draws(seed + 1))
            if name.endswith("stored_mean"):
                buffer.normal_(0.0, 0.1, generator=draws(seed + 2))
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.7)
            if name.endswith("bias"):
                parameter.normal_(0.0, 0.1, generator=draws(seed + 3))
    return network.eval()


def adapter(kind, network=None, start="mean", **settings):
    network = network or pretrained()
    return kind(network, starting_class_vector(network, start), **settings)


def latents(count=5, z_dim=16, seed=7):
    return torch.randn(count, z_dim, generator=draws(seed))


EVERY_START = [(BSA, {}), *((APGC, {"group_size": size}) for size in (0, 1, 2, 4)), (APGC, {"train_first": False})]
EVERY_START = [(kind, {"group_size": 4} | settings if kind is APGC else settings) for kind, settings in EVERY_START]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("kind", "settings"), EVERY_START)
def test_step_0_is_the_pretrained_generator_to_the_last_bit(kind, settings, precision):
    network = pretrained()
    adapted = adapter(kind, network, "1", **settings)
    with torch.no_grad(), autocast(CPU, precision):
        wanted = network(latents(), torch.full((5,), 1))
        assert wanted.std() > 0.05  # a constant picture would prove nothing
        assert torch.equal(adapted.train()(latents()), wanted)
    fresh = adapter(kind, network, "1", **settings)
    with torch.no_grad(), autocast(CPU, precision):
        assert torch.equal(fresh.eval()(latents()), wanted)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("kind", "settings"), [(BSA, {}), (APGC, {"group_size": 4})])
def test_step_0_of_biggan_deep_too(kind, settings, precision):
    """Another layout: no chunks, the first map in another order, spectral norms with two stored vectors."""
    layers = ((True, 2, 2), (True, 2, 1))
    config = BigGANDeepConfig(16, 6, 5, 16, 3, layers, attention_layer_position=1, n_stats=3)
    torch.manual_seed(0)
    network = BigGANDeepGenerator(config).eval()
    adapted = adapter(kind, network, "1", **settings).eval()
    z = latents(z_dim=6)
    with torch.no_grad(), autocast(CPU, precision):
        wanted = network(z, torch.full((5,), 1))
        assert wanted.std() > 0.01
        assert torch.equal(adapted(z), wanted)
    adapted.train()(z).square().mean().backward()
    assert all(parameter.grad is not None for parameter in adapted.parameters())
    assert not [name for name in adapted.state_dict() if "running" in name]


def test_the_mean_class_vector_is_where_it_starts():
    network = pretrained()
    mean = network.shared.weight.detach().mean(dim=0)
    with torch.no_grad():
        wanted = network.synthesize(latents(), mean.expand(5, -1))
        assert torch.equal(adapter(APGC, network, group_size=4)(latents(), torch.zeros(5)), wanted)


def test_weighted_class_vectors_are_shares():
    network = pretrained()
    table = network.shared.weight.detach()
    torch.testing.assert_close(starting_class_vector(network, "0:3+2:1"), 0.75 * table[0] + 0.25 * table[2])
    torch.testing.assert_close(starting_class_vector(network, "0+2"), (table[0] + table[2]) / 2)
    assert torch.equal(starting_class_vector(network, "2:0.3"), table[2])


@pytest.mark.parametrize("start", ["3", "-1", "a", "", "1:0", "1:-1", "1:nan", "1:inf", "0+0", "0:0.5+", "1.5"])
def test_a_wrong_class_vector_is_told_what_is_allowed(start):
    with pytest.raises(UsageError, match=r"write mean, a class from 0 to 2, or different classes"):
        parse_class_vector(start, 3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [2, 4, 12])
def test_mixing_equals_a_grouped_convolution_sample_by_sample(size, layout):
    channels, groups = 12, 12 // size
    hidden = torch.randn(3, channels, 5, 7, generator=draws(1)).contiguous(memory_format=layout)
    gain, bias = (torch.randn(3, channels, 1, 1, generator=draws(seed)) for seed in (2, 3))
    weights = torch.randn(3, groups, size, size, generator=draws(4))
    found = mix_groups(hidden, gain, bias, weights)
    for sample in range(3):
        kernel = weights[sample] + torch.diag_embed(gain[sample].view(groups, size))
        wanted = F.conv2d(
            hidden[sample : sample + 1],
            kernel.reshape(channels, size, 1, 1),
            bias[sample].flatten(),
            groups=groups,
        )
        torch.testing.assert_close(found[sample : sample + 1], wanted)
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_mixings_gradients_are_those_of_finite_differences(layout):
    shapes = [(2, 6, 3, 2), (2, 6, 1, 1), (2, 6, 1, 1), (2, 2, 3, 3)]
    inputs = [torch.randn(shape, generator=draws(seed), dtype=torch.float64) for seed, shape in enumerate(shapes)]
    inputs[0] = inputs[0].contiguous(memory_format=layout)
    assert torch.autograd.gradcheck(mix_groups, [each.requires_grad_() for each in inputs])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_weights_leave_every_bit(layout, dtype):
    hidden, gain, bias = (
        torch.randn(shape, generator=draws(seed)).to(dtype)
        for seed, shape in enumerate([(2, 32, 9, 9), (2, 32, 1, 1), (2, 32, 1, 1)])
    )
    hidden = hidden.contiguous(memory_format=layout)
    mixed = mix_groups(hidden, gain, bias, torch.zeros(2, 2, 16, 16, dtype=dtype))
    assert mixed.dtype == dtype
    assert torch.equal(mixed, hidden * gain + bias)


def randomize(module, seed, std=0.3):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws(seed)), alpha=std)


def test_groups_of_one_channel_are_bsa():
    """Whatever BSA's layers became, APGC at g = 1 holds it: D = gain' - gain and d = bias' - bias."""
    network = pretrained()
    bsa, apgc = adapter(BSA, network), adapter(APGC, network, group_size=1)
    randomize(bsa, 5)
    apgc.load_state_dict({k: v for k, v in bsa.state_dict().items() if not k.startswith("norms.")}, strict=False)
    with torch.no_grad():
        for ours, mixing, shift, theirs in zip(bsa.norms, apgc.mixing, apgc.shifts, network.norms, strict=True):
            mixing.weight.copy_(ours.gain.normalized_weight() - theirs.gain.normalized_weight())
            shift.weight.copy_(ours.bias.normalized_weight() - theirs.bias.normalized_weight())
        wanted = bsa.eval()(latents())
        assert (wanted - network(latents())).abs().max() > 0.1
        torch.testing.assert_close(apgc.eval()(latents()), wanted, rtol=1e-4, atol=1e-5)


def test_groups_of_one_channel_mix_like_any_other():
    apgc = adapter(APGC, group_size=1)
    randomize(apgc, 6)
    hidden, condition = torch.randn(2, 16, 4, 4, generator=draws(1)), torch.randn(2, 12, generator=draws(2))
    gain, bias = apgc.pretrained.norms[0].modulation(condition)
    off, shift = apgc.mixing[0](condition), apgc.shifts[0](condition)[:, :, None, None]
    wanted = mix_groups(hidden, gain, bias + shift, off[:, :, None, None])
    torch.testing.assert_close(apgc.modulate(0, hidden, condition), wanted)


@pytest.mark.parametrize(("kind", "settings"), [(BSA, {}), (APGC, {"group_size": 4}), (APGC, {"init": "identity"})])
def test_only_the_adapters_own_tensors_learn_and_are_saved(kind, settings):
    network = pretrained()
    settings = ({"group_size": 4, "draws": draws()} if kind is APGC else {}) | settings
    adapted = adapter(kind, network, **settings)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.Adam(adapted.parameters(), 0.01)
    for _ in range(2):
        adapted.train()(latents()).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in adapted.parameters())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())
    after = network.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    own = {name.split(".")[0] for name in adapted.state_dict()}
    layers = {"norms"} if kind is BSA else {"mixing", "shifts"}
    assert own == {"class_vector", "scale", "bias", "first"} | layers
    assert not [name for name in adapted.state_dict() if "stored" in name or "conv" in name]


def test_bsa_renews_its_spectral_vectors_in_training_only():
    adapted = adapter(BSA)
    vectors = {name: tensor.clone() for name, tensor in adapted.state_dict().items() if name.endswith("u0")}
    adapted.eval()(latents())
    assert all(torch.equal(adapted.state_dict()[name], vector) for name, vector in vectors.items())
    adapted.train()(latents())
    assert not any(torch.equal(adapted.state_dict()[name], vector) for name, vector in vectors.items())
    assert len(vectors) == 2 * 6 + 1


def test_weights_off_the_diagonal_get_a_gradient_at_step_0_and_move():
    adapted = adapter(APGC, group_size=4)
    off_diagonal = ~torch.eye(4, dtype=torch.bool)
    optimizer = torch.optim.Adam(adapted.parameters(), 0.01)
    z = torch.zeros(5, 16)  # as codes start: the class vector alone carries the gradient then
    (adapted(z) - torch.rand(5, 3, 32, 32, generator=draws(3))).abs().mean().backward()
    for layer, norm in zip(adapted.mixing, adapted.pretrained.norms, strict=True):
        gradients = layer.weight.grad.view(norm.channels // 4, 4, 4, -1)[:, off_diagonal]
        assert gradients[..., :8].abs().max() > 0
    optimizer.step()
    condition = torch.cat([adapted.class_vector.detach(), torch.zeros(4)])[None]
    for layer, norm in zip(adapted.mixing, adapted.pretrained.norms, strict=True):
        assert layer(condition).view(norm.channels // 4, 4, 4)[:, off_diagonal].abs().max() > 1e-3


def test_the_frozen_layers_pass_the_gradient_on_to_codes_and_class_vector():
    adapted = adapter(APGC, group_size=4)
    z = latents().requires_grad_()
    adapted(z).square().mean().backward()
    assert (z.grad[:, 4:].abs().amax(dim=0) > 0).all()  # the chunks that only conditions read
    assert (adapted.class_vector.grad.abs() > 0).all()


def test_the_identity_start_is_identity_plus_torchs_own_noise():
    network = pretrained()
    one, same, other = (adapter(APGC, network, group_size=4, init="identity", draws=draws(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.mixing[0].weight, other.mixing[0].weight)
    bound = 12**-0.5
    assert bound * 0.95 < one.mixing[0].weight.abs().max() <= bound
    hidden = torch.randn(2, 16, 4, 4, generator=draws(1))
    for layer in (one.mixing[0], one.shifts[0]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    assert torch.equal(one.modulate(0, hidden, torch.ones(2, 12)), hidden)


def test_an_adapter_is_a_generator_and_its_state_restores_it():
    network = pretrained()
    adapted = adapter(APGC, network, group_size=2)
    randomize(adapted, 8)
    assert isinstance(network, Adaptable)
    assert isinstance(adapted, Generator)
    assert (adapted.z_dim, adapted.size, adapted.num_classes) == (16, 32, 0)
    again = adapter(APGC, network, group_size=2)
    again.load_state_dict(adapted.state_dict())
    with torch.no_grad():
        assert torch.equal(again(latents()), adapted(latents()))
        assert not torch.equal(network(latents()), adapted(latents()))


def test_two_adapters_of_one_generator_do_not_meet():
    network = pretrained()
    one, other = adapter(BSA, network, "0"), adapter(BSA, network, "0")
    with torch.no_grad():
        wanted = network(latents())
        one.first.bias.add_(1.0)
        one(latents())
        assert torch.equal(other(latents()), wanted)
        assert torch.equal(network(latents()), wanted)


def test_moving_an_adapter_moves_the_frozen_generator():
    adapted = adapter(APGC, group_size=4).double()
    assert adapted.pretrained.linear.weight.dtype == torch.float64
    assert adapted.pretrained.linear.normalized_weight().dtype == torch.float64


@pytest.mark.parametrize("size", [3, 8, -1, 5])
def test_a_group_size_that_does_not_fit_is_told_those_that_do(size):
    wide = pretrained(config=BigGANConfig(size=64, ch=2, z_dim=18, num_classes=3, shared_dim=8))
    with pytest.raises(UsageError, match=r"4, 8, 16, 32 channels; use one that divides them all: 1, 2, 4, or 0"):
        adapter(APGC, wide, group_size=size)


def test_a_generator_without_class_vectors_is_refused():
    plain = BigGANGenerator(BigGANConfig(size=32, ch=4, z_dim=16, num_classes=3, shared_dim=0, hierarchical=False))
    with pytest.raises(UsageError, match="no shared class vector"):
        BSA(plain, torch.zeros(8))


def biggan_128():
    with torch.device("meta"):
        return BigGANGenerator(BigGANConfig(size=128, ch=96, z_dim=120, num_classes=1000, attention=64))


def test_the_parameter_table_of_biggan_128():
    """Section 2.4 of the reference, from the formulas 148 g S1 and 149 (g + 1) S1 with S1 = 7392 and S2 = 8635392."""
    table = {row.group_size: row for row in parameter_table(biggan_128())}
    assert list(table) == [None, 1, 4, 8, 16, 0]
    assert (table[None].weights, table[None].layer_parameters) == (2_188_032, 2_188_032)
    wanted = {
        1: (1_094_016, 0.5, 2_202_816, 1.01),
        4: (4_376_064, 2, 5_507_040, 2.52),
        8: (8_752_128, 4, 9_912_672, 4.53),
        16: (17_504_256, 8, 18_723_936, 8.56),
        0: (1_278_038_016, 584.1, 1_287_774_816, 588.6),
    }
    for size, (weights, ratio, layers, layer_ratio) in wanted.items():
        row = table[size]
        assert (row.weights, row.layer_parameters) == (weights, layers)
        assert row.weights_ratio == pytest.approx(ratio, abs=0.005 if size else 0.05)
        assert row.layer_ratio == pytest.approx(layer_ratio, abs=0.005 if size else 0.05)


@pytest.mark.parametrize("size", [None, 1, 2, 0])
def test_the_parameter_table_counts_what_is_built(size):
    network = pretrained()
    built = adapter(BSA, network) if size is None else adapter(APGC, network, group_size=size)
    row = next(row for row in parameter_table(network, (1, 2, 0)) if row.group_size == size)
    assert row.trained == sum(parameter.numel() for parameter in built.parameters())


def test_no_groups_are_refused_with_the_memory_that_they_need():
    with pytest.raises(UsageError, match=r"1,287,774,816 parameters need 19\.2 GiB .* and 16\.0 GiB are free"):
        check_memory(biggan_128(), 0, 16 * 2**30)
    with pytest.raises(UsageError, match=r"need 19\.2 GiB"):
        check_memory(biggan_128(), 0, 20 * 2**30)  # it would fit by itself, with nothing left for the step
    check_memory(biggan_128(), 0, 26 * 2**30)
    check_memory(biggan_128(), 0, 16 * 2**30, training=False)
    check_memory(biggan_128(), 0, None)
    check_memory(biggan_128(), 16, np.iinfo(np.int64).max)
