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
    flags: dict[str, Any] = dict(locals())
    del flags["dry_run"]
    flags["set"] = flags.pop("settings") or ()
    import json
    import shlex
    import sys

    from smallgan.api import training

    if dry_run:
        typer.echo(json.dumps(training.plan_training(**flags), indent=2))
        return
    run = training.train(**flags, command=shlex.join(["smallgan", *sys.argv[1:]]))
    typer.echo(run.path)
    if not run.is_complete:
        raise typer.Exit(1)
