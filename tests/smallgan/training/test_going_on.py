"""`--init RUN`: another run that starts from a run's weights, with optimisers and steps afresh."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sampled_models import biggan_run, dcgan_run, run_of
from tensors import tensors

from augment.errors import UsageError
from smallgan.api.training import _resolved, plan_training
from smallgan.core.checkpoint import read_tensors
from smallgan.core.run_dir import RunDir
from smallgan.core.weights import SHIPPED_GAN
from smallgan.sampling.loading import load_model
from smallgan.sampling.pretrained import find_pretrained
from smallgan.tables.recipe import dump_recipe, load_recipe, read_recipe, values_to_go_on
from smallgan.training.adversarial import build_trainer
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.train import train

CPU = torch.device("cpu")
ADA = {"method.diffaugment": "color", "method.diffaugment_fill": "reflect", "method.ada_target": 0.6}
SHORT = {"train.steps": 4, "train.snapshot_every": 2, "train.report_every": 1, "score.metrics": []}


def resolved(data=None, recipe=None, minutes=None, **flags):
    return _resolved(data, recipe, minutes, (), flags, print)


@pytest.fixture(autouse=True)
def _few_statistics(monkeypatch):
    monkeypatch.setattr("smallgan.training.ema.STATISTICS_BATCH", 4)


def recipe_from(run, data, **overrides):
    values = values_to_go_on(read_recipe(RunDir(run).recipe)) | {"train.init": str(run), "data.source": str(data)}
    return load_recipe(None, values | {name.replace("__", "."): value for name, value in overrides.items()})


def prepared(recipe):
    recipe, source = open_pretrained(recipe)
    said = []
    trainer, batches = prepare(recipe, load_data(recipe, CPU), CPU, source, said.append)
    return trainer, batches, said


def test_what_ones_own_keys_leave_unread_is_not_taken_over(tmp_path):
    recipe = load_recipe(None, {"data.size": 32, "model.base_width": 8, "train.batch_size": 4, **ADA})
    run = run_of(build_trainer(recipe, CPU), recipe, tmp_path / "run", 1).path
    assert resolved("x", init=run)[0].method.ada_target == 0.6
    method = resolved("x", init=run, diffaugment="none")[0].method
    assert (method.diffaugment, method.ada_target) == ("none", None)


@pytest.mark.parametrize("own", ["none", "shipped"])
def test_the_network_of_the_source_s_loss_is_recorded(tmp_path, tiny_set, own):
    imle = {"data.size": 32, "model.base_width": 8, "train.batch_size": 4, "method.name": "imle"}
    recipe = load_recipe(None, imle | {"data.source": str(tiny_set), "method.perceptual": "shipped"})
    run = run_of(prepared(recipe)[0], recipe, tmp_path / "run", 1).path
    trainer, *_ = prepared(recipe_from(run, tiny_set, method__perceptual=own))
    found = trainer.description["perceptual"]
    assert found["name"] == "shipped"
    assert ("before" in found) is (own == "shipped")
    adversarial = {"train.init": str(run), "model.g_norm": "layer", "model.z_dim": 16, "model.base_width": 8}
    trainer, *_ = prepared(load_recipe(None, adversarial | {"data.source": str(tiny_set), "data.size": 32}))
    assert trainer.description["perceptual"]["name"] == "shipped"


def test_it_starts_as_the_run_ended_and_trains_all_weights(tiny_set, tmp_path):
    run = dcgan_run(tmp_path / "run").path
    trainer, batches, said = prepared(recipe_from(run, tiny_set))
    z = torch.randn(3, 100, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(trainer.generator_ema(z), load_model(run, CPU).generator(z))
    saved = load_file(RunDir(run).checkpoint(3) / "tensors.safetensors")
    assert all(torch.equal(value, saved[f"d.{name}"]) for name, value in trainer.discriminator.state_dict().items())
    assert said[-1] == (
        f"weights of {run}: the averaged generator's and the discriminator's; the optimisers start afresh"
    )
    assert all(not optimizer.state for optimizer in trainer.optimizers.values())
    before = tensors(trainer)
    trainer.step(batches.batch(0), 0)
    after = tensors(trainer)
    weights = {f"{net}.{key}" for net in ("g", "d") for key, _ in trainer.networks[net].named_parameters()}
    assert {name for name in weights if torch.equal(before[name], after[name])} == set()
    assert trainer.description["pretrained"]["path"] == str(run)


def test_resumed_equals_uninterrupted_and_another_source_is_refused(tiny_set, tmp_path):
    run = dcgan_run(tmp_path / "run").path
    own = {name.replace(".", "__"): value for name, value in SHORT.items()}
    asked = recipe_from(run, tiny_set, **own)
    whole = train(asked, out=tmp_path / "whole", device="cpu", log=lambda _line: None)
    count, lines = iter(range(9)), []
    stopped = train(asked, out=tmp_path / "cut", device="cpu", log=lines.append, stop_requested=lambda: next(count) > 0)
    assert stopped.last_step() == 2
    cut = train(asked, out=tmp_path / "cut", device="cpu", log=lines.append)
    assert any("resumed from step 2" in line for line in lines)
    one, other = (load_file(each.checkpoint(4) / "tensors.safetensors") for each in (whole, cut))
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []
    assert read_recipe(cut.recipe).train.init == str(run)
    longer = recipe_from(run, tiny_set, **own | {"train__steps": 5})
    file = RunDir(run).checkpoint(3) / "tensors.safetensors"
    state = RunDir(run).checkpoint(3) / "state.json"
    held = load_file(file)
    held["g_ema.to_rgb.bias"] += 1
    save_file(held, file)
    state.write_text(state.read_text().replace('"tensors_sha256"', '"was"'), encoding="utf-8")
    with pytest.raises(UsageError, match=r"not the file that .*cut began with"):
        train(longer, out=tmp_path / "cut", device="cpu", log=lambda _line: None)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"data__size": 64}, "this run makes images of 32 px, and 64 px were asked for"),
        ({"model__base_width": 16}, "base_width of this run is 8, and 16 was asked for"),
        ({"model__d_norm": "none"}, "its discriminator is another one"),
    ],
)
def test_another_side_or_another_network_is_refused(tiny_set, tmp_path, own, said):
    run = dcgan_run(tmp_path / "run").path
    with pytest.raises(UsageError, match=said):
        prepared(recipe_from(run, tiny_set, **own))


def test_other_classes_are_refused_and_fine_tuning_is_named(tiny_set, tmp_path):
    run = biggan_run(tmp_path / "run").path
    with pytest.raises(UsageError, match=r"the classes ape, bee, cat, and these images have no classes; .*finetune"):
        prepared(recipe_from(run, tiny_set))


def test_what_is_for_the_beginning_of_a_training_alone_is_off():
    recipe = load_recipe(None, {"method.name": "imle", "model.base_width": 16})
    values = values_to_go_on(recipe)
    assert (values["method.pca_steps"], values["model.base_width"], values["method.name"]) == (0, 16, "imle")
    other = values_to_go_on(recipe, "adversarial")
    assert not any(path.startswith("method") for path in other)
    warm = load_recipe(None, {"regularizers.warm_start.steps": 7, "method.lr_g": 1e-5, "data.limit": 9})
    values = values_to_go_on(warm)
    assert (values["regularizers.warm_start"], values["method.lr_g"]) == (None, 1e-5)
    assert not any(path in values for path in ("data.limit", "data.source", "name", "train.precision"))
    with pytest.raises(UsageError, match="the run is a transfer by bsa"):
        values_to_go_on(load_recipe(None, {"method.name": "bsa"}))


def test_a_recipe_without_it_is_written_as_before():
    assert "init: null" not in dump_recipe(load_recipe(None, {})).partition("train:")[2]
    with pytest.raises(UsageError, match=r"train\.init: read by the methods adversarial and imle; .* by bsa"):
        load_recipe(None, {"method.name": "bsa", "train.init": "runs/1"})


def test_minutes_decide_the_steps_in_place_of_the_run(tmp_path):
    run = dcgan_run(tmp_path / "run").path
    recipe, asked = resolved("x", minutes=2.0, init=run)
    assert asked["minutes"] == 2.0
    assert "steps" not in recipe.train.model_fields_set
    assert "steps" in resolved("x", init=run)[0].train.model_fields_set


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "add DATA"),
        ({"data": "x", "transfer": "bsa"}, "--transfer bsa are two ways to start"),
        ({"data": "x", "recipe": "quickstart"}, "--recipe quickstart are two ways to start"),
        ({"data": "x", "model": "biggan"}, "is a dcgan; leave --model out"),
        ({"data": "x", "init": "nowhere"}, "--init nowhere: no run of smallgan"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, flags, said):
    run = dcgan_run(tmp_path / "run").path
    with pytest.raises(UsageError, match=said):
        resolved(**{"init": run} | flags)


def test_the_option_takes_model_method_and_training_of_the_run(tiny_set, tmp_path):
    run = dcgan_run(tmp_path / "run").path
    said = []
    plan = plan_training(tiny_set, init=run, steps=7, device="cpu", log=said.append)
    recipe = plan.values["recipe"]
    assert (recipe["model"]["base_width"], recipe["data"]["size"], recipe["train"]["steps"]) == (8, 32, 7)
    assert (recipe["train"]["init"], recipe["train"]["batch_size"]) == (str(run), 4)
    assert any(line.startswith(f"weights of {run}") for line in said)


@pytest.mark.slow
def test_the_gan_that_ships_is_a_start_by_its_name(tiny_set, tmp_path):
    recipe, _ = resolved(tiny_set, init=SHIPPED_GAN, steps=1)
    assert recipe.train.init == SHIPPED_GAN
    quiet = {"score": recipe.score.model_copy(update={"metrics": ()})}
    run = train(recipe.model_copy(update=quiet), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    began = read_tensors(run.checkpoint(1), "d.")
    shipped = find_pretrained(SHIPPED_GAN).pretrained.discriminator.state_dict()
    weights = [name for name in shipped if name.endswith("weight")]
    assert weights
    # One step of Adam at 0.0004 moves a weight by no more than that
    assert 0 < max(float((began[name] - shipped[name]).abs().max()) for name in weights) < 0.00041
