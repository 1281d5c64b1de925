"""THE training loop: data, step, report, snapshot, stop, in the order in which they happen. Read this file first."""

import math
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment.core.files import write_bytes, write_json
from augment.errors import FailedError, UsageError
from augment.imaging.codec import encode_png
from smallgan.core import distributed
from smallgan.core.checkpoint import last_whole, load_checkpoint, not_finite, save_checkpoint
from smallgan.core.console import Log, duration
from smallgan.core.device import autocast, peak_memory_mb
from smallgan.core.rng import Stream
from smallgan.core.run_dir import RunDir, append_jsonl
from smallgan.data.images import Batch, ImageBatches, LabelledRows, Pixels, to_pixels
from smallgan.data.points import NUM_SHOWN, is_points, picture
from smallgan.sampling.prior import NORMAL, Prior
from smallgan.tables.recipe import Recipe
from smallgan.tables.recipe_errors import unread_keys

GRID_IMAGES = 36


@dataclass(frozen=True)
class Merit:
    """By what the best checkpoint is chosen."""

    value: float  # Lower is better
    meaning: str  # What it is, in words that follow "the one with the"
    interval: tuple[float, float] | None = None  # 95 %


class Trainer(ABC):
    """One step of a method, and what a checkpoint holds (`Checkpointed`). It prints nothing and writes nothing."""

    device: torch.device
    batch_size: int
    """Images of a step, or of each discriminator step, in this rank."""
    micro_batch: int | None = None
    """Images that go through the networks at a time; None: the batch. Only where `needs_whole_batch` allows it."""
    networks: Mapping[str, nn.Module]
    optimizers: dict[str, torch.optim.Adam]
    description: Mapping[str, Any]
    """What the generator is built from again: `model`, and what that model needs; JSON values."""
    generator_ema: Any
    """The averaged generator, in eval mode; not of a method that makes no images."""

    @abstractmethod
    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) on real images; return scalars on the device, unread, its main loss first."""

    @property
    def prior(self) -> Prior:
        """Where latents of samples are drawn from."""
        return NORMAL

    @property
    def details(self) -> dict[str, Any]:
        """What a dry run tells of it beside the numbers of parameters; JSON values."""
        return {}

    def needs_whole_batch(self) -> str | None:
        """Return what keeps parts of a batch from adding up to it, None where `micro_batch` may be set."""
        return "its step takes the whole batch"

    def use_graphs(self) -> None:
        """Replay whole steps as CUDA graphs from now on. Raises UsageError where the method's step cannot be."""
        raise UsageError("train.compile cuda-graph: this method's step cannot be recorded; use default, or none")

    def recalibrate_batchnorm(self) -> None:  # noqa: B027 - most methods need not do anything
        """Make the averaged generator ready to be used; must not change what the next step does."""

    def probe(self, training: LabelledRows, held_out: LabelledRows | None) -> dict[str, float]:  # noqa: ARG002
        """Return what the discriminator makes of images, {} without one; must not change what the next step does.

        Args:
            training: originals that are trained on.
            held_out: originals that are not; None where there are none.
        """
        return {}

    def confusion(self, step: int) -> dict[str, Any]:
        """Return what a classifier takes test images for, of a method that makes no images; JSON values.

        Args:
            step: that was reached.

        Returns `classes`, their names, and the confusion matrices `adapted` and `source_only`, lists of K rows: class
        of the image, by column what it was taken for.
        """
        raise NotImplementedError

    def preview(self) -> Pixels | None:
        """Return what to show beside samples, H x W x 3; None for nothing."""
        return None


@dataclass
class Clock:
    """Seconds of the whole run, those before a resume included."""

    train_seconds: float = 0.0
    other_seconds: float = 0.0
    mark: float = 0.0

    def lap(self) -> float:
        """Return the seconds since the last mark, and set it anew."""
        before, self.mark = self.mark, time.perf_counter()
        return self.mark - before


@dataclass(frozen=True)
class Hooks:
    """What the loop calls and does not know."""

    log: Log
    """Takes a status line."""
    evaluate: Callable[[Trainer, int], Merit | None]
    """(trainer, step) -> its merit, None where nothing selects a checkpoint; writes its own scores and readings.

    Called in all ranks, which may share the work; the first alone writes.
    """
    stop_requested: Callable[[], bool]
    """True once the user asked to stop; the loop then saves and returns."""
    record: Callable[[Mapping[str, Any]], None] = lambda _: None
    """Takes each line of stats.jsonl, for TensorBoard."""
    advance: Callable[[int, int, str], None] = lambda _step, _steps, _losses: None
    """Takes the step reached, the number of steps and the last losses as text after each step, for a progress bar."""
    status: Log | None = None
    """Takes the line of each report, where `log` does not."""


