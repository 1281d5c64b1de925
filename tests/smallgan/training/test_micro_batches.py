"""A batch in parts and blocks made anew: the same gradients, and what is foreseen of memory and operations."""

import copy

import numpy as np
import pytest
import torch
from sampled_models import small_perceptual
from tensors import tensors
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import models

from augment.errors import UsageError
from smallgan.data.images import ImageBatches
from smallgan.models.adapters import APGC, BSA
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.biggan_deep import BigGANDeepConfig, BigGANDeepGenerator
from smallgan.models.dcgan import DCGANGenerator
from smallgan.models.perceptual import _VGG16_CUTS, Perceptual, _cut
from smallgan.models.plain_source import PlainSource
from smallgan.tables.methods import APGCOptions, BSAOptions
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.foresight import PASSING, foresee, foresee_adversarial
from smallgan.training.out_of_memory import with_micro_batch
from smallgan.training.transfer import TransferTrainer, build_adapter

CPU = torch.device("cpu")
COUNT, SIZE = 6, 32
CONFIG = BigGANConfig(size=SIZE, ch=4, z_dim=16, num_classes=3, shared_dim=8)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)


def trainer(micro_batch=None, **overrides):
    own = {"method.name": "apgc", "method.group_size": 4, "method.code_init": "normal", "train.batch_size": 5}
    recipe = load_recipe(None, own | {"data.size": SIZE} | {f"method.{key}": value for key, value in overrides.items()})
    network = BigGANGenerator(CONFIG)
    initialize(network, torch.Generator().manual_seed(0), "N02")  # whose spectral norms are far from 1
    return made(recipe, network, micro_batch)


def made(recipe, network, micro_batch):
    one = TransferTrainer(recipe, build_adapter(recipe, network.eval(), CPU), pixels(), CPU, small_perceptual())
    assert one.needs_whole_batch() is None
    one.micro_batch = micro_batch
    return one


def gradients(one, number=0):
    batches = ImageBatches(pixels(), 5, 0, CPU)
    told = one.step(batches.batch(number), number)
    named = {f"{net}.{key}": each for net, network in one.networks.items() for key, each in network.named_parameters()}
    return {name: each.grad.clone() for name, each in named.items()}, told


def assert_near(found, wanted):
    """To a millionth of the largest gradient of each tensor."""
    assert found.keys() == wanted.keys()
    errors = {name: (found[name] - value).abs().max() / value.abs().max() for name, value in wanted.items()}
    assert {name: error.item() for name, error in errors.items() if error > 1e-6} == {}


@pytest.mark.parametrize(("variant", "size"), [("normalized", 2), ("raw", 2), ("normalized", 1), ("raw", 4)])
def test_parts_of_a_batch_give_the_gradients_and_the_numbers_of_the_whole(variant, size):
    (wanted, said), (found, told) = (gradients(trainer(variant=variant, micro_batch=each)) for each in (None, size))
    assert_near(found, wanted)
    for name, value in said.items():
        torch.testing.assert_close(told[name], value, rtol=1e-5, atol=1e-6)


def test_the_key_for_all_methods_sets_it():
    recipe = load_recipe(None, {"method.name": "bsa", "data.size": SIZE, "train.batch_size": 5, "train.micro_batch": 2})
    batches = ImageBatches(pixels(), 5, 0, CPU)
    found, _ = with_micro_batch(recipe, lambda: (trainer(), batches), print)
    assert found.micro_batch == 2


def test_parts_as_large_as_the_batch_change_no_bit():
    (wanted, _), (found, _) = gradients(trainer()), gradients(trainer(micro_batch=5))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_blocks_that_are_made_anew_change_no_bit(method):
    own = {"name": method} | ({"group_size": 4} if method == "apgc" else {"group_size": None})
    own = {key: value for key, value in own.items() if value is not None}
    plain, anew = trainer_of(own), trainer_of(own | {"recompute": True})
    (wanted, _), (found, _) = gradients(plain), gradients(anew)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    before, after = tensors(plain), tensors(anew)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def trainer_of(own, network=None, micro_batch=None):
    recipe = load_recipe(
        None, {"data.size": SIZE, "train.batch_size": 5} | {f"method.{key}": value for key, value in own.items()}
    )
    if network is None:
        network = BigGANGenerator(CONFIG)
        initialize(network, torch.Generator().manual_seed(0), "N02")
    return made(recipe, network, micro_batch)


