"""FastGAN: widths and counts worked out by hand, its layers against their formulas, classes, and all sides."""

import math

import pytest
import torch
from torch.nn import functional as F

from augment.errors import UsageError
from smallgan.models.base import Generator
from smallgan.models.fastgan import (
    GLU,
    FastGANDiscriminator,
    FastGANGenerator,
    HalvingBlock,
    MinibatchDeviation,
    SkipExcitation,
    build,
    discriminator_widths,
    generator_widths,
    load,
)
from smallgan.tables.models import FastGANOptions


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def built(size=32, num_classes=1, **options):
    return build(FastGANOptions(**{"z_dim": 6, "base_width": 1, "class_dim": 4, **options}), size, num_classes, draws())


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_shapes_and_range(size):
    generator, discriminator = built(size)
    with torch.no_grad():
        images = generator(torch.randn(3, 6, generator=draws()))
        assert images.shape == (3, 3, size, size)
        assert images.dtype == torch.float32
        assert images.abs().max() <= 1
        assert discriminator(images).shape == (3,)
        assert discriminator.maps(images).shape == (3, discriminator.map_channels, 8, 8)
        assert discriminator.patches(discriminator.maps(images)).shape == (3, 1, 5, 5)
    assert isinstance(generator, Generator)


def test_widths_are_those_of_the_design():
    assert list(generator_widths(64, 8).items()) == [(4, 192), (8, 128), (16, 96), (32, 48), (64, 24)]
    assert list(generator_widths(512, 8).values()) == [512, 512, 256, 128, 128, 64, 32, 16]
    assert generator_widths(32, 4) == {4: 96, 8: 64, 16: 48, 32: 24}
    assert list(discriminator_widths(64, 8).items()) == [(64, 24), (32, 48), (16, 96), (8, 192), (4, 192)]
    assert list(discriminator_widths(256, 8).values()) == [32, 64, 128, 256, 256, 256, 256]


def test_parameter_counts_by_hand():
    generator, discriminator = build(FastGANOptions(), 64, 1, draws())
    assert count(generator) == sum(
        [
            *(256 * 384 * 16, 2 * 384),  # linear to 4 x 4, twice 192 channels for the gates, and batch norm
            *(192 * 256 * 16, 2 * 256, 128 * 256 * 9, 2 * 256),  # 8 px: doubling, second convolution
            *(128 * 192 * 16, 2 * 192, 96 * 192 * 9, 2 * 192),  # 16 px
            *(96 * 96 * 16, 2 * 96),  # 32 px
            *(48 * 48 * 16, 2 * 48),  # 64 px
            *(192 * 16 * 48 + 48 * 48, 128 * 16 * 24 + 24 * 24),  # excitation 4 -> 32 and 8 -> 64
            24 * 3 * 9 + 3,
        ]
    )
    blocks = [(24, 48), (48, 96), (96, 192), (192, 192)]
    assert count(discriminator) == sum(
        [
            3 * 24 * 9 + 24,
            # 4 x 4 and 1 x 1 from wide to narrow, 3 x 3 within narrow; two biases
            *(wide * narrow * (16 + 1) + narrow * narrow * 9 + 2 * narrow for wide, narrow in blocks),
            192 * 192 + 192 + 192 * 16,  # patches
            193 * 16 * 192 + 192 + 192 + 1,  # the whole image, with the channel of the deviation
        ]
    )
    # Classes: an embedding of 128 beside z, and a vector of the last width in the discriminator.
    conditional, judge = build(FastGANOptions(), 64, 5, draws())
    assert count(conditional) - count(generator) == 5 * 128 + 128 * 384 * 16
    assert count(judge) - count(discriminator) == 5 * 192


