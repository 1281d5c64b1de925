"""ADDA: its losses, its two phases, that no target label enters a step, exact resume, and two folders of classes."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from class_folder import class_folder
from doomed import Killed
from safetensors.numpy import load_file

import smallgan
from augment.errors import UsageError
from smallgan.api.training import plan_training
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import ImageBatches, LabelledRows, PixelRows
from smallgan.report.collect import collect
from smallgan.report.render import render
from smallgan.sampling.loading import load_model
from smallgan.study.run_recipe import run_recipe
from smallgan.study.stages import ExecutionOptions
from smallgan.tables.recipe import load_recipe
from smallgan.training.adda import ADDATrainer, discriminator_loss, inverted_loss
from smallgan.training.plan import dry_run, plan_text
from smallgan.training.train import train

CPU = torch.device("cpu")
TINY = {
    **{"method.name": "adda", "method.source_steps": 2, "method.d_width": 8, "method.target_holdout": 0.5},
    **{"train.steps": 4, "train.batch_size": 4, "train.report_every": 1, "train.snapshot_every": 1},
}


@pytest.fixture
def cameras(tmp_path):
    """Two folders with the same two classes: by one camera, and by another."""
    return class_folder(tmp_path / "one", 6), class_folder(tmp_path / "other", 8, seed=1)


def recipe_of(cameras, **more):
    source, target = cameras
    return load_recipe(None, TINY | {"data.source": str(source), "method.target": str(target)} | more)


def start(recipe, out, log=lambda _line: None):
    return train(recipe, out=out, device="cpu", log=log)


def weights(run, step=4):
    return load_file(run.checkpoint(step) / "tensors.safetensors")


def trainer_on(pixels, **settings):
    recipe = load_recipe(None, TINY | settings)
    tested = LabelledRows(PixelRows(pixels), np.arange(len(pixels)) % 3)
    trainer = ADDATrainer(recipe, CPU, ("a", "b", "c"), ImageBatches(pixels, 4, 5, CPU), tested)
    return trainer, ImageBatches(pixels, 4, 0, CPU, np.arange(len(pixels)) % 3)


def digits(number=12):
    return np.random.default_rng(0).integers(0, 256, (number, 28, 28, 3), np.uint8)


def changed(before, network):
    return {name for name, each in network.state_dict().items() if not torch.equal(before[name], each)}


def test_losses_of_scores_whose_probabilities_are_known():
    half, sure = torch.zeros(2), torch.full((2,), math.log(3))  # probabilities 1/2 and 3/4 of the source
    assert discriminator_loss(half, half).item() == pytest.approx(2 * math.log(2))
    assert discriminator_loss(sure, half).item() == pytest.approx(math.log(4 / 3) + math.log(2))
    assert discriminator_loss(half, sure).item() == pytest.approx(math.log(2) + math.log(4))
    assert inverted_loss(half).item() == pytest.approx(math.log(2))
    assert inverted_loss(sure).item() == pytest.approx(math.log(4 / 3))


def test_the_defaults_are_the_published_constants():
    recipe = load_recipe(None, {"method.name": "adda"})
    options = recipe.method
    assert (recipe.data.size, recipe.train.batch_size, recipe.train.steps) == (28, 128, 20_000)
    assert (options.source_steps, options.lr_source, options.weight_decay) == (10_000, 1e-3, 2.5e-5)
    assert (options.lr_target, options.lr_d, options.beta1, options.d_width) == (2e-4, 2e-4, 0.5, 500)
    trainer, _ = trainer_on(digits())
    assert trainer.discriminator.layers[0].in_features == 3  # the logits, as the released code
    weight, bias = trainer.optimizers["source"].param_groups
    assert (weight["weight_decay"], bias["weight_decay"]) == (2.5e-5, 0)
    assert trainer.optimizers["target"].param_groups[0]["weight_decay"] == 0


@pytest.mark.parametrize(("align", "adapted"), [("features", 6), ("logits", 8)])
def test_each_phase_moves_its_own_networks(align, adapted):
    trainer, batches = trainer_on(digits(), **{"method.align": align})
    fresh = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in trainer.networks.items()}
    for number in range(2):
        assert trainer.step(batches.batch(number), number).keys() == {"loss_source"}
    assert len(changed(fresh["source"], trainer.source)) == 8
    assert not changed(fresh["target"], trainer.target)
    assert not changed(fresh["d"], trainer.discriminator)
    source = {name: each.clone() for name, each in trainer.source.state_dict().items()}
    assert trainer.confusion(2)["adapted"] == trainer.confusion(2)["source_only"]
    told = trainer.step(batches.batch(2), 2)
    assert told.keys() == {"loss_d", "loss_target", "accuracy_d"}
    assert not changed(source, trainer.source)
    assert len(changed(source, trainer.target)) == adapted  # it began as a copy; by features its last layer stays
    assert max((source[k] - v).abs().max() for k, v in trainer.target.state_dict().items()) < 3e-4  # a step of Adam
    assert len(changed(fresh["d"], trainer.discriminator)) == 6


def test_both_losses_of_a_step_are_those_of_the_same_weights():
    trainer, batches = trainer_on(digits(), **{"method.align": "features"})
    trainer.target.load_state_dict(trainer.source.state_dict())
    with torch.no_grad():
        of_source = trainer.discriminator(trainer.source.features(batches.batch(2).images))
        of_target = trainer.discriminator(trainer.source.features(trainer.targets.batch(0).images))
    told = trainer.step(batches.batch(2), 2)
    torch.testing.assert_close(told["loss_d"], discriminator_loss(of_source, of_target))
    torch.testing.assert_close(told["loss_target"], inverted_loss(of_target))


def test_source_and_target_are_walked_in_different_orders():
    """The same order would pair equal places of two sets that are sorted alike: classes with classes."""
    pixels = digits(40)
    trainer, batches = trainer_on(pixels)
    targets = ImageBatches(pixels, 4, 0, CPU, stream=trainer.targets._stream.TARGET_ORDER)
    assert batches.batch(0).indices.tolist() != targets.batch(0).indices.tolist()


def test_no_label_of_a_target_image_moves_a_weight(cameras, tmp_path):
    one = start(recipe_of(cameras), tmp_path / "a")
    swapped = shutil.copytree(cameras[1], tmp_path / "swapped")
    (swapped / "lies").rename(swapped / "x")
    (swapped / "stands").rename(swapped / "lies")
    (swapped / "x").rename(swapped / "stands")
    other = start(recipe_of((cameras[0], swapped)), tmp_path / "b")
    [mine, yours] = (weights(run) for run in (one, other))
    assert [key for key in mine if not np.array_equal(mine[key], yours[key])] == []
    right, wrong = (json.loads(run.confusion(4).read_text("utf-8"))["adapted"] for run in (one, other))
    assert right != wrong
    assert np.sum(right, axis=0).tolist() == np.sum(wrong, axis=0).tolist()  # it answers the same, and is judged anew


@pytest.mark.parametrize("at", [1, 3])
def test_killed_and_resumed_equals_uninterrupted(cameras, tmp_path, monkeypatch, at):
    recipe = recipe_of(cameras)
    whole, step = start(recipe, tmp_path / "whole"), ADDATrainer.step

    def doomed(self, batch, number):
        if number == at:
            raise Killed
        return step(self, batch, number)

    monkeypatch.setattr(ADDATrainer, "step", doomed)
    with pytest.raises(Killed):
        start(recipe, tmp_path / "cut")
    monkeypatch.setattr(ADDATrainer, "step", step)
    assert RunDir(tmp_path / "cut").last_step() == at
    cut = start(recipe, tmp_path / "cut")
    one, other = weights(whole), weights(cut)
    assert one.keys() == other.keys()
    assert [key for key in one if not np.array_equal(one[key], other[key])] == []
    assert [path.name for path in whole.confusions().values()] == [f"confusion-{n:06d}.json" for n in range(5)]
    assert all(whole.confusion(n).read_bytes() == cut.confusion(n).read_bytes() for n in range(5))
    values = [[(line["step"], line["value"]) for line in read_jsonl(run.scores)] for run in (whole, cut)]
    assert values[0] == values[1]
    assert len(values[0]) == 5
    assert cut.checkpoint_steps() == [3, 4]
    assert cut.best_step() is None  # the last step counts


def test_two_folders_of_classes_give_accuracy_and_confusion_matrices_on_the_page(cameras, tmp_path):
    lines = []
    run = start(recipe_of(cameras, **{"data.size": 32, "method.gray": False}), tmp_path / "run", lines.append)
    assert any("2 classes to 8 images of" in line and "tested on 8 others" in line for line in lines)
    assert not run.grids()
    last = read_jsonl(run.scores)[-1]
    assert (last["metric"], last["step"], last["identity"]["num_real"]) == ("accuracy", 4, 8)
    page = render(collect([run.path]))
    assert page.count('<table class="confusion">') == 2
    for text in ("Adapted to the target", "Source only", "Confusion matrices", "target accuracy", "ADDA at 32 px"):
        assert text in page
    assert "Every grid shows the same latents" not in page
    with pytest.raises(UsageError, match="a classifier trained by ADDA, which makes no images"):
        load_model(run.path, CPU)
    assert "adda, 32 px, step 4 of 4; target accuracy 0." in repr(smallgan.load(run.path))


def test_target_images_may_have_no_classes_where_others_score(cameras, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in cameras[1].rglob("*.png"):
        shutil.copy(path, loose / path.name)
    with pytest.raises(UsageError, match="loose: found no classes, and without them nothing can be scored"):
        start(recipe_of((cameras[0], loose)), tmp_path / "a")
    test = {"method.target_test": str(cameras[1])}
    short = {key: value for key, value in TINY.items() if key != "method.target_holdout"}
    asked = short | {"data.source": str(cameras[0]), "method.target": str(loose)} | test
    run = start(load_recipe(None, asked), tmp_path / "b")
    data = json.loads(run.data.read_text("utf-8"))
    assert (data["target"]["num_real"], data["target_test"]["num_real"]) == (16, 16)
    (cameras[1] / "lies" / "lies-00.png").unlink()
    with pytest.raises(UsageError, match="the images are not those that this run began with: target_test was"):
        start(load_recipe(None, asked | {"train.steps": 5}), tmp_path / "b")


def test_what_does_not_fit_is_refused(cameras, tmp_path):
    odd = class_folder(tmp_path / "odd", 4, classes=("lies", "leans"))
    with pytest.raises(UsageError, match=r"odd: its classes are not .*one: it lacks stands and also has leans"):
        start(recipe_of((cameras[0], odd)), tmp_path / "a")
    with pytest.raises(UsageError, match=r"method\.target: adda needs the images to adapt to"):
        start(load_recipe(None, TINY | {"data.source": str(cameras[0])}), tmp_path / "a")
    with pytest.raises(UsageError, match=r"method\.source_steps 4: no step of train.steps 4 is left"):
        start(recipe_of(cameras, **{"method.source_steps": 4}), tmp_path / "a")
    with pytest.raises(
        UsageError, match=r"method.target .*other: method.target_limit 9: 8 of 16 .* or method.target_test, which"
    ):
        start(recipe_of(cameras, **{"method.target_limit": 9}), tmp_path / "a")
    with pytest.raises(UsageError, match=r"expected a larger share, or method.target_test, which names other images"):
        start(recipe_of(cameras, **{"method.target_holdout": 0.01}), tmp_path / "a")
    with pytest.raises(UsageError, match=r"--minutes 1: ADDA trains in two phases, .* give --steps, and --set method"):
        plan_training(str(cameras[0]), method="adda", minutes=1, set={"method.target": str(cameras[1])})
    with pytest.raises(UsageError, match=r"method.target ring: a set that is drawn; name images"):
        start(recipe_of((cameras[0], "ring")), tmp_path / "a")
    with pytest.raises(UsageError, match="found 0 classes; expected a sub-folder for each class"):
        start(recipe_of((cameras[0] / "lies", cameras[1])), tmp_path / "a")
    with pytest.raises(UsageError, match=r"score: read by the methods adversarial.*; adda makes no images"):
        recipe_of(cameras, **{"score.metrics": ["kid"]})
    with pytest.raises(UsageError, match=r"method\.target_test takes its place"):
        recipe_of(cameras, **{"method.target_test": "elsewhere"})
    assert not (tmp_path / "a").exists()


def test_a_dry_run_says_what_would_be_done(cameras, tmp_path):
    plan = dry_run(recipe_of(cameras), out=tmp_path / "run", device="cpu", log=lambda _line: None)
    assert "Would adapt a classifier by ADDA in" in plan_text(plan)
    assert plan["num_scored"] == 0
    by_flags = {"method.target": str(cameras[1]), "method.source_steps": 2}
    asked = plan_training(str(cameras[0]), method="adda", size=28, steps=4, device="cpu", set=by_flags)
    assert "28 px" in str(asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_study_trains_it_under_each_seed_and_ranks_by_accuracy(cameras, tmp_path):
    recipe = load_recipe("adda-digits")
    assert (recipe.data.limit, recipe.method.target_limit) == (2000, 1800)
    wanted = recipe_of(cameras, **{"seeds": [0, 1], "data.holdout": 0})
    run_recipe(wanted, out=tmp_path / "study", options=ExecutionOptions("cpu"), log=lambda _line: None)
    report = collect(sorted((tmp_path / "study" / "runs").iterdir()))
    assert [ranking.metric for ranking in report.headline] == ["accuracy"]
