"""A recipe carried out: the images are mixed in memory, a run folder is found or made, and the loop is called."""

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from augment.checks.advice import SCRATCH, TOO_FEW, by_number
from augment.core.files import write_bytes, write_json, write_text
from augment.errors import UsageError
from augment.imaging.codec import encode_png
from smallgan.core import distributed
from smallgan.core.console import Log
from smallgan.core.device import (
    check_precision,
    default_precision,
    describe_device,
    float32_math,
    has_fast_bf16,
)
from smallgan.core.run_dir import RunDir, claim_run
from smallgan.core.run_log import logged, tensorboard, write_environment
from smallgan.data.images import ImageBatches
from smallgan.data.points import NUM_SHOWN, picture
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.choice import Situation, choose, with_choice
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import TransferOptions
from smallgan.tables.recipe import Recipe, dump_recipe, given, read_recipe, steps_of_epochs, with_latent_dim
from smallgan.tables.regularizers import REGULARIZERS
from smallgan.tables.sweep import flat
from smallgan.training import out_of_memory
from smallgan.training.compiling import compile_networks
from smallgan.training.data import TrainingData, describe_data, load_data
from smallgan.training.evaluation import evaluator, nearest_classes, outcome, scoring_networks
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.find_run import (
    find_run,
    perceptual_as_begun,
    refuse_other_data,
    refuse_other_generator,
    refuse_other_perceptual,
    source_as_begun,
)
from smallgan.training.loop import GRID_IMAGES, Hooks, Trainer, fit
from smallgan.training.timing import seconds_per_step


def train(
    recipe: Recipe,
    *,
    root: Path = Path("runs"),
    out: Path | None = None,
    new: bool = False,
    device: str = "auto",
    log: Log = print,
    command: str = "",
    stop_requested: Callable[[], bool] = lambda: False,
    advance: Callable[[int, int, str], None] = lambda _step, _steps, _losses: None,
    status: Log | None = None,
    is_open: bool = False,
    minutes: float | None = None,
    workers: int | None = None,
) -> RunDir:
    """Train as the recipe says and return the run, which a stop may have left unfinished but resumable.

    Goes on with the newest unfinished run of the same recipe below `root`, or with the one in `out`; `new` starts
    another. Raises the errors of the parts.

    Args:
        recipe: what is trained.
        root: folder of the numbered runs.
        out: the run folder, where it is named.
        new: start another run.
        device: auto, cpu, cuda, cuda:N or mps.
        log: takes a status line.
        command: as the user typed it, for environment.json.
        stop_requested: true once the user asked to stop.
        advance: takes the step reached, the number of steps and the last losses as text, after each step.
        status: takes the line of each report in the place of `log`; the run's log.txt has it in any case.
        is_open: let the images, their size and the device decide what the recipe leaves out (`smallgan.tables.choice`).
        minutes: of training; a timing at the start of a run turns them into steps, which alone count afterwards.
        workers: threads that read the images; None: one a core, at most 8.
    """
    chosen, is_main = distributed.device_of_rank(device), distributed.is_main()
    if not is_main:
        log = status = lambda _line: None
    new = new and not distributed.is_restart()
    if distributed.count() > 1:
        refuse_several(recipe)
    choices: dict[str, Any] = {"new": new, "is_open": is_open, "minutes": minutes, "workers": workers}
    recipe, source, data, run, why = prepared(recipe, chosen, root, out, **choices)
    for line in why:
        log(line)

    def is_done() -> bool:
        refuse_other_data(run, data.summary)
        refuse_other_generator(run, source)
        return run.reached(recipe.train.steps)

    if distributed.from_main(is_done):
        log(
            f"{run.path}: this recipe is already trained to step {run.last_step()}. "
            "To train on, ask for more --steps; to train anew, add --new"
        )
        return run
    said: list[str] = []  # before there is a log
    begun = distributed.from_main(lambda: perceptual_as_begun(run, recipe))
    trainer, batches = trainer_of(begun, data, chosen, source, said.append)
    distributed.from_main(lambda: refuse_other_perceptual(run, trainer.description.get("perceptual")))
    nets = scoring_networks(recipe, len(data.reals), chosen, said.append)  # a wrong name leaves no run behind
    run = distributed.from_main(lambda: claim_run(root, recipe.name) if out is None and not run.exists() else run)
    makes_images = recipe.method_row.makes_images
    with run.locked() if is_main else nullcontext():
        if is_main:
            _begin(run, recipe, data, chosen, command)
            status, log = logged(run, status or log), logged(run, log)
        on = describe_device(chosen) if distributed.count() == 1 else _several(chosen)
        log(f"run {run.path}: {describe_data(data.summary)}; {on}, {recipe.train.precision}")
        for note in notes_on(data, from_scratch=source is None and makes_images):
            log(f"note: {note}")
        for line in said:
            log(line)
        with tensorboard(run) if is_main else nullcontext(lambda _line: None) as record:
            evaluate = evaluator(recipe, run, data, trainer, chosen, nets, log)
            hooks = Hooks(log, evaluate, stop_requested, record, advance, status)
            with float32_math(str(recipe.train.precision)):
                step = out_of_memory.named(
                    lambda: fit(recipe, run, trainer, batches, hooks), recipe, run, trainer, batches
                )
        if step < recipe.train.steps:
            log(f"stopped at step {step} of {recipe.train.steps}; the same command goes on from there")
        elif result := outcome(run):
            log(result)
    return run


def _several(device: torch.device) -> str:
    number = distributed.count()
    on = f"on a GPU each, {describe_device(device)}" if device.type == "cuda" else f"on {describe_device(device)} each"
    return f"{number} processes {on}"


