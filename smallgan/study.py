"""A recipe carried out: the images are mixed in memory, a run folder is found or made, and the loop is called."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from augment.build import Mixture, mix
from augment.errors import InputError, UsageError
from augment.files import write_bytes, write_json, write_text
from augment.inspect import check, sound
from augment.pixels import encode_png
from augment.plan import make_plan
from augment.sources import ImageSet, fingerprint, open_source
from smallgan.device import Stream, choose_device, describe_device, normal
from smallgan.images import ImageBatches, Pixels, grid, to_pixels
from smallgan.metrics import evaluate
from smallgan.metrics.features import extract, feature_net
from smallgan.recipe import Recipe, differences, dump_recipe, read_recipe
from smallgan.run import RunDir, append_jsonl, next_run, numbered_runs
from smallgan.sampling import GeneratorSource, load_model
from smallgan.shipped import sample_set
from smallgan.training.dcgan import DCGANTrainer
from smallgan.training.loop import GRID_IMAGES, Hooks, fit

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """The set in memory, and what is known of it."""

    mixture: Mixture
    originals: Pixels
    """The originals alone, num_real x S x S x 3: what scores compare with."""
    summary: dict[str, Any]
    """data.json"""


def train(
    recipe: Recipe,
    *,
    root: Path = Path("runs"),
    out: Path | None = None,
    new: bool = False,
    device: str = "auto",
    say: Say = print,
    command: str = "",
    stop_requested: Callable[[], bool] = lambda: False,
) -> RunDir:
    """Train as the recipe says and return the run, which a stop may have left unfinished but resumable.

    Goes on with the newest unfinished run of the same recipe below `root`, or with the one in `out`; `new` starts another.
    Raises the errors of the parts.
    """
    chosen = choose_device(device)
    run = find_run(recipe, root, out, new=new)
    with run.locked():
        if run.last_step() >= recipe.train.steps:
            say(f"{run.path}: already trained to step {run.last_step()}; ask for more with --steps, or for --new")
            return run
        data = load_data(recipe, chosen)
        _refuse_other_data(run, data.summary)
        run.create()
        write_text(run.recipe, dump_recipe(recipe))
        write_json(run.data, data.summary)
        _write_environment(run, chosen, command)
        say = _logged(run, say)
        say(f"run {run.path}: {describe_data(data.summary)}; {describe_device(chosen)}, {recipe.train.precision}")
        write_bytes(run.reals, encode_png(grid(data.originals[:GRID_IMAGES])))
        write_bytes(run.path / "mix.png", encode_png(data.mixture.preview()))
        trainer = DCGANTrainer(recipe, chosen)
        batches = ImageBatches(data.mixture.pixels, recipe.train.batch_size, recipe.seed, chosen)
        with _tensorboard(run) as record:
            hooks = Hooks(say, _evaluator(recipe, run, data, chosen, say), stop_requested, record)
            step = fit(recipe, run, trainer, batches, hooks)
        if step < recipe.train.steps:
            say(f"stopped at step {step} of {recipe.train.steps}; the same command goes on from there")
    return run


def find_run(recipe: Recipe, root: Path, out: Path | None, *, new: bool) -> RunDir:
    """Return the run to go on with, or a fresh one. Raises UsageError when `out` holds a run of another recipe.

    The number of steps may differ from the run's: a run with fewer steps than asked for is unfinished.
    """
    if out is not None:
        run = RunDir(out)
        if not run.exists():
            if out.exists() and any(path.name != ".lock" for path in out.iterdir()):
                raise UsageError(f"--out {out}: this folder holds other files; name a new or an empty one")
            return run
        if new:
            raise UsageError(f"--out {out}: a run stands there already; with --new name another folder")
        changed = _changes(recipe, run)
        if changed:
            listed = "; ".join(f"{path} is {old!r} there, {now!r} now" for path, (old, now) in changed.items())
            raise UsageError(f"--out {out}: a run of another recipe stands there: {listed}. Use its values, or another --out")
        return run
    for _, run in [] if new else reversed(numbered_runs(root)):
        if run.exists() and run.last_step() < recipe.train.steps and not _changes(recipe, run):
            return run
    return next_run(root, recipe.name)


def load_data(recipe: Recipe, device: torch.device) -> TrainingData:
    """Read, check, fit to squares and mix the images of a recipe in memory. Raises InputError and UsageError."""
    path = Path(recipe.data.source) if recipe.data.source else sample_set()
    source = open_source(path)
    records = check(source)
    source = sound(source, records, skip_bad=recipe.data.skip_bad)
    hashes = {record.name: record.sha256 for record in records}
    settings = recipe.augment
    generator = GeneratorSource(load_model(Path(settings.generator), device)) if settings.generator else None
    plan = make_plan(
        source,
        settings.policy,
        ratio=settings.ratio,
        count=settings.count,
        size=recipe.data.size,
        fit=recipe.data.fit,
        format="png",
        seed=recipe.seed,
        generator=generator,
    )
    mixture = mix(plan, source, generator=generator)
    is_original = np.array([image.origin == "original" for image in mixture.images])
    if not is_original.any():
        raise InputError(f"{path}: no original image in it; scores need originals, name a set that has them")
    names = [image.name for image in source.images if image.origin == "original"]
    summary = {
        "source": str(path),
        "size": recipe.data.size,
        "fit": recipe.data.fit,
        "num_real": int(is_original.sum()),
        "num_images": len(mixture.images),
        "origins": dict(Counter(image.origin for image in mixture.images)),
        "policy": settings.policy,
        "fingerprint": fingerprint([str(hashes[name]) for name in names]),
        "skipped": sorted(set(hashes) - {image.name for image in source.images}),
        "names": names,
    }
    return TrainingData(mixture, mixture.pixels[is_original], summary)


def describe_data(summary: Mapping[str, Any]) -> str:
    """Return what the set is, in a phrase."""
    parts = ", ".join(f"{count} {origin}" for origin, count in summary["origins"].items())
    left_out = f", {len(summary['skipped'])} unreadable left out" if summary["skipped"] else ""
    return f"{summary['num_images']} images of {summary['size']} px ({parts}{left_out}) from {summary['source']}"


def dry_run(recipe: Recipe, *, root: Path, out: Path | None, new: bool, device: str) -> dict[str, Any]:
    """Return what `train` would do, with the time of a step measured here on three steps; nothing is written."""
    chosen = choose_device(device)
    run = find_run(recipe, root, out, new=new)
    data = load_data(recipe, chosen)
    trainer = DCGANTrainer(recipe, chosen)
    batches = ImageBatches(data.mixture.pixels, recipe.train.batch_size, recipe.seed, chosen)
    seconds = []
    for step in range(3):
        started = time.perf_counter()
        trainer.step(batches.batch(step), step)["loss_g"].item()
        seconds.append(time.perf_counter() - started)
    steps = max(recipe.train.steps - run.last_step(), 0)
    return {
        "run": str(run.path),
        "resumes_from_step": run.last_step(),
        "data": describe_data(data.summary),
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in trainer.networks.items()},
        "device": describe_device(chosen),
        "steps": steps,
        "epochs": round(steps * recipe.train.batch_size / len(batches), 1),
        "seconds_per_step": round(min(seconds), 4),
        "minutes": round(steps * min(seconds) / 60, 1),
        "recipe": recipe.model_dump(mode="json"),
    }


def _changes(recipe: Recipe, run: RunDir) -> dict[str, tuple[Any, Any]]:
    found = differences(read_recipe(run.recipe), recipe)
    return {path: values for path, values in found.items() if path != "train.steps"}


def _refuse_other_data(run: RunDir, summary: Mapping[str, Any]) -> None:
    if not run.data.is_file():
        return
    before = json.loads(run.data.read_text(encoding="utf-8"))
    for key in ("num_images", "num_real", "fingerprint"):
        if before[key] != summary[key]:
            raise UsageError(
                f"{run.path}: the images are not those that this run began with: {key} was {before[key]}, is "
                f"{summary[key]}; restore them, or start another run with --new"
            )


def _evaluator(
    recipe: Recipe, run: RunDir, data: TrainingData, device: torch.device, say: Say
) -> Callable[[nn.Module, int], float | None]:
    """Return the loop's `evaluate`: scores of the averaged generator against originals, all of one identity."""
    settings = recipe.score
    if not settings.metrics:
        return lambda _generator, _step: None
    net, note = feature_net(settings.features, device)
    if note:
        say(note)
    count = min(settings.num_fake, len(data.originals))
    real = extract(data.originals[:count], net)
    hashes = f"first {count} of {data.summary['fingerprint']}"
    z = normal(recipe.seed, Stream.SAMPLE_LATENTS, 0, (count, recipe.train.z_dim))

    def evaluate_step(generator: nn.Module, step: int) -> float | None:
        started = time.perf_counter()
        batches = torch.from_numpy(z).to(device).split(64)
        with torch.inference_mode():
            pixels = np.concatenate([to_pixels(generator(batch)) for batch in batches])
        fake = extract(pixels, net)
        merit = None
        for score in evaluate(
            fake, real, net, reals_fingerprint=hashes, metrics=settings.metrics, splits=settings.splits, seed=recipe.seed
        ):
            stamp = datetime.now(UTC).isoformat(timespec="seconds")
            seconds = round(time.perf_counter() - started, 3)
            line = replace(score, run=run.name, step=step, time=stamp, seconds=seconds)
            append_jsonl(run.scores, line.to_json())
            merit = score.value if score.metric == "kmmd" else merit
        return merit

    return evaluate_step


def _logged(run: RunDir, say: Say) -> Say:
    """Return a `say` that also writes to the run's log.txt, with the time."""

    def logged(line: str) -> None:
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        with run.log.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{stamp} {line}\n")
        say(line)

    return logged


def _write_environment(run: RunDir, device: torch.device, command: str) -> None:
    if run.environment.is_file():
        before = json.loads(run.environment.read_text(encoding="utf-8"))
    else:
        before = {"command": command, "started": datetime.now(UTC).isoformat(timespec="seconds")}
    now = {
        "smallgan": __import__("smallgan").__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": describe_device(device),
        "num_threads": torch.get_num_threads(),
    }
    write_json(run.environment, {**before, **now})


class _tensorboard:
    """A context that gives a taker of stats lines: a TensorBoard writer where it is installed, else one that does nothing."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.writer: Any = None

    def __enter__(self) -> Callable[[Mapping[str, Any]], None]:
        if find_spec("tensorboard") is None:
            return lambda _line: None
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.run.path), purge_step=self.run.last_step() + 1)
        return self._record

    def __exit__(self, *_error: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def _record(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name != "step":
                self.writer.add_scalar(name, value, line["step"])