@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_a_biggan_deep_is_adapted_in_parts_and_anew_too(method):
    """Its spectral norms are kept in another way: both vectors are stored."""
    own = {"name": method} | ({"group_size": 1} if method == "apgc" else {})
    torch.manual_seed(0)
    layers = ((True, 4, 2), (False, 2, 2), (True, 2, 1), (True, 1, 1))
    config = BigGANDeepConfig(32, 12, 10, 4, 6, layers, 2, n_stats=5)
    source = BigGANDeepGenerator(config).eval()
    whole = trainer_of(own, copy.deepcopy(source))
    parts = trainer_of(own | {"recompute": True}, copy.deepcopy(source), micro_batch=2)
    assert_same(whole, parts)


def assert_same(whole, parts):
    (wanted, _), (found, _) = gradients(whole), gradients(parts)
    assert_near(found, wanted)
    before, after = tensors(whole), tensors(parts)
    vectors = [name for name in before if name.endswith(("u0", "weight_u", "weight_v"))]
    assert vectors
    assert all(torch.equal(before[name], after[name]) for name in vectors)


@pytest.mark.parametrize("variant", ["normalized", "raw"])
def test_the_spectral_norms_of_bsa_move_once_a_step(variant):
    own = {"name": "bsa", "variant": variant}
    assert_same(trainer_of(own), trainer_of(own | {"recompute": True}, micro_batch=2))


def test_latents_that_are_not_learned_go_in_parts_too():
    whole, parts = (trainer_of({"name": "bsa", "latents": "imle"}, micro_batch=each) for each in (None, 2))
    (wanted, _), (found, _) = gradients(whole), gradients(parts)
    assert_near(found, wanted)


def test_only_what_is_made_of_blocks_is_made_anew():
    recipe = load_recipe(None, {"method.name": "bsa", "method.recompute": True, "data.size": SIZE})
    adapter = build_adapter(recipe, PlainSource(DCGANGenerator(SIZE, 8, 8)).eval(), CPU)
    with pytest.raises(
        UsageError, match=r"method\.recompute: only a BigGAN is made of blocks; set train\.micro_batch instead"
    ):
        TransferTrainer(recipe, adapter, pixels(), CPU, None)


class OneLayer(nn.Module):
    """z -> 1 x 1 x 4 x 4 by a linear layer, a batch norm, tanh: small enough to be counted by hand."""

    size, z_dim, num_classes, class_table = 4, 5, 0, None

    def __init__(self):
        super().__init__()
        self.first_layer, self.norm = nn.Linear(5, 16, bias=False), nn.BatchNorm2d(1)

    def forward(self, z):
        return torch.tanh(self.norm(self.first_layer(z).view(-1, 1, 4, 4))).expand(-1, 3, -1, -1)

    @property
    def norm_layers(self):
        return [self.norm]


def test_what_is_foreseen_of_a_small_generator_is_that_by_hand():
    adapter = BSA(PlainSource(OneLayer()).eval(), torch.zeros(0))
    seen = foresee(adapter, None, BSAOptions(), 7, 4)
    whole = foresee(adapter, None, BSAOptions(), 7, 4)["memory_mib_in_all"]
    assert whole == 0  # some hundred bytes
    # A matrix product of 5 by 16 is 160 operations; its gradients of the weights and of z are as many each.
    assert seen["tera_operations_per_step"] == round(4 * 3 * 160 / 1e12, 3)
    assert PASSING * 16 * 4 < 2**20


