"""A grid of six runs, killed with SIGKILL at three random moments and finished, equals the uninterrupted one."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from same_study import assert_same

from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir

STEPS, EVERY = 30, 6
RECIPE = f"""
name: killed
data: {{size: 32}}
model: {{base_width: 8}}
train: {{batch_size: 4, steps: {STEPS}, report_every: 3, snapshot_every: {EVERY}}}
score: {{num_fake: 8}}
sample: {{count: 3, interpolate: 2}}
seeds: [1, 2]
grid: {{augment.policy: [none, gan, hflip]}}
"""


def command(recipe, source, out):
    words = ["run", str(recipe), f"--set=data.source={source}", "--out", str(out), "--device", "cpu"]
    return [sys.executable, "-m", "smallgan", *words]


def lines_written(study):
    # no rglob: checkpoint folders are renamed while it walks
    return sum(path.read_bytes().count(b"\n") for path in study.runs.glob("*/stats.jsonl"))


def killed_when(words, environment, study, lines, pause):
    """Start the study and kill it a moment after so many lines of stats were written; tell whether it was alive."""
    victim = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while lines_written(study) < lines and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(pause)
    alive = victim.poll() is None
    victim.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    victim.wait()
    return alive


def steps_trained_again(run):
    """Steps that the log reports although a checkpoint at or after them was resumed from before."""
    again, resumed = [], 0
    for line in run.log.read_text(encoding="utf-8").splitlines():
        if match := re.search(r" resumed from step (\d+) ", line):
            resumed = int(match[1])
        elif match := re.search(rf" step (\d+)/{STEPS}  kimg", line):
            again += [int(match[1])] if int(match[1]) <= resumed else []
    return again


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("number", [int(text) for text in os.environ.get("SMALLGAN_KILLS", "0").split(",")])
def test_a_grid_killed_three_times_and_finished_equals_the_uninterrupted_one(tiny_set, tmp_path, number):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, cut = StudyDir(tmp_path / "whole" / "study"), StudyDir(tmp_path / "cut" / "study")
    subprocess.run(command(recipe, tiny_set, whole.path), check=True, capture_output=True, env=environment)
    draws = np.random.default_rng([number, 6])
    words = command(recipe, tiny_set, cut.path)
    moments = np.sort(draws.choice(np.arange(1, 58), 3, replace=False))
    hits = [killed_when(words, environment, cut, lines, draws.uniform(0, 0.1)) for lines in moments]
    assert sum(hits) >= 2  # the last moment may come after the end
    kept = {path: path.stat().st_mtime_ns for path in cut.path.rglob(f"step-{STEPS:06d}/tensors.safetensors")}
    subprocess.run(words, check=True, capture_output=True, env=environment)
    assert {trial.state for trial in cut.trials()} == {"done"}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    assert_same(whole, cut)
    for trial in cut.trials():
        run = RunDir(cut.run_of(trial))
        assert [line["step"] for line in read_jsonl(run.stats)] == list(range(3, STEPS + 1, 3))
        assert steps_trained_again(run) == []