def _begin(run: RunDir, recipe: Recipe, data: TrainingData, device: torch.device, command: str) -> None:
    """Write what a run is made from, and pictures of it."""
    run.create()
    write_text(run.recipe, dump_recipe(recipe))
    write_json(run.data, data.summary)
    write_environment(run, device, command)
    write_bytes(run.reals, encode_png(picture(data.originals[: NUM_SHOWN if recipe.data.size == 1 else GRID_IMAGES])))
    write_bytes(run.mix, encode_png(data.preview))


def prepared(
    recipe: Recipe,
    device: torch.device,
    root: Path,
    out: Path | None,
    *,
    new: bool = False,
    is_open: bool = False,
    minutes: float | None = None,
    workers: int | None = None,
) -> tuple[Recipe, PretrainedSource | None, TrainingData, RunDir, list[str]]:
    """Return the recipe with all that was left open, what it needs, its run, and what was decided, a line each.

    The arguments are those of `train`.
    """
    why: list[str] = []
    data = load_data(recipe, device, workers) if is_open else None
    if data is not None:
        now = situation_of(data, device, minutes)
        settings, reasons = choose(now, flat(given(recipe)))
        if recipe.train.epochs is not None:  # these decide the steps
            del settings["train.steps"]
        recipe = with_choice(recipe, settings)
        why = [
            f"chosen for {now.num_images} images of {now.size} px on {device.type}:",
            *(f"- {reason}" for reason in reasons),
            "A flag, --recipe or --set decides otherwise; docs/quality.md says what was measured",
        ]
    if recipe.train.precision == "tf32" and device.type == "cpu":
        why.append("note: tf32 has no effect on a CPU: it trains in fp32; --precision bf16 may be faster")
    recipe, source = open_pretrained(with_precision(recipe, device))
    data = data or load_data(recipe, device, workers)
    recipe = with_latent_dim(recipe, len(data.mixture.pixels))
    if recipe.train.epochs is not None:
        epochs, recipe = recipe.train.epochs, steps_of_epochs(recipe, len(data.originals))
        why.append(f"{epochs:g} epochs of {len(data.originals)} originals are {recipe.train.steps} steps")
    if source is not None and isinstance(recipe.method, TransferOptions) and recipe.method.class_search:
        recipe, found = distributed.from_main(lambda: nearest_classes(recipe, source, data, device))
        why.append(found.description)
        data.summary["class_search"] = found.to_json()
    run = distributed.from_main(lambda: find_run(recipe, data.summary, root, out, new=new))
    if minutes is not None:
        if run.exists() and not new:
            steps = read_recipe(run.recipe).train.steps
            why.append(f"{run.path} has {steps} steps; a timing sets them at its start alone")
        else:
            made = trainer_of(recipe, data, device, source, lambda _line: None)
            seconds = statistics.median(seconds_per_step(*made, 8))
            steps = distributed.from_main(lambda: max(round(60 * minutes / seconds), 1))
            why.append(f"{minutes:g} minutes are {steps} steps of {seconds:.3f} s, as timed here now")
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": steps})})
    return recipe, source_as_begun(run, source), data, run, why


def trainer_of(
    recipe: Recipe, data: TrainingData, device: torch.device, source: PretrainedSource | None, log: Log
) -> tuple[Trainer, ImageBatches]:
    """Return what `prepare` makes, with the micro-batch and compiled as the recipe asks for. Raises UsageError."""
    made = out_of_memory.with_micro_batch(recipe, lambda: prepare(recipe, data, device, source, log), log)
    compile_networks(made[0], recipe.train.compile)
    return made


def situation_of(data: TrainingData, device: torch.device, minutes: float | None = None) -> Situation:
    """Return what `smallgan.tables.choice` chooses by; `minutes` of training, where the user named them."""
    number, size = data.summary["num_real"], data.summary["size"]
    return Situation(number, size, device.type, has_fast_bf16(device), data.may_mirror, minutes)


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Return the recipe with the precision that this device trains in, where it names none. Raises UsageError."""
    check_precision(device, recipe.train.precision)
    if recipe.train.precision is not None:
        return recipe
    train = recipe.train.model_copy(update={"precision": default_precision(device)})
    return recipe.model_copy(update={"train": train})


def refuse_several(recipe: Recipe) -> None:
    """Raise UsageError for a recipe whose step over several ranks would not be that of one process."""
    parts = [("method", recipe.method_row.name, recipe.method_row.over_ranks)]
    if recipe.loss is not None:
        loss = LOSSES[recipe.loss.name]
        parts.append(("loss", loss.name, loss.by_image or loss.over_ranks))
    if recipe.regularizers is not None:
        rows = [REGULARIZERS[name] for name in recipe.regularizers.chosen()]
        parts += [("regularizer", row.name, row.by_image or row.over_ranks) for row in rows]
    alone: dict[str, Any] = {"train.compile": None, "latent.name": "normal"}
    alone |= {"method.pack": 1, "method.unroll": None, "method.freeze_g_at": None}
    for key, off in alone.items():
        section, name = key.split(".")
        if (value := getattr(getattr(recipe, section), name, off)) != off:
            raise UsageError(f"{key} {value}: not for several GPUs; leave it out, or --gpus and torchrun")
    for kind, name, may in parts:
        if not may:
            raise UsageError(
                f"the {kind} {name} does not train over several GPUs: its step takes the whole batch in one process; "
                "leave --gpus and torchrun out"
            )


def notes_on(data: TrainingData, *, from_scratch: bool) -> list[str]:
    """Return what to know of the images, and what `smallgan inspect` says of so few, a line each."""
    number = data.summary["num_real"]
    is_few = data.summary["size"] > 1 and number < (SCRATCH if from_scratch else TOO_FEW)
    return [*data.notes, *([by_number(number, "")] if is_few else [])]
