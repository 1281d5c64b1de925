"""IMLE: what a step computes, when it matches, that killed and resumed equals uninterrupted, and what it records."""

import copy
import math

import numpy as np
import pytest
import torch
from doomed import Killed, kill_at
from PIL import Image
from typer.testing import CliRunner

from smallgan.cli import app
from smallgan.core.checkpoint import read_state, read_tensors
from smallgan.core.rng import Stream, normal, rng
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import ImageBatches, to_images
from smallgan.models.perceptual import Perceptual
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import load_recipe
from smallgan.training import imle
from smallgan.training.data import load_data
from smallgan.training.imle import IMLETrainer, prepare
from smallgan.training.loop import Hooks, fit
from smallgan.training.pca_latents import PCALatents, blended
from smallgan.training.reconstruction import pyramid_distance, reconstruction
from smallgan.training.scratch import fresh_networks

CPU = torch.device("cpu")
COUNT = 7
TINY = {
    "method.name": "imle",
    "method.perceptual": "none",
    "method.pca_steps": 3,
    "method.round_steps": 2,
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.steps": 12,
    "train.report_every": 2,
    "train.snapshot_every": 4,
    "score.metrics": [],
}


def recipe(**overrides):
    return load_recipe(None, TINY | {name.replace("__", "."): value for name, value in overrides.items()})


def pixels(count=COUNT):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def network():
    torch.manual_seed(3)
    stages = [torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.ReLU()), torch.nn.Conv2d(4, 5, 3, 2)]
    return Perceptual("toy", stages)


def batches(settings, labels=None):
    return ImageBatches(pixels(), settings.train.batch_size, settings.seed, CPU, labels)


def trainer(settings, perceptual=None, classes=()):
    generator, _ = fresh_networks(settings, classes)
    labels = torch.arange(COUNT) % max(len(classes), 1)
    return IMLETrainer(settings, CPU, generator, pixels(), labels, perceptual, classes)


def run(one, settings, first, last):
    found = batches(settings, one.matcher.labels.numpy())
    return [one.step(found.batch(number), number) for number in range(first, last)]


def tensors(one):
    return {f"{n}.{k}": v.clone() for n, net in one.networks.items() for k, v in net.state_dict().items()}


def test_the_loss_of_a_step_is_the_sum_of_its_terms():
    settings = recipe(method__pyramid_weight=0.7, method__perceptual_weight=0.6)
    one, features = trainer(settings, network()), network().features
    before, batch = copy.deepcopy(one.generator), batches(settings).batch(1)
    start = PCALatents(pixels(), 16)(
        to_images(torch.from_numpy(pixels())), torch.from_numpy(normal(0, Stream.CODES, 0, (COUNT, 16)))
    )
    noise = torch.from_numpy(normal(0, Stream.CODE_NOISE, 1, (4, 16)))
    found = one.step(batch, 1)
    with torch.no_grad():
        images = before(blended(start[batch.indices], noise, 0.3))
        down, right = rng(0, Stream.CROPS, 1).integers(3, size=2)
        seen, real = (each[..., down : down + 30, right : right + 30] for each in (images, batch.images))
        terms = reconstruction(images, batch.images, features(seen), features(real), "normalized", 0.3)
    wanted = {
        "loss_g": terms.loss + 0.7,  # a term divided by its own value is 1
        "pixel": terms.pixel,
        "pyramid": pyramid_distance(images, batch.images),
        "perceptual": terms.perceptual,
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_matching_begins_after_the_principal_components_and_is_told_of():
    settings = recipe()
    one = trainer(settings)
    rounds, match = [], one.matcher.match
    one.matcher.match = lambda number, count, generate: rounds.append((number, count)) or match(number, count, generate)
    start = one.matcher.latents.clone()
    told = run(one, settings, 0, 3)
    assert torch.equal(one.matcher.latents, start)
    assert not any("distance" in each for each in told)
    told = run(one, settings, 3, 10)
    # rounds of 2, 4, 8 steps at 3, 5, 9; each draws at least 2 x 7 latents, and no more than 4 images a step
    assert rounds == [(0, 14), (1, 16), (2, 32)]
    assert (one.matcher.latents != start).any(dim=1).all()
    assert len({each["distance"].item() for each in told}) == 3
    assert all(0 < each["distance"] < 2 and each["rejected"] == 0 for each in told)


def test_the_rate_falls_by_a_cosine_over_the_run():
    one = trainer(recipe())
    found = []
    for number in (0, 6, 12, 13):
        one._set_rate(number)
        found.append(one.optimizers["g"].param_groups[0]["lr"])
    assert found == pytest.approx([1e-3, (1e-3 + 1e-4) / 2, 1e-4, 1e-4])


def run_loop(path, settings, one, **hooks):
    folder = RunDir(path)
    folder.create()
    given = {"log": lambda _line: None, "evaluate": lambda *_: None, "stop_requested": lambda: False} | hooks
    fit(settings, folder, one, batches(settings), Hooks(**given))
    return folder


# Rounds begin at steps 3, 5 and 9, or at 2, 4 and 8; there are checkpoints of steps 4 and 8.
@pytest.mark.parametrize(
    "own", [{}, {"method__keep": None, "method__mirror": True, "model__g_norm": "batch", "method__pca_steps": 2}]
)
@pytest.mark.parametrize("killed_at", [6, 9])
@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path, killed_at, own):
    settings = recipe(**own)
    whole = trainer(settings, network())
    whole_run = run_loop(tmp_path / "whole", settings, whole)
    doomed = kill_at(trainer(settings, network()), killed_at)
    with pytest.raises(Killed):
        run_loop(tmp_path / "run", settings, doomed)
    resumed = trainer(settings, network())
    cut = run_loop(tmp_path / "run", settings, resumed)
    left, right = tensors(whole), tensors(resumed)
    assert {"matcher.latents", "matcher.mirrored", "matcher.distance", "matcher.rejected"} < left.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    for name in ("pixel", "distance"):
        assert [line.get(name) for line in read_jsonl(cut.stats)] == [
            line.get(name) for line in read_jsonl(whole_run.stats)
        ]
    for picture in (RunDir.fakes, RunDir.reconstructions):
        assert picture(cut, 12).read_bytes() == picture(whole_run, 12).read_bytes()


