"""A recipe carried out: the images are mixed in memory, a run folder is found or made, and the loop is called."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from augment.checks.advice import SCRATCH, by_number
from augment.core.files import write_bytes, write_json, write_text
from augment.errors import InputError, UsageError
from augment.imaging.codec import encode_png
from smallgan.core.checkpoint import read_state
from smallgan.core.device import choose_device, describe_device
from smallgan.core.run_dir import RunDir, check_out, claim_run, next_run, numbered_runs
from smallgan.core.run_log import Say, TensorBoard, logged, write_environment
from smallgan.data.images import grid, pairs, to_pixels
from smallgan.metrics.features.extract import feature_net
from smallgan.metrics.run_scorer import RunScorer
from smallgan.models.base import Generator
from smallgan.sampling.loading import Model
from smallgan.tables.metrics import selection_metric
from smallgan.tables.recipe import Recipe, differences, dump_recipe, read_recipe
from smallgan.training.data import TrainingData, describe_data, load_data
from smallgan.training.factory import Source, adapter_table, open_pretrained, prepare
from smallgan.training.loop import GRID_IMAGES, Hooks, Trainer, fit
from smallgan.training.transfer import TransferTrainer

PAIRS_SHOWN = 50
"""Training images in a transfer's picture of reconstructions."""


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
    advance: Callable[[int], None] = lambda _step: None,
) -> RunDir:
    """Train as the recipe says and return the run, which a stop may have left unfinished but resumable.

    Goes on with the newest unfinished run of the same recipe below `root`, or with the one in `out`; `new` starts
    another. `say` takes a status line, `advance` the step reached at each report. Raises the errors of the parts.
    """
    chosen = choose_device(device)
    recipe, source = open_pretrained(recipe)
    run = find_run(recipe, root, out, new=new)
    if run.reached(recipe.train.steps):
        say(f"{run.path}: already trained to step {run.last_step()}; ask for more with --steps, or for --new")
        return run
    data = load_data(recipe, chosen)
    _refuse_other_data(run, data.summary)
    _refuse_other_generator(run, source)
    said: list[str] = []  # before there is a log
    trainer, batches = prepare(recipe, data, chosen, source, said.append)
    if out is None and not run.exists():
        run = claim_run(root, recipe.name)
    with run.locked():
        run.create()
        write_text(run.recipe, dump_recipe(recipe))
        write_json(run.data, data.summary)
        write_environment(run, chosen, command)
        say = logged(run, say)
        say(f"run {run.path}: {describe_data(data.summary)}; {describe_device(chosen)}, {recipe.train.precision}")
        for note in [*data.notes, *_advice_on_number(data, from_scratch=source is None)]:
            say(f"note: {note}")
        write_bytes(run.reals, encode_png(grid(data.originals[:GRID_IMAGES])))
        write_bytes(run.mix, encode_png(data.preview))
        for line in said:
            say(line)
        with TensorBoard(run) as record:
            evaluator = _evaluator(recipe, run, data, chosen, say)
            hooks = Hooks(say, evaluator, stop_requested, _pictures(run, data, trainer), record, advance)
            step = fit(recipe, run, trainer, batches, hooks)
        if step < recipe.train.steps:
            say(f"stopped at step {step} of {recipe.train.steps}; the same command goes on from there")
    return run


def _advice_on_number(data: TrainingData, *, from_scratch: bool) -> list[str]:
    """What `smallgan inspect` says of so few images, where they are to be trained on from scratch."""
    number = data.summary["num_real"]
    return [by_number(number)] if from_scratch and number < SCRATCH else []


def find_run(recipe: Recipe, root: Path, out: Path | None, *, new: bool) -> RunDir:
    """Return the run to go on with, or a fresh one. Raises UsageError when `out` holds a run of another recipe.

    The number of steps may differ from the run's: a run with fewer steps than asked for is unfinished.
    """
    if out is not None:
        run = RunDir(out)
        check_out(out, "run", exists=run.exists(), new=new, ours=(".lock",), changes=lambda: _changes(recipe, run))
        return run
    for _, run in [] if new else reversed(numbered_runs(root)):
        if run.exists() and not run.reached(recipe.train.steps) and not _changes(recipe, run):
            return run
    return next_run(root, recipe.name)


