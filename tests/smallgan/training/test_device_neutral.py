"""Every training step, without a GPU as it would run on one: nothing of it lies elsewhere, and nothing makes it wait.

See `tests/fake_gpu.py` for what is stubbed. Rows of the tables are taken as they come, so that a new one is tested.
"""

import numpy as np
import pytest
import torch
from fake_gpu import GPU, Traffic, fake_gpu
from sampled_models import TINY as TINY_BIGGAN
from sampled_models import generator, pixels, small_perceptual
from tensors import tensors
from tiny_training import of_regularizer

from smallgan.core import draws
from smallgan.data.images import ImageBatches, LabelledRows, PixelRows
from smallgan.models.biggan import BigGANDiscriminator
from smallgan.tables.latents import LATENTS
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.training.adda import ADDATrainer
from smallgan.training.adversarial import AdversarialTrainer, build_trainer
from smallgan.training.imle import IMLETrainer
from smallgan.training.scratch import fresh_networks
from smallgan.training.transfer import TransferTrainer, build_adapter

CPU = torch.device("cpu")
CLASSES = ("ape", "bee", "cat")
AHEAD = 3  # Steps that are drawn ahead, for less work here
TINY = {"data.size": 32, "train.batch_size": 4, "train.steps": 100}
WIDTHS = {"dcgan": 8, "biggan": 8, "fastgan": 1}
AUGMENTED = {"method.diffaugment": "color,translation,cutout", "method.mirror": True}
R1 = {"model.d_norm": "none", "regularizers": {"r1": {"weight": 1.0, "every": 1}}}


def of_model(name):
    return {"model.name": name, "model.base_width": WIDTHS.get(name, 8)}


ADVERSARIAL = {
    **{f"model {row.name}": of_model(row.name) for row in MODELS},
    **{f"loss {row.name}": of_model("dcgan") | AUGMENTED | {"loss.name": row.name} for row in LOSSES},
    **{f"regularizer {row.name}": AUGMENTED | of_regularizer(row) for row in REGULARIZERS if not row.needs_source},
    **{f"latent prior {row.name}": of_model("dcgan") | {"latent.name": row.name} for row in LATENTS},
    "relativistic r1": of_model("dcgan") | AUGMENTED | {"loss.name": "relativistic", **R1},
    "ada and apa, two discriminator steps": of_model("dcgan")
    | AUGMENTED
    | {"method.d_steps": 2, "method.ada_target": 0.6, "method.apa_target": 0.6},
    "packed, with spectral norm": of_model("dcgan") | AUGMENTED | {"method.pack": 2, "model.d_spectral_norm": True},
    "wgan-gp, two discriminator steps": of_model("dcgan")
    | AUGMENTED
    | {"method.d_steps": 2, "loss.name": "wasserstein", "regularizers": {"gradient_penalty": {}, "consistency": {}}},
    "unrolled": of_model("dcgan") | AUGMENTED | {"method.unroll": 1},
    "attention": of_model("biggan") | {"model.attention": 16},
}
OTHERS = {
    "adda": {"method.name": "adda", "method.source_steps": 1},
    "apgc": {"method.name": "apgc", "method.group_size": 4},
    "bsa": {"method.name": "bsa"},
    "bsa, matched": {"method.name": "bsa", "method.latents": "imle"},
    "imle": {"method.name": "imle", "model.base_width": 8, "method.perceptual": "none"},
    "finetune": {"method.name": "finetune"} | AUGMENTED,
    "cdc": {"method.name": "cdc", "method.anchor_every": 2} | AUGMENTED,
    "dcl": {"method.name": "dcl", "method.anchor_every": 2} | AUGMENTED,
    "dcl, the twin left out": {"method.name": "dcl", "regularizers.g_contrast.twin_in_sum": False},
}


def adversarial(name):
    recipe = load_recipe(None, TINY | ADVERSARIAL[name])
    classes = CLASSES if recipe.model.name != "dcgan" else ()
    trainer = build_trainer(recipe, CPU, classes, pixels())
    labels = np.arange(8) % len(CLASSES)
    return trainer, ImageBatches(pixels(), 4 * recipe.method.d_steps, 0, CPU, labels, balanced=bool(classes))