@pytest.mark.slow
def test_training_makes_the_images_of_their_latents():
    own = {"train__steps": 80, "method__pca_steps": 80, "method__pca_noise": 0, "method__lr": 5e-3}
    settings = recipe(train__batch_size=7, **own)
    one = trainer(settings)
    told = run(one, settings, 0, 80)
    assert told[-1]["pixel"] < 0.7 * told[0]["pixel"]
    with torch.no_grad():
        images = one.generator_ema(one.matcher.latents)
    distances = (images[:, None] - to_images(torch.from_numpy(pixels()))[None]).abs().mean(dim=(2, 3, 4))
    assert distances.argmin(dim=1).tolist() == list(range(COUNT))


@pytest.mark.parametrize("model", ["biggan", "fastgan"])
def test_classes_go_to_any_generator_and_bf16_trains(model):
    settings = recipe(model__name=model, train__precision="bf16")
    one = trainer(settings, network(), ("ape", "bee"))
    asked, inner = [], one.generator.forward
    one.generator.forward = lambda z, labels: asked.append((len(z), labels.tolist())) or inner(z, labels)
    told = run(one, settings, 0, 4)
    assert all(torch.isfinite(value) for value in told[-1].values())
    drawn = [batches(settings, one.matcher.labels.numpy()).batch(n).labels.tolist() for n in range(4)]
    pool = [0, 1, 0, 1, 0, 1, 0] * 3  # two fresh latents an image, then the kept ones
    assert asked == [*((4, labels) for labels in drawn[:3]), (21, pool), (4, drawn[3])]
    assert one.description["classes"] == ["ape", "bee"]


def test_the_preview_shows_each_image_as_it_was_matched_above_what_is_made_of_its_latent():
    one = trainer(recipe(method__mirror=True))
    one.matcher.mirrored[1] = True
    sheet = one.preview()
    assert np.array_equal(sheet[:32, :32], pixels()[0])
    assert np.array_equal(sheet[:32, 34:66], pixels()[1][:, ::-1])


def prepared(folder, **overrides):
    settings, said = recipe(data__source=str(folder), **overrides), []
    one, found = prepare(settings, load_data(settings, CPU), CPU, None, said.append)
    return one, found, said


def test_the_network_of_the_loss_is_recorded_for_a_later_judge(tiny_set):
    one, found, said = prepared(tiny_set, method__perceptual="shipped", train__batch_size=64)
    record = {"name": "shipped", "weights": "smallgan-small64-v1"}
    assert record.items() < one.description["perceptual"].items()
    assert len(one.description["perceptual"]["weights_sha256"]) == 64
    assert one.details["perceptual"] == one.description["perceptual"]
    assert found.batch_size == 12, "a set smaller than a batch is one batch"
    assert any(line.startswith("perceptual loss: shipped") for line in said)
    for none in ({"method__perceptual": "none"}, {"method__perceptual": "shipped", "method__perceptual_weight": 0}):
        one, _, said = prepared(tiny_set, **none)
        assert one.description["perceptual"] is None
        assert one.matcher._describe.perceptual is None


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_batch_norm_is_told_of(tiny_set, norm):
    _, _, said = prepared(tiny_set, model__g_norm=norm)
    assert any("model.g_norm=layer" in line for line in said) == (norm == "batch")


def test_a_round_whose_first_step_is_far_is_not_begun():
    one = trainer(recipe(method__pca_steps=0, method__round_steps=None))
    assert one.rounds == imle.Rounds(0, 20, 200)  # 7 images are two batches of 4: at least 20 steps
    assert trainer(recipe(method__round_steps=5)).rounds.steps(0) == 5
    assert math.isclose(one.matcher.distance, 0)


@pytest.mark.slow
def test_the_command_trains_goes_on_and_its_run_is_sampled(tmp_path):
    folder, noise = tmp_path / "eight", np.random.default_rng(0)
    folder.mkdir()
    for number in range(8):
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")

    def call(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    own = [f"--set={path}={value}" for path, value in TINY.items() if path.startswith(("method.p", "method.r", "sc"))]
    words = ("train", folder, "--method", "imle", "--size", 32, "--batch-size", 4, "--out", tmp_path / "run", *own)
    call(*words, "--steps", 3, "--set=model.base_width=8", "--device", "cpu")
    call(*words, "--steps", 6, "--set=model.base_width=8", "--device", "cpu")
    made = RunDir(tmp_path / "run")
    log = made.log.read_text(encoding="utf-8")
    assert "imle is an experiment" in log
    assert "resumed from step 3" in log
    assert made.reconstructions(6).is_file()
    state = read_state(made.checkpoint(6))
    assert (state["model"], state["g_norm"], state["perceptual"]) == ("dcgan", "layer", None)
    assert read_tensors(made.checkpoint(6), "matcher.")["latents"].shape == (8, 16)
    assert load_model(made.path, CPU).prior.codes is None
    call("sample", made.path, "--count", 3, "--out", tmp_path / "samples", "--device", "cpu")
    assert len(list((tmp_path / "samples").rglob("*.png"))) == 4  # three and a grid
