"""`smallgan augment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from augment.dataset import MixedDataset
    from augment.plan import Plan
    from augment.sources import ImageSource


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("augment")(augment)


def augment(
    source: Annotated[
        Path | None,
        typer.Argument(help="Folder, zip, image or mixed dataset; default: the sample set that ships with smallgan."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="What is added: hflip, vflip, contrast, negative, gan; a+b shares, a:2+b:1 weights, a.b both; or a "
            "policy file, FILE.yaml."
        ),
    ] = None,
    ratio: Annotated[str | None, typer.Option(help="Originals to added images, A:B; default 1:1.")] = None,
    count: Annotated[int | None, typer.Option(help="Number of added images, instead of --ratio.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: out/<source>-<policy>...")] = None,
    size: Annotated[
        int | None, typer.Option(help="Make all images squares of this side; default: as they are.")
    ] = None,
    fit: Annotated[str, typer.Option(help="How an image becomes square: crop, pad (on white) or stretch.")] = "crop",
    image_format: Annotated[str, typer.Option("--format", help="Format of the images made: png or jpeg.")] = "png",
    generator: Annotated[str | None, typer.Option(help="Trained run that makes the images of the kind gan.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of parents and of all draws.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Threads; default: one a core, at most 8.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out and list them.")] = False,
    device: Annotated[str, typer.Option(help="For the generator: auto, cpu, cuda or cuda:N.")] = "auto",
    kinds: Annotated[bool, typer.Option("--kinds", help="List what a policy can name, with parameters.")] = False,
    preview: Annotated[
        Path | None, typer.Option(help="Write only a sheet of what the policy does to ten images, to this PNG file.")
    ] = None,
    remake: Annotated[
        Path | None,
        typer.Option(help="Make this image of a mixed dataset again, alone, from its line; SOURCE if asked."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build a mixed dataset: the originals, and augmented images in exact numbers. The same command again resumes.

    Example: smallgan augment photos --policy hflip+contrast --ratio 1:1 --size 64
    """
    import json

    from augment.errors import UsageError
    from augment.policy import KINDS
    from smallgan.cli.policies import list_kinds, remake_image, write_policy_sheet

    if kinds:
        from augment.kinds import all_kinds, as_text

        typer.echo(json.dumps(list_kinds(), indent=2) if json_output else as_text(all_kinds()))
        return
    if remake is not None:
        remade = remake_image(remake, source, out, _image_source(generator, device) if generator else None)
        operations = " and ".join(remade["operations"])
        text = f"{remade['path']}: made again by {operations}; the same bytes, {remade['sha256']}"
        typer.echo(json.dumps(remade, indent=2, ensure_ascii=False) if json_output else text)
        return
    if policy is None:
        raise UsageError(
            f"--policy is missing: say what to add, such as --policy hflip+contrast; kinds: {', '.join(KINDS)}"
        )
    if preview is not None:
        images = _image_source(generator, device) if generator else None
        typer.echo(write_policy_sheet(source, policy, preview, size=size, fit=fit, seed=seed, generator=images))
        return
    result = make_dataset(
        source,
        policy,
        ratio=ratio,
        count=count,
        out=out,
        size=size,
        fit=fit,
        image_format=image_format,
        generator=generator,
        seed=seed,
        workers=workers,
        skip_bad=skip_bad,
        device=device,
    )
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if json_output else _as_text(result))


