"""`smallgan augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from augment.policy.transforms import TRANSFORMS


def augment(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Folder, zip, array file (.npz), list of files (.txt, .csv, .jsonl), image or mixed dataset; default: "
            "the sample set that ships with smallgan."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help=f"What is added: {', '.join(TRANSFORMS.names)}, gan; a+b half of each, a:2+b:1 weights, a.b both; or "
            "a policy file, FILE.yaml."
        ),
    ] = None,
    ratio: Annotated[str | None, typer.Option(help="Originals to added images, A:B; default 1:1.")] = None,
    count: Annotated[int | None, typer.Option(help="Number of added images, instead of --ratio.")] = None,
    per_class: Annotated[
        str | None, typer.Option(help="Exactly so many images in each class, instead of --ratio: 100, or 100,cats=500.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="top-up: bring every class to --per-class, or to the largest, leaving none out.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="More originals: PATH, PATH=NUMBER or PATH=NUMBER%, repeatable.")
    ] = None,
    synthetic: Annotated[
        list[str] | None,
        typer.Option(help="Images made elsewhere, taken as they are: PATH, PATH=NUMBER, PATH=NUMBER%, repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: out/<source>-<policy>...")] = None,
    size: Annotated[
        int | None, typer.Option(help="Make all images squares of this side; default: as they are.")
    ] = None,
    resize_mode: Annotated[
        str, typer.Option(help="How an image becomes square: crop, pad (on --background) or stretch.")
    ] = "crop",
    background: Annotated[str, typer.Option(help="Under transparent parts and around: a colour, or refuse.")] = "white",
    mode: Annotated[str, typer.Option(help="rgb, or gray: one channel in every image.")] = "rgb",
    container: Annotated[
        str, typer.Option(help="Pack the set for other tools too: folder, stylegan-zip or webdataset.")
    ] = "folder",
    image_format: Annotated[str, typer.Option("--format", help="Format of the images made: png or jpeg.")] = "png",
    generator: Annotated[
        str | None, typer.Option(help="Trained run that makes the images of the transform gan.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of parents and of all draws.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Threads; default: one a core, at most 8.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out and list them.")] = False,
    device: Annotated[str, typer.Option(help="For the generator: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    list_transforms: Annotated[
        bool, typer.Option("--list-transforms", help="List what a policy can name, with parameters.")
    ] = False,
    preview: Annotated[
        Path | None, typer.Option(help="Write only a sheet of what the policy does to ten images, to this PNG file.")
    ] = None,
    reproduce: Annotated[
        Path | None,
        typer.Option(help="Make this image of a mixed dataset again, from its line in metadata.jsonl alone."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build a mixed dataset: the originals, and augmented images in exact numbers. The same command again resumes.

    Example: smallgan augment photos --policy hflip+contrast --ratio 1:1 --size 64
    """
    if list_transforms:
        from augment.policy import catalog

        entries = catalog.list_transforms()
        return _echo([vars(entry) for entry in entries], catalog.as_text(entries), json_output)
    from smallgan.api import datasets

    if reproduce is not None:
        done = datasets.reproduce_image(reproduce, out, source=source, generator=generator, device=device)
        operations = " and ".join(done["operations"])
        return _echo(done, f"{done['path']}: reproduced by {operations}; the same bytes, {done['sha256']}", json_output)
    shared: dict[str, Any] = {
        "also": also or (),
        "synthetic": synthetic or (),
        "size": size,
        "resize_mode": resize_mode,
        "background": background,
        "mode": mode,
        "generator": generator,
        "seed": seed,
        "device": device,
    }
    if preview is not None:
        shown = datasets.preview_policy(preview, source, policy, **shared)
        typer.echo(f"{preview}: what {policy} does to {shown} images; nothing else was written")
        return None
    built = datasets.build_dataset(
        source,
        policy,
        ratio=ratio,
        count=count,
        per_class=per_class,
        balance=balance,
        out=out,
        container=container,
        format=image_format,
        workers=workers,
        skip_bad=skip_bad,
        **shared,
    )
    return _echo(built.values, repr(built), json_output)


def _echo(result: Any, text: str, json_output: bool) -> None:
    import json

    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if json_output else text)
