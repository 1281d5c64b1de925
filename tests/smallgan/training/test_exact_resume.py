"""Killed and resumed equals uninterrupted, bit for bit, for losses, regularizers and options of the step."""

import pytest
import torch
from sampled_models import pixels
from tensors import tensors

from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.data.images import Batch, ImageBatches
from smallgan.tables.losses import LOSSES
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.training.adversarial import build_trainer

CPU = torch.device("cpu")
TINY = {"data.size": 32, "model.base_width": 8, "model.d_norm": "none", "train.batch_size": 4}
OF_STEP = {
    "packed, with spectral norm": {"method.pack": 2, "model.d_spectral_norm": True, "method.d_steps": 2},
    "unrolled": {"method.unroll": 2},
    "unrolled, not through": {"method.unroll": 1, "method.unroll_through": False},
    "full orthogonal": {"regularizers.orthogonal": {"full": True}},
    "balanced consistency": {"regularizers.consistency": {"fakes": True}},
}


def of_regularizer(name):
    prior = {"latent.name": "bourgain"} if REGULARIZERS[name].needs_of_latent == "distances" else {}
    return prior | {f"regularizers.{name}": {"every": 1}}


CASES = {
    **{f"loss {name}": {"loss.name": name} for name in LOSSES.names},
    **{
        row.name: of_regularizer(row.name)
        for row in REGULARIZERS
        if not (row.needs_maps or row.needs_images or row.needs_source)
    },
    **OF_STEP,
}


def steps(trainer, batches, first, last):
    for number in range(first, last):
        trainer.step(batches.batch(number), number)


def test_points_are_packed_and_the_discriminator_looked_ahead():
    points = {"data.source": "ring", "model.base_width": 2, "train.batch_size": 4, "model.d_spectral_norm": True}
    settings = load_recipe(None, points | {"method.pack": 2, "method.unroll": 2})
    trainer = build_trainer(settings, CPU)
    assert trainer.discriminator.layers[0].in_features == 4
    batch = Batch(torch.randn(4, 2, 1, 1), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    before = tensors(trainer)
    terms = trainer.step(batch, 0)
    assert all(torch.isfinite(each) for each in terms.values())
    assert not torch.equal(before["g.layers.0.weight"], tensors(trainer)["g.layers.0.weight"])


@pytest.mark.parametrize("name", CASES)
def test_resumed_equals_uninterrupted(tmp_path, name):
    settings = load_recipe(None, TINY | CASES[name])
    whole, one, other = (build_trainer(settings, CPU, pixels=pixels()) for _ in range(3))
    batches = ImageBatches(pixels(), 4 * settings.method.d_steps, 0, CPU)
    steps(whole, batches, 0, 3)
    steps(one, batches, 0, 2)
    save_checkpoint(tmp_path / "000002", one, {"step": 2, **one.description})
    load_checkpoint(tmp_path / "000002", other)
    steps(other, batches, 2, 3)
    wanted, found = tensors(whole), tensors(other)
    assert found.keys() == wanted.keys()
    assert not [key for key, value in wanted.items() if not torch.equal(found[key], value)]
