"""`smallgan downstream`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from smallgan.tables.classifiers import CLASSIFIERS


def downstream(
    data: Annotated[str | None, typer.Argument(help="Folder with a sub-folder for each class.")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A variant: none, hflip, hflip+gan ...; repeatable. Default: none and hflip."),
    ] = None,
    on_the_fly: Annotated[
        list[str] | None,
        typer.Option("--on-the-fly", help="A variant whose policy changes images as they are drawn; repeatable."),
    ] = None,
    synthetic: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER: a variant with images from elsewhere, in class sub-folders; repeatable."),
    ] = None,
    synthetic_only: Annotated[
        bool, typer.Option("--synthetic-only", help="Also train on the gan and --synthetic images alone.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    per_class: Annotated[
        str | None,
        typer.Option("--per-class", help="Real training images a class, such as 10, or 5,10,25 for a curve."),
    ] = None,
    test: Annotated[float | None, typer.Option(help="Share of every class for the test; default: 0.25.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images in pixels; default: 64.")] = None,
    classifier: Annotated[
        str | None, typer.Option(help=f"{', '.join(CLASSIFIERS.names)}; default: {CLASSIFIERS.names[0]}.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="For linear and knn: a feature network, or your own .onnx or .yaml.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each classifier; default: by the number of images.")
    ] = None,
    ratio: Annotated[str | None, typer.Option(help="Originals to added images, A:B; default: 1:1.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe to start from, a shipped name or a YAML file.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE, any recipe key, repeatable.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out and list them.")] = False,
    out: Annotated[Path | None, typer.Option(help="Study folder; default: the next number below studies/.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start another study, continue none.")] = False,
    jobs: Annotated[int, typer.Option(help="Classifiers trained at the same time, each in a process.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train classifiers on what each policy gives, and test them on real images that nobody touched. Repeat to resume.

    Example: smallgan downstream photos --policy none --policy hflip --policy hflip+contrast --per-class 20
    """
    import json

    from augment.errors import UsageError
    from smallgan.core.console import say
    from smallgan.downstream.run import run_downstream
    from smallgan.downstream.variants import grid_of
    from smallgan.tables.recipe import load_recipe, parse_overrides
    from smallgan.tables.sweep import slug

    numbers = None if per_class is None else [int(part) if part.isdigit() else part for part in per_class.split(",")]
    options: dict[str, Any] = {
        "data.source": data,
        "data.skip_bad": skip_bad or None,
        "downstream.test": test,
        "downstream.size": size,
        "downstream.per_class": numbers,
        "downstream.classifier.name": classifier,
        "downstream.classifier.features": features,
        "downstream.classifier.steps": steps,
        "augment.ratio": ratio,
        "seeds": list(range(seed, seed + seeds)),
    }
    if recipe is None:
        options = {"downstream": {}, **options}  # its defaults, where no option sets a key of it
        options["name"] = f"downstream-{slug(Path(data).name)}"[:60] if data else "downstream"
    if recipe is None or policy or on_the_fly or synthetic:
        options["grid"] = grid_of(policy or [], on_the_fly or [], synthetic or [], synthetic_only=synthetic_only)
    given = {path: value for path, value in options.items() if value is not None} | parse_overrides(settings or [])
    resolved = load_recipe(recipe, given)
    if resolved.downstream is None:
        raise UsageError(f"--recipe {recipe}: it has no section downstream; leave --recipe out, or add that section")
    result = run_downstream(resolved, out=out, new=new, device=device, num_processes=jobs, log=say)
    typer.echo(json.dumps(result.values, indent=2) if json_output else result.text)
    if not result.is_complete:
        raise typer.Exit(1)
