"""A transfer's step: what it computes, what it moves, and that killed and resumed equals uninterrupted."""

import json

import numpy as np
import pytest
import torch
from sampled_models import small_perceptual
from tensors import tensors

from augment.errors import UsageError
from smallgan.core.checkpoint import TENSORS, load_checkpoint, read_state, read_tensors, save_checkpoint
from smallgan.core.rng import Stream, normal
from smallgan.data.images import Batch, ImageBatches, to_images
from smallgan.models import adapters
from smallgan.models.adapters import APGC, BSA
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.pretrained import save_generator
from smallgan.sampling.pretrained import find_pretrained, load_adapted
from smallgan.tables.recipe import load_recipe
from smallgan.training import transfer
from smallgan.training.reconstruction import latent_distance, reconstruction
from smallgan.training.transfer import TransferTrainer, build_adapter

CPU = torch.device("cpu")
COUNT, SIZE, Z = 7, 32, 16


def recipe(method="apgc", **overrides):
    settings = {"method.name": method, "train.batch_size": 4, "data.size": SIZE}
    settings |= {"method.latents": "learned"} | ({"method.group_size": 4} if method == "apgc" else {})
    return load_recipe(None, settings | {name.replace("__", "."): value for name, value in overrides.items()})


def pretrained():
    network = BigGANGenerator(BigGANConfig(size=SIZE, ch=4, z_dim=Z, num_classes=3, shared_dim=8))
    initialize(network, torch.Generator().manual_seed(0))
    return network.eval()


def pixels(count=COUNT, size=SIZE):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def trainer(settings=None, network=None, perceptual=None):
    settings = settings or recipe()
    adapter = build_adapter(settings, network or pretrained(), CPU)
    return TransferTrainer(settings, adapter, pixels(), CPU, perceptual)


def batches(settings):
    return ImageBatches(pixels(), settings.train.batch_size, settings.seed, CPU)


