"""`smallgan train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS

_TRANSFERS = ", ".join(row.name for row in METHODS if row.is_transfer)
_FROM_SCRATCH = [row.name for row in METHODS if not row.is_transfer]


def train(
    data: Annotated[str | None, typer.Argument(help="Folder, zip or mixed dataset; default: the sample set.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe to start from: a shipped name (smallgan recipes list) or a YAML file.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"Train from scratch: {', '.join(MODELS.names)}; default: {MODELS.names[0]}.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"How to train from scratch: {', '.join(_FROM_SCRATCH)}; default: {_FROM_SCRATCH[0]}."),
    ] = None,
    transfer: Annotated[str | None, typer.Option(help=f"Adapt a pretrained BigGAN instead: {_TRANSFERS}.")] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(help="BigGAN to adapt: a checkpoint file or folder; default: the small one that ships."),
    ] = None,
    group_size: Annotated[int | None, typer.Option(help="APGC: channels per group; 0 for no groups.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the training images in pixels: 32, 64, 128 ...")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps. Raising it goes on with a finished run.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train about so long instead: timed at the start, then only steps count.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    loss: Annotated[str | None, typer.Option(help=f"{', '.join(LOSSES.names)}; default: the model's.")] = None,
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Mirror half of the real images of each batch.")
    ] = None,
    diffaugment: Annotated[
        str | None, typer.Option(help="Augment inside the discriminator: some of color,translation,cutout.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, tf32 or bf16; default: tf32 on a GPU that has it, else fp32.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Mix augmented images in, as `smallgan augment` would.")] = None,
    ratio: Annotated[str | None, typer.Option(help="Originals to added images, A:B.")] = None,
    count: Annotated[int | None, typer.Option(help="Number of added images, instead of --ratio.")] = None,
    generator: Annotated[str | None, typer.Option(help="Run that makes the images of the transform gan.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, batch order and latents.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out and list them.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE, any recipe key, repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the next number below runs/.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start another run, do not go on with one.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
) -> None:
    """Train a GAN from scratch, or adapt a pretrained one. The same command again goes on where it stopped.

    Examples: smallgan train photos --size 64 --steps 5000 --policy hflip, or smallgan train photos --transfer apgc
    """
    import json
    import shlex
    import sys

    from augment.errors import UsageError
    from smallgan.core.console import progress_bar, say, stop_flag
    from smallgan.tables.choice import model_of_size
    from smallgan.tables.recipe import load_recipe, parse_overrides, shipped_recipes
    from smallgan.training.train import dry_run as plan_run
    from smallgan.training.train import train as run_training

    if transfer is not None and transfer not in [row.name for row in METHODS if row.is_transfer]:
        raise UsageError(f"--transfer {transfer}: needed one of {_TRANSFERS}")
    if method is not None and method not in _FROM_SCRATCH:
        raise UsageError(f"--method {method}: needed one of {', '.join(_FROM_SCRATCH)}; for the others use --transfer")
    if method is not None and transfer is not None:
        raise UsageError(f"--method {method} and --transfer {transfer} are two ways to train; give one")
    options: dict[str, Any] = {
        "data.source": data,
        "model.name": model,
        "method.name": transfer or method,
        "method.pretrained": pretrained,
        "method.group_size": group_size,
        "data.size": size,
        "data.skip_bad": skip_bad or None,
        "augment.policy": policy,
        "augment.ratio": ratio,
        "augment.count": count,
        "augment.generator": generator,
        "train.steps": steps,
        "train.batch_size": batch_size,
        "train.precision": precision,
        "loss.name": loss,
        "method.mirror": mirror,
        "method.diffaugment": diffaugment,
        "seeds": None if seed is None else [seed],
    }
    given = {path: value for path, value in options.items() if value is not None} | parse_overrides(settings or [])
    if data is None and recipe is None and model is None:
        own = f"quickstart-{given.get('method.name')}"
        recipe = own if own in shipped_recipes() else "quickstart"
        say(f"no DATA given: the recipe {recipe} on the sample set of painted flowers that ships with smallgan")
    if minutes is not None and (minutes <= 0 or "train.steps" in given):
        raise UsageError(f"--minutes {minutes:g}: needed more than 0, and no --steps beside it")
    open_sections = ("model", "method.name", "loss", "regularizers")
    is_open = data is not None and recipe is None and not any(path.startswith(open_sections) for path in given)
    resolved = load_recipe(recipe, (model_of_size(given.get("data.size")) if is_open else {}) | given)
    if resolved.is_study:
        what = "a grid" if resolved.grid is not None else "train.epochs"
        raise UsageError(f"this recipe has {what}, which is run as a study: smallgan run {recipe or 'RECIPE'}")
    asked: dict[str, Any] = {"out": out, "new": new, "device": device, "is_open": is_open, "minutes": minutes}
    if dry_run:
        plan = plan_run(resolved, root=Path("runs"), log=say, **asked)
        typer.echo(json.dumps(plan, indent=2))
        return
    with stop_flag() as stop_requested, progress_bar("training", None) as advance:
        run = run_training(
            resolved,
            log=say,
            command=shlex.join(["smallgan", *sys.argv[1:]]),
            stop_requested=stop_requested,
            advance=advance,
            **asked,
        )
    typer.echo(run.path)
    if stop_requested():
        raise typer.Exit(1)
