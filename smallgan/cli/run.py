"""`smallgan run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("run")(run)


def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe (smallgan recipes list) or a YAML file.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE, any recipe key, repeatable.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Run under this seed alone; --set seeds=[0,1] names several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder; default: the next number below studies/.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start another study, do not go on with one.")] = False,
    cell: Annotated[
        int | None, typer.Option(help="Only this cell, numbered as --status shows; for SLURM arrays.", min=0)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cells trained at the same time, each in a process.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    status: Annotated[bool, typer.Option("--status", help="Show how far the study is; train nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Try all of it in seconds: 8 images, 4 steps, 32 px, one seed.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print --status and the result as JSON.")] = False,
) -> None:
    """Run a recipe, or all cells of its grid under all its seeds, and write the report. The same command goes on.

    Examples: smallgan run which-augmentation --set data.source=photos, or smallgan run study.yaml --jobs 2 --status
    """
    import json
    import shlex
    import sys

    from augment.errors import UsageError
    from smallgan.core.console import say, stop_flag
    from smallgan.report.runs import printable
    from smallgan.study.status import as_text, counted, rows
    from smallgan.tables.recipe import load_recipe, parse_overrides

    given = parse_overrides(settings or []) | ({} if seed is None else {"seeds": [seed]})
    if cell is not None and (new or jobs > 1):
        raise UsageError("--cell: one cell of a study that several tasks share; leave --new and --jobs out")
    resolved = load_recipe(recipe, given)
    if resolved.data.source is None:
        say("no data.source given: the sample set of painted flowers that ships with smallgan")

    from smallgan.study.open import estimate, find_study, named, open_study
    from smallgan.study.runner import ExecutionOptions, all_ended, check_cell, run_jobs, write_page

    if status or dry_run:
        study = find_study(named(resolved, smoke=smoke), out=out, new=new)
        if dry_run:
            typer.echo(json.dumps(estimate(resolved, study, smoke=smoke, device=device, say=say), indent=2))
            return
        found = rows(study) if study.exists() else []
        if json_output:
            plain = {"study": str(study.path), "runs": [row.to_json() for row in found]}
            typer.echo(json.dumps(plain, indent=2))
        elif found:
            for line in [f"{study.path}: {counted(found)}", *as_text(found)]:
                typer.echo(printable(line))
        else:
            typer.echo("no study of this recipe has begun; the same command without --status begins one")
        return
    study, planned = open_study(resolved, out=out, new=new, smoke=smoke)
    say(f"study {study.path}: {counted(rows(study))}")
    wanted = planned if cell is None else check_cell(planned, cell)
    way = ExecutionOptions(device, shlex.join(["smallgan", *sys.argv[1:]]))
    with stop_flag() as stop_requested:
        outcome = run_jobs(
            study, wanted, way, num_processes=jobs, wait=cell is not None, say=say, stop_requested=stop_requested
        )
    found = rows(study)
    page = None
    if not outcome.stopped and all_ended(study) and resolved.report.page:
        page = write_page(study, say)
    if outcome.elsewhere:
        say(f"{len(outcome.elsewhere)} run(s) are held by other processes")
    say(f"{counted(found)}{'; the same command goes on from there' if outcome.stopped else ''}")
    for row in found:
        if row.problem:
            say(f"failed: {row.cell}, seed {row.seed}: {row.problem}")
    if json_output:
        made = {"study": str(study.path), "report": page and str(page), "runs": [row.to_json() for row in found]}
        typer.echo(json.dumps(made, indent=2))
    else:
        typer.echo(printable(str(page or study.path)))
    if outcome.failed or outcome.stopped:
        raise typer.Exit(1)
