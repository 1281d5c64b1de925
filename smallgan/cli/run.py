"""`smallgan run`."""

from pathlib import Path
from typing import Annotated, Any

import typer


def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe (smallgan recipes list) or a YAML file.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE, any recipe key, repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="This seed alone; --set seeds=[0,1] names several.")] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder; default: the next number below studies/.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start another study, continue none.")] = False,
    trial: Annotated[int | None, typer.Option(help="Only this trial of --status; for SLURM arrays.", min=0)] = None,
    jobs: Annotated[int, typer.Option(help="Trials run at the same time, each in a process.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    status: Annotated[bool, typer.Option("--status", help="Show how far the study is; train nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show as JSON what would happen; write nothing.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Try it in seconds: 8 images, 4 steps, 32 px, 1 seed.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print --status and the result as JSON.")] = False,
) -> None:
    """Run a recipe, or all variants of its grid under all its seeds, and write the report. Repeat it to resume.

    Examples: smallgan run which-augmentation --set data.source=photos, or smallgan run study.yaml --jobs 2 --status
    """
    import json
    import shlex
    import sys

    from smallgan.core.console import say
    from smallgan.study.open import estimate
    from smallgan.study.run_recipe import run_recipe, study_status
    from smallgan.study.stages import ExecutionOptions
    from smallgan.tables.recipe import load_recipe, parse_overrides

    given = parse_overrides(settings or []) | ({} if seed is None else {"seeds": [seed]})
    resolved = load_recipe(recipe, given)
    if resolved.downstream is not None:
        from smallgan.downstream.run import run_from_recipe

        refused = {"--trial": trial is not None, "--status": status, "--dry-run": dry_run}
        made = run_from_recipe(resolved, refused, out=out, new=new, device=device, num_processes=jobs, smoke=smoke)
        typer.echo(json.dumps(made.values, indent=2) if json_output else made.text)
        if not made.is_complete:
            raise typer.Exit(1)
        return
    which: dict[str, Any] = {"out": out, "new": new, "smoke": smoke}
    if dry_run:
        typer.echo(json.dumps(estimate(resolved, **which, device=device, log=say), indent=2))
        return
    if status:
        result = study_status(resolved, **which)
    else:
        options = ExecutionOptions(device, shlex.join(["smallgan", *sys.argv[1:]]))
        result = run_recipe(resolved, **which, trial=trial, num_processes=jobs, options=options, log=say)
    typer.echo(json.dumps(result.values, indent=2) if json_output else result.text)
    if not result.is_complete:
        raise typer.Exit(1)
