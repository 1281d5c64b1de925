"""A BigGAN's step: what it computes and moves, where its draws come from, and that killed and resumed is the same."""

import copy

import numpy as np
import pytest
import torch
from augmented import diffaugment
from tensors import tensors

from augment.errors import UsageError
from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.core.rng import Stream, normal, rng
from smallgan.data.images import Batch, ImageBatches
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.tables.recipe import load_recipe
from smallgan.training import augmentation, ema
from smallgan.training.adversarial import AdversarialTrainer, build_trainer
from smallgan.training.diffaugment import draw_numbers
from smallgan.training.ema import STATISTICS_BATCH, STATISTICS_BATCHES
from smallgan.training.freezing import without_gradients

CPU = torch.device("cpu")
NAMES = ("bars", "discs", "stars")
COUNT, BATCH = 9, 4


def recipe(**overrides):
    settings = {
        "model.name": "biggan",
        "data.size": 32,
        "model.base_width": 8,
        "train.batch_size": BATCH,
        **{"model.z_dim": 8, "model.shared_dim": 4},
    }
    return load_recipe(None, settings | {name.replace("__", "."): value for name, value in overrides.items()})


def trainer(settings=None, classes=NAMES):
    return build_trainer(settings or recipe(), CPU, classes)


def batches(settings):
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(COUNT, dtype=np.int64) % len(NAMES)
    return ImageBatches(pixels, BATCH * settings.method.d_steps, settings.seed, CPU, labels, balanced=True)


def run(one, settings, first, last):
    found = batches(settings)
    return [one.step(found.batch(number), number) for number in range(first, last)]


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def spied(monkeypatch, one, attribute):
    """Let a trainer's network keep what goes into it: (inputs, labels) of each pass."""
    seen = []
    network = getattr(one, attribute)
    inner = network.forward
    monkeypatch.setattr(network, "forward", lambda x, labels: seen.append((x.detach(), labels)) or inner(x, labels))
    return seen


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    settings = recipe(method__diffaugment="color,translation,cutout")
    one, other = trainer(settings), trainer(settings)
    assert moved(tensors(one), tensors(other)) == set()
    run(one, settings, 0, 2)
    torch.manual_seed(99)
    np.random.seed(99)
    run(other, settings, 0, 2)
    assert moved(tensors(one), tensors(other)) == set()
    # Batch-norm buffers, attention and biases start alike; every drawn weight differs.
    differing = moved(tensors(trainer(settings)), tensors(trainer(recipe(seeds=[1]))))
    assert {name for name in tensors(one) if name.endswith("weight")} <= differing


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"method__diffaugment": "color,translation,cutout", "method__d_steps": 2, "method__ema_start": 3},
        {"train__precision": "bf16", "model__attention": 16, "loss__name": "nonsaturating"},
    ],
)
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, overrides):
    monkeypatch.setattr(ema, "STATISTICS_BATCH", 8)  # 8 batches of 8 do, and take less time
    settings = recipe(**overrides)
    through = trainer(settings)
    run(through, settings, 0, 4)
    one = trainer(settings)
    run(one, settings, 0, 2)
    one.recalibrate_batchnorm()
    one.generator_ema(torch.zeros(1, 8))
    save_checkpoint(tmp_path / "000002", one, {"step": 2, **one.description})
    other = trainer(settings)
    state = load_checkpoint(tmp_path / "000002", other)
    numbers = run(other, settings, 2, 4)
    assert moved(tensors(through), tensors(other)) == set()
    assert (state["model"], state["classes"]) == ("biggan", list(NAMES))
    assert BigGANConfig(**state["config"]) == other.generator.config
    assert all(torch.isfinite(value) for value in numbers[-1].values())


def test_settling_leaves_the_next_step_as_it_was(monkeypatch):
    monkeypatch.setattr(ema, "STATISTICS_BATCH", 8)
    settings = recipe()
    one, other = trainer(settings), trainer(settings)
    for each in (one, other):
        run(each, settings, 0, 1)
    before = tensors(one)
    one.recalibrate_batchnorm()
    assert moved(before, tensors(one)), "statistics are measured"
    for each in (one, other):
        run(each, settings, 1, 2)
    assert moved(tensors(one), tensors(other)) == set()


