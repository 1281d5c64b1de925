"""Training: `smallgan train`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from augment.errors import UsageError
from smallgan.api.paths import StrPath, as_path, as_text
from smallgan.api.runs import Run
from smallgan.core import console
from smallgan.core.console import Log, is_terminal, progress_bar, say, stop_flag, warnings_of
from smallgan.tables.train_flags import TrainFlags, merged, recipe_keys, with_flags

if TYPE_CHECKING:
    from smallgan.tables.recipe import Recipe

MOST_MINUTES = 1_000_000  # Two years
Settings = Mapping[str, Any] | Iterable[str]  # {"train.steps": 300}, or ["train.steps=300"] as after --set


@dataclass(frozen=True)
class Plan:
    """What a training would do."""

    values: dict[str, Any]
    """As `smallgan train --dry-run --json` prints it."""

    @property
    def text(self) -> str:
        """As `smallgan train --dry-run` prints it."""
        from smallgan.training.plan import plan_text

        return plan_text(self.values)


@with_flags(lambda _name, hint, _row: hint, after=2)
def train(
    data: StrPath | None = None,
    *,
    recipe: StrPath | None = None,
    minutes: float | None = None,
    set: Settings = (),
    out: StrPath | None = None,
    new: bool = False,
    workers: int | None = None,
    device: str = "auto",
    quiet: bool = False,
    log: Log = say,
    command: str = "smallgan.train(...) in Python",
    **flags: Unpack[TrainFlags],
) -> Run:
    """Train a GAN from scratch, or adapt a pretrained one, as `smallgan train` does, and return its run.

    The same call again goes on where it stopped; after Ctrl-C the run is unfinished (`is_complete`). What is None is
    the recipe's, and where there is no recipe and no model either, it is chosen by the images and the device.

    Args:
        data: folder, zip or mixed dataset; None: the sample set.
        recipe: to start from: a shipped name or a YAML file.
        FLAGS
        minutes: train about so long, above 0, instead of `steps` or `epochs`.
        set: any recipe key: {"model.base_width": 32}.
        out: run folder; None: the next number below runs/.
        new: start another run, do not go on with one.
        workers: threads that read the images before training, from 1; None: one a core, at most 8. Batches come from
            memory.
        device: auto, cpu, cuda, cuda:N or mps.
        quiet: log warnings alone.
        log: takes a status line.
        command: what environment.json records as the call.

    Raises:
        UsageError: an option is wrong, or the run in `out` is of another recipe.
        InputError: images or pretrained weights cannot be used.
        MissingError: weights must be fetched first.
        FailedError: the training diverged.
        OutputError: the run folder cannot be written.
    """
    from smallgan.core import distributed
    from smallgan.training.train import train as carry_out

    shown = warnings_of(log) if quiet else log
    several = distributed.started() > 1
    with (
        distributed.session(device),
        console.silent(not distributed.is_main()),
        console.quiet(quiet),
        stop_flag(once=several) as stop_requested,
    ):
        if not distributed.is_main():
            log = shown = lambda _line: None
        resolved, asked = _resolved(data, recipe, minutes, set, flags, shown)
        asked |= {"out": as_path(out), "new": new, "workers": workers, "device": device, "command": command}
        # On a terminal the bar stands for the line of each report
        status = (lambda _line: None) if is_terminal() and log is say else shown
        with progress_bar("training, step", None) as advance:
            run = carry_out(resolved, log=shown, status=status, stop_requested=stop_requested, advance=advance, **asked)
    return Run(run.path, device=device)


@with_flags(lambda _name, hint, _row: hint, after=2)
def plan_training(
    data: StrPath | None = None,
    *,
    recipe: StrPath | None = None,
    minutes: float | None = None,
    set: Settings = (),
    out: StrPath | None = None,
    new: bool = False,
    workers: int | None = None,
    device: str = "auto",
    quiet: bool = False,
    log: Log = say,
    **flags: Unpack[TrainFlags],
) -> Plan:
    """Return what `train` would do with the same keywords; makes no run."""
    from smallgan.training.plan import dry_run

    shown = warnings_of(log) if quiet else log
    with console.quiet(quiet):
        resolved, asked = _resolved(data, recipe, minutes, set, flags, shown)
        return Plan(dry_run(resolved, out=as_path(out), new=new, workers=workers, device=device, log=shown, **asked))


def launch(gpus: int, device: str, arguments: Sequence[str]) -> int | None:
    """Start a process for each GPU, which trains by the same command line, and return the exit code of all together.

    Does nothing and returns None in such a process, and for one GPU.

    Args:
        gpus: how many, from 1.
        device: as of `train`; with cpu as many processes share the processor, for trials.
        arguments: the command line without the program's name.

    Raises:
        UsageError: this machine has fewer GPUs.
        FailedError: a process was killed.
    """
    from smallgan.core import distributed

    if (running := distributed.started()) > 1:
        if running != gpus:
            raise UsageError(f"--gpus {gpus}: torchrun has started {running} processes already; leave --gpus out")
        return None
    if gpus == 1:
        return None
    distributed.check_gpus(gpus, device)
    if device == "cpu":
        say(f"{gpus} processes share this machine's processor: a trial of several GPUs, and no faster than one process")
    return distributed.launch(gpus, arguments)


def is_other_process() -> bool:
    """Tell whether this process trains for another, which prints the result."""
    from smallgan.core import distributed

    return distributed.is_other()


def _resolved(
    data: StrPath | None,
    recipe: StrPath | None,
    minutes: float | None,
    settings: Settings,
    flags: Mapping[str, Any],
    log: Log,
) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe that the keywords of `train` ask for, and what is left open in it until the images are read."""
    from augment.policy.policy_file import load_policy
    from smallgan.tables.choice import model_of_size
    from smallgan.tables.data_sources import find_source
    from smallgan.tables.recipe import load_recipe, shipped_recipes

    name, chosen = as_text(recipe), settings_of(settings)
    _check_size(flags, name)
    asked = recipe_keys(flags)
    if data is not None:
        asked.values["data.source"], asked.flags["data.source"] = as_text(data), "DATA"
    own = merged(asked, chosen)
    given = _without_unread(_going_on(data, name, flags), own) | own
    if data is None and name is None and flags.get("model") is None:
        method = given.get("method.name", "adversarial")
        quickstart = "quickstart" if method == "adversarial" else f"quickstart-{method}"
        name = quickstart if quickstart in shipped_recipes() else None
        by = f"the recipe {name}" if name else str(method)
        log(f"no DATA given: {by} on the sample set of painted flowers that ships with smallgan")
    if minutes is not None:
        _check_minutes(minutes, own)
        # they decide the steps, also those of a run that this one starts from
        given.pop("train.steps", None)
    open_sections = ("model", "method.name", "latent", "loss", "regularizers")
    made = find_source(given.get("data.source"))
    closed_by = [path for path in given if path.startswith(open_sections) or path == "method"]
    may_choose = data is not None and name is None and not (made and made.is_points)  # what is chosen, is for images
    is_open = may_choose and not closed_by
    if may_choose and closed_by and not any(flags.get(each) for each in ("model", "method", "transfer", "init")):
        log(f"note: with {', '.join(closed_by)} given nothing is chosen for your images; defaults hold for the rest")
    given = (model_of_size(given.get("data.size")) if is_open else {}) | given
    resolved = load_recipe(name, given, asked.flags)
    by_method = recipe_keys(flags, resolved.method_row)
    if by_method.values.keys() - asked.values.keys():
        resolved = load_recipe(name, given | merged(by_method, chosen), asked.flags | by_method.flags)
    if resolved.is_study:
        what = "a grid" if resolved.grid is not None else "a section downstream"
        raise UsageError(f"this recipe has {what}, which is run as a study: smallgan run {name or 'RECIPE'}")
    if minutes is not None and not resolved.method_row.makes_images:
        raise UsageError(
            f"--minutes {minutes:g}: {resolved.method_row.title} trains in two phases, and a timing sees the first "
            "alone; give --steps, and --set method.source_steps=N for the first"
        )
    load_policy(resolved.augment.policy).refuse_unread_generator(flags.get("generator"))
    return resolved, {"minutes": minutes, "is_open": is_open}


