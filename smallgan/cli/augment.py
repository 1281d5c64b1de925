"""`smallgan augment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from augment.build.plan import Plan
    from augment.checks.open_checked import CheckedSource
    from augment.imaging.codec import Rules
    from augment.sources.concat import ExtraSource
    from augment.sources.image_set import ImageSet, ImageSource
    from augment.sources.mixed_dataset import MixedDataset


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("augment")(augment)


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
            help="What is added: hflip, vflip, contrast, negative, gan; a+b shares, a:2+b:1 weights, a.b both; or a "
            "policy file, FILE.yaml."
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
    from augment.policy.expression import KINDS
    from smallgan.cli.policies import list_kinds, remake_image, write_policy_sheet

    if kinds:
        from augment.policy.catalog import all_kinds, as_text

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
        look: dict[str, Any] = {
            "size": size,
            "resize_mode": resize_mode,
            "background": background,
            "mode": mode,
            "seed": seed,
        }
        extra = _further(also or (), synthetic or ())
        typer.echo(write_policy_sheet(source, policy, preview, **look, generator=images, extra=extra))
        return
    result = make_dataset(
        source,
        policy,
        ratio=ratio,
        count=count,
        out=out,
        size=size,
        resize_mode=resize_mode,
        image_format=image_format,
        generator=generator,
        seed=seed,
        workers=workers,
        skip_bad=skip_bad,
        device=device,
        per_class=per_class,
        balance=balance,
        also=also or (),
        synthetic=synthetic or (),
        background=background,
        mode=mode,
        container=container,
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
    resize_mode: str = "crop",
    image_format: str = "png",
    generator: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    per_class: str | None = None,
    balance: str | None = None,
    also: Sequence[str] = (),
    synthetic: Sequence[str] = (),
    background: str = "white",
    mode: str = "rgb",
    container: str = "folder",
) -> dict[str, Any]:
    """Check the source, plan and build, and return what was made, ready for JSON. Raises the errors of the parts."""
    from augment.build.build import build
    from augment.build.export import check_container, pack
    from augment.build.plan import make_plan, num_added
    from augment.build.warnings import advice, advice_on_result
    from augment.core.parallel import default_workers
    from augment.errors import UsageError
    from augment.imaging.codec import Rules, parse_background, parse_mode
    from augment.policy.policy_file import load_policy
    from augment.sources.classes import TOP_UP, parse_per_class
    from smallgan.core.console import progress, say

    policy = load_policy(policy_text)
    num_added(1, ratio, count)  # what is wrong is told before a long check
    if per_class:
        parse_per_class(per_class)
    check_container(container, size)
    rules = Rules(parse_background(background), parse_mode(mode))
    extra = _further(also, synthetic)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: needed at least 1")
    images = _image_source(generator, device) if policy.needs_generator else None
    if source_path is None:
        say("no SOURCE given: the sample set of painted flowers that ships with smallgan")
    workers = workers or default_workers()
    source, left_out, warnings, first = _enter(source_path, extra, out, rules, skip_bad, workers, seed)
    if per_class or balance:
        warnings = [warning for warning in warnings if TOP_UP not in warning]  # it is what is being done
    plan = make_plan(
        source,
        policy,
        ratio=ratio,
        count=count,
        size=size,
        resize_mode=resize_mode,
        format=image_format,
        seed=seed,
        generator=images,
        per_class=per_class,
        balance=balance,
    )
    if plan.settings["ratio"] and ratio is None and policy.shares:
        say(f"no --ratio or --count given: 1:1, {plan.settings['num_added']} added to {plan.settings['num_original']}")
    kinds = {step.name for share in policy.shares for step in share.steps}
    warnings += [*policy.notes, *advice(plan), *first.against_symmetry(kinds)]
    for warning in warnings:
        say(f"note: {warning}")
    folder = out or default_folder(plan)
    with progress("building", len(plan.entries)) as report:
        dataset = build(plan, source, folder, workers=workers, generator=images, progress=report)
    for warning in advice_on_result(dataset):
        say(f"note: {warning}")
        warnings.append(warning)
    packed, notes = pack(dataset, container)
    for note in notes:
        say(f"note: {note}")
    result = _summary(plan, dataset, left_out) | {"warnings": [*warnings, *notes]}
    return result if container == "folder" else result | {"container": str(packed)}


def _further(also: Sequence[str], synthetic: Sequence[str]) -> list[ExtraSource]:
    """Return the sources beside the first, as --also and --synthetic name them."""
    from augment.sources.concat import parse_extra_source

    originals = [parse_extra_source(text, "original") for text in also]
    return [*originals, *(parse_extra_source(text, "synthetic") for text in synthetic)]


def _enter(
    path: Path | None,
    extra: Sequence[ExtraSource],
    out: Path | None,
    rules: Rules,
    skip_bad: bool,
    workers: int,
    seed: int,
) -> tuple[ImageSet, list[str], list[str], CheckedSource]:
    """Let the source in, and the further ones after it: one set, what was left out, what to know, the first."""
    from augment.checks.open_checked import open_checked
    from augment.sources.concat import concat
    from smallgan.core.console import say
    from smallgan.core.resources import sample_set

    path = path or sample_set()
    first = open_checked(path, exclude=out, rules=rules, skip_bad=skip_bad, originals_only=True, workers=workers)
    source, left_out, notes = first.source, list(first.left_out), list(first.notes)
    for one in extra:
        is_real = one.origin == "original"
        more = open_checked(
            one.path, exclude=out, rules=rules, skip_bad=skip_bad, originals_only=is_real, workers=workers
        )
        source = concat(source, one, more.source, seed)
        left_out += more.left_out
        notes += [f"{one.path}: {note}" for note in more.notes]
    for problem in left_out:
        say(f"left out: {problem}")
    return source, left_out, notes, first


def default_folder(plan: Plan) -> Path:
    """Return out/<source>-<policy>, with whatever else differs from the defaults: out/photos-hflip+contrast-64px."""
    from augment.build.plan import DEFAULT_RATIO
    from augment.core.file_names import safe

    settings = plan.settings
    parts = [settings["sources"][0]["name"], plan.policy.title or str(plan.policy).replace(":", "")]
    parts += [part["name"] for part in settings["sources"][1:]]
    if "classes" in settings:
        amount = str(settings["per_class"] or settings["balance"])
        parts.append(f"{amount.replace('=', '').replace(',', '+')}-per-class" if settings["per_class"] else amount)
    elif settings["ratio"] is None:
        parts.append(f"{settings['num_added']}added")
    elif settings["ratio"] != DEFAULT_RATIO:
        parts.append(settings["ratio"].replace(":", "to"))
    if plan.size:
        parts.append(f"{plan.size}px" if plan.resize_mode == "crop" else f"{plan.size}px-{plan.resize_mode}")
    parts += [str(settings[key]) for key in ("background", "mode") if key in settings]
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
    from smallgan.core.device import choose_device
    from smallgan.sampling.latents import GeneratorSource
    from smallgan.sampling.loading import load_model

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
        "num_synthetic": sum(part["num_images"] for part in settings["sources"] if part.get("origin") == "synthetic"),
        **({"classes": settings["classes"]} if "classes" in settings else {}),
        "num_kept": dataset.num_kept,
        "left_out": left_out,
        "build_seconds": None if seconds is None else round(seconds, 3),
    }


def _as_text(result: dict[str, Any]) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in result["added"].items()) or "nothing"
    made_elsewhere = f" + {result['num_synthetic']} synthetic" if result["num_synthetic"] else ""
    lines = [
        f"{result['path']}: {result['num_original']} originals{made_elsewhere} + {result['num_added']} added ({kinds})"
    ]
    lines += _class_lines(result.get("classes"))
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


def _class_lines(classes: dict[str, dict[str, int]] | None) -> list[str]:
    """What became of the classes: how many images each has now, and how many originals were left out for it."""
    if not classes:
        return []
    totals = [counts["taken"] + counts["added"] for counts in classes.values()]
    sizes = str(min(totals)) if min(totals) == max(totals) else f"{min(totals)} to {max(totals)}"
    cut = {name: counts["left_out"] for name, counts in classes.items() if counts["left_out"]}
    lines = [f"{len(classes)} classes of {sizes} images"]
    if cut:
        largest = max(cut, key=lambda name: cut[name])
        lines.append(
            f"left out: {sum(cut.values())} originals of {len(cut)} larger classes, drawn by the seed (most of "
            f"{largest}, {cut[largest]}); --balance top-up without --per-class keeps all"
        )
    return lines
