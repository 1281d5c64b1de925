"""Run folders made by hand for the tests of the report: small, quick, and with every file that training writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from smallgan.cli.report import report

FEATURES = "smallgan-features"
LEVELS = {"none": [0.0, 1.0, -1.0, 0.5, -0.5], "hflip": [1.0, 2.1, 0.2, 1.4, 0.9]}
"""Levels of a study of two policies, five seeds each: hflip is better by about 1."""


NOT_HELD_OUT = " Nothing is held out, so copies of the training images would score as well."


def make_run(
    folder: Path,
    policy: str = "hflip",
    *,
    steps: int = 1000,
    done: int | None = None,
    every: int = 100,
    batch_size: int = 16,
    level: float = 0.0,
    name: str = "train",
    grid_side: int = 96,
    seed: int = 0,
) -> Path:
    """Write a run of known scores: at step s, IS = 2 + s / 1000 + level, KMMD = 0.9 - s / 2000 - level / 10."""
    folder.mkdir(parents=True)
    done = steps if done is None else done
    recipe = {
        "name": name,
        "data": {"source": None, "size": 32, "resize_mode": "crop", "skip_bad": False},
        "augment": {"policy": policy, "ratio": None, "count": None, "generator": None},
        "model": {"name": "dcgan"},
        "method": {"name": "adversarial", "lr_g": 0.0002},
        "loss": {"name": "nonsaturating"},
        "train": {"steps": steps, "batch_size": batch_size},
        "score": {"metrics": ["is", "kmmd"], "features": None, "num_fake": 100, "splits": 10},
        "seeds": [seed],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    added = 0 if policy == "none" else 100
    data = {"source": "painted-flowers", "size": 32, "resize_mode": "crop", "num_real": 100, "num_images": 100 + added}
    data |= {"origins": {"original": 100} | ({"augmented": added} if added else {}), "policy": policy}
    data |= {"fingerprint": "f" * 64, "skipped": [], "names": ["one.png"]}
    write_json(folder / "data.json", data)
    command = f"smallgan train --policy {policy} --steps {steps}"
    machine = {"python": "3.11.7", "torch": "2.11.0", "device": "CPU", "num_threads": 2}
    write_json(folder / "environment.json", {"command": command, "started": "2026-01-02T03:04:05+00:00", **machine})
    stats = [_stats(step, batch_size, level) for step in range(every // 4, done + 1, every // 4)]
    write_lines(folder / "stats.jsonl", stats)
    scores = [line for step in range(0, done + 1, every) for line in score_lines(folder.name, step, level)]
    write_lines(folder / "scores.jsonl", scores)
    for step in range(0, done + 1, every):
        Image.fromarray(_grid(step / max(steps, 1), grid_side, level)).save(folder / f"fakes-{step:06d}.png")
    Image.fromarray(_grid(1.0, grid_side, level)).save(folder / "reals.png")
    Image.fromarray(np.tile(_grid(1.0, 72, level), (1, 5, 1))).save(folder / "mix.png")
    (folder / "checkpoints").mkdir()
    best = done // every * every
    meaning = "lowest kmmd of the scores at snapshots"
    write_json(folder / "checkpoints" / "best.json", {"step": best, "merit": 0.4, "meaning": meaning})
    return folder


def make_study(
    folder: Path,
    levels: dict[str, list[float]],
    *,
    states: dict[tuple[str, int], str] | None = None,
    **of_runs: Any,
) -> Path:
    """Write a study with a variant for each policy, a seed for each of its levels, as `smallgan run` leaves it.

    The trials in `states` are in that state instead of done; a pending one has no run. `none` is the reference.
    """
    trials = []
    pairs = [(policy, seed) for policy in levels for seed in range(len(levels[policy]))]
    for index, (policy, seed) in enumerate(pairs):
        state = (states or {}).get((policy, seed), "done")
        name = f"runs/{index:05d}-{policy}-s{seed}"
        if state != "pending":
            done = {"done": 100} if state == "failed" else {}
            make_run(folder / name, policy, level=levels[policy][seed], seed=seed, **{"steps": 300, **of_runs, **done})
        trial = {"index": index, "variant": policy, "overrides": {"augment.policy": policy}, "seed": seed, "run": name}
        problem = "loss_g is not finite at step 130" if state == "failed" else None
        trials.append({**trial, "state": state, "problem": problem, "reference": policy == "none"})
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "trials.json", trials)
    (folder / "recipe.yaml").write_text("name: which\ngrid: {augment.policy: [none, hflip]}\n", encoding="utf-8")
    return folder


def score_lines(run: str, step: int | None, level: float = 0.0, **identity: object) -> list[dict[str, object]]:
    """Return the two lines that one snapshot adds to scores.jsonl; `identity` changes conditions of both."""
    at = (step or 0) / 1000
    conditions = {
        "features": FEATURES,
        "weights_sha256": "a1b2c3d4" * 8,
        "resize": "bilinear to 64",
        "precision": "fp32",
    }
    conditions |= {"num_fake": 100}
    value = 2 + at + level
    inception = {
        "metric": "is",
        "label": f"IS ({FEATURES})",
        "value": value,
        "identity": {"metric": "is", "estimator": "mean over splits", **conditions}
        | {"reals": None, "num_real": None, "splits": 10, **identity},
        "std": 0.1,
        "parts": {"h_y": math.log(value) + 1.5, "h_y_given_x": 1.5},
        "notes": [f"made with the network that ships with smallgan ({FEATURES}), not with Inception v3"],
    }
    kmmd = {
        "metric": "kmmd",
        "label": f"KMMD ({FEATURES})",
        "value": 0.9 - at / 2 - level / 10,
        "identity": {"metric": "kmmd", "estimator": "biased, root", **conditions}
        | {"reals": "f" * 64, "num_real": 100, "splits": None, **identity},
    }
    return [{**line, "run": run, "step": step, "seed": 0} for line in (inception, kmmd)]


def with_baselines(run: Path, baseline: float = 0.25, needed: int | None = 1000) -> None:
    """Give the last scores of a run a baseline, 40 vs 60 images, and the KMMD the number of images that it needs."""
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[-2] |= {"baseline": 10 * baseline, "baseline_counts": [100, None]}
    lines[-1] |= {"baseline": baseline, "baseline_counts": [40, 60], "needed": needed}
    write_lines(run / "scores.jsonl", lines)


def strike(run: Path, *, networks: tuple[str, ...] = (FEATURES,), standing: str = "struck") -> None:
    """Mark all scores of a run by some networks."""
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["identity"]["features"] in networks:
            line |= {"standing": standing, "notes": [f"{standing}: it helped"]}
    write_lines(run / "scores.jsonl", lines)


def add_judge(run: Path, name: str, *, sign: float = 1.0) -> None:
    """Let another network score a run too: the same KMMD, or with `sign` -1 the opposite."""
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in [line for line in lines if line["metric"] == "kmmd" and line["identity"]["features"] == FEATURES]:
        value = line["value"] if sign > 0 else 2 - line["value"]
        lines.append(
            {**line, "label": f"KMMD ({name})", "value": value, "identity": line["identity"] | {"features": name}}
        )
    write_lines(run / "scores.jsonl", lines)


def runs_of(study: Path) -> list[Path]:
    """Return the run folders of a study, in the order of its trials."""
    return [study / trial["run"] for trial in json.loads((study / "trials.json").read_text(encoding="utf-8"))]


def write_json(path: Path, value: object) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def _stats(step: int, batch_size: int, level: float) -> dict[str, object]:
    wobble = math.sin(step / 37 + level) / 5
    return {
        "step": step,
        "kimg": step * batch_size / 1000,
        "loss_d": 0.9 + wobble - step / 4000,
        "loss_g": 1.5 - wobble + step / 1500,
        "score_real": 0.4 + step / 900 + wobble,
        "score_fake": -0.4 - step / 800 + wobble,
        "train_seconds": step * 0.12,
        "other_seconds": step * 0.01,
        "images_per_second": batch_size / 0.12,
        "memory_mb": 410,
    }


def _grid(sharpness: float, side: int, level: float) -> np.ndarray:
    """Draw 3 x 3 discs that come out of noise as `sharpness` goes from 0 to 1."""
    tile = side // 3
    rows, columns = np.mgrid[0:side, 0:side]
    radius = np.hypot(rows % tile - tile / 2, columns % tile - tile / 2) / tile
    disc = 1 / (1 + np.exp((radius - 0.3) * (2 + 40 * sharpness)))
    colour = np.stack([np.sin(rows // tile + k + columns // tile * 2 + level) for k in range(3)], axis=-1) * 0.5 + 0.5
    noise = np.random.default_rng(7).random((side, side, 3))
    picture = disc[..., None] * colour * 200 + 40
    return (sharpness * picture + (1 - sharpness) * noise * 255).clip(0, 255).astype(np.uint8)


def run_command(*arguments: object) -> tuple[int, str, str]:
    """Run `smallgan report` and return exit code, stdout and stderr."""
    app = typer.Typer()
    app.command("report")(report)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr
