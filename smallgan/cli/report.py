"""`smallgan report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, studies, or folders of runs; default: runs/.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; default: report.html in the one run or study, or here for several.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Also write numbers (CSV, JSON) and figures (SVG) into this folder.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Policy to compare with; default: that of the study, or the policy none.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Headline metric, such as kid; default: kmmd where it was scored.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the numbers of the page as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page that compares runs: result, scores, curves, samples, data and conditions.

    Runs whose recipes differ only in the seed are one policy. Example: smallgan report runs --out comparison.html
    """
    import json

    from smallgan.core.console import say
    from smallgan.report import collect, find_runs, write_export, write_report
    from smallgan.report.runs import printable

    folders = find_runs(runs or [Path("runs")])
    collected = collect(folders, reference=reference, metric=metric)
    for label, problem in collected.problems:
        say(f"{label}: {problem}")
    page = write_report(collected, folders, out)
    if export:
        say(f"{export}: {len(write_export(collected, export))} files written (numbers and figures)")
    if json_output:
        typer.echo(json.dumps({"report": str(page), **collected.to_json()}, indent=2))
    else:
        typer.echo(printable(str(page)))
