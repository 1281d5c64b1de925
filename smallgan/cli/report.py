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

    from smallgan.api.reports import write_report

    written = write_report(runs, out, export=export, reference=reference, metric=metric)
    typer.echo(json.dumps(written.values, indent=2) if json_output else repr(written))
