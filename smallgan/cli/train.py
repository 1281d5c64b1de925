"""`smallgan train`. The flags that set recipe keys are rows of `smallgan.tables.train_flags`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from smallgan.tables.train_flags import Flag, option, with_flags


def _typed(name: str, hint: Any, row: Flag) -> Any:
    """Return the option of a flag; what Python also takes in another form is text here."""
    kind = next((each for each in (bool, int, float) if hint == each | None), str)
    forms = [option(name)] if row.is_switch else []
    return Annotated[kind | None, typer.Option(*forms, help=row.help, show_default=False)]


@with_flags(_typed, after=2)
def train(
    data: Annotated[str | None, typer.Argument(help="Folder, zip or mixed dataset; default: the sample set.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe to start from: a shipped name (smallgan recipes list) or a YAML file.")
    ] = None,
    *,
    minutes: Annotated[
        float | None, typer.Option(help="Train about so long instead: timed at the start, then only steps count.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE, any recipe key, repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the next number below runs/.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start another run, do not go on with one.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Threads that read the images, once, before training; default: one a core.", min=1),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    gpus: Annotated[
        int | None, typer.Option(help="Share each batch among this many GPUs of this machine.", min=1)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say warnings and errors only; log.txt has all.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and how long; no run.")] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the result, or of --dry-run all, as JSON.")
    ] = False,
    **flags: Any,
) -> None:
    """Train a GAN from scratch, or adapt a pretrained one. The same command again goes on where it stopped.

    Examples: smallgan train photos --size 64 --steps 5000 --policy hflip, or smallgan train photos --transfer apgc
    """
    import json
    import shlex
    import sys

    from augment.errors import UsageError
    from smallgan.api import training
    from smallgan.core.console import say

    own: dict[str, Any] = {"minutes": minutes, "set": settings or (), "out": out, "new": new, "workers": workers}
    asked = {"recipe": recipe, **own, "device": device, "quiet": quiet, **flags}
    if dry_run:
        if gpus is not None:
            raise UsageError("--gpus and --dry-run cannot be combined: a dry run times one process; leave --gpus out")
        if training.is_other_process():
            return
        plan = training.plan_training(data, **asked)
        typer.echo(json.dumps(plan.values, indent=2) if json_output else plan.text)
        return
    if gpus is not None and (code := training.launch(gpus, device, sys.argv[1:])) is not None:
        raise typer.Exit(code)
    run = training.train(data, **asked, command=shlex.join(["smallgan", *sys.argv[1:]]))
    if training.is_other_process():
        return
    typer.echo(json.dumps(run.summary(), indent=2) if json_output else run.path)
    if not run.is_complete:
        raise typer.Exit(1)
    if not quiet:
        images = f"smallgan sample {run.path} makes images, " if run.recipe.method_row.makes_images else ""
        say(f"next: {images}smallgan report {run.path}{' makes' if not images else ''} a page")