def run(one, settings, first, last):
    found = batches(settings)
    return [one.step(found.batch(number), number) for number in range(first, last)]


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("variant", ["normalized", "raw"])
def test_the_loss_of_a_step_is_the_sum_of_its_terms(variant):
    settings = recipe(method__variant=variant, method__code_init="normal", method__code_noise=0.3)
    one, network = trainer(settings, perceptual=small_perceptual()), small_perceptual()
    batch = batches(settings).batch(5)
    codes = torch.from_numpy(normal(0, Stream.CODES, 0, (COUNT, Z)))[batch.indices]
    assert torch.equal(one.networks["codes"].weight.detach()[batch.indices], codes)
    noise = 0.3 * torch.from_numpy(normal(0, Stream.CODE_NOISE, 5, (4, Z)))
    with torch.no_grad():
        images = one.generator(codes + noise)
        weight = 0.1 if variant == "normalized" else 0.001
        terms = reconstruction(
            images, batch.images, network.features(images), network.features(batch.images), variant, weight
        )
        latent = latent_distance(codes, torch.from_numpy(normal(0, Stream.LATENT_TARGETS, 5, (40, Z))))
        class_vector = one.generator.class_vector.square().mean().clone()
    found = one.step(batch, 5)
    assert {name for name, value in found.items() if value.requires_grad or value.ndim} == set()
    wanted = {
        "loss_g": terms.loss + 0.1 * latent + 0.02 * class_vector,
        "pixel": (images - batch.images).abs().mean(),
        "perceptual": terms.perceptual,
        "latent": latent,
        "class_vector": class_vector,
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_a_training_image_meets_its_own_code():
    one = trainer(perceptual=small_perceptual())
    settings = recipe()
    before = tensors(one)
    batch = batches(settings).batch(0)
    one.step(batch, 0)
    rows = (before["codes.weight"] != tensors(one)["codes.weight"]).any(dim=1)
    assert set(rows.nonzero().flatten().tolist()) == set(batch.indices.tolist())
    for layer, wanted in zip(one._real_layers(batch), small_perceptual().features(batch.images), strict=True):
        torch.testing.assert_close(layer, wanted)


@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_every_trained_tensor_moves_and_the_frozen_generator_does_not(method):
    settings, network = recipe(method), pretrained()
    frozen = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    one = trainer(settings, network)
    before = tensors(one)
    run(one, settings, 0, 3)
    assert isinstance(one.generator, BSA if method == "bsa" else APGC)
    learned = {f"{n}.{k}" for n, net in one.networks.items() for k, _ in net.named_parameters()}
    assert learned - moved(before, tensors(one)) == set()
    assert moved(frozen, network.state_dict()) == set()
    assert not any("conv" in name or "stored" in name for name in before)


def test_all_images_of_a_set_larger_than_a_batch_are_learned_from():
    settings = recipe()
    one = trainer(settings)
    before = tensors(one)["codes.weight"]
    run(one, settings, 0, 2)
    assert (before != tensors(one)["codes.weight"]).any(dim=1).all()


def test_rates_fall_by_optimizer_steps_and_each_part_has_its_own():
    settings = recipe(method__lr_decay_every=2, method__lr_decay=0.2)
    one = trainer(settings)
    found = []
    for number in range(5):
        run(one, settings, number, number + 1)
        found.append([group["lr"] for name in ("codes", "g_ema") for group in one.optimizers[name].param_groups])
    for number, rates in enumerate(found):
        assert rates == pytest.approx([rate * 0.2 ** (number // 2) for rate in (0.05, 0.001, 1e-7, 0.0005)])
    names = {id(parameter): name for name, parameter in one.generator.named_parameters()}
    groups = [{names[id(p)] for p in group["params"]} for group in one.optimizers["g_ema"].param_groups]
    assert groups[:2] == [{"class_vector"}, {"first.weight"}]
    assert set().union(*groups) == set(names.values())


def test_a_rate_of_0_freezes_the_first_layer():
    settings = recipe(method__lr_first=0)
    one = trainer(settings)
    run(one, settings, 0, 2)
    assert not any(name.startswith("g_ema.first") for name in tensors(one))


@pytest.mark.parametrize(
    "settings",
    [recipe("bsa"), recipe(), recipe(method__lr_first=0, method__init="identity", method__lr_decay_every=3)],
)
def test_resumed_equals_uninterrupted(tmp_path, settings):
    through = trainer(settings, perceptual=small_perceptual())
    run(through, settings, 0, 6)
    one = trainer(settings, perceptual=small_perceptual())
    run(one, settings, 0, 4)
    one.recalibrate_batchnorm()
    one.reconstruct()
    one.generator_ema(torch.zeros(1, Z))
    save_checkpoint(tmp_path / "000004", one, {"step": 4, **one.description})
    other = trainer(settings, perceptual=small_perceptual())
    state = load_checkpoint(tmp_path / "000004", other)
    numbers = run(other, settings, 4, 6)
    assert moved(tensors(through), tensors(other)) == set()
    assert moved(tensors(one), tensors(other)) != set()
    assert state["model"] == "apgc" if settings.method.name == "apgc" else "bsa"
    assert all(torch.isfinite(value) for value in numbers[-1].values())


def test_a_checkpoint_holds_the_adapter_and_the_codes_alone(tmp_path):
    settings = recipe()
    one = trainer(settings)
    run(one, settings, 0, 1)
    save_checkpoint(tmp_path / "000001", one, {"step": 1, **one.description})
    raw = (tmp_path / "000001" / TENSORS).read_bytes()
    names = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    own = {name.split(".")[1] for name in names if name.startswith("g_ema.")}
    assert own == {"class_vector", "scale", "bias", "first", "mixing", "shifts"}
    assert {name.split(".")[0] for name in names} - {"__metadata__"} == {"g_ema", "codes", "adam"}


def test_an_adapter_for_sampling_is_restored_from_a_checkpoint_and_its_state(tmp_path):
    save_generator(tmp_path / "weights.safetensors", pretrained())
    source = find_pretrained(str(tmp_path / "weights.safetensors"))
    settings = recipe(method__class_vector="2")
    adapter = build_adapter(settings, source.generator, CPU)
    one = TransferTrainer(settings, adapter, pixels(), CPU, None, source.origin)
    run(one, settings, 0, 3)
    save_checkpoint(tmp_path / "000003", one, {"step": 3, **one.description})
    again = load_adapted(read_state(tmp_path / "000003"))
    again.load_state_dict(read_tensors(tmp_path / "000003", "g_ema."))
    z = torch.from_numpy(normal(0, Stream.SAMPLE_LATENTS, 0, (3, Z)))
    with torch.no_grad():
        assert torch.equal(again.eval()(z), one.generator_ema(z))
        assert not torch.equal(again(z), pretrained()(z, torch.full((3,), 2)))


def test_layers_that_would_take_too_much_memory_are_made_anew(monkeypatch):
    settings = recipe()
    kept = trainer(settings, perceptual=small_perceptual())
    monkeypatch.setattr(transfer, "KEPT_BYTES", 1000)
    made = trainer(settings, perceptual=small_perceptual())
    assert kept._kept is not None
    assert made._kept is None
    one, other = run(kept, settings, 0, 2)[-1], run(made, settings, 0, 2)[-1]
    for name in one:
        torch.testing.assert_close(one[name], other[name])


def test_a_perceptual_weight_of_0_takes_no_network():
    settings = recipe(method__perceptual_weight=0)
    assert trainer(settings, perceptual=small_perceptual()).perceptual is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_training_brings_each_reconstruction_nearest_to_its_own_image(method):
    settings = recipe(method, train__batch_size=7, method__latent_weight=0, method__lr_adapter=0.005)
    one = trainer(settings)
    wanted = to_images(torch.from_numpy(pixels()))
    before = (one.reconstruct() - wanted).abs().mean()
    run(one, settings, 0, 120)
    after = one.reconstruct()
    distances = (after[:, None] - wanted[None]).abs().mean(dim=(2, 3, 4))
    assert distances.argmin(dim=1).tolist() == list(range(COUNT))
    assert distances.diagonal().mean() < 0.75 * before
    torch.testing.assert_close(one.reconstruct([5, 2]), after[[5, 2]])


def test_bf16_trains_too():
    settings = recipe(train__precision="bf16")
    one = trainer(settings, perceptual=small_perceptual())
    assert all(torch.isfinite(value) for value in run(one, settings, 0, 2)[-1].values())
    assert all(tensor.dtype == torch.float32 for tensor in tensors(one).values())


def test_images_of_another_side_are_refused():
    adapter = build_adapter(recipe(), pretrained(), CPU)
    with pytest.raises(UsageError, match="makes 32 px"):
        TransferTrainer(recipe(), adapter, pixels(size=64), CPU, None)


def test_no_groups_are_refused_where_they_do_not_fit(monkeypatch):
    monkeypatch.setattr(adapters, "free_bytes", lambda _device: 10_000)
    with pytest.raises(UsageError, match="use a smaller group size"):
        build_adapter(recipe(method__group_size=0), pretrained(), CPU)


def test_a_code_may_be_asked_for_twice_in_a_batch():
    one = trainer()
    images = to_images(torch.from_numpy(pixels()))[[1, 1]]
    one.step(Batch(images, torch.zeros(2, dtype=torch.int64), torch.tensor([1, 1])), 0)
    assert (one.networks["codes"].weight[1] != 0).all()