@pytest.mark.parametrize(
    ("size", "pairs"),
    [
        (32, {32: 4}),
        (64, {32: 4, 64: 8}),
        (128, {64: 4, 128: 8}),
        (256, {64: 4, 128: 8, 256: 16}),
        (512, {64: 4, 128: 8, 256: 16, 512: 32}),
    ],
)
def test_excitation_joins_the_levels_of_the_design(size, pairs):
    generator, _ = built(size)
    widths = generator_widths(size, 1)
    expected = {str(high): (widths[low] * 16, widths[high]) for high, low in pairs.items()}
    found = {name: each.squeeze.weight.shape[::-1] for name, each in generator.excitations.items()}
    assert {name: tuple(shape) for name, shape in found.items()} == expected
    second = {int(name) for name, level in generator.levels.items() if isinstance(level[0], torch.nn.Sequential)}
    assert second == {side for side in ((8, 16) if size <= 64 else (8, 16, 32, 64)) if side <= size}


def test_excitation_by_hand():
    # A chequerboard of 0 and 0.5 pools to 4 x 4 places of 0.25, whose sum is 4: silu(4) = 4 / (1 + e^-4).
    layer = SkipExcitation(1, 2)
    torch.nn.init.ones_(layer.squeeze.weight)
    layer.excite.weight.data = torch.tensor([[0.5, 0.0], [0.0, -0.25]])
    low = 0.5 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float()[None, None]
    silu = 4 / (1 + math.exp(-4))
    gates = [1 / (1 + math.exp(-0.5 * silu)), 1 / (1 + math.exp(0.25 * silu))]
    found = layer(low, torch.full((1, 2, 3, 3), 2.0))
    torch.testing.assert_close(found, 2 * torch.tensor(gates)[None, :, None, None].expand(1, 2, 3, 3))


def test_excitation_is_the_papers_two_convolutions():
    layer, low, high = SkipExcitation(5, 3), torch.randn(2, 5, 16, 16), torch.randn(2, 3, 32, 32)
    hidden = F.conv2d(F.adaptive_avg_pool2d(low, 4), layer.squeeze.weight.view(3, 5, 4, 4))
    gates = torch.sigmoid(F.conv2d(hidden * torch.sigmoid(hidden), layer.excite.weight[:, :, None, None]))
    torch.testing.assert_close(layer(low, high), high * gates)