def fit(recipe: Recipe, run: RunDir, trainer: Trainer, batches: ImageBatches, hooks: Hooks) -> int:
    """Train until `recipe.train.steps` and return the step reached, which is less only when a stop was asked for.

    Goes on from the newest checkpoint of `run`; what was logged or drawn after it is cut first, and as every draw
    depends on (seed, step) alone, killed and resumed equals uninterrupted. Of several ranks all come here; the first
    alone writes. Raises FailedError when a loss is not finite.
    """
    settings, clock = recipe.train, Clock()
    step, damaged = distributed.from_main(lambda: last_whole(run))
    for note in damaged:
        hooks.log(note)
    if step:
        state = load_checkpoint(run.checkpoint(step), trainer)
        clock = Clock(state["train_seconds"], state["other_seconds"])
        hooks.log(f"resumed from step {step} ({run.checkpoint(step).name})")
        if state["num_threads"] != torch.get_num_threads():
            hooks.log(f"threads: {state['num_threads']} then, {torch.get_num_threads()} now; last bits may differ")
    distributed.wait()  # until all have read it
    if distributed.is_main():
        run.cut_after(step if step else -1)
    clock.lap()
    # The very start, or a kill between a checkpoint and its grid
    if distributed.from_main(lambda: not run.is_shown(step)):
        if distributed.is_main():
            run.forget_scores(step)
        _recalibrate(trainer)
        _snapshot(recipe, run, trainer, hooks, step, batches)
        clock.other_seconds += clock.lap()

    sums: dict[str, list[Tensor]] = {}
    first_of_report, losses = step, ""
    hooks.advance(step, settings.steps, losses)
    while step < settings.steps:
        # Data and step
        numbers = trainer.step(batches.batch(step), step)
        for name, value in numbers.items():
            sums.setdefault(name, []).append(value)
        step += 1

        stopping = distributed.any_of(hooks.stop_requested())
        is_snapshot = step % settings.snapshot_every == 0 or step == settings.steps or stopping
        # Report; a snapshot always reports, so that a checkpoint never stands inside an interval
        if is_snapshot or step % settings.report_every == 0:
            own = {name: torch.stack(values).sum().item() / len(values) for name, values in sums.items()}
            means = distributed.means(own)
            seconds = clock.lap()
            clock.train_seconds += seconds
            _stop_unless_finite(means, recipe, run, first_of_report, step)
            rate = (step - first_of_report) / seconds
            if distributed.is_main():
                losses = _report(recipe, run, hooks, clock, trainer.device, step, batches.batch_size, means, rate)
            sums, first_of_report = {}, step
            clock.other_seconds += clock.lap()
        hooks.advance(step, settings.steps, losses)

        # Snapshot: checkpoint first, so that nothing later can lose it
        if is_snapshot:
            _recalibrate(trainer)
            if distributed.is_main():
                _stop_unless_finite_weights(trainer, recipe, run, step)
                _save(run, trainer, clock, step, batches.batch_size)
            _snapshot(recipe, run, trainer, hooks, step, batches)
            clock.other_seconds += clock.lap()

        if stopping:
            break
    return step


def draw_grid(trainer: Trainer, recipe: Recipe, count: int = GRID_IMAGES) -> Pixels:
    """Return the run's fixed-latent images as pixels N x S x S x 3, spread evenly over the classes where there are.

    Of points there are NUM_SHOWN.
    """
    generator: Any = trainer.generator_ema
    inputs = fixed_inputs(trainer, recipe.seed, NUM_SHOWN if generator.size == 1 else count)
    with torch.no_grad(), autocast(trainer.device, str(recipe.train.precision)):
        return to_pixels(generator(*inputs))


def fixed_inputs(trainer: Trainer, seed: int, count: int) -> tuple[Tensor, ...]:
    """Return what `draw_grid` makes images of: latents, and classes where there are."""
    generator: Any = trainer.generator_ema
    z = trainer.prior.drawn(seed, Stream.GRID_LATENTS, 0, count, generator.z_dim)
    latents = torch.from_numpy(z).to(trainer.device)
    if not generator.num_classes:
        return (latents,)
    return latents, torch.arange(count, device=trainer.device) * generator.num_classes // count


