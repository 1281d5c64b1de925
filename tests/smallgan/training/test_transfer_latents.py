"""Transfer by matched latents: what a step computes, that a pool is what a step sees, and that resume is exact."""

import numpy as np
import pytest
import torch
from doomed import Killed, kill_at
from sampled_models import TINY, generator, small_perceptual
from tensors import tensors

from augment.errors import UsageError
from smallgan.core.checkpoint import TENSORS, load_checkpoint, read_tensors, save_checkpoint
from smallgan.core.rng import Stream, normal
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import ImageBatches
from smallgan.sampling.prior import NORMAL
from smallgan.tables.recipe import dump_recipe, load_recipe, read_recipe
from smallgan.training.loop import Hooks, _diverged, fit
from smallgan.training.matching import Rounds
from smallgan.training.pca_latents import blended
from smallgan.training.reconstruction import reconstruction
from smallgan.training.transfer import TransferTrainer, build_adapter, describe_adapter

CPU = torch.device("cpu")
COUNT, SIZE, Z = 7, TINY.size, TINY.z_dim


def recipe(method="apgc", **overrides):
    settings = {"method.name": method, "method.latents": "imle", "method.round_steps": 2, "method.round_most": 4}
    settings |= {"train.batch_size": 4, "data.size": SIZE, "method.perceptual": "none"}
    settings |= {"method.group_size": 4} if method == "apgc" else {}
    return load_recipe(None, settings | {name.replace("__", "."): value for name, value in overrides.items()})


def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def trainer(settings, perceptual=None):
    return TransferTrainer(settings, build_adapter(settings, generator(), CPU), pixels(), CPU, perceptual)


def batches(settings):
    return ImageBatches(pixels(), settings.train.batch_size, settings.seed, CPU)


def run(one, settings, first, last):
    found = batches(settings)
    return [one.step(found.batch(number), number) for number in range(first, last)]


def test_a_step_compares_what_is_made_of_the_matched_latents():
    settings = recipe(method__latent_noise=0.3)
    one, network = trainer(settings, small_perceptual()), small_perceptual()
    run(one, settings, 0, 3)  # rounds begin at steps 0 and 2, and next at 6
    batch, latents = batches(settings).batch(3), one.networks["matcher"].latents.clone()
    noise = torch.from_numpy(normal(0, Stream.CODE_NOISE, 3, (4, Z)))
    with torch.no_grad():
        images = one.generator(blended(latents[batch.indices], noise, 0.3))
        layers = network.features(images), network.features(batch.images)
        terms = reconstruction(images, batch.images, *layers, "normalized", 0.1)
        class_vector = one.generator.class_vector.square().mean().clone()
    told = one.step(batch, 3)
    assert told.keys() == {"loss_g", "pixel", "perceptual", "class_vector", "distance", "rejected"}
    torch.testing.assert_close(told["loss_g"], terms.loss + 0.02 * class_vector, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(told["pixel"], (images - batch.images).abs().mean(), rtol=1e-4, atol=1e-5)
    assert torch.equal(one.networks["matcher"].latents, latents), "no round began"


@pytest.mark.parametrize("method", ["bsa", "apgc"])
def test_a_pool_is_made_as_a_sample_is_and_moves_nothing(method):
    settings = recipe(method)
    one, pools = trainer(settings), []
    inner = one.networks["matcher"].match
    one.networks["matcher"].match = lambda number, count, generate: pools.append((number, count, generate))
    run(one, settings, 0, 3)
    assert [pool[:2] for pool in pools] == [(0, 14), (1, 16)]  # at least 2 x 7; 4 steps of 4 images
    one.networks["matcher"].match = inner
    before = tensors(one)
    frozen = {name: tensor.clone() for name, tensor in one.generator.pretrained.state_dict().items()}
    inner(*pools[1])
    changed = {name for name, tensor in tensors(one).items() if not torch.equal(before[name], tensor)}
    assert changed == {"matcher.latents", "matcher.distance"}
    assert all(torch.equal(frozen[name], tensor) for name, tensor in one.generator.pretrained.state_dict().items())
    z = torch.from_numpy(normal(1, Stream.SAMPLE_LATENTS, 0, (5, Z)))
    with torch.no_grad():
        sampled, pooled = one.generator_ema(z), pools[1][2](z, torch.zeros(5))
        torch.testing.assert_close(one.generator_ema(z[2:3]), sampled[2:3], rtol=0, atol=1e-5)  # of its batch alone
        in_step = one.generator.train()(z)
    torch.testing.assert_close(in_step, sampled, rtol=0, atol=1e-5)
    assert torch.equal(pooled, sampled)


def test_rounds_are_short_in_a_transfer_and_cover_the_set():
    settings = recipe(method__round_steps=None, method__round_most=20)
    assert trainer(settings).latents.rounds == Rounds(0, 20, 20)
    shipped = load_recipe(None, {"method.name": "apgc"}).method
    assert Rounds.of(shipped, 0, 1000, 25).steps(0) == 40


def run_loop(path, settings, one):
    folder = RunDir(path)
    folder.create()
    fit(settings, folder, one, batches(settings), Hooks(lambda _line: None, lambda *_: None, lambda: False))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "own"), [("apgc", {}), ("bsa", {"method__keep": None}), ("apgc", {"method__round_steps": 4})]
)
def test_killed_and_resumed_equals_uninterrupted(tmp_path, method, own):
    """Rounds begin at steps 0, 2, 6 and 10, or at 0, 4 and 8; there are checkpoints of steps 4 and 8."""
    loop = {"train__steps": 12, "train__snapshot_every": 4, "train__report_every": 2, "score__metrics": []}
    settings = recipe(method, **own, **loop)
    whole = trainer(settings, small_perceptual())
    whole_run = run_loop(tmp_path / "whole", settings, whole)
    with pytest.raises(Killed):
        run_loop(tmp_path / "run", settings, kill_at(trainer(settings, small_perceptual()), 6))
    resumed = trainer(settings, small_perceptual())
    cut = run_loop(tmp_path / "run", settings, resumed)
    left, right = tensors(whole), tensors(resumed)
    assert {"matcher.latents", "matcher.distance", "matcher.rejected", "g_ema.class_vector"} < left.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    for name in ("pixel", "distance"):
        assert [line[name] for line in read_jsonl(cut.stats)] == [line[name] for line in read_jsonl(whole_run.stats)]
    for picture in (RunDir.fakes, RunDir.reconstructions):
        assert picture(cut, 12).read_bytes() == picture(whole_run, 12).read_bytes()