def other(name):
    recipe, perceptual = load_recipe(None, TINY | OTHERS[name]), small_perceptual()
    if recipe.method.name == "imle":
        labels = torch.zeros(8, dtype=torch.int64)
        trainer = IMLETrainer(recipe, CPU, fresh_networks(recipe)[0], pixels(), labels, perceptual)
    elif recipe.method.name == "adda":
        tested = LabelledRows(PixelRows(pixels()), np.arange(8) % len(CLASSES))
        trainer = ADDATrainer(recipe, CPU, CLASSES, ImageBatches(pixels(), 4, 1, CPU), tested)
    elif recipe.method.name in ("finetune", "cdc", "dcl"):
        trainer = AdversarialTrainer(recipe, CPU, generator(), BigGANDiscriminator(TINY_BIGGAN), CLASSES, pixels())
    else:
        trainer = TransferTrainer(recipe, build_adapter(recipe, generator(), CPU), pixels(), CPU, perceptual)
    return trainer, ImageBatches(pixels(), 4, 0, CPU)


def test_every_method_is_here():
    methods = {load_recipe(None, TINY | settings).method.name for settings in (*ADVERSARIAL.values(), *OTHERS.values())}
    assert methods == set(METHODS.names)


def traffic_of_steps(trainer, batches, first, count):
    """What crosses in each of `count` steps, which must find everything on the GPU."""
    found = []
    with fake_gpu() as on_gpu:
        trainer, batches = on_gpu((trainer, batches))
        for step in range(first, first + count):
            with Traffic() as traffic:
                terms = trainer.step(batches.batch(step), step)
            found.append(traffic)
    assert {value.device.type for value in terms.values()} == {"cuda"}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ADVERSARIAL, *OTHERS])
def test_a_step_keeps_to_the_gpu_and_the_host_never_waits_for_it(monkeypatch, name):
    monkeypatch.setattr(draws, "MOST_STEPS", AHEAD)
    trainer, batches = adversarial(name) if name in ADVERSARIAL else other(name)
    found = traffic_of_steps(trainer, batches, 1, AHEAD)
    # A block of steps begins with one upload of the batches' places and one of all else that is drawn.
    assert [each.uploads for each in found] == [2] + [0] * (AHEAD - 1)
    for each in found:
        assert (each.blocking_uploads, each.downloads, each.reads) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "relativistic r1",
        "wgan-gp, two discriminator steps",
        "ada and apa, two discriminator steps",
        "model fastgan",
        *OTHERS,
    ],
)
def test_weights_are_the_same_whether_draws_are_made_ahead_or_not(monkeypatch, name):
    found = []
    for ahead in (False, True):
        monkeypatch.setattr(draws, "_is_gpu", lambda _device, ahead=ahead: ahead)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        monkeypatch.setattr(draws, "MOST_STEPS", AHEAD)
        trainer, batches = adversarial(name) if name in ADVERSARIAL else other(name)
        for step in range(1, 6):
            trainer.step(batches.batch(step), step)
        found.append(tensors(trainer))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


@pytest.mark.parametrize(("free", "uploads"), [(1 << 40, [1, 0, 0]), (0, [1, 1, 1])])
def test_a_set_lies_on_the_gpu_where_it_fits_and_else_each_batch_is_one_upload(monkeypatch, free, uploads):
    monkeypatch.setattr("smallgan.data.images.free_bytes", lambda _device: free)
    monkeypatch.setattr(draws, "MOST_STEPS", len(uploads))
    found = []
    with fake_gpu():
        batches = ImageBatches(pixels(), 4, 0, GPU)
        for step in range(len(uploads)):
            with Traffic() as traffic:
                batch = batches.batch(step)
            found.append(traffic.counts)
            assert {each.device for each in batch} == {GPU}
    assert found == [(count, 0, 0, 0) for count in uploads]


def test_the_counter_counts():
    with fake_gpu() as on_gpu:
        there = on_gpu(torch.ones(3))
        with Traffic() as traffic:
            there.add(1)
            torch.ones(3).to(there.device)
            there.cpu()
            bool((there > 0).all())
            torch.ones(3).to(there.device, non_blocking=True)
    assert traffic.counts == (2, 1, 1, 1)


def test_what_lies_on_two_devices_is_refused():
    with fake_gpu() as on_gpu, pytest.raises(RuntimeError, match=r"cuda:0 and cpu|cpu and cuda:0"):
        on_gpu(torch.ones(3)) + torch.ones(3)
