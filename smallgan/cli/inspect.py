"""`smallgan inspect`."""

from pathlib import Path
from typing import Annotated, Any

import typer

_MAX_LISTED = 10


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

    from augment.checks.inspect import check, summarise
    from augment.core.parallel import default_workers
    from augment.errors import UsageError
    from augment.imaging.codec import Rules, parse_background, parse_mode
    from augment.imaging.geometry import RESIZE_MODES
    from augment.sources.readers import open_source
    from smallgan.core.console import progress, say
    from smallgan.core.resources import sample_set

    if resize_mode not in RESIZE_MODES:
        raise UsageError(f"--resize-mode {resize_mode!r}: needed one of {', '.join(RESIZE_MODES)}")
    rules = Rules(parse_background(background), parse_mode(mode))
    if source is None:
        say("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    images = open_source(source or sample_set(), rules=rules).uncached()
    with progress("looking", len(images)) as report:
        records = check(images, workers=workers or default_workers(), signatures=True, progress=report)
    summary = summarise(images, records, size=size, resize_mode=resize_mode)
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False) if json_output else as_table(summary, files=files))
    if summary["problems"]:
        raise typer.Exit(2)


def as_table(summary: dict[str, Any], *, files: bool = False) -> str:
    """Return a summary of `augment.checks.inspect.summarise` as aligned lines, with a line a file where asked for."""
    rows = [("source", summary["source"]), ("images", f"{summary['num_usable']:,} usable of {summary['num_images']:,}")]
    listed = {
        "read as": summary["set_notes"],
        **{key: [f"{k}  {number:,}" for k, number in summary[key].items()] for key in ("sizes", "formats", "classes")},
        "turned": summary["turned"],
        "problems": summary["problems"],
        "notes": [f"{name}: {'; '.join(notes)}" for name, notes in summary["notes"].items()],
        "equal files": [" = ".join(names) for names in summary["duplicates"]],
        "look alike": [" ~ ".join(names) for names in summary["near_duplicates"]],
        "symmetry": [symmetry["text"] for symmetry in summary["symmetry"]],
        "ignored": summary["ignored"],
        "what is done": [f"{number:,}  {action}" for action, number in summary["actions"].items()],
        "advice": summary["advice"],
    }
    for title, values in listed.items():
        shown = values[:_MAX_LISTED]
        if len(values) > _MAX_LISTED:
            shown.append(f"and {len(values) - _MAX_LISTED} more; --json lists all")
        rows += [(title if number == 0 else "", value) for number, value in enumerate(shown)]
    width = max(len(title) for title, _ in rows) + 2
    lines = [f"{title:<{width}}{value}" for title, value in rows]
    return "\n".join([*lines, "", *_file_lines(summary["files"])] if files else lines)


def _file_lines(files: list[dict[str, Any]]) -> list[str]:
    cells = [
        (
            file["name"],
            f"{file['width']}x{file['height']}" if file["width"] else "-",
            f"{file['format']} {file['mode']}" if file["format"] else "-",
            "" if file["orientation"] == 1 else f"EXIF {file['orientation']}",
            file["problem"] or file["action"],
        )
        for file in files
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    padded = [[f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)] for row in cells]
    return ["  ".join([*row, last]) for row, (*_, last) in zip(padded, cells, strict=True)]
