"""Training: `smallgan train`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UsageError
from smallgan.api.paths import StrPath, as_path, as_text
from smallgan.api.runs import Run
from smallgan.core.console import Log, progress_bar, say, stop_flag

if TYPE_CHECKING:
    from smallgan.tables.recipe import Recipe

Settings = Mapping[str, Any] | Iterable[str]  # {"train.steps": 300}, or ["train.steps=300"] as after --set


def train(
    data: StrPath | None = None,
    *,
    recipe: StrPath | None = None,
    model: str | None = None,
    method: str | None = None,
    transfer: str | None = None,
    pretrained: StrPath | None = None,
    group_size: int | None = None,
    size: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    loss: str | None = None,
    mirror: bool | None = None,
    diffaugment: str | None = None,
    precision: str | None = None,
    policy: str | None = None,
    ratio: str | None = None,
    count: int | None = None,
    generator: StrPath | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    set: Settings = (),
    out: StrPath | None = None,
    new: bool = False,
    device: str = "auto",
    log: Log = say,
    command: str = "smallgan.train(...) in Python",
) -> Run:
    """Train a GAN from scratch, or adapt a pretrained one, as `smallgan train` does, and return its run.

    The same call again goes on where it stopped; after Ctrl-C the run is unfinished (`is_complete`). What is None is
    the recipe's, and where there is no recipe and no model either, it is chosen by the images and the device.

    Args:
        data: folder, zip or mixed dataset; None: the sample set.
        recipe: to start from: a shipped name or a YAML file.
        model: train from scratch: dcgan, biggan or fastgan.
        method: how to train from scratch, such as adversarial.
        transfer: adapt a pretrained BigGAN instead: apgc, bsa or finetune.
        pretrained: BigGAN to adapt, a file or folder; None: the small one that ships.
        group_size: of APGC: channels per group; 0 for no groups.
        size: side of the training images in pixels: 32, 64, 128, 256 or 512.
        steps: optimiser steps, from 1. Raising it goes on with a finished run.
        minutes: train about so long instead of `steps`.
        batch_size: images per step, from 2.
        loss: such as hinge.
        mirror: mirror half of the real images of each batch.
        diffaugment: augment inside the discriminator: some of color,translation,cutout.
        precision: fp32, tf32 or bf16.
        policy: mix augmented images in, as `build_dataset` would.
        ratio: originals to added images, "A:B".
        count: number of added images, instead of `ratio`.
        generator: run that makes the images of the transform gan.
        seed: of weights, batch order and latents.
        skip_bad: leave unreadable files out and list them.
        set: any recipe key: {"train.snapshot_every": 200}.
        out: run folder; None: the next number below runs/.
        new: start another run, do not go on with one.
        device: auto, cpu, cuda or cuda:N.
        log: takes a status line.
        command: what environment.json records as the call.

    Raises:
        UsageError: an option is wrong, or the run in `out` is of another recipe.
        InputError: images or pretrained weights cannot be used.
        MissingError: weights must be fetched first.
        FailedError: the training diverged.
        OutputError: the run folder cannot be written.
    """
    flags = {name: value for name, value in locals().items() if name not in ("log", "command")}
    from smallgan.training.train import train as carry_out

    resolved, asked = _resolved(flags, log)
    with stop_flag() as stop_requested, progress_bar("training", None) as advance:
        run = carry_out(resolved, log=log, command=command, stop_requested=stop_requested, advance=advance, **asked)
    return Run(run.path, device=device)


def plan_training(*, log: Log = say, **flags: Any) -> dict[str, Any]:
    """Return what `train` would do with the same keywords, as `smallgan train --dry-run` prints it; writes nothing."""
    from smallgan.training.train import dry_run

    resolved, asked = _resolved(flags, log)
    return dry_run(resolved, root=Path("runs"), log=log, **asked)


def _resolved(flags: Mapping[str, Any], log: Log) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe that the keywords of `train` ask for, and the other options of the training."""
    from smallgan.tables.choice import model_of_size
    from smallgan.tables.recipe import load_recipe, shipped_recipes

    data, recipe, minutes = flags["data"], as_text(flags["recipe"]), flags["minutes"]
    _check_size(flags)
    given = _given(flags)
    if data is None and recipe is None and flags["model"] is None:
        own = f"quickstart-{given.get('method.name')}"
        recipe = own if own in shipped_recipes() else "quickstart"
        log(f"no DATA given: the recipe {recipe} on the sample set of painted flowers that ships with smallgan")
    if minutes is not None and (minutes <= 0 or {"train.steps", "train.epochs"} & set(given)):
        raise UsageError(f"--minutes {minutes:g}: needed more than 0, and no --steps beside it")
    open_sections = ("model", "method.name", "loss", "regularizers")
    is_open = data is not None and recipe is None and not any(path.startswith(open_sections) for path in given)
    resolved = load_recipe(recipe, (model_of_size(given.get("data.size")) if is_open else {}) | given)
    if resolved.is_study:
        what = "a grid" if resolved.grid is not None else "a section downstream"
        raise UsageError(f"this recipe has {what}, which is run as a study: smallgan run {recipe or 'RECIPE'}")
    asked = {name: flags[name] for name in ("new", "device", "minutes")}
    return resolved, asked | {"out": as_path(flags["out"]), "is_open": is_open}


