"""A FastGAN's training: defaults, what a step moves, resume bit by bit, measured statistics, and the command line."""

import numpy as np
import pytest
import torch
from PIL import Image
from tensors import tensors
from typer.testing import CliRunner

from smallgan.cli import app
from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import ImageBatches
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import dump_recipe, load_recipe, read_recipe
from smallgan.training import ema
from smallgan.training.adversarial import build_trainer

CPU = torch.device("cpu")
NAMES = ("bars", "discs", "stars")
BATCH = 4


def recipe(**overrides):
    settings = {"model.name": "fastgan", "data.size": 32, "model.base_width": 1, "model.z_dim": 8, "model.class_dim": 4}
    settings |= {"train.batch_size": BATCH}
    return load_recipe(None, settings | {name.replace("__", "."): value for name, value in overrides.items()})


def batches(settings):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(9, dtype=np.int64) % len(NAMES)
    return ImageBatches(pixels, BATCH * settings.method.d_steps, settings.seed, CPU, labels, balanced=True)


def run(one, settings, first, last):
    return [one.step(batches(settings).batch(number), number) for number in range(first, last)]


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_defaults_and_that_a_written_recipe_has_them(tmp_path):
    found = load_recipe(None, {"model.name": "fastgan"})
    method, chosen = found.method, found.regularizers.chosen()
    assert (found.model.z_dim, found.model.base_width, found.train.batch_size, found.loss.name) == (256, 8, 16, "hinge")
    assert (method.lr_g, method.lr_d, method.beta1, method.beta2, method.ema_decay) == (2e-4, 2e-4, 0.0, 0.99, 0.999)
    assert (method.mirror, method.diffaugment, method.d_steps) == (True, "color,translation", 1)
    assert {name: (each.weight, each.every) for name, each in chosen.items()} == {
        "r1": (0.0002, 16),
        "autoencode": (1.0, 2),
    }
    assert chosen["r1"].strength(256, 16) == pytest.approx(0.8192)  # StyleGAN2-ADA's rule
    (tmp_path / "recipe.yaml").write_text(dump_recipe(found), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.yaml") == found


@pytest.mark.parametrize("classes", [(), NAMES])
def test_a_step_moves_every_parameter(classes):
    settings = recipe(loss__name="nonsaturating")  # the hinge's gradients cancel in the last bias at first
    one = build_trainer(settings, CPU, classes)
    parameters = {f"{name}.{key}" for name in one.networks for key, _ in one.networks[name].named_parameters()}
    before = tensors(one)
    numbers = run(one, settings, 0, 3)
    assert parameters - moved(before, tensors(one)) == set()
    assert all(torch.isfinite(value) for terms in numbers for value in terms.values())
    assert set(numbers[0]) - set(numbers[1]) == {"r1", "autoencode"}


def test_reals_and_fakes_are_never_in_one_group_of_the_deviation(monkeypatch):
    one, seen = build_trainer(recipe(regularizers__r1=None, regularizers__autoencode=None), CPU), []
    inner = one.discriminator.forward
    monkeypatch.setattr(one.discriminator, "forward", lambda images: seen.append(len(images)) or inner(images))
    run(one, recipe(), 0, 1)
    assert seen == [BATCH] * 3


@pytest.mark.parametrize(
    ("classes", "overrides"),
    [
        (NAMES, {"method__d_steps": 2}),
        ((), {"train__precision": "bf16", "loss__name": "relativistic"}),
    ],
)
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, classes, overrides):
    monkeypatch.setattr(ema, "STATISTICS_BATCH", 8)  # 8 batches of 8 do, and take less time
    settings = recipe(**overrides)
    through, one, other = (build_trainer(settings, CPU, classes) for _ in range(3))
    run(through, settings, 0, 4)
    run(one, settings, 0, 1)
    one.recalibrate_batchnorm()
    save_checkpoint(tmp_path / "000001", one, {"step": 1, **one.description})
    state = load_checkpoint(tmp_path / "000001", other)
    run(other, settings, 1, 4)
    assert moved(tensors(through), tensors(other)) == set()
    assert (state["model"], state["classes"], state["num_classes"]) == ("fastgan", list(classes), len(classes))


def test_every_batch_norm_of_the_averaged_generator_is_measured(monkeypatch):
    monkeypatch.setattr(ema, "STATISTICS_BATCH", 8)
    settings = recipe()
    one = build_trainer(settings, CPU)
    run(one, settings, 0, 1)
    before = tensors(one)
    one.recalibrate_batchnorm()
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert moved(before, tensors(one)) == {n for n in before if n.startswith("g_ema.") and n.endswith(statistics)}


@pytest.fixture
def by_class(tmp_path):
    """Nine images of noise in three sub-folders."""
    noise = np.random.default_rng(0)
    for number in range(9):
        folder = tmp_path / "images" / NAMES[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "images"


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_the_command_trains_resumes_and_samples_by_seed_and_number(by_class, tmp_path):
    def train(out, steps):
        own = ["model.base_width=1", "model.z_dim=8", "model.class_dim=4", "score.metrics=[]", "train.report_every=1"]
        flags = ["--model", "fastgan", "--size", 32, "--batch-size", BATCH, "--steps", steps, "--device", "cpu"]
        call("train", by_class, *flags, "--out", out, *(f"--set={each}" for each in own))
        return RunDir(out)

    whole = train(tmp_path / "whole", 3)
    train(tmp_path / "cut", 1)
    cut = train(tmp_path / "cut", 3)  # the same command with more steps goes on
    ends = [(each.checkpoint(3) / "tensors.safetensors").read_bytes() for each in (whole, cut)]
    assert ends[0] == ends[1]
    lines = read_jsonl(whole.stats)
    assert [("autoencode" in line, "r1" in line) for line in lines] == [(True, True), (False, False), (True, False)]

    # Image k is the same, however many are drawn; another seed gives another, another class too.
    model = load_model(whole.path, CPU)
    assert (model.classes, model.generator.num_classes) == (NAMES, 3)
    many, few, other = (sample_pixels(model, *each) for each in ((5, 7), (2, 7), (2, 8)))
    assert np.array_equal(many[:2], few)
    assert not np.array_equal(few, other)
    for label in NAMES[:2]:
        call("sample", whole.path, "--count", 2, "--label", label, "--out", tmp_path / label, "--device", "cpu")
    first, second = (sorted((tmp_path / label / "images").rglob("*.png")) for label in NAMES[:2])
    assert len(first) == len(second) == 2
    assert first[0].read_bytes() != second[0].read_bytes()
