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
    jobs: Annotated[int, typer.Option(help="Trials at the same time, each a process; they share the GPUs.", min=1)] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run the trials on this Ray cluster: auto, or host:port.")
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="With --ray: GPUs of a trial, 0.25 shares one; default 1 if there are any.", min=0),
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="With --ray: cores, and threads, of a trial; default 1.", min=0)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    status: Annotated[bool, typer.Option("--status", help="Show how far the study is; train nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and how long; no run.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Try it in seconds: 8 images, 4 steps, 32 px, 1 seed.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the result, --status or --dry-run as JSON.")
    ] = False,
) -> None:
    """Run a recipe, or all variants of its grid under all its seeds, and write the report. Repeat it to resume.

    Examples: smallgan run which-augmentation --set data.source=photos, or smallgan run study.yaml --jobs 2 --status
    """
    import json
    import shlex
    import sys

    from smallgan.api import studies

    which: dict[str, Any] = {"set": settings or (), "seed": seed, "out": out, "new": new, "smoke": smoke}
    if dry_run:
        planned = studies.estimate_study(recipe, **which, device=device)
        typer.echo(json.dumps(planned.values, indent=2) if json_output else planned.text)
        return
    if status:
        study = studies.study_status(recipe, **which)
    else:
        command = shlex.join(["smallgan", *sys.argv[1:]])
        many: dict[str, Any] = {"ray": ray, "gpus_per_trial": gpus_per_trial, "cpus_per_trial": cpus_per_trial}
        study = studies.run_study(recipe, **which, trial=trial, jobs=jobs, **many, device=device, command=command)
    typer.echo(json.dumps(study.values, indent=2) if json_output else study.text)
    if not study.is_complete:
        raise typer.Exit(1)