def _check_size(flags: Mapping[str, Any]) -> None:
    """Refuse a side that the named model, or without one every model, cannot make; others decide elsewhere."""
    from smallgan.tables.models import MODELS

    size, model = flags["size"], flags["model"]
    if size is None or flags["transfer"] or flags["recipe"] or (model is not None and model not in MODELS):
        return
    sizes = MODELS[model].sizes if model else tuple(sorted({side for row in MODELS for side in row.sizes}))
    if size not in sizes:
        others = [row.name for row in MODELS if size in row.sizes]
        hint = f", or --model {' or '.join(others)}" if others else ""
        who = MODELS[model].title if model else "the models"
        verb = "makes" if model else "make"
        raise UsageError(f"--size {size}: {who} {verb} {', '.join(map(str, sizes))} px; use one of these{hint}")


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for by dotted recipe key."""
    from smallgan.tables.methods import METHODS

    transfer, method = flags["transfer"], flags["method"]
    transfers = [row.name for row in METHODS if row.is_transfer]
    from_scratch = [row.name for row in METHODS if not row.is_transfer]
    if transfer is not None and transfer not in transfers:
        raise UsageError(f"--transfer {transfer}: needed one of {', '.join(transfers)}")
    if method is not None and method not in from_scratch:
        raise UsageError(f"--method {method}: needed one of {', '.join(from_scratch)}; for the others use --transfer")
    if method is not None and transfer is not None:
        raise UsageError(f"--method {method} and --transfer {transfer} are two ways to train; give one")
    options = {
        "data.source": as_text(flags["data"]),
        "model.name": flags["model"],
        "method.name": transfer or method,
        "method.pretrained": as_text(flags["pretrained"]),
        "method.group_size": flags["group_size"],
        "data.size": flags["size"],
        "data.skip_bad": flags["skip_bad"] or None,
        "augment.policy": flags["policy"],
        "augment.ratio": flags["ratio"],
        "augment.count": flags["count"],
        "augment.generator": as_text(flags["generator"]),
        "train.steps": flags["steps"],
        "train.batch_size": flags["batch_size"],
        "train.precision": flags["precision"],
        "loss.name": flags["loss"],
        "method.mirror": flags["mirror"],
        "method.diffaugment": flags["diffaugment"],
        "seeds": None if flags["seed"] is None else [flags["seed"]],
    }
    return {path: value for path, value in options.items() if value is not None} | settings_of(flags["set"])


def settings_of(settings: Settings) -> dict[str, Any]:
    """Return recipe keys as a mapping; texts are read as after --set. Raises UsageError."""
    from smallgan.tables.recipe import parse_overrides

    return dict(settings) if isinstance(settings, Mapping) else parse_overrides(settings)