def test_settling_measures_the_moments_and_touches_nothing_else():
    settings = recipe()
    one = trainer(settings)
    run(one, settings, 0, 1)
    before = tensors(one)
    one.recalibrate_batchnorm()
    changed = moved(before, tensors(one))
    assert changed == {name for name in before if name.startswith("g_ema.") and "stored_" in name}
    assert not any(module.training for module in one.generator_ema.modules())
    assert all(norm.momentum == 0.1 for norm in one.generator_ema.norms)
    # The first norm sees the first map, whose moments over all draws can be told without the trainer's code.
    shape = (STATISTICS_BATCH, one.generator.config.z_dim)
    z = np.concatenate([normal(0, Stream.STATISTICS_LATENTS, at, shape) for at in range(STATISTICS_BATCHES)])
    with torch.no_grad():
        first = one.generator_ema.linear(torch.from_numpy(z[:, : one.generator.config.chunk])).view(len(z), -1, 16)
    norm = one.generator_ema.norms[0]
    torch.testing.assert_close(norm.stored_mean, first.mean(dim=(0, 2)), rtol=1e-4, atol=1e-5)
    within = torch.stack([part.transpose(0, 1).flatten(1).var(dim=1) for part in first.split(STATISTICS_BATCH)])
    torch.testing.assert_close(norm.stored_var, within.mean(dim=0), rtol=1e-4, atol=1e-6)


def test_the_average_is_a_copy_before_its_start_and_warms_up_after_it():
    settings = recipe(method__ema_start=2)
    one = trainer(settings)
    for number in range(2):
        run(one, settings, number, number + 1)
        assert moved(one.generator.state_dict(), one.generator_ema.state_dict()) == set()
    before = {name: value.clone() for name, value in one.generator_ema.named_parameters()}
    run(one, settings, 2, 3)
    for name, value in one.generator.named_parameters():  # d = min(0.9999, (1 + 0) / (10 + 0)) = 0.1
        expected = 0.1 * before[name] + 0.9 * value.detach()
        torch.testing.assert_close(dict(one.generator_ema.named_parameters())[name], expected)
    for name, value in one.generator.named_buffers():
        assert torch.equal(dict(one.generator_ema.named_buffers())[name], value)


def test_half_of_the_reals_are_mirrored_exactly(monkeypatch):
    settings = recipe(method__d_steps=3)
    one = trainer(settings)
    seen = spied(monkeypatch, one, "discriminator")
    batch = batches(settings).batch(4)
    one.step(batch, 4)
    reals = torch.cat([images[:BATCH] for images, _ in seen[:3]])
    mirrored = torch.tensor(rng(0, Stream.MIRROR, 4).random(3 * BATCH) < 0.5)
    assert 0 < mirrored.sum() < len(mirrored)
    assert torch.equal(reals[mirrored], batch.images[mirrored].flip(3))
    assert torch.equal(reals[~mirrored], batch.images[~mirrored])
    assert not torch.equal(batch.images, batch.images.flip(3))


def test_no_real_is_mirrored_where_the_recipe_says_so(monkeypatch):
    settings = recipe(method__mirror=False)
    one = trainer(settings)
    seen = spied(monkeypatch, one, "discriminator")
    batch = batches(settings).batch(0)
    one.step(batch, 0)
    assert torch.equal(seen[0][0][:BATCH], batch.images)


def test_each_discriminator_step_has_a_part_and_fakes_of_its_own_and_the_generator_the_last(monkeypatch):
    settings = recipe(method__d_steps=3, method__mirror=False)
    one = trainer(settings)
    into_d, into_g = spied(monkeypatch, one, "discriminator"), spied(monkeypatch, one, "generator")
    batch = batches(settings).batch(5)
    assert len(batch.images) == 3 * BATCH
    one.step(batch, 5)
    assert len(into_d) == 4  # three of its own, one in the generator's step
    for part in range(3):
        own = slice(part * BATCH, (part + 1) * BATCH)
        images, labels = into_d[part]
        assert torch.equal(images[:BATCH], batch.images[own])
        assert torch.equal(labels, batch.labels[own].repeat(2))
        z, drawn_for = into_g[part]
        assert torch.equal(z, torch.from_numpy(normal(0, Stream.TRAIN_LATENTS, 15 + part, (BATCH, 8))))
        assert torch.equal(drawn_for, batch.labels[own])
    assert len(into_g) == 3
    assert torch.equal(into_d[3][0], into_d[2][0][BATCH:])
    assert torch.equal(into_d[3][1], batch.labels[-BATCH:])


