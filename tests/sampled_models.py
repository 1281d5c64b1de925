"""Tiny generators of every kind that `smallgan sample` takes, as the tests use them."""

from dataclasses import replace

import numpy as np
import torch

from augment.core.files import write_json
from smallgan.core.checkpoint import save_checkpoint
from smallgan.core.run_dir import RunDir
from smallgan.data.images import ImageBatches
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.perceptual import Perceptual
from smallgan.models.pretrained import load_pretrained, save_generator
from smallgan.tables.recipe import dump_recipe, load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.data import load_data
from smallgan.training.transfer import TransferTrainer, build_adapter

CPU = torch.device("cpu")
SIZE, Z = 32, 16
TINY = BigGANConfig(size=SIZE, ch=4, z_dim=Z, num_classes=3, shared_dim=8)


def generator(config=TINY, seed=0):
    network = BigGANGenerator(config)
    initialize(network, torch.Generator().manual_seed(seed))
    return network.eval()


def small_perceptual():
    torch.manual_seed(3)
    stages = [torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.ReLU()), torch.nn.Conv2d(4, 5, 3, 2)]
    return Perceptual("toy", stages)


def pretrained_file(folder, **changes):
    path = folder / "tiny.safetensors"
    save_generator(path, generator(replace(TINY, **changes)))
    return path


def run_of(trainer, recipe, path, step, summary=None, **state):
    run = RunDir(path)
    run.create()
    run.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
    if summary is not None:
        write_json(run.data, summary)
    save_checkpoint(run.checkpoint(step), trainer, {"step": step, **trainer.description, **state})
    return run


def pixels(count=8, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def dcgan_run(path):
    recipe = load_recipe(None, {"data.size": SIZE, "model.base_width": 8, "train.batch_size": 4})
    trainer = build_trainer(recipe, CPU)
    trainer.step(ImageBatches(pixels(), 4, 0, CPU).batch(0), 0)
    return run_of(trainer, recipe, path, 3)


def biggan_run(path, classes=("ape", "bee", "cat")):
    own = {"model.shared_dim": 8, "model.base_width": 8, "model.z_dim": Z, "train.batch_size": 4}
    recipe = load_recipe(None, {"model.name": "biggan", "data.size": SIZE, **own})
    trainer = build_trainer(recipe, CPU, classes)
    labels = np.arange(8) % max(len(classes), 1)
    trainer.step(ImageBatches(pixels(), 4, 0, CPU, labels).batch(0), 0)
    return run_of(trainer, recipe, path, 2)


def transfer_run(path, source, pretrained, method="apgc", policy="none", steps=2, latents="learned"):
    overrides = {"data.source": str(source), "data.size": SIZE, "augment.policy": policy, "method.name": method}
    own = {"method.latents": latents, "train.batch_size": 4}
    own |= {"method.code_init": "normal"} if latents == "learned" else {}
    own |= {"method.group_size": 4} if method == "apgc" else {}
    recipe = load_recipe(None, overrides | own)
    data = load_data(recipe, CPU)
    found = load_pretrained(pretrained)
    adapter = build_adapter(recipe, found.generator, CPU)
    origin = {"path": str(pretrained), "sha256": found.sha256, "kind": found.kind}
    trainer = TransferTrainer(recipe, adapter, data.mixture.pixels, CPU, None, origin)
    batches = ImageBatches(data.mixture.pixels, 4, 0, CPU)
    for step in range(steps):
        trainer.step(batches.batch(step), step)
    return run_of(trainer, recipe, path, steps, data.summary), trainer
