"""`smallgan train` from images to a run folder: finding the run to go on with, refusals, and a real SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from doomed import Killed
from safetensors.numpy import load_file

import smallgan.data.split
from augment.build.build import build
from augment.build.plan import make_plan
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode
from augment.sources.readers import open_source
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator, initialize
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import AdversarialTrainer
from smallgan.training.data import load_data
from smallgan.training.find_run import find_run
from smallgan.training.plan import dry_run
from smallgan.training.train import train, with_precision
from smallgan.training.transfer import TransferTrainer

TINY = {
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.steps": 6,
    "train.report_every": 3,
    "train.snapshot_every": 3,
    "score.num_fake": 8,
}


def tiny(source, **overrides):
    return load_recipe(None, TINY | {"data.source": str(source)} | overrides)


def start(recipe, root, **options):
    return train(recipe, root=root, device="cpu", log=lambda _line: None, **options)


def test_a_run_holds_what_it_came_from_and_how_it_scored(tiny_set, tmp_path):
    run = start(tiny(tiny_set, **{"augment.policy": "hflip"}), tmp_path / "runs", command="smallgan train tiny")
    data = json.loads(run.data.read_text(encoding="utf-8"))
    assert (data["num_real"], data["num_images"]) == (12, 24)
    assert data["origins"] == {"original": 12, "augmented": 12}
    assert len(data["names"]) == 12
    assert json.loads(run.environment.read_text(encoding="utf-8"))["command"] == "smallgan train tiny"
    scores = read_jsonl(run.scores)
    assert [(score["step"], score["metric"]) for score in scores] == [(s, m) for s in (0, 3, 6) for m in ("is", "kmmd")]
    assert {score["identity"]["num_real"] for score in scores if score["metric"] == "kmmd"} == {12}
    assert run.best_step() is None, "nothing is held out, so no score selects a checkpoint"
    for path in (run.reals, run.mix, run.log, run.fakes(0), run.recipe):
        assert path.stat().st_size > 0


@pytest.mark.slow
def test_scores_select_a_checkpoint_where_enough_is_held_out(tiny_set, tmp_path, monkeypatch):
    held_out = tiny(tiny_set, **{"data.holdout": 0.5})
    assert start(held_out, tmp_path / "few").best_step() is None
    monkeypatch.setattr(smallgan.data.split, "LEAST_TO_SELECT", 6)
    assert start(held_out, tmp_path / "enough").best_step() in (3, 6)


def test_without_images_held_out_the_log_says_what_scores_mean(tiny_set, tmp_path):
    for share, wanted in ((None, True), (0.5, False)):
        run = start(tiny(tiny_set, **{"data.holdout": share}), tmp_path / str(share))
        assert ("a copy would score as well" in run.log.read_text(encoding="utf-8")) is wanted


@pytest.mark.slow
def test_scores_while_training_are_those_of_the_score_command(tiny_set, tmp_path):
    run = start(tiny(tiny_set, **{"score.num_fake": None, "train.snapshot_every": 6}), tmp_path / "runs")
    while_training = read_jsonl(run.scores)[-2:]
    afterwards = score(run.path, None, ScoreOptions(device="cpu", metrics=("is", "kmmd")))
    assert [line["identity"] for line in while_training] == [each.identity for each in afterwards]
    assert [line["value"] for line in while_training] == pytest.approx([each.value for each in afterwards], rel=1e-6)


def test_the_mix_in_memory_equals_the_written_set(tiny_set, tmp_path):
    recipe = tiny(tiny_set, **{"augment.policy": "hflip:2+contrast.vflip", "augment.count": 7})
    in_memory = load_data(recipe, device="cpu").mixture.pixels
    source = open_source(tiny_set)
    plan = make_plan(
        source,
        recipe.augment.policy,
        ratio=None,
        count=7,
        size=32,
        resize_mode="crop",
        format="png",
        seed=0,
        generator=None,
    )
    build(plan, source, tmp_path / "mixed", workers=1)
    from_disk = load_data(tiny(tmp_path / "mixed"), device="cpu")
    np.testing.assert_array_equal(from_disk.mixture.pixels, in_memory)
    assert from_disk.summary["num_real"] == 12
    assert from_disk.summary["policy"] == "hflip:2+contrast.vflip:1"
    assert from_disk.preview.shape == decode((tmp_path / "mixed/preview.png").read_bytes(), "preview").shape
    again = load_data(tiny(tmp_path / "mixed", **{"augment.policy": "negative"}), device="cpu").summary
    assert again["policy"] == "hflip:2+contrast.vflip:1, then negative"
    assert again["origins"] == {"original": 12, "augmented": 7 + 12}


def test_a_plan_and_metadata_of_another_tool_are_no_mixed_dataset(tiny_set):
    (tiny_set / "plan.json").write_text('{"policy": "theirs"}')
    (tiny_set / "metadata.jsonl").write_text('{"file_name": "shape-00.png"}\n')
    assert load_data(tiny(tiny_set), device="cpu").summary["policy"] == "none"


def test_the_newest_run_of_the_same_recipe_and_images_is_found(tiny_set, tmp_path):
    root = tmp_path / "runs"
    cpu = torch.device("cpu")
    recipe = with_precision(tiny(tiny_set), cpu)
    finished = start(recipe, root)
    summary = json.loads(finished.data.read_text(encoding="utf-8"))
    assert find_run(recipe, summary, root, None, new=False).path == finished.path
    more = with_precision(tiny(tiny_set, **{"train.steps": 9}), cpu)
    assert find_run(more, summary, root, None, new=False).path == finished.path
    assert find_run(more, summary, root, None, new=True).name == "00001-train"
    other = with_precision(tiny(tiny_set, **{"train.steps": 9, "method.lr_d": 1e-3}), cpu)
    assert find_run(other, summary, root, None, new=False).name == "00001-train"
    assert find_run(more, summary | {"fingerprint": "of others"}, root, None, new=False).name == "00001-train"


def test_an_out_folder_of_another_recipe_is_refused_with_both_values(tiny_set, tmp_path):
    start(tiny(tiny_set), tmp_path, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"method\.lr_d was 0\.0002, is 0\.001"):
        start(tiny(tiny_set, **{"method.lr_d": 1e-3}), tmp_path, out=tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        start(tiny(tiny_set), tmp_path, out=tmp_path / "mine")


def test_a_run_does_not_go_on_with_other_images(tiny_set, tmp_path):
    start(tiny(tiny_set), tmp_path, out=tmp_path / "run")
    next(tiny_set.glob("*.png")).unlink()
    with pytest.raises(UsageError, match="num_images was 12, is 11"):
        start(tiny(tiny_set, **{"train.steps": 9}), tmp_path, out=tmp_path / "run")


def test_mixed_datasets_of_the_same_originals_are_trained_each_by_itself(tiny_set, tmp_path):
    source, root = open_source(tiny_set), tmp_path / "runs"
    options = {"ratio": None, "count": None, "size": 32, "resize_mode": "crop", "format": "png", "seed": 0}
    for policy in ("hflip", "vflip"):
        plan = make_plan(source, policy, **options, generator=None)
        build(plan, source, tmp_path / policy, workers=1)
    runs = [start(tiny(folder), root).name for folder in (tmp_path / "hflip", tmp_path / "vflip", tiny_set)]
    assert runs == ["00000-train", "00001-train", "00002-train"]
    assert start(tiny(tmp_path / "hflip"), root).name == "00000-train"
    with pytest.raises(UsageError, match="added_fingerprint was"):
        start(tiny(tmp_path / "vflip", **{"train.steps": 9}), tmp_path, out=root / "00000-train")


def test_a_generator_that_knows_held_out_images_is_told(tiny_set, tmp_path):
    parts = {"data.holdout": 0.25}
    knows = start(tiny(tiny_set), tmp_path, out=tmp_path / "all")
    fair = start(tiny(tiny_set, **parts), tmp_path, out=tmp_path / "fair")
    for run, count in ((knows, 3), (fair, 0)):
        own = {"augment.policy": "gan", "augment.generator": str(run.path)}
        notes = load_data(tiny(tiny_set, **parts, **own), torch.device("cpu")).notes
        told = [note for note in notes if "of the held-out images trained" in note]
        assert [note.partition(" of ")[0] for note in told] == [str(count)] * bool(count)


def test_a_bad_file_stops_before_anything_is_written_or_is_left_out_and_listed(tiny_set, tmp_path):
    (tiny_set / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png"):
        start(tiny(tiny_set), tmp_path / "runs")
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file() and path.name != ".lock"]
    run = start(tiny(tiny_set, **{"data.skip_bad": True}), tmp_path / "runs")
    assert json.loads(run.data.read_text(encoding="utf-8"))["skipped"] == ["broken.png"]


def test_a_set_that_cannot_be_scored_is_trained_on_all_the_same(tiny_set, tmp_path):
    said = []
    single = next(tiny_set.glob("*.png"))
    run = train(tiny(single), root=tmp_path / "runs", device="cpu", log=said.append)
    assert run.last_step() == 6
    assert sum(line.startswith("not scored: KMMD needs at least two different") for line in said) == 3


def test_more_splits_than_samples_are_refused_before_there_is_a_run(tiny_set, tmp_path):
    wanted = {"score.metrics": ["is"], "score.num_fake": 9, "score.splits": 10}
    with pytest.raises(UsageError, match=r"score\.splits 10: must be from 1 to 9, the number of samples scored"):
        start(tiny(tiny_set, **wanted), tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*train"))


def test_a_dry_run_writes_nothing(tiny_set, tmp_path):
    result = dry_run(tiny(tiny_set), root=tmp_path / "runs", device="cpu", log=print)
    assert not (tmp_path / "runs").exists()
    assert result["steps"] == 6
    assert result["epochs"] == 2.0
    assert result["parameters"]["g"] == result["parameters"]["g_ema"]


def command(source, out):
    settings = TINY | {"train.steps": 60, "train.snapshot_every": 10, "score.metrics": "[]"}
    options = [f"--set={path}={value}" for path, value in settings.items()]
    return [sys.executable, "-m", "smallgan", "train", str(source), *options, "--out", str(out)]


@pytest.mark.process
@pytest.mark.parametrize("signal_number", [getattr(signal, "SIGKILL", signal.SIGTERM), signal.SIGTERM])
def test_a_killed_training_goes_on_to_the_same_weights(tiny_set, tmp_path, signal_number):
    whole, cut = RunDir(tmp_path / "whole"), RunDir(tmp_path / "cut")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command(tiny_set, whole.path), check=True, capture_output=True, env=environment)
    victim = subprocess.Popen(
        command(tiny_set, cut.path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 60
    while not cut.last_step() and time.monotonic() < deadline:
        time.sleep(0.005)
    victim.send_signal(signal_number)
    victim.wait()
    reached = cut.last_step()
    assert 0 < reached <= 60
    subprocess.run(command(tiny_set, cut.path), check=True, capture_output=True, env=environment)
    one, other = (load_file(run.checkpoint(60) / "tensors.safetensors") for run in (whole, cut))
    assert one.keys() == other.keys()
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []
    steps = [line["step"] for line in read_jsonl(cut.stats)]
    assert steps == sorted(set(steps))
    if reached < 60:
        assert f"resumed from step {reached}" in cut.log.read_text(encoding="utf-8")


def pretrained(folder):
    """Write a tiny BigGAN with its discriminator, as the official files are."""
    config = BigGANConfig(size=32, ch=8, z_dim=8, num_classes=3, shared_dim=4)
    folder.mkdir()
    for seed, (name, kind) in enumerate((("G_ema.pth", BigGANGenerator), ("D.pth", BigGANDiscriminator))):
        network = kind(config)
        initialize(network, torch.Generator().manual_seed(seed))
        torch.save(network.state_dict(), folder / name)
    return str(folder)


BIGGAN = {"model.name": "biggan", "model.z_dim": 8, "model.shared_dim": 4, "method.diffaugment": "color,cutout"}
TRAINERS = {
    "biggan": (BIGGAN | {"method.d_steps": 2, "method.ema_start": 2}, AdversarialTrainer),
    "relativistic": (
        {"loss": "relativistic", "regularizers.r1": {"every": 3}, "model.d_norm": "none", "method.mirror": True}
        | {"method.diffaugment": "translation,cutout"},
        AdversarialTrainer,
    ),
    "adaptive": (
        {"method.diffaugment": "color,translation", "method.ada_target": -0.5, "method.apa_target": -0.5}
        | {"regularizers.lecam.start": 1, "method.lr_decay_from": 0.25, "method.ema_kimg": 0.01},
        AdversarialTrainer,
    ),
    "finetune": ({"method.name": "finetune"}, AdversarialTrainer),
    "apgc": (
        {"method.name": "apgc", "method.perceptual": "none", "method.group_size": 8, "method.lr_decay_every": 3},
        TransferTrainer,
    ),
}


ONE_FAST = [pytest.param(name, marks=[] if name == "relativistic" else pytest.mark.slow) for name in TRAINERS]


@pytest.mark.parametrize("name", ONE_FAST)
def test_every_trainer_killed_and_resumed_equals_uninterrupted(tiny_set, tmp_path, monkeypatch, name):
    settings, kind = TRAINERS[name]
    monkeypatch.setattr("smallgan.training.ema.STATISTICS_BATCH", 8)  # 8 batches of 8 do, and take less time
    short = {"train.steps": 4, "train.snapshot_every": 2, "train.report_every": 1, "score.metrics": []}
    if "method.name" in settings:
        settings = settings | {"method.pretrained": pretrained(tmp_path / "138k")}
        recipe = load_recipe(None, {"data.source": str(tiny_set), "train.batch_size": 4} | settings | short)
    else:
        recipe = tiny(tiny_set, **settings, **short)
    whole = start(recipe, tmp_path, out=tmp_path / "whole")
    step = kind.step

    def doomed(self, batch, number):
        if number == 3:
            raise Killed
        return step(self, batch, number)

    monkeypatch.setattr(kind, "step", doomed)
    with pytest.raises(Killed):
        start(recipe, tmp_path, out=tmp_path / "cut")
    monkeypatch.setattr(kind, "step", step)
    assert RunDir(tmp_path / "cut").last_step() == 2
    cut = start(recipe, tmp_path, out=tmp_path / "cut")
    assert "resumed from step 2" in cut.log.read_text(encoding="utf-8")
    one, other = (load_file(run.checkpoint(4) / "tensors.safetensors") for run in (whole, cut))
    assert one.keys() == other.keys()
    assert [key for key in one if not np.array_equal(one[key], other[key])] == []
    for at in (0, 2, 4):
        assert whole.fakes(at).read_bytes() == cut.fakes(at).read_bytes()
    losses = [[line["loss_g"] for line in read_jsonl(run.stats)] for run in (whole, cut)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
