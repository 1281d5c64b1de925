"""`smallgan augment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augment.policy.transforms import TRANSFORMS

if TYPE_CHECKING:
    from augment.build.plan import LookOptions
    from augment.sources.image_set import ImageSource


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
    device: Annotated[str, typer.Option(help="For the generator: auto, cpu, cuda or cuda:N.")] = "auto",
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
    from augment.build.make_dataset import make_dataset
    from augment.build.preview import write_preview
    from augment.build.reproduce import write_reproduction
    from augment.errors import UsageError
    from augment.imaging.codec import Rules, parse_background, parse_mode
    from augment.policy.policy_file import load_policy
    from augment.policy.transforms import policy_names
    from augment.sources.concat import parse_extra_source
    from smallgan.core.console import progress, say
    from smallgan.core.resources import sample_set

    if reproduce is not None:
        images = _image_source(generator, device) if generator else None
        done = write_reproduction(reproduce, out, source=source, generator=images)
        operations = " and ".join(done["operations"])
        return _echo(done, f"{done['path']}: reproduced by {operations}; the same bytes, {done['sha256']}", json_output)
    if policy is None:
        names = ", ".join(policy_names())
        raise UsageError(f"--policy is missing: say what to add, such as --policy hflip+contrast; transforms: {names}")
    wanted = load_policy(policy)
    images = _image_source(generator, device) if generator and wanted.needs_generator else None
    extra = [parse_extra_source(text, "original") for text in also or ()]
    extra += [parse_extra_source(text, "synthetic") for text in synthetic or ()]
    look: LookOptions = {"size": size, "resize_mode": resize_mode, "seed": seed, "generator": images}
    if preview is not None:
        for note in wanted.notes:
            say(note)
        rules = Rules(parse_background(background), parse_mode(mode))
        shown = write_preview(preview, wanted, source or sample_set(), extra=extra, rules=rules, **look)
        typer.echo(f"{preview}: what {policy} does to {shown} images; nothing else was written")
        return None
    if source is None:
        say("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    result = make_dataset(
        source or sample_set(),
        wanted,
        log=say,
        progress=progress,
        ratio=ratio,
        count=count,
        per_class=per_class,
        balance=balance,
        extra=extra,
        out=out,
        background=background,
        mode=mode,
        format=image_format,
        container=container,
        workers=workers,
        skip_bad=skip_bad,
        **look,
    )
    return _echo(result, _as_text(result), json_output)


def _echo(result: Any, text: str, json_output: bool) -> None:
    import json

    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if json_output else text)


def _image_source(generator: str, device: str) -> ImageSource:
    from smallgan.core.device import choose_device
    from smallgan.sampling.latents import GeneratorSource
    from smallgan.sampling.loading import load_model

    return GeneratorSource(load_model(Path(generator), choose_device(device)))


def _as_text(result: dict[str, Any]) -> str:
    added = ", ".join(f"{number} {pipeline}" for pipeline, number in result["added"].items()) or "nothing"
    synthetic = f" + {result['num_synthetic']} synthetic" if result["num_synthetic"] else ""
    lines = [f"{result['path']}: {result['num_original']} originals{synthetic} + {result['num_added']} added ({added})"]
    lines += _class_lines(result.get("classes") or {})
    if result["build_seconds"] is None:
        lines.append("it was finished already; nothing was written")
    else:
        kept = f", {result['num_kept']} were there and whole" if result["num_kept"] else ""
        lines.append(f"built in {result['build_seconds']:.2f} s{kept}")
    if result["left_out"]:
        lines.append(f"left out: {len(result['left_out'])} files that cannot be read, listed above")
    if "container" in result:
        lines.append(f"packed in {result['container']}")
    lines.append(f"look at {result['preview']}")
    return "\n".join(lines)


def _class_lines(classes: dict[str, dict[str, int]]) -> list[str]:
    """What became of the classes: how many images each has now, and how many originals were left out for it."""
    totals = sorted({counts["taken"] + counts["added"] for counts in classes.values()})
    sizes = " to ".join(map(str, dict.fromkeys([*totals[:1], *totals[-1:]])))
    cut = {name: counts["left_out"] for name, counts in classes.items() if counts["left_out"]}
    lines = [f"{len(classes)} classes of {sizes} images"] if classes else []
    if cut:
        largest = max(cut, key=lambda name: cut[name])
        lines.append(
            f"left out: {sum(cut.values())} originals of {len(cut)} larger classes, drawn by the seed (most of "
            f"{largest}, {cut[largest]}); --balance top-up without --per-class keeps all"
        )
    return lines
