"""The DCGAN: shapes, counts worked out by hand, and the step's promises."""

import numpy as np
import pytest
import torch
from augmented import diffaugment

from augment.errors import UsageError
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Batch
from smallgan.models.base import Generator
from smallgan.models.dcgan import DCGANDiscriminator, DCGANGenerator, initialize, load
from smallgan.tables.losses import LOSSES
from smallgan.tables.recipe import load_recipe
from smallgan.training import augmentation
from smallgan.training.adversarial import build_trainer
from smallgan.training.diffaugment import draw_numbers
from smallgan.training.ema import measure_statistics, update_ema

CPU = torch.device("cpu")


def tiny_trainer(**overrides):
    settings = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4}
    return build_trainer(load_recipe(None, settings | overrides), CPU)


def reals(count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def a_batch():
    return Batch(reals(), torch.zeros(4, dtype=torch.int64), torch.arange(4))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_shapes_and_range(size):
    generator, discriminator = DCGANGenerator(size, 16, 8), DCGANDiscriminator(size, 8)
    images = generator(torch.randn(3, 16))
    assert images.shape == (3, 3, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (3,)
    assert isinstance(generator, Generator)


def test_parameter_counts_by_hand():
    # G: 100*512*16 + 512*256*16 + 256*128*16 + 128*64*16 + 64*3*16 + 3 and 2 * (512 + 256 + 128 + 64) for batch norm
    generator = sum(p.numel() for p in DCGANGenerator(64).parameters())
    assert generator == 819_200 + 2_097_152 + 524_288 + 131_072 + 3_072 + 3 + 1_920
    # D: 3*64*16 + 64, 64*128*16, 128*256*16, 256*512*16, 512*16 + 1, batch norm 2 * (128 + 256 + 512)
    discriminator = sum(p.numel() for p in DCGANDiscriminator(64).parameters())
    assert discriminator == 3_136 + 131_072 + 524_288 + 2_097_152 + 8_193 + 1_792


def test_first_layer_as_a_matrix_product_equals_the_transposed_convolution():
    generator = DCGANGenerator(32, 16, 8).eval()
    z = torch.randn(5, 16)
    hidden = torch.relu(
        generator.project_norm(torch.nn.functional.conv_transpose2d(z[:, :, None, None], generator.project.weight))
    )
    for stage in generator.stages:
        hidden = stage(hidden)
    torch.testing.assert_close(generator(z), torch.tanh(generator.to_rgb(hidden)))


def test_layer_norm_makes_each_image_of_its_own_latent_alone():
    z = torch.randn(4, 16)
    by_norm = {norm: DCGANGenerator(32, 16, 8, norm).train() for norm in ("batch", "layer")}
    for norm, generator in by_norm.items():
        initialize(generator, torch.Generator().manual_seed(0))
        whole, alone = generator(z), torch.cat([generator(one) for one in z.split(1)])
        assert torch.allclose(whole, alone, atol=1e-6) == (norm == "layer")
    maps = torch.randn(2, 32, 4, 4)
    norm = by_norm["layer"].project_norm
    with torch.no_grad():
        norm.weight.copy_(torch.arange(32))
        norm.bias.fill_(0.5)
    wanted = (maps - maps.mean(dim=1, keepdim=True)) / (maps.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(norm(maps), wanted * torch.arange(32)[:, None, None] + 0.5)


def test_a_checkpoint_says_which_norm_its_generator_has():
    for norm in ("batch", "layer"):
        generator = DCGANGenerator(32, 16, 8, norm)
        load(generator.description).load_state_dict(generator.state_dict())
    assert "g_norm" not in DCGANGenerator(32, 16, 8).description  # as checkpoints of earlier versions have it


def test_last_layer_as_a_matrix_product_equals_the_convolution():
    discriminator = DCGANDiscriminator(32, 8).eval()
    images = reals()
    hidden = torch.nn.functional.leaky_relu(discriminator.from_rgb(images), 0.2)
    for stage in discriminator.stages:
        hidden = stage(hidden)
    torch.testing.assert_close(discriminator(images), discriminator.score(hidden).flatten())


def test_other_sizes_are_refused_with_those_that_are_built():
    with pytest.raises(UsageError, match="32, 64, 128"):
        DCGANGenerator(48)


def test_a_step_moves_every_parameter_of_both_networks():
    trainer = tiny_trainer()
    before = {f"{n}.{k}": p.detach().clone() for n in "gd" for k, p in trainer.networks[n].named_parameters()}
    numbers = trainer.step(a_batch(), 0)
    assert all(torch.isfinite(value) for value in numbers.values())
    for name in "gd":
        for key, parameter in trainer.networks[name].named_parameters():
            assert not torch.equal(before[f"{name}.{key}"], parameter), key


def test_freezing_the_discriminator_leaves_the_generators_gradient_bit_identical():
    trainer = tiny_trainer()
    z = torch.randn(4, 100)
    grads = []
    for frozen in (False, True):
        trainer.discriminator.requires_grad_(not frozen)
        trainer.generator.zero_grad()
        trainer.loss.generator(None, trainer.discriminator(trainer.generator(z)), None).backward()
        grads.append([p.grad.clone() for p in trainer.generator.parameters()])
        assert (next(trainer.discriminator.parameters()).grad is None) == frozen
        trainer.discriminator.zero_grad(set_to_none=True)
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def test_same_seed_same_weights_and_another_seed_others():
    one, same, other = tiny_trainer(), tiny_trainer(), tiny_trainer(seeds=[1])
    for trainer in (one, same, other):
        trainer.step(a_batch(), 0)
    weights = [trainer.generator.project.weight for trainer in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_bf16_keeps_float32_weights_and_stays_near_fp32():
    one, other = tiny_trainer(), tiny_trainer(**{"train.precision": "bf16"})
    losses = [trainer.step(a_batch(), 0)["loss_d"].item() for trainer in (one, other)]
    assert {p.dtype for p in other.generator.parameters()} == {torch.float32}
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_ema_averages_weights_and_copies_buffers():
    average, network = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    average.weight.data.fill_(0.0)
    network.weight.data.fill_(1.0)
    network.running_mean.fill_(5.0)
    update_ema(average, network, decay=0.9, step=10_000)
    assert average.weight.item() == pytest.approx(0.1)
    assert average.running_mean.item() == 5.0
    update_ema(average, network, decay=0.9, step=0)  # the warm-up: d = 1 / 10
    assert average.weight.item() == pytest.approx(0.1 * 0.1 + 0.9)


def test_measured_statistics_are_those_of_the_inputs_and_momentum_is_kept():
    norm = torch.nn.BatchNorm2d(1)
    batches = [torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.tensor([5.0, 9.0]).view(2, 1, 1, 1)]
    measure_statistics(norm, ((batch,) for batch in batches))
    assert norm.running_mean.item() == pytest.approx((2 + 7) / 2)
    assert norm.running_var.item() == pytest.approx((2 + 8) / 2)  # unbiased variances of the two batches
    assert norm.momentum == 0.1
    assert not norm.training


def test_settling_leaves_the_next_step_as_it_was():
    one, other = tiny_trainer(), tiny_trainer()
    for trainer in (one, other):
        trainer.step(a_batch(), 0)
    other.recalibrate_batchnorm()
    for trainer in (one, other):
        trainer.step(a_batch(), 1)
    for name, network in one.networks.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, other.networks[name].state_dict()[key]), key


@pytest.mark.parametrize("loss", LOSSES.names)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_every_loss_trains(loss, norm):
    trainer = tiny_trainer(**{"loss.name": loss, "model.d_norm": norm, "regularizers.r1.every": 2})
    for number in range(3):
        numbers = trainer.step(a_batch(), number)
        assert all(np.isfinite(value.item()) for value in numbers.values())
        assert ("r1" in numbers) == (number % 2 == 0)


def seen_by_the_discriminator(monkeypatch, trainer):
    """Let the discriminator keep the images of each pass."""
    seen, inner = [], trainer.discriminator.forward
    monkeypatch.setattr(trainer.discriminator, "forward", lambda images: seen.append(images.detach()) or inner(images))
    return seen


def test_without_batch_norm_reals_and_fakes_take_one_pass_and_with_it_one_each(monkeypatch):
    for norm, sizes in (("batch", [4, 4, 4]), ("none", [8, 4])):
        trainer = tiny_trainer(**{"model.d_norm": norm})
        norms = [module for module in trainer.discriminator.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert bool(norms) == (norm == "batch")
        seen = seen_by_the_discriminator(monkeypatch, trainer)
        trainer.step(a_batch(), 0)
        assert [len(images) for images in seen] == sizes
        assert torch.equal(seen[0][:4], reals())
        assert torch.equal(seen[-1], seen[0][4:] if norm == "none" else seen[1])


def test_without_batch_norm_every_layer_has_a_bias_and_every_parameter_moves():
    # D: 3*8*16 + 8, 8*16*16 + 16, 16*32*16 + 32, 32*16 + 1
    trainer = tiny_trainer(**{"model.d_norm": "none"})
    assert sum(p.numel() for p in trainer.discriminator.parameters()) == 392 + 2_064 + 8_224 + 513
    before = {name: p.detach().clone() for name, p in trainer.discriminator.named_parameters()}
    trainer.step(a_batch(), 0)
    assert [name for name, p in trainer.discriminator.named_parameters() if torch.equal(p, before[name])] == []


def test_the_discriminators_width_is_an_option_of_its_own():
    trainer = tiny_trainer(**{"model.d_width": 16})
    assert trainer.discriminator.from_rgb.out_channels == 16
    assert trainer.generator.to_rgb.in_channels == 8


def test_half_of_the_reals_are_mirrored_where_the_recipe_says_so(monkeypatch):
    mirrored = torch.from_numpy(rng(0, Stream.MIRROR, 5).random(4) < 0.5)
    assert 0 < mirrored.sum() < 4
    trainer = tiny_trainer(**{"method.mirror": True})
    seen = seen_by_the_discriminator(monkeypatch, trainer)
    trainer.step(a_batch(), 5)
    expected = torch.where(mirrored[:, None, None, None], reals().flip(3), reals())
    assert torch.equal(seen[0], expected)


@pytest.mark.parametrize(("loss", "passes"), [("nonsaturating", 3), ("relativistic", 4)])
def test_all_that_the_discriminator_sees_is_augmented_by_draws_of_its_own(monkeypatch, loss, passes):
    settings = {"method.diffaugment": "translation", "loss.name": loss, "regularizers.r1.every": 1}
    trainer, addresses = tiny_trainer(**settings), []

    def noted(kinds, draws, *options, **more):
        state = draws.bit_generator.state["state"]
        addresses.append(state["key"].tobytes() + state["counter"].tobytes())
        return draw_numbers(kinds, draws, *options, **more)

    monkeypatch.setattr(augmentation, "draw_numbers", noted)
    seen = seen_by_the_discriminator(monkeypatch, trainer)
    for number in range(2):
        trainer.step(a_batch(), number)
    assert len(seen) == len(addresses) == len(set(addresses)) == 2 * (passes + 1)
    assert torch.equal(seen[0], diffaugment(reals(), ("translation",), rng(0, Stream.DIFFAUGMENT, 0)))
    assert not torch.equal(seen[0], reals())


def test_the_relativistic_generator_learns_from_the_reals_of_its_batch():
    found = []
    for brightness in (0.0, 0.5):
        trainer = tiny_trainer(**{"loss.name": "relativistic", "model.d_norm": "none", "method.lr_d": 1e-12})
        real = reals() + brightness
        batch = Batch(real, torch.zeros(4, dtype=torch.int64), torch.arange(4))
        scores = trainer.discriminator(real).detach()
        fakes = trainer.discriminator(trainer._fakes(batch.labels, 0)).detach()
        numbers = trainer.step(batch, 0)
        expected = torch.nn.functional.softplus(scores - fakes).mean()
        torch.testing.assert_close(numbers["loss_g"], expected, rtol=1e-4, atol=1e-6)
        found.append(numbers["loss_g"].item())
    assert found[0] != found[1]