def test_the_gated_unit_is_torchs_and_keeps_gradients_in_the_order_of_the_maps():
    maps = torch.randn(3, 10, 4, 4, generator=draws()).contiguous(memory_format=torch.channels_last)
    results = []
    for unit in (GLU(), torch.nn.GLU(dim=1)):
        entering = maps.clone().requires_grad_()
        left = unit(entering)
        left.square().sum().backward()
        results.append((left.detach(), entering.grad))
    torch.testing.assert_close(results[0], results[1])
    inside = maps.clone().requires_grad_()
    between = inside * 1.0
    between.register_hook(lambda gradient: results.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    GLU()(between).sum().backward()
    assert results[2] is True


def test_a_halving_block_by_its_formula():
    block, maps = HalvingBlock(3, 5), torch.randn(2, 3, 32, 32, generator=draws())
    first, _, second = block.main
    main = F.leaky_relu(F.conv2d(maps, first.weight, first.bias, stride=2, padding=1), 0.2)
    main = F.conv2d(main, second.weight, second.bias, padding=1)
    direct = F.conv2d(F.avg_pool2d(maps, 2), block.direct[1].weight)
    torch.testing.assert_close(block(maps), F.leaky_relu(main + direct, 0.2))


def test_minibatch_deviation_by_hand():
    # Groups of four: 0, 2, 4, 6 have the variance 5; four times 3 none. Both channels alike, so the mean is the root.
    maps = torch.tensor([0.0, 2, 4, 6, 3, 3, 3, 3]).view(8, 1, 1, 1).expand(8, 2, 2, 2)
    found = MinibatchDeviation()(maps)
    assert torch.equal(found[:, :2], maps)
    assert found.shape == (8, 3, 2, 2)
    torch.testing.assert_close(found[:4, 2], torch.full((4, 2, 2), 5**0.5))
    torch.testing.assert_close(found[4:, 2], torch.full((4, 2, 2), 1e-4))


@pytest.mark.parametrize(("images", "group"), [(1, 1), (2, 2), (3, 3), (5, 5), (6, 3), (8, 4), (10, 2), (25, 25)])
def test_groups_divide_every_batch(images, group):
    maps = torch.arange(float(images)).view(images, 1, 1, 1)
    expected = math.sqrt((group**2 - 1) / 12 + 1e-8)  # of the numbers 0, ..., group - 1
    torch.testing.assert_close(MinibatchDeviation()(maps)[:, 1], torch.full((images, 1, 1), expected))


def test_a_score_is_the_mean_of_the_patches_and_of_the_whole():
    _, discriminator = built(32)
    images = torch.rand(4, 3, 32, 32, generator=draws()) * 2 - 1
    maps = discriminator.maps(images)
    patches = discriminator.patches(maps).mean(dim=(1, 2, 3))
    whole = discriminator.score(discriminator.to_vector(maps)).flatten()
    torch.testing.assert_close(discriminator(images), (patches + whole) / 2)


def test_the_discriminator_has_no_norm_and_its_maps_start_at_the_same_scale_at_every_side():
    for size in (32, 256):
        _, discriminator = built(size, base_width=4)
        assert not [each for each in discriminator.modules() if "Norm" in type(each).__name__]
        images = F.interpolate(torch.randn(4, 3, 4, 4, generator=draws(1)), size=size, mode="bilinear")
        with torch.no_grad():
            assert 0.3 < discriminator.maps(images / images.std()).square().mean().sqrt() < 1.5


def test_an_image_is_a_function_of_its_latent_and_its_class_alone():
    generator, _ = built(32, 3)
    z = torch.randn(5, 6, generator=draws())
    labels = torch.tensor([0, 1, 2, 0, 1])
    for norm in (each for each in generator.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0  # the statistics of one batch
    with torch.no_grad():
        first = generator(z, labels)
        assert torch.equal(first, generator(z, labels))  # nothing is drawn inside, in training either
        generator.eval()
        whole = generator(z, labels)
        assert whole.std() > 1e-3
        torch.testing.assert_close(generator(z[3:4], labels[3:4]), whole[3:4], rtol=1e-3, atol=1e-5)
        assert torch.equal(generator(z), generator(z, torch.zeros(5, dtype=torch.int64)))
        by_class = (whole - generator(z)).abs().amax(dim=(1, 2, 3))
        assert (by_class > 1e-3).tolist() == [False, True, True, False, True]


def test_classes_enter_the_score_by_a_projection():
    _, discriminator = built(32, 3)
    images = torch.rand(4, 3, 32, 32, generator=draws()) * 2 - 1
    labels = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        vectors = discriminator.to_vector(discriminator.maps(images))
        table = discriminator.embed.weight
        expected = ((table[labels] - table[0]) * vectors).sum(dim=1) / 2
        found = discriminator(images, labels) - discriminator(images)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_one_class_is_none():
    generator, discriminator = built(32, 1)
    assert (generator.num_classes, discriminator.embed) == (0, None)
    assert not hasattr(generator, "classes")


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_generator_is_built_again_from_what_its_checkpoint_tells(num_classes):
    generator, _ = built(64, num_classes)
    assert generator.description["model"] == "fastgan"
    again = load(generator.description)
    again.load_state_dict(generator.state_dict())
    assert again.description == generator.description


def test_weights_come_from_the_draws_alone():
    torch.manual_seed(1)
    one = built(32, 2)
    torch.manual_seed(2)
    for network, same in zip(one, built(32, 2), strict=True):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, same.state_dict()[name]), name


@pytest.mark.parametrize("network", [lambda: FastGANGenerator(48, 6, 1), lambda: FastGANDiscriminator(48, 1)])
def test_other_sizes_are_refused_with_those_that_are_built(network):
    with pytest.raises(UsageError, match="size 48: FastGAN is built for 32, 64, 128, 256, 512 px"):
        network()