def test_a_checkpoint_holds_the_matched_latents_and_no_codes(tmp_path):
    settings = recipe()
    one = trainer(settings)
    run(one, settings, 0, 3)
    save_checkpoint(tmp_path / "000003", one, {"step": 3, **one.description})
    assert (tmp_path / "000003" / TENSORS).is_file()
    names = {name.split(".")[0] for name in read_tensors(tmp_path / "000003")}
    assert names == {"g_ema", "matcher", "adam"}
    assert one.description["around_codes"] is None
    assert one.prior is NORMAL
    other = trainer(settings)
    load_checkpoint(tmp_path / "000003", other)
    torch.testing.assert_close(other.reconstruct([2, 5]), one.reconstruct([2, 5]), rtol=0, atol=0)
    assert other.preview().shape == one.preview().shape


@pytest.mark.parametrize(
    ("latents", "key", "wanted"),
    [("imle", "lr_codes=0.1", "learned"), ("imle", "around_codes=0.3", "learned"), ("learned", "eps=1", "imle")],
)
def test_a_key_of_the_other_mode_is_refused(latents, key, wanted):
    name, value = key.split("=")
    message = f"method.{name}: read where method.latents is {wanted}; in this recipe it is {latents}"
    with pytest.raises(UsageError, match=message):
        load_recipe(None, {"method.name": "bsa", "method.latents": latents, f"method.{name}": float(value)})
    assert load_recipe(None, {"method.name": "imle", "method.eps": 1}).method.eps == 1


@pytest.mark.parametrize("latents", ["imle", "learned"])
def test_the_recipe_of_a_run_has_the_keys_of_its_mode_alone(tmp_path, latents):
    settings = load_recipe(None, {"method.name": "apgc", "method.latents": latents})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(settings), encoding="utf-8")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert ("round_most" in text, "lr_codes" in text) == (latents == "imle", latents == "learned")
    assert read_recipe(tmp_path / "recipe.yaml").method == settings.method


def test_a_diverged_run_is_not_told_to_change_a_rate_that_nothing_reads(tmp_path):
    for latents, told in (("imle", False), ("learned", True)):
        settings = load_recipe(None, {"method.name": "bsa", "method.latents": latents})
        message = str(_diverged("pixel became nan", settings, RunDir(tmp_path)))
        assert "method.lr_adapter=0.00025" in message
        assert ("method.lr_codes" in message) == told
        assert (
            "beside a code" in describe_adapter(settings.method, generator(), trainer(recipe("bsa")).generator)
        ) == told
