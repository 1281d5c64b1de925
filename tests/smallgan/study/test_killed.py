"""A grid of six runs, killed with SIGKILL at three random moments and finished, equals the uninterrupted one."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir
from smallgan.report import collect, find_runs
from smallgan.report.export import export_files

TIMES = {"train_seconds", "other_seconds", "images_per_second", "memory_mb", "seconds", "time"}
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


def without_times(line):
    return {key: value for key, value in line.items() if key not in TIMES}


def numbers_without_times(text):
    """What report.json says, but for how long it took."""
    told = json.loads(text)
    for run in told["runs"]:
        del run["train_seconds"], run["other_seconds"]
    return told


def page_without_times(study):
    """The page in three parts: its HTML without times and places, and its numbers in JSON without times."""
    page = study.report.read_text(encoding="utf-8").replace(str(study.path.parent), "")
    table = r'(?s)(aria-label="Time and machine".*?<tbody>)(.*?)(</tbody>)'
    assert len(re.findall(table, page)) == 1
    saved = r'(download="report\.json" href="data:application/json;base64,)([^"]*)'
    (told,) = (base64.b64decode(code) for _, code in re.findall(saved, page))
    return re.sub(saved, r"\1", re.sub(table, r"\1\3", page)), numbers_without_times(told)


def exported(study):
    """The files of `smallgan report --export` by name, but for times."""
    files = export_files(collect(find_runs([study.path])))
    return files | {"report.json": numbers_without_times(files["report.json"])}


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

    (page, numbers), (cut_page, cut_numbers) = page_without_times(whole), page_without_times(cut)
    lines = zip(page.splitlines(), cut_page.splitlines(), strict=True)
    assert [(line, other) for line, other in lines if line != other] == []
    assert numbers == cut_numbers
    assert {"scores.csv", "verdicts.csv", "report.json"} < exported(whole).keys()
    assert exported(whole) == exported(cut)
    for one, other in zip(whole.trials(), cut.trials(), strict=True):
        assert one == other
        first, second = RunDir(whole.run_of(one)), RunDir(cut.run_of(other))
        weights = [load_file(run.checkpoint(STEPS) / "tensors.safetensors") for run in (first, second)]
        assert weights[0].keys() == weights[1].keys()
        assert [name for name in weights[0] if not np.array_equal(weights[0][name], weights[1][name])] == []
        for name in ("stats.jsonl", "scores.jsonl"):
            left, right = (list(map(without_times, read_jsonl(run.path / name))) for run in (first, second))
            assert left == right, (one.run, name)
        pictures = sorted(path.relative_to(first.path) for path in first.path.rglob("*.png"))
        assert pictures == sorted(path.relative_to(second.path) for path in second.path.rglob("*.png"))
        assert [
            name for name in pictures if (first.path / name).read_bytes() != (second.path / name).read_bytes()
        ] == []
        assert [line["step"] for line in read_jsonl(second.stats)] == list(range(3, STEPS + 1, 3))
        assert steps_trained_again(second) == []
