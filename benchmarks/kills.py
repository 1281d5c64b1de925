"""Commands killed at random moments and started again: every end equals that of an uninterrupted command.

python -m benchmarks.kills [--count 200] [--seed 3] [--only train-dcgan]

Each command runs once whole. Then it is killed with SIGKILL after a random share of that time, started again, killed
again, a few times, and at last finished; what it leaves is compared, bit for bit but for times. Exit code 1 when
something differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir

TIMES = {"train_seconds", "other_seconds", "images_per_second", "memory_mb", "seconds", "time", "build_seconds"}
MOST_KILLS = 5
"""Kills of one command before it may finish."""
_TINY = "data.size=32 train.steps=12 train.report_every=3 train.snapshot_every=4 train.batch_size=4 score.num_fake=8"
_RECIPE = """
name: killed
data: {size: 32, limit: 16}
model: {base_width: 8}
train: {batch_size: 4, steps: 8, report_every: 2, snapshot_every: 4}
score: {num_fake: 8}
sample: {count: 3, interpolate: 2}
grid: {augment.policy: [none, gan, hflip]}
"""


@dataclass(frozen=True)
class Scenario:
    """A command, and what of its output has to be the same."""

    name: str
    words: Callable[[Path], Sequence[str]]
    """Folder -> the words after `smallgan`."""
    digest: Callable[[Path], dict[str, Any]]
    """Folder -> what is compared, by name."""
    prepare: Callable[[Path], None] = lambda _folder: None


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    args = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if args.only in (None, scenario.name)]
    share, draws, failures = -(-args.count // len(chosen)), random.Random(args.seed), []
    for scenario in chosen:
        with tempfile.TemporaryDirectory() as folder:
            kills, ends, wrong = carry_out(scenario, share, draws, Path(folder))
        failures += wrong
        print(f"{scenario.name}: {kills} kills, {ends} ends, {len(wrong)} of them another end", flush=True)
        print("".join(f"  FAILED {each}\n" for each in wrong), end="", flush=True)
    sys.exit(int(bool(failures)))


def carry_out(scenario: Scenario, count: int, draws: random.Random, root: Path) -> tuple[int, int, list[str]]:
    """Kill a command `count` times.

    Args:
        scenario: the command.
        count: kills; a command that had ended before its kill does not count.
        draws: the moments.
        root: an empty folder.

    Returns the number of kills, of ends, and a sentence for each end that differs.
    """
    whole = root / "whole"
    whole.mkdir()
    scenario.prepare(whole)
    seconds = _seconds_or_killed(scenario, whole, None) or 0.0
    expected, failures, kills, ends = scenario.digest(whole), [], 0, 0
    while kills < count:
        folder = root / f"killed-{ends}"
        folder.mkdir()
        scenario.prepare(folder)
        for _ in range(min(draws.randint(1, MOST_KILLS), count - kills)):
            ended_after = _seconds_or_killed(scenario, folder, draws.uniform(0.1, 1.0) * seconds)
            if ended_after is not None:  # what is resumed ends sooner than the whole, and so does a machine less busy
                seconds = max(0.9 * seconds, min(seconds, ended_after))
                break
            kills += 1
        _seconds_or_killed(scenario, folder, None)
        ends += 1
        found = scenario.digest(folder)
        wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        if wrong:
            failures.append(f"{scenario.name}, end {ends}: {', '.join(sorted(wrong)[:5])} differ")
        shutil.rmtree(folder)
    return kills, ends, failures


def _seconds_or_killed(scenario: Scenario, folder: Path, kill_after: float | None) -> float | None:
    """Run a command to its end, and return its seconds, or until it is killed: None. Raises when it fails by itself."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SMALLGAN_CACHE": str(folder.parent / "cache")}
    words = [sys.executable, "-m", "smallgan", *scenario.words(folder)]
    started = time.monotonic()
    with (folder.parent / "output.txt").open("w+") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=environment)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n{output.read()[-2000:]}")
    return time.monotonic() - started


def files_below(folder: Path) -> dict[str, Any]:
    """Return the hash of every file, but for what tells times."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        name = path.relative_to(folder).as_posix()
        if path.name == "plan.json":
            found[name] = _without_times(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run_below(folder: Path) -> dict[str, Any]:
    """Return what a run folder holds: weights, log, scores and pictures, but for times."""
    run = RunDir(folder)
    found: dict[str, Any] = {"steps": run.checkpoint_steps(), "best": run.best_step()}
    tensors = load_file(run.checkpoint(run.last_step()) / "tensors.safetensors")
    found |= {name: hashlib.sha256(tensor.tobytes()).hexdigest() for name, tensor in tensors.items()}
    for path in (run.stats, run.scores):
        found[path.name] = [_without_times(line) for line in read_jsonl(path)]
    pictures = [*folder.glob("*.png"), *folder.glob("samples/**/*.png")]
    return found | {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures}


def study_below(folder: Path) -> dict[str, Any]:
    """Return what a study folder holds."""
    study = StudyDir(folder)
    found: dict[str, Any] = {"states": [(trial.variant, trial.state) for trial in study.trials()]}
    for trial in study.trials():
        found |= {f"{trial.variant}: {name}": value for name, value in run_below(study.run_of(trial)).items()}
    return found


def _without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def _train(*words: str) -> Callable[[Path], Sequence[str]]:
    settings = [part for setting in _TINY.split() for part in ("--set", setting)]
    return lambda folder: ["train", *words, *settings, "--out", str(folder / "run"), "--device", "cpu"]


def _write_recipe(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(_RECIPE, encoding="utf-8")


def _make_run(folder: Path) -> None:
    made = folder.parent / "run-for-report"
    if not made.exists():
        words = [*_train("--model", "dcgan", "--set", "model.base_width=8")(made.parent)]
        words[words.index("--out") + 1] = str(made)
        subprocess.run([sys.executable, "-m", "smallgan", *words], check=True, capture_output=True)
    shutil.copytree(made, folder / "run")


_BIGGAN = ("--model", "biggan", "--diffaugment", "color,translation,cutout", "--set", "model.base_width=8")
SCENARIOS = (
    Scenario(
        "augment",
        lambda folder: [
            "augment",
            "--policy",
            "contrast+hflip.contrast",
            "--ratio",
            "1:12",
            "--out",
            str(folder / "set"),
        ],
        lambda folder: files_below(folder / "set"),
    ),
    Scenario(
        "train-dcgan",
        _train(
            "--model",
            "dcgan",
            "--set",
            "model.base_width=8",
            "--set",
            "model.d_norm=none",
            "--set",
            "regularizers.r1.every=4",
        ),
        lambda folder: run_below(folder / "run"),
    ),
    Scenario("train-biggan", _train(*_BIGGAN), lambda folder: run_below(folder / "run")),
    Scenario("train-apgc", _train("--transfer", "apgc"), lambda folder: run_below(folder / "run")),
    Scenario(
        "run",
        lambda folder: ["run", str(folder / "recipe.yaml"), "--out", str(folder / "study"), "--device", "cpu"],
        lambda folder: study_below(folder / "study"),
        _write_recipe,
    ),
    Scenario(
        "report",
        lambda folder: ["report", str(folder / "run"), "--out", str(folder / "run" / "report.html")],
        lambda folder: {"page": hashlib.sha256((folder / "run" / "report.html").read_bytes()).hexdigest()},
        _make_run,
    ),
)

if __name__ == "__main__":
    main()