def dry_run(
    recipe: Recipe, *, root: Path, out: Path | None, new: bool, device: str, say: Say = print
) -> dict[str, Any]:
    """Return what `train` would do, with the time of a step measured here on three steps; nothing is written."""
    chosen = choose_device(device)
    recipe, source = open_pretrained(recipe)
    run = find_run(recipe, root, out, new=new)
    data = load_data(recipe, chosen)
    trainer, batches = prepare(recipe, data, chosen, source, say)
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
        **({"adapters": adapter_table(source)} if source and isinstance(trainer, TransferTrainer) else {}),
        "device": describe_device(chosen),
        "steps": steps,
        "epochs": round(steps * batches.batch_size / len(batches), 1),
        "seconds_per_step": round(min(seconds), 4),
        "minutes": round(steps * min(seconds) / 60, 1),
        "recipe": recipe.model_dump(mode="json"),
    }


def _changes(recipe: Recipe, run: RunDir) -> dict[str, tuple[Any, Any]]:
    found = differences(read_recipe(run.recipe), recipe)
    # What is drawn of a run, and the page it stands on, change nothing in it.
    free = ("train.steps", "sample.", "report.")
    return {path: values for path, values in found.items() if not path.startswith(free)}


def _refuse_other_data(run: RunDir, summary: Mapping[str, Any]) -> None:
    if not run.data.is_file():
        return
    before = json.loads(run.data.read_text(encoding="utf-8"))
    for key in ("num_images", "num_real", "fingerprint", "kinds", "holdout"):
        then, now = (_mark(each.get(key)) for each in (before, summary))
        if then != now:
            raise UsageError(
                f"{run.path}: the images are not those that this run began with: {key} was {then}, is {now}; restore "
                "them, or start another run with --new"
            )


def _mark(value: Any) -> Any:
    """Return what tells one value of data.json from another: of images, their fingerprint."""
    return value["fingerprint"] if isinstance(value, Mapping) and "fingerprint" in value else value


def _refuse_other_generator(run: RunDir, source: Source | None) -> None:
    if source is None or not run.last_step():
        return
    before = read_state(run.checkpoint(run.last_step())).get("pretrained", {}).get("sha256")
    if before and before != source.found.sha256:
        raise UsageError(
            f"{source.found.path}: not the file that {run.path} began with (sha256 was {before[:16]}, is "
            f"{source.found.sha256[:16]}); put that file back, or start another run with --new"
        )


def _pictures(run: RunDir, data: TrainingData, trainer: Trainer) -> Callable[[int], None]:
    """Return the loop's `draw`: of a transfer, the training images, each above what its code gives."""
    if not isinstance(trainer, TransferTrainer):
        return lambda _step: None
    shown = range(min(len(data.mixture.pixels), PAIRS_SHOWN))

    def draw(step: int) -> None:
        made = to_pixels(trainer.reconstruct(shown))
        write_bytes(run.reconstructions(step), encode_png(pairs(data.mixture.pixels[: len(shown)], made)))

    return draw


def _evaluator(
    recipe: Recipe, run: RunDir, data: TrainingData, device: torch.device, say: Say
) -> Callable[[Generator, int], float | None]:
    """Return the loop's `evaluate`: scores of the averaged generator against originals, all of one identity."""
    settings = recipe.score
    if not settings.metrics:
        return lambda _generator, _step: None
    net, note = feature_net(settings.features, device)
    if note:
        say(note)
    scorer = RunScorer.of_pixels(
        net,
        settings.metrics,
        reals=data.reals,
        reals_fingerprint=data.reals_fingerprint,
        originals=data.originals,
        originals_fingerprint=data.summary["fingerprint"],
        resize_mode=recipe.data.resize_mode,
        num_fake=settings.num_fake,
        seed=recipe.seed,
        splits=settings.splits,
    )

    def evaluate_step(generator: Generator, step: int) -> float | None:
        model = Model(generator, device, "fp32", run.checkpoint(step), run, step, sha256="")
        try:  # the baseline is the same at every step: the last one tells it
            scores = scorer.score(model, baselines=step >= recipe.train.steps)
        except InputError as error:  # one real, say: no reason not to train
            say(f"not scored: {error}")
            return None
        return next((score.value for score in scores if score.metric == selection_metric().name), None)

    return evaluate_step
