"""`smallgan data`: public sets by name."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List public image sets, and get them as folders. Nothing is downloaded unless you say `get`.\n\n"
    "Example: smallgan data get oxford-pets:pomeranian",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
_AS_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_sets(as_json: _AS_JSON = False) -> None:
    """List the sets that can be had by name, with their number of images and a caution on their licence.

    Example: smallgan data list
    """
    import json

    from smallgan.data.public_datasets import SETS

    if as_json:
        fields = ("name", "title", "num_images", "classes", "licence")
        typer.echo(json.dumps([{key: getattr(each, key) for key in fields} for each in SETS.values()], indent=2))
        return
    width = max(map(len, SETS))
    for each in SETS.values():
        classes = f", {each.classes}" if each.classes else ""
        typer.echo(f"{each.name:{width}}  {each.title}: {each.num_images:,} images{classes}; licence: {each.licence}")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="NAME, or NAME:CLASS,CLASS such as flowers102:passion-flower.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: sets/<name>-<class>.")] = None,
    count: Annotated[int | None, typer.Option(help="Only the first so many images, in the set's order.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where torchvision keeps its own files; default: the cache.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; use what is in --root.")] = False,
    as_json: _AS_JSON = False,
) -> None:
    """Write a public set, or some of its classes, into a folder with class sub-folders, downloading what is not here.

    Example: smallgan data get oxford-pets:pomeranian
    """
    import json

    from smallgan.core.console import progress, say
    from smallgan.data.public_datasets import SETS, get_set

    if (found := SETS.get(name.partition(":")[0].strip())) is not None:
        say(f"{found.title}; licence: {found.licence}")
    with progress("writing", count or (found.num_images if found else 1)) as report:
        result = get_set(name, out, root=root, count=count, offline=offline, progress=report)
    text = f"{result['path']}: {result['num_images']:,} images, {len(result['classes'])} classes\n"
    text += f"look at them: smallgan inspect {result['path']}"
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)
