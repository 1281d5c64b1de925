"""The loop: killed and resumed equals uninterrupted, what a run folder holds, and how it stops."""

import math

import numpy as np
import pytest
import torch
from doomed import Killed, kill_at

from augment.errors import FailedError, InputError
from smallgan.core.checkpoint import TENSORS, load_checkpoint, save_checkpoint
from smallgan.core.run_dir import RunDir, append_jsonl, read_jsonl
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.loop import Hooks, Merit, fit

CPU = torch.device("cpu")


def recipe(**overrides):
    settings = {
        "data.size": 32,
        "model.base_width": 8,
        "train.batch_size": 4,
        "train.steps": 12,
        "train.report_every": 2,
        "train.snapshot_every": 4,
    }
    return load_recipe(None, settings | overrides)


def batches(settings):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    return ImageBatches(pixels, settings.train.batch_size, settings.seed, CPU)


def merit(_trainer, step):
    return Merit(1 / (1 + step), "lowest of all")


def run_loop(path, settings, trainer=None, **hooks):
    run = RunDir(path)
    run.create()
    lines = []
    given = {"log": lines.append, "evaluate": merit, "stop_requested": lambda: False} | hooks
    trainer = trainer or build_trainer(settings, CPU)
    reached = fit(settings, run, trainer, batches(settings), Hooks(**given))
    return run, trainer, reached, lines


def weights(trainer):
    return {f"{n}.{k}": v for n, net in trainer.networks.items() for k, v in net.state_dict().items()}


def assert_same_weights(one, other):
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []


def test_a_whole_run_writes_what_the_design_lists(tmp_path):
    run, _, reached, lines = run_loop(tmp_path / "run", recipe())
    assert reached == 12
    assert [line["step"] for line in read_jsonl(run.stats)] == [2, 4, 6, 8, 10, 12]
    assert list(run.grids()) == [0, 4, 8, 12]
    assert run.checkpoint_steps() == [8, 12]
    assert run.best_record() == {"step": 12, "merit": 1 / 13, "interval": None, "meaning": "lowest of all"}
    last = read_jsonl(run.stats)[-1]
    assert last["kimg"] == pytest.approx(12 * 4 / 1000)
    assert all(
        math.isfinite(last[key]) for key in ("loss_d", "loss_g", "score_real", "score_fake", "images_per_second")
    )
    assert len(lines) == 6
    assert "eval/save" in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [3, 5, 9, 11])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, killed_at):
    whole_run, whole, _, _ = run_loop(tmp_path / "whole", recipe())

    doomed = kill_at(build_trainer(recipe(), CPU), killed_at)
    with pytest.raises(Killed):
        run_loop(tmp_path / "run", recipe(), doomed)
    run, resumed, reached, lines = run_loop(tmp_path / "run", recipe())
    assert reached == 12
    assert_same_weights(whole, resumed)
    steps = [line["step"] for line in read_jsonl(run.stats)]
    assert steps == [line["step"] for line in read_jsonl(whole_run.stats)]
    if killed_at > 4:
        assert lines[0].startswith(f"resumed from step {killed_at // 4 * 4}")
    losses = [[line["loss_d"] for line in read_jsonl(each.stats)] for each in (run, whole_run)]
    assert losses[0] == losses[1]
    assert run.fakes(12).read_bytes() == whole_run.fakes(12).read_bytes()


def test_a_kill_while_a_snapshot_is_scored_leaves_nothing_out(tmp_path):
    def evaluate(_generator, step):
        append_jsonl(RunDir(tmp_path / "run").scores, {"step": step, "metric": "is"})
        if step == 8 and not finished:
            raise Killed
        append_jsonl(RunDir(tmp_path / "run").scores, {"step": step, "metric": "kmmd"})
        return merit(None, step)

    finished = False
    with pytest.raises(Killed):
        run_loop(tmp_path / "run", recipe(), evaluate=evaluate)
    finished = True
    run, *_ = run_loop(tmp_path / "run", recipe(), evaluate=evaluate)
    scored = [(line["step"], line["metric"]) for line in read_jsonl(run.scores)]
    assert scored == [(step, metric) for step in (0, 4, 8, 12) for metric in ("is", "kmmd")]
    assert list(run.grids()) == [0, 4, 8, 12]