def test_what_is_foreseen_of_adversarial_training_is_that_by_hand():
    generator, discriminator = nn.Linear(5, 16, bias=False), nn.Linear(16, 1, bias=False)
    generator.z_dim, generator.num_classes = 5, 0
    count = 10**9
    seen = foresee_adversarial(generator, discriminator, count, 1, "fp32")
    # Products of 5 by 16 and of 16 by 1 are 160 and 32 operations. The discriminator's step makes an image and looks at
    # it and at a real one, forwards and (two products) back. The generator's goes through the discriminator without
    # gradients of its weights, and back through itself.
    operations = 160 + 2 * 3 * 32 + 2 * 32 + 2 * 160
    assert seen["tera_operations_per_step"] == round(count * operations / 1e12, 3)
    assert seen["seconds_per_step_at_10_tflops"] == round(count * operations / 1e13, 3)
    # Kept are latents (5 floats) and the inputs of the discriminator (16), of which there are two.
    kept, largest = 4 * (5 + 2 * 16), 4 * 16
    weights = "weights, gradients, Adam and the average"
    assert seen["memory_mib"] == {
        weights: 0,  # 96 of them
        f"maps of {count} images": round(count * kept / 2**20),
        "what comes and goes": round(count * PASSING * largest / 2**20),
    }


def test_packs_and_micro_batches_are_foreseen():
    packed = load_recipe(None, {"data.size": 32, "train.batch_size": 4, "model.base_width": 8, "method.pack": 2})
    assert build_trainer(packed, CPU).details["foreseen"]["memory_mib"].keys() >= {"maps of 4 images"}
    plain = {"data.size": 32, "train.batch_size": 64, "model.g_norm": "layer", "model.d_norm": "none"}
    trainer = build_trainer(load_recipe(None, plain), CPU)
    whole = trainer.details["foreseen"]
    trainer.micro_batch = 16
    parts = trainer.details["foreseen"]
    assert parts["tera_operations_per_step"] == whole["tera_operations_per_step"]
    assert parts["memory_mib_in_all"] < whole["memory_mib_in_all"]
    assert "maps of 16 images" in parts["memory_mib"]


def test_half_precision_halves_the_maps_that_are_foreseen():
    trainer = build_trainer(load_recipe(None, {"data.size": 32, "train.batch_size": 4, "model.base_width": 16}), CPU)
    full, half = (
        foresee_adversarial(trainer.generator, trainer.discriminator, 1000, 1, precision)
        for precision in ("fp32", "bf16")
    )
    assert half["memory_mib"]["maps of 1000 images"] < 0.55 * full["memory_mib"]["maps of 1000 images"]
    assert half["tera_operations_per_step"] == full["tera_operations_per_step"]


def biggan_128(monkeypatch):
    """The released generator's APGC at g = 16 and VGG16, without values."""
    monkeypatch.setattr(nn.utils, "skip_init", lambda kind, *sizes: kind(*sizes))
    monkeypatch.setattr(nn.Linear, "to", lambda self, *_: self)
    with FakeTensorMode():
        network = BigGANGenerator(BigGANConfig(128, 96, 120, 1000, attention=64)).eval()
        layers = models.vgg16(weights=None, init_weights=False).features[: _VGG16_CUTS[-1]]
        return APGC(network, network.shared.weight[0], 16), Perceptual("vgg16", _cut(layers, _VGG16_CUTS))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_apgc_of_biggan_128_with_100_images_fits_into_8_gb(monkeypatch):
    adapter, vgg = biggan_128(monkeypatch)
    plain, small = (
        foresee(adapter, vgg, APGCOptions(recompute=anew), 100, 25, size) for size, anew in ((None, False), (5, True))
    )
    # 18,723,936 in the layers, 519,424 beside them (test_the_published_counts_of_biggan_128), 100 codes of 120.
    own = "adapter and codes, with gradients and Adam"
    assert small["memory_mib"][own] == round((18_723_936 + 519_424 + 12_000) * 16 / 2**20)
    # Weights, and the same divided by their norms; the class vectors and the biases have none of these.
    assert 2 * 70_433_988 * 4 / 2**20 > small["memory_mib"]["pretrained generator"] > 1.9 * 70_433_988 * 4 / 2**20
    assert small["memory_mib_in_all"] < 4096 < plain["memory_mib_in_all"]
    assert small["memory_mib"]["maps of 5 images"] < plain["memory_mib"]["maps of 25 images"] / 5
    assert small["tera_operations_per_step"] > plain["tera_operations_per_step"]