def _report(
    recipe: Recipe,
    run: RunDir,
    hooks: Hooks,
    clock: Clock,
    device: torch.device,
    step: int,
    batch_size: int,
    means: Mapping[str, float],
    steps_per_second: float,
) -> str:
    """Log, record and show a report; return its losses as text."""
    images_per_second = steps_per_second * batch_size
    line = {
        "step": step,
        "kimg": round(step * batch_size / 1000, 3),
        **{name: round(value, 6) for name, value in means.items()},
        "train_seconds": round(clock.train_seconds, 3),
        "other_seconds": round(clock.other_seconds, 3),
        "images_per_second": round(images_per_second, 2),
        "memory_mb": round(peak_memory_mb(device)),
    }
    append_jsonl(run.stats, line)
    hooks.record(line)
    left = (recipe.train.steps - step) / steps_per_second
    shown = [term for term in recipe.method_row.terms if term.status and term.name in means]
    losses = " ".join(f"{term.status} {means[term.name]:.4f}" for term in shown)
    parts = (
        f"step {step}/{recipe.train.steps}",
        f"kimg {line['kimg']:.1f}",
        losses,
        f"{images_per_second:.1f} images/s",
        f"train {duration(clock.train_seconds)}, eval/save {duration(clock.other_seconds)}, ETA {duration(left)}",
        f"memory {line['memory_mb']} MB",
    )
    (hooks.status or hooks.log)("  ".join(parts))
    return losses


def _recalibrate(trainer: Trainer) -> None:
    """Make the averaged generator ready, in each rank as in any other."""
    with distributed.alone():
        trainer.recalibrate_batchnorm()


def _save(run: RunDir, trainer: Trainer, clock: Clock, step: int, batch_size: int) -> None:
    state = {
        "step": step,
        "kimg": round(step * batch_size / 1000, 3),
        "train_seconds": clock.train_seconds,
        "other_seconds": clock.other_seconds,
        **trainer.description,
        "run": run.name,
        "num_threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }
    save_checkpoint(run.checkpoint(step), trainer, state)


def _snapshot(recipe: Recipe, run: RunDir, trainer: Trainer, hooks: Hooks, step: int, batches: ImageBatches) -> None:
    """Score, remember the best checkpoint, delete old ones, and last show it: the mark that all this is done."""
    merit = hooks.evaluate(trainer, step)  # by all ranks
    if not distributed.is_main():
        return
    best = (run.best_record() or {}).get("merit", math.inf)
    if step and merit is not None and merit.value < best:
        record = {"step": step, "merit": merit.value, "interval": merit.interval, "meaning": merit.meaning}
        write_json(run.best, record)
    preview = trainer.preview()
    if preview is not None:
        write_bytes(run.reconstructions(step), encode_png(preview))
    run.prune_checkpoints()
    if not recipe.method_row.makes_images:
        write_json(run.confusion(step), {"step": step, **trainer.confusion(step)})
        return
    fakes = draw_grid(trainer, recipe)
    reals = batches.first(NUM_SHOWN) if is_points(fakes) else None
    write_bytes(run.fakes(step), encode_png(picture(fakes, reals)))


def _stop_unless_finite(means: Mapping[str, float], recipe: Recipe, run: RunDir, first: int, last: int) -> None:
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        what = f"{', '.join(broken)} became {means[broken[0]]} between steps {first + 1} and {last}"
        raise _diverged(what, recipe, run)


def _stop_unless_finite_weights(trainer: Trainer, recipe: Recipe, run: RunDir, step: int) -> None:
    """Look at what is about to be saved: the last update before a checkpoint has no loss yet that would show it."""
    tensors = ((f"{name}.{key}", t) for name, net in trainer.networks.items() for key, t in net.state_dict().items())
    broken = not_finite(tensors)
    if broken:
        raise _diverged(f"{broken[0]} holds numbers that are not finite after step {step}", recipe, run)


def _diverged(what: str, recipe: Recipe, run: RunDir) -> FailedError:
    kept = f"the checkpoint of step {run.last_step()} is kept" if run.last_step() else "no checkpoint was written yet"
    advice = "--precision fp32, or " if recipe.train.precision in ("bf16", "fp16") else ""
    options = recipe.method.model_dump()
    unread = {each.path for each in unread_keys({"method": options})}
    rates = {path: options[path.removeprefix("method.")] for path in recipe.method_row.rates if path not in unread}
    used = ", ".join(f"{path} {rate:g}" for path, rate in rates.items())
    halved = " ".join(f"--set {path}={rate / 2:g}" for path, rate in rates.items())
    return FailedError(
        f"{run.path}: {what}; {kept}. The learning rates were {used}; precision {recipe.train.precision}. "
        f"Try {advice}{halved}, with --new"
    )
