"""`smallgan report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("report")(report)


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders, or folders of runs; default: runs/.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; default: report.html in the one run, or here for several.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the numbers of the page as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page that compares runs: scores, curves, samples, data and conditions.

    Example: smallgan report runs/00000-none runs/00001-hflip --out comparison.html
    """
    import json

    from smallgan.console import say
    from smallgan.report import collect, find_runs, write_report
    from smallgan.report.runs import printable

    folders = find_runs(runs or [Path("runs")])
    found = collect(folders)
    for label, problem in found.problems:
        say(f"{label}: {problem}")
    page = write_report(found, folders, out)
    if json_output:
        typer.echo(json.dumps({"report": str(page), **found.to_json()}, indent=2))
    else:
        typer.echo(printable(str(page)))