def test_a_kill_before_old_checkpoints_are_deleted_leaves_none_of_them(tmp_path, monkeypatch):
    def killed(_run):
        raise Killed

    run_loop(tmp_path / "run", recipe(**{"train.steps": 8}))
    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(RunDir, "prune_checkpoints", killed)
        with pytest.raises(Killed):
            run_loop(tmp_path / "run", recipe())
    run = RunDir(tmp_path / "run")
    assert (run.checkpoint_steps(), run.reached(12)) == ([4, 8, 12], False)
    run_loop(run.path, recipe())
    assert (run.checkpoint_steps(), run.reached(12)) == ([8, 12], True)


@pytest.mark.slow
def test_more_steps_go_on_where_the_run_ended(tmp_path):
    _, whole, _, _ = run_loop(tmp_path / "whole", recipe())
    run_loop(tmp_path / "run", recipe(**{"train.steps": 8}))
    _, raised, _, lines = run_loop(tmp_path / "run", recipe())
    assert lines[0].startswith("resumed from step 8")
    assert_same_weights(whole, raised)


def test_another_number_of_threads_is_said(tmp_path, monkeypatch):
    run_loop(tmp_path / "run", recipe(**{"train.steps": 8}))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    *_, lines = run_loop(tmp_path / "run", recipe())
    assert "77 now" in lines[1]


def test_a_stop_that_was_asked_for_saves_at_once_and_loses_nothing(tmp_path):
    _, whole, _, _ = run_loop(tmp_path / "whole", recipe())
    calls = iter([False] * 6 + [True] * 10)
    run, _, reached, _ = run_loop(tmp_path / "run", recipe(), stop_requested=lambda: next(calls))
    assert reached == 7
    assert run.last_step() == 7
    _, resumed, reached, _ = run_loop(tmp_path / "run", recipe())
    assert reached == 12
    assert_same_weights(whole, resumed)


def test_a_loss_that_is_not_finite_stops_with_a_diagnosis_and_keeps_the_last_good_checkpoint(tmp_path):
    poisoned = build_trainer(recipe(), CPU)
    inner = poisoned.step
    poisoned.step = lambda batch, number: inner(
        batch._replace(images=batch.images * math.nan) if number == 6 else batch, number
    )
    with pytest.raises(FailedError, match=r"between steps 5 and 8.*|loss_d.*nan.*") as caught:
        run_loop(tmp_path / "run", recipe(), poisoned)
    message = str(caught.value)
    assert "the checkpoint of step 4 is kept" in message
    assert "method.lr_d=0.0001" in message
    assert caught.value.exit_code == 1
    assert RunDir(tmp_path / "run").checkpoint_steps() == [4]


def test_checkpoints_keep_values_and_memory_layout(tmp_path):
    settings = recipe()
    saved, loaded = build_trainer(settings, CPU), build_trainer(recipe(seeds=[9]), CPU)
    saved.step(batches(settings).batch(0), 0)
    save_checkpoint(tmp_path / "step-000001", saved, {"step": 1})
    assert load_checkpoint(tmp_path / "step-000001", loaded)["step"] == 1
    assert_same_weights(saved, loaded)
    for name in "gd":
        for one, other in zip(saved.networks[name].parameters(), loaded.networks[name].parameters(), strict=True):
            assert one.stride() == other.stride()
            before, after = saved.optimizers[name].state[one], loaded.optimizers[name].state[other]
            assert before.keys() == after.keys()
            assert all(torch.equal(before[key], after[key]) for key in before)
            assert before["exp_avg"].stride() == after["exp_avg"].stride()


def test_a_damaged_checkpoint_is_named(tmp_path):
    trainer = build_trainer(recipe(), CPU)
    trainer.step(batches(recipe()).batch(0), 0)
    folder = tmp_path / "step-000001"
    save_checkpoint(folder, trainer, {"step": 1})
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:1000])
    with pytest.raises(InputError, match=r"step-000001.*this checkpoint is damaged"):
        load_checkpoint(folder, trainer)


def test_another_networks_checkpoint_is_refused_with_both_shapes(tmp_path):
    trainer = build_trainer(recipe(), CPU)
    trainer.step(batches(recipe()).batch(0), 0)
    save_checkpoint(tmp_path / "step-000001", trainer, {"step": 1})
    with pytest.raises(InputError, match="has shape"):
        load_checkpoint(tmp_path / "step-000001", build_trainer(recipe(**{"model.base_width": 16}), CPU))
