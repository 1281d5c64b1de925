"""Compiled networks make the steps of plain ones; traced as for inductor, but run by torch, which takes seconds."""

import copy

import pytest
import torch
from sampled_models import pixels
from tensors import tensors

from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training import compiling
from smallgan.training.adversarial import build_trainer

CPU = torch.device("cpu")
# Dynamo looks at the gradient of every tensor that it meets
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")]
TINY = {"data.size": 32, "train.batch_size": 4, "train.steps": 100, "model.base_width": 8}
PENALTIES = {"model.d_norm": "none", "regularizers": {"r1": {"weight": 1.0, "every": 2}}}
WAYS = {
    "dcgan": TINY | {"method.diffaugment": "color,translation"},
    "dcgan with R1, a gradient of a gradient": TINY | PENALTIES,
    "dcgan packed, unrolled and with spectral norm": TINY
    | {"method.pack": 2, "method.unroll": 1, "model.d_spectral_norm": True, "model.d_norm": "none"},
}


@pytest.fixture(autouse=True)
def _traced_alone(monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def trained(settings, mode):
    recipe = load_recipe(None, settings)
    trainer = build_trainer(recipe, CPU, (), pixels())
    compiling.compile_networks(trainer, mode)
    batches = ImageBatches(pixels(), 4, 0, CPU)
    for number in range(3):
        trainer.step(batches.batch(number), number)
    return trainer


@pytest.mark.parametrize("name", WAYS)
def test_compiled_networks_make_the_same_steps(name):
    plain, compiled = (tensors(trained(WAYS[name], mode)) for mode in (None, "default"))
    assert plain.keys() == compiled.keys(), "a compiled network has other names"
    for key, value in plain.items():
        assert torch.allclose(value, compiled[key], rtol=1e-3, atol=1e-4), key


def test_networks_that_are_trained_are_compiled_and_copies_are_not():
    trainer = trained(TINY, "default")
    traced = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert traced >= 2
    with compiling.uncompiled(), torch.no_grad():
        trainer.generator(torch.zeros(3, trainer.generator.z_dim))  # another number of images
    copy.deepcopy(trainer.generator)(torch.zeros(5, trainer.generator.z_dim))
    trainer.generator_ema(torch.zeros(7, trainer.generator.z_dim))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == traced
    with torch.no_grad():
        trainer.generator(torch.zeros(3, trainer.generator.z_dim))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > traced