def test_reals_and_fakes_are_augmented_by_draws_of_their_own_at_every_step(monkeypatch):
    settings = recipe(method__diffaugment="translation", method__d_steps=2, method__mirror=False)
    one = trainer(settings)
    addresses = []

    def noted(kinds, draws, *options, **more):
        state = draws.bit_generator.state["state"]
        addresses.append(state["key"].tobytes() + state["counter"].tobytes())
        return draw_numbers(kinds, draws, *options, **more)

    monkeypatch.setattr(augmentation, "draw_numbers", noted)
    seen = spied(monkeypatch, one, "discriminator")
    batch = batches(settings).batch(0)
    one.step(batch, 0)
    one.step(batches(settings).batch(1), 1)
    assert len(addresses) == 2 * (2 * 2 + 1)
    assert len(set(addresses)) == len(addresses)
    expected = diffaugment(batch.images[:BATCH], ("translation",), rng(0, Stream.DIFFAUGMENT, 0))
    assert torch.equal(seen[0][0][:BATCH], expected)


@pytest.mark.parametrize("diffaugmented", ["none", "translation,cutout"])
def test_the_discriminator_gets_no_gradients_in_the_generators_step(monkeypatch, diffaugmented):
    settings = recipe(method__diffaugment=diffaugmented)
    one = trainer(settings)
    checked = []

    def descend(name, loss, context):
        for parameter in [*one.generator.parameters(), *one.discriminator.parameters()]:
            parameter.grad = None
        before = tensors(one)
        terms = inner(name, loss, context)
        with_gradients = {n for n in "gd" if any(p.grad is not None for p in one.networks[n].parameters())}
        assert with_gradients == {name[0]}
        changed = {changed.split(".")[0] for changed in moved(before, tensors(one))}
        assert changed == {name[0]}
        checked.append(name)
        return terms

    inner = one._descend
    monkeypatch.setattr(one, "_descend", descend)
    run(one, settings, 0, 1)
    assert checked == ["discriminator", "generator"]
    assert all(parameter.requires_grad for parameter in one.discriminator.parameters())


def test_gradients_through_a_network_without_gradients_are_the_same_bits():
    one = trainer()
    images = batches(recipe()).batch(0).images
    found = []
    for frozen in (False, True):
        network, entering = copy.deepcopy(one.discriminator), images.clone().requires_grad_()
        if frozen:
            with without_gradients(network):
                network(entering, torch.zeros(BATCH, dtype=torch.int64)).sum().backward()
        else:
            network(entering, torch.zeros(BATCH, dtype=torch.int64)).sum().backward()
        found.append(entering.grad)
        assert all((parameter.grad is None) == frozen for parameter in network.parameters())
    assert torch.equal(*found)


def test_reals_and_fakes_in_one_pass_score_as_in_two():
    one = trainer()
    batch = batches(recipe()).batch(0)
    fakes = one._fakes(batch.labels, 0).detach()
    once, twice = copy.deepcopy(one.discriminator).eval(), copy.deepcopy(one.discriminator).eval()
    with torch.no_grad():
        together = once(torch.cat([batch.images, fakes]), batch.labels.repeat(2))
        apart = torch.cat([twice(batch.images, batch.labels), twice(fakes, batch.labels)])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


def test_the_losses_of_a_step_by_the_formulas():
    settings = recipe(method__mirror=False)
    one, network = trainer(settings), trainer(settings)
    batch = batches(settings).batch(7)
    numbers = one.step(batch, 7)
    fakes = network._fakes(batch.labels, 7).detach()
    scores = network.discriminator(torch.cat([batch.images, fakes]), batch.labels.repeat(2)).detach()
    real, fake = scores.chunk(2)
    expected = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    torch.testing.assert_close(numbers["loss_d"], expected)
    torch.testing.assert_close(numbers["score_real"], real.mean())
    torch.testing.assert_close(numbers["score_fake"], fake.mean())
    # The generator's loss is read from the discriminator that has just learned: `one` holds it.
    with torch.no_grad():
        again = copy.deepcopy(one.discriminator).eval()(fakes, batch.labels)
    torch.testing.assert_close(numbers["loss_g"], -again.mean(), rtol=1e-2, atol=1e-3)


def not_orthogonal(settings):
    """A trainer whose generator starts away from the orthogonal weights, where the penalty is zero."""
    one, draws = trainer(settings), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in one.generator.parameters():
            weight.normal_(0, 0.3, generator=draws)
    return one