def _going_on(data: StrPath | None, recipe: str | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run takes over from the one that it starts from, by dotted recipe key; {} without --init."""
    from smallgan.core.run_dir import RunDir
    from smallgan.core.weights import SHIPPED_GAN, run_folder
    from smallgan.tables.recipe import read_recipe, values_to_go_on

    path = as_text(flags.get("init"))
    if path is None:
        return {}
    for name, value in {"recipe": recipe, **{name: flags.get(name) for name in ("transfer", "pretrained")}}.items():
        if value is not None:
            raise UsageError(f"--init {path} and --{name} {value} are two ways to start; give one")
    if data is None:
        raise UsageError(f"--init {path}: add DATA, the images to go on with: smallgan train photos --init {path}")
    run = RunDir(run_folder(path))
    if not run.exists():
        raise UsageError(f"--init {path}: no run of smallgan; expected the folder of one, or {SHIPPED_GAN}")
    before, model = read_recipe(run.recipe), flags.get("model")
    if before.model is not None and model not in (None, before.model.name):
        raise UsageError(f"--model {model}: {path} is a {before.model.name}; leave --model out beside --init")
    values = values_to_go_on(before, flags.get("method"))
    if flags.get("epochs") is not None:
        del values["train.steps"]
    return values


def _without_unread(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run takes over by dotted key, without what the user's own keys leave unread."""
    from smallgan.tables.recipe import drop_unread
    from smallgan.tables.sweep import put

    if not inherited:
        return {}
    values: dict[str, Any] = {}
    for path, value in {**inherited, **own}.items():
        put(values, path, value)
    dropped = drop_unread(values, own)
    sections = tuple(f"{path}." for path in dropped)
    return {path: each for path, each in inherited.items() if path not in dropped and not path.startswith(sections)}


def _check_minutes(minutes: float, given: Mapping[str, Any]) -> None:
    if not 0 < minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g}: must be more than 0, and at most {MOST_MINUTES:,}")
    for name in ("steps", "epochs"):
        if f"train.{name}" in given:
            raise UsageError(f"--minutes and --{name} cannot be combined; give one of them")


def _check_size(flags: Mapping[str, Any], recipe: str | None) -> None:
    """Refuse a side that the named model, or without one every model, cannot make; others decide elsewhere."""
    from smallgan.tables.methods import METHODS
    from smallgan.tables.models import MODELS

    size, model, method = (flags.get(name) for name in ("size", "model", "method"))
    if size is None or flags.get("transfer") or recipe or (model is not None and model not in MODELS):
        return
    if method in METHODS and "model" not in METHODS[str(method)].sections:
        return
    sizes = MODELS[model].sizes if model else tuple(sorted({side for row in MODELS for side in row.sizes if side > 1}))
    if size not in sizes:
        others = [row.name for row in MODELS if size in row.sizes]
        hint = f", or --model {' or '.join(others)}" if others else ""
        who = MODELS[model].title if model else "the models"
        verb = "makes" if model else "make"
        raise UsageError(f"--size {size}: {who} {verb} {', '.join(map(str, sizes))} px; use one of these{hint}")


def settings_of(settings: Settings) -> dict[str, Any]:
    """Return recipe keys as a mapping; texts are read as after --set. Raises UsageError."""
    from smallgan.tables.recipe import parse_overrides

    return dict(settings) if isinstance(settings, Mapping) else parse_overrides(settings)