def make_dataset(
    source_path: Path | None,
    policy_text: str,
    *,
    ratio: str | None = None,
    count: int | None = None,
    out: Path | None = None,
    size: int | None = None,
    fit: str = "crop",
    image_format: str = "png",
    generator: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    skip_bad: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Check the source, plan and build, and return what was made, ready for JSON. Raises the errors of the parts."""
    from augment.advice import advice, advice_on_result
    from augment.build import build
    from augment.errors import UsageError
    from augment.inspect import check, sound
    from augment.plan import make_plan, num_added
    from augment.policy_file import load_policy
    from augment.shares import default_workers
    from augment.sources import open_source
    from smallgan.console import progress, say
    from smallgan.shipped import sample_set

    policy = load_policy(policy_text)
    num_added(1, ratio, count)  # a wrong amount is told before a long check
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: needed at least 1")
    images = _image_source(generator, device) if policy.needs_generator else None
    if source_path is None:
        say("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    source = open_source(source_path or sample_set(), exclude=out)
    num_mixed = len(source)
    source = source.originals()
    if len(source) < num_mixed:
        say(f"{source.path} is a mixed dataset: only its {len(source)} originals are used")
    workers = workers or default_workers()
    records = check(source, workers=workers)
    source = sound(source, records, skip_bad=skip_bad)
    left_out = [record.problem for record in records if record.problem]
    for problem in left_out:
        say(f"left out: {problem}")
    plan = make_plan(
        source, policy, ratio=ratio, count=count, size=size, fit=fit, format=image_format, seed=seed, generator=images
    )
    if ratio is None and count is None and policy.shares:
        say(f"no --ratio or --count given: 1:1, {plan.settings['num_added']} added to {plan.settings['num_original']}")
    warnings = [*policy.notes, *advice(plan)]
    for warning in warnings:
        say(f"note: {warning}")
    folder = out or default_folder(plan)
    with progress("building", len(plan.entries)) as report:
        dataset = build(plan, source, folder, workers=workers, generator=images, progress=report)
    for warning in advice_on_result(dataset):
        say(f"note: {warning}")
        warnings.append(warning)
    return _summary(plan, dataset, left_out) | {"warnings": warnings}


def default_folder(plan: Plan) -> Path:
    """Return out/<source>-<policy>, with whatever else differs from the defaults: out/photos-hflip+contrast-64px."""
    from augment.names import safe
    from augment.plan import DEFAULT_RATIO

    settings = plan.settings
    parts = [settings["sources"][0]["name"], plan.policy.title or str(plan.policy).replace(":", "")]
    if settings["ratio"] is None:
        parts.append(f"{settings['num_added']}added")
    elif settings["ratio"] != DEFAULT_RATIO:
        parts.append(settings["ratio"].replace(":", "to"))
    if plan.size:
        parts.append(f"{plan.size}px" if plan.fit == "crop" else f"{plan.size}px-{plan.fit}")
    if plan.format != "png":
        parts.append(plan.format)
    if plan.seed:
        parts.append(f"seed{plan.seed}")
    return Path("out") / safe("-".join(parts))


def _image_source(generator: str | None, device: str) -> ImageSource:
    from augment.errors import MissingError

    if generator is None:
        raise MissingError(
            "the kind 'gan' needs a trained generator: train one with `smallgan train DATA`, "
            "then name its run here with --generator runs/00000-..."
        )
    from smallgan.device import choose_device
    from smallgan.generators import load_model
    from smallgan.sampling import GeneratorSource

    return GeneratorSource(load_model(Path(generator), choose_device(device)))


def _summary(plan: Plan, dataset: MixedDataset, left_out: list[str]) -> dict[str, Any]:
    settings = plan.settings
    seconds = dataset.build_seconds
    return {
        "path": str(dataset.path),
        "preview": str(dataset.preview),
        "policy": settings["policy"],
        "num_images": len(dataset),
        "num_original": settings["num_original"],
        "num_added": settings["num_added"],
        "added": {share["chain"]: share["num"] for share in settings["shares"]},
        "num_kept": dataset.num_kept,
        "left_out": left_out,
        "build_seconds": None if seconds is None else round(seconds, 3),
    }


def _as_text(result: dict[str, Any]) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in result["added"].items()) or "nothing"
    lines = [f"{result['path']}: {result['num_original']} originals + {result['num_added']} added ({kinds})"]
    if result["build_seconds"] is None:
        lines.append("it was finished already; nothing was written")
    else:
        kept = f", {result['num_kept']} were there and whole" if result["num_kept"] else ""
        lines.append(f"built in {result['build_seconds']:.2f} s{kept}")
    if result["left_out"]:
        lines.append(f"left out: {len(result['left_out'])} files that cannot be read, listed above")
    lines.append(f"look at {result['preview']}")
    return "\n".join(lines)
