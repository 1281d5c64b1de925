"""Train one entry of `benchmarks.quality` for a number of CPU seconds, with samples at each mark."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from augment.core.files import make_folder, write_bytes, write_json
from augment.imaging.codec import encode_png
from benchmarks.plain_dcgan import PlainTrainer
from smallgan.core.rng import Stream, normal
from smallgan.core.run_dir import RunDir
from smallgan.data.images import ImageBatches, Pixels, grid, to_pixels
from smallgan.models.weight_files import read_json
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.tables.recipe import Recipe, load_recipe
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.loop import Hooks, fit

CPU = torch.device("cpu")
OFFICIAL = "official"  # The entry that trains the loop of the PyTorch example
_TIMED_STEPS, _FIRST_STEPS = 20, 5
_FOREVER = 10**9


@dataclass(frozen=True)
class Task:
    """One entry under one seed."""

    folder: Path
    name: str
    overrides: Mapping[str, Any]
    seed: int
    out: Path

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.out / f"{self.name}-{self.seed}"

    def samples(self, mark: float) -> Path:
        """The samples at a mark, in CPU seconds."""
        return self.path / f"samples-{mark:05.0f}.npy"

    def record(self, mark: float) -> Path:
        """What is known of the mark: step, images seen, CPU seconds."""
        return self.path / f"mark-{mark:05.0f}.json"


class _Stretch(Protocol):
    def __call__(self, until: float) -> tuple[int, float]: ...


class _Budget:
    """Counts the processor time of training; true once the mark is reached."""

    def __init__(self, used: float, mark: float) -> None:
        self.used, self.mark = used, mark
        self.started: float | None = None
        self.spent = used

    def __call__(self) -> bool:
        now = time.process_time()
        if self.started is None:
            self.started = now
        self.spent = self.used + now - self.started
        return self.spent >= self.mark


def carry_out(task: Task, marks: Sequence[float], num_samples: int) -> None:
    """Train to each mark and write the samples there; goes on after the last mark that is complete."""
    make_folder(task.path)
    if task.name.partition("@")[0] == OFFICIAL:
        _official(task, marks, num_samples)
        return
    recipe = _recipe(task, marks[-1])
    recipe, source = open_pretrained(recipe)
    data = load_data(recipe, CPU)
    trainer, batches = prepare(recipe, data, CPU, source, lambda _line: None)
    run = RunDir(task.path / "run")
    run.create()
    used = 0.0
    for mark in marks:
        if task.record(mark).is_file():
            used = read_json(task.record(mark))["cpu_seconds"]
            continue
        budget = _Budget(used, mark)
        step = fit(recipe, run, trainer, batches, Hooks(lambda _line: None, lambda _t, _s: None, budget))
        used = budget.spent
        model = Model(trainer.generator_ema, CPU, run.checkpoint(step), run, step, sha256="", prior=trainer.prior)
        _keep(task, mark, sample_pixels(model, num_samples, task.seed), step, batches.batch_size, used)


def _recipe(task: Task, seconds: float) -> Recipe:
    """Return the recipe whose steps fill the time; they are found once, by timing, and kept."""
    values: dict[str, Any] = {
        "data.source": str(task.folder),
        "score.metrics": [],
        "train.precision": "bf16",
        "seeds": [task.seed],
        **task.overrides,
        "train.report_every": 50,
        "train.snapshot_every": _FOREVER,
    }
    kept = task.path / "steps.json"
    if "train.steps" not in values:
        if not kept.is_file():
            per_step = _cpu_seconds_per_step(load_recipe(None, values))
            write_json(kept, {"steps": max(int(seconds / per_step), 1), "cpu_seconds_per_step": per_step})
        values["train.steps"] = read_json(kept)["steps"]
    return load_recipe(None, values)


def _cpu_seconds_per_step(recipe: Recipe) -> float:
    recipe, source = open_pretrained(recipe)
    trainer, batches = prepare(recipe, load_data(recipe, CPU), CPU, source, lambda _line: None)
    began = 0.0
    for number in range(_FIRST_STEPS + _TIMED_STEPS):
        if number == _FIRST_STEPS:
            began = time.process_time()
        trainer.step(batches.batch(number), number)
    return (time.process_time() - began) / _TIMED_STEPS


def _official(task: Task, marks: Sequence[float], num_samples: int) -> None:
    """The loop of the PyTorch example, float32, batches of 64: not resumable, but short."""
    recipe = load_recipe(None, {"data.source": str(task.folder), "data.size": 64})
    batches = ImageBatches(load_data(recipe, CPU).mixture.pixels, 64, task.seed, CPU)
    trainer, step, used = PlainTrainer(task.seed), 0, 0.0
    for mark in marks:
        began = time.process_time() - used
        while (used := time.process_time() - began) < mark:
            images = batches.batch(step).images.contiguous(memory_format=torch.contiguous_format)
            trainer.step(images)
            step += 1
        noise = torch.from_numpy(normal(task.seed, Stream.SAMPLE_LATENTS, 0, (num_samples, 100)))[:, :, None, None]
        trainer.generator.eval()
        with torch.no_grad():
            pixels = np.concatenate([to_pixels(trainer.generator(part)) for part in noise.split(50)])
        trainer.generator.train()
        _keep(task, mark, pixels, step, 64, used)


def _keep(task: Task, mark: float, pixels: Pixels, step: int, batch_size: int, used: float) -> None:
    with task.samples(mark).open("wb") as file:
        np.save(file, pixels)
    write_bytes(task.path / f"grid-{mark:05.0f}.png", encode_png(grid(pixels[:64])))
    write_json(task.record(mark), {"step": step, "kimg": step * batch_size / 1000, "cpu_seconds": round(used, 1)})
    print(f"{task.name} seed {task.seed}: step {step}, {used:.0f} CPU s", flush=True)
