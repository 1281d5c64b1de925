"""`smallgan inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_MAX_LISTED = 10


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("inspect")(inspect)


def inspect(
    source: Annotated[
        Path | None,
        typer.Argument(help="Folder, zip, image or mixed dataset; default: the sample set that ships with smallgan."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; default: one a core, at most 8.", min=1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
) -> None:
    """Look at images before anything is made of them, with the checks that augment and train make.

    Exit code 2 when a file cannot be used. Example: smallgan inspect photos
    """
    import json

    from augment.inspect import check, summarise
    from augment.shares import default_workers
    from augment.sources import open_source
    from smallgan.console import say
    from smallgan.shipped import sample_set

    if source is None:
        say("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    images = open_source(source or sample_set())
    found = summarise(images, check(images, workers=workers or default_workers()))
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False) if json_output else as_table(found))
    if found["problems"]:
        raise typer.Exit(2)


def as_table(found: dict[str, Any]) -> str:
    """Return a summary of `augment.inspect.summarise` as aligned lines."""
    rows = [("source", found["source"]), ("images", f"{found['num_usable']} usable of {found['num_images']}")]
    for title, counts in (("sizes", found["sizes"]), ("formats", found["formats"]), ("classes", found["classes"])):
        rows += _rows(title, [f"{key}  {number}" for key, number in counts.items()])
    rows += _rows("problems", found["problems"])
    rows += _rows("notes", [f"{name}: {'; '.join(notes)}" for name, notes in found["notes"].items()])
    rows += _rows("equal files", [" = ".join(names) for names in found["duplicates"]])
    rows += _rows("ignored", found["ignored"])
    width = max(len(title) for title, _ in rows) + 2
    return "\n".join(f"{title:<{width}}{value}" for title, value in rows)


def _rows(title: str, values: list[str]) -> list[tuple[str, str]]:
    shown = values[:_MAX_LISTED]
    if len(values) > _MAX_LISTED:
        shown.append(f"and {len(values) - _MAX_LISTED} more; --json lists all")
    return [(title if number == 0 else "", value) for number, value in enumerate(shown)]
