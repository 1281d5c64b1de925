"""The run folder: names, cutting after a step, and the lock."""

import json
import subprocess
import sys
import textwrap

import pytest

from augment.errors import InputError, UsageError
from smallgan.core.run_dir import RunDir, append_jsonl, claim_run, next_run, numbered_runs, read_jsonl, runs_below


def make_run(path, steps=(10, 20, 30, 40)):
    run = RunDir(path)
    run.create()
    for step in (0, *steps):
        append_jsonl(run.stats, {"step": step})
        append_jsonl(run.scores, {"step": step, "metric": "kmmd"})
        append_jsonl(run.diagnostics, {"step": step, "recall": 0.5})
        run.fakes(step).write_bytes(b"")
    for step in steps:
        run.checkpoint(step).mkdir()
    return run


def test_numbers_go_on_after_the_highest(tmp_path):
    assert next_run(tmp_path, "a").name == "00000-a"
    for name in ("00003-x", "notes", "00001-y"):
        (tmp_path / name).mkdir()
    assert next_run(tmp_path, "a").name == "00004-a"
    assert [run.name for run in numbered_runs(tmp_path)] == ["00001-y", "00003-x"]
    assert next_run(tmp_path / "absent", "a").name == "00000-a"


def test_runs_below_are_the_numbered_ones_then_those_with_names(tmp_path):
    for name in ("mine", "00001-b", "notes", "00000-a"):
        RunDir(tmp_path / name).create()
    RunDir(tmp_path / "mine").recipe.write_text("name: mine")
    assert [run.name for run in runs_below(tmp_path)] == ["00000-a", "00001-b", "mine"]


def test_two_that_ask_at_once_get_a_run_each(tmp_path, monkeypatch):
    first = claim_run(tmp_path / "runs", "a")
    numbers = iter([first, next_run(tmp_path / "runs", "a")])
    monkeypatch.setattr("smallgan.core.run_dir.next_run", lambda _root, _name: next(numbers))
    assert claim_run(tmp_path / "runs", "a").name == "00001-a"


def test_cut_after_forgets_everything_later_and_nothing_earlier(tmp_path):
    run = make_run(tmp_path / "run")
    run.best.write_text(json.dumps({"step": 30, "merit": 0.1}))
    run.cut_after(20)
    assert [line["step"] for line in read_jsonl(run.stats)] == [0, 10, 20]
    assert [line["step"] for line in read_jsonl(run.scores)] == [0, 10, 20]
    assert list(run.grids()) == [0, 10, 20]
    assert run.checkpoint_steps() == [10, 20]
    assert run.best_step() is None
    assert [line["step"] for line in read_jsonl(run.diagnostics)] == [0, 10, 20]
    run.forget_scores(20)
    assert [line["step"] for line in read_jsonl(run.diagnostics)] == [0, 10]
    run.cut_after(-1)
    assert read_jsonl(run.stats) == []


def test_the_last_two_checkpoints_and_the_best_are_kept(tmp_path):
    run = make_run(tmp_path / "run")
    run.best.write_text(json.dumps({"step": 10, "merit": 0.1}))
    run.prune_checkpoints()
    assert run.checkpoint_steps() == [10, 30, 40]


def test_a_line_cut_short_by_a_kill_is_left_out_and_an_earlier_broken_one_is_named(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [line["step"] for line in read_jsonl(path)] == [1, 2]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(InputError, match="line 2"):
        read_jsonl(path)


@pytest.mark.process
def test_a_second_writer_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    run = RunDir(tmp_path / "run")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
            import time
            from pathlib import Path
            from smallgan.core.run_dir import RunDir
            with RunDir(Path({str(run.path)!r})).locked():
                print("held", flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another process is writing"), run.locked():
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with run.locked():
        pass