def test_the_orthogonal_penalty_takes_all_weights_but_the_shared_class_vectors(monkeypatch):
    gradients = []
    for strength in (0.0, 0.5):
        settings = recipe(regularizers__orthogonal__weight=strength)
        one = not_orthogonal(settings)
        monkeypatch.setattr(one.optimizers["g"], "step", lambda: None)
        run(one, settings, 0, 1)
        gradients.append({name: p.grad.clone() for name, p in one.generator.named_parameters()})
    for name, weight in not_orthogonal(recipe()).generator.named_parameters():
        found = gradients[1][name] - gradients[0][name]
        if weight.ndim < 2 or name == "shared.weight":
            assert not found.any(), name
            continue
        rows = weight.detach().flatten(1)
        gram = rows @ rows.T
        expected = (4 * 0.5 * (gram - gram.diag().diag()) @ rows).view_as(weight)
        assert expected.abs().max() > 0.1, name
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_orthogonal_start_and_normal_start():
    weights = {
        how: trainer(recipe(model__init=how)).generator.blocks[0][0].conv1.weight for how in ("orthogonal", "N02")
    }
    rows = weights["orthogonal"].detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
    assert weights["N02"].std().item() == pytest.approx(0.02, rel=0.05)


def test_what_is_built_follows_the_recipe():
    drawn = trainer(recipe(model__z_dim=22, model__d_width=16, model__attention=16), [*"abcde"])
    assert drawn.generator.config == BigGANConfig(32, 8, 20, 5, 4, attention=16, d_ch=16)  # 22 holds four chunks of 5
    one = trainer(recipe(model__attention=16))
    assert {"blocks.1.1.gamma"} == {name for name, _ in one.generator.named_parameters() if name.endswith("gamma")}
    assert {"blocks.0.1.gamma"} == {name for name, _ in one.discriminator.named_parameters() if name.endswith("gamma")}


def test_without_classes_it_is_a_gan_of_one_class():
    one = trainer(classes=())
    assert one.generator.config.num_classes == 1
    assert one.description["classes"] == []
    images = batches(recipe()).batch(0).images
    numbers = one.step(Batch(images, torch.zeros(BATCH, dtype=torch.int64), torch.arange(BATCH)), 0)
    assert all(torch.isfinite(value) for value in numbers.values())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"model__z_dim": 3}, "model.z_dim 3: must be at least 4"),
        ({"model__attention": 33}, "model.attention 33: no maps of that side .* use one of 8, 16, or 0"),
        ({"model__attention": 32}, "model.attention 32"),
        ({"method__diffaugment": "flip"}, "diffaugment: unknown operation 'flip'"),
    ],
)
def test_what_cannot_be_built_is_refused(overrides, said):
    with pytest.raises(UsageError, match=said):
        trainer(recipe(**overrides))


def test_rates_and_betas_are_the_recipes():
    one = trainer(recipe(method__lr_g=3e-4, method__beta2=0.9))
    found = {name: one.optimizers[name].param_groups[0] for name in "gd"}
    assert {name: (group["lr"], group["betas"]) for name, group in found.items()} == {
        "g": (3e-4, (0.0, 0.9)),
        "d": (4e-4, (0.0, 0.9)),
    }
    assert sum(map(torch.numel, found["d"]["params"])) == sum(map(torch.numel, one.discriminator.parameters()))


def test_networks_that_were_given_are_gone_on_with():
    generator = BigGANGenerator(BigGANConfig(size=32, ch=8, z_dim=8, num_classes=3, shared_dim=4))
    initialize(generator, torch.Generator().manual_seed(5))
    discriminator = BigGANDiscriminator(generator.config)
    one = AdversarialTrainer(recipe(), CPU, generator, discriminator, NAMES)
    assert moved(generator.state_dict(), one.generator_ema.state_dict()) == set()
    assert one.generator.config == generator.config
    assert one.discriminator.embed.weight.shape == (3, 32)


@pytest.mark.slow
def test_a_short_training_separates_the_classes():
    """Two classes, one black and one white: the generator learns which is which."""
    settings = recipe(method__lr_g=1e-3, method__lr_d=2e-3, train__batch_size=4, regularizers__orthogonal__weight=0.0)
    one = trainer(settings, classes=("black", "white"))
    levels = np.repeat(np.array([0, 255], np.uint8), 4)
    pixels = np.broadcast_to(levels[:, None, None, None], (8, 32, 32, 3)).copy()
    found = ImageBatches(pixels, 4, 0, CPU, np.repeat(np.arange(2), 4), balanced=True)
    for number in range(40):
        one.step(found.batch(number), number)
    one.recalibrate_batchnorm()
    z = torch.from_numpy(normal(0, Stream.SAMPLE_LATENTS, 0, (8, 8)))
    with torch.no_grad():
        black, white = (one.generator_ema(z, torch.full((8,), label)).mean().item() for label in (0, 1))
    assert black < -0.3
    assert white > 0.3
