"""`smallgan inspect`."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Folder, zip, array file, list, image or mixed dataset; default: the sample set that ships with "
            "smallgan."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Say what --size of augment would do to each file.", min=1)] = None,
    resize_mode: Annotated[str, typer.Option(help="How an image becomes square: crop, pad or stretch.")] = "crop",
    background: Annotated[str, typer.Option(help="Under transparent parts: a colour, or refuse.")] = "white",
    mode: Annotated[str, typer.Option(help="rgb, or gray: all images become gray.")] = "rgb",
    files: Annotated[bool, typer.Option("--files", help="List each file, with what will be done to it.")] = False,
    workers: Annotated[int | None, typer.Option(help="Threads; default: one a core, at most 8.", min=1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
) -> None:
    """Look at images before anything is made of them, with the checks that augment and train make.

    Exit code 2 when a file cannot be used. Example: smallgan inspect photos --size 64
    """
    import json

    from smallgan.api.inspection import inspect as carry_out

    found = carry_out(source, size=size, resize_mode=resize_mode, background=background, mode=mode, workers=workers)
    typer.echo(json.dumps(found.values, indent=2, ensure_ascii=False) if json_output else found.text(files=files))
    if found.problems:
        raise typer.Exit(2)
