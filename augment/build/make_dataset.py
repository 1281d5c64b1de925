"""From a source to a finished mixed dataset in one call: checked, planned, built and packed."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Unpack

from augment.build.build import build
from augment.build.export import check_container, check_place, pack
from augment.build.plan import DEFAULT_RATIO, Plan, PlanOptions, check_settings, make_plan, num_added
from augment.build.warnings import advice, advice_on_result
from augment.checks.open_checked import open_checked
from augment.core.file_names import safe
from augment.core.files import outside
from augment.core.parallel import ProgressBar, default_workers
from augment.errors import MissingError, UsageError
from augment.imaging.codec import Rules, parse_background, parse_mode
from augment.policy.expression import Policy
from augment.policy.policy_file import load_policy
from augment.sources.classes import TOP_UP, parse_per_class
from augment.sources.concat import ExtraSource
from augment.sources.mixed_dataset import MixedDataset


def make_dataset(
    source_path: Path,
    policy: Policy | str,
    *,
    log: Callable[[str], None] = lambda _line: None,
    progress: ProgressBar | None = None,
    extra: Sequence[ExtraSource] = (),
    out: Path | None = None,
    background: str = "white",
    mode: str = "rgb",
    container: str = "folder",
    workers: int | None = None,
    skip_bad: bool = False,
    **options: Unpack[PlanOptions],
) -> dict[str, Any]:
    """Check the source, plan and build, and return what was made, ready for JSON.

    Args:
        source_path: anything that `augment.sources.readers.open_source` opens.
        policy: what is added: a policy, an expression or the path of a policy file.
        log: gets a line for each thing that the user should know.
        progress: shows how far the build is.
        extra: sources beside the first.
        out: folder to write; None: `default_folder`.
        background: colour below transparent parts and around padded images, or refuse.
        mode: rgb or gray.
        container: folder, stylegan-zip or webdataset.
        workers: threads; None: one a core, at most 8.
        skip_bad: leave unreadable files out and list them.
        options: what is made, and how much of it: the keywords of `augment.build.plan.make_plan`.

    Raises:
        UsageError: an option is wrong.
        InputError: a file cannot be used.
        MissingError: the policy needs a generator and there is none.
        OutputError: the folder cannot be written, or lies in a source.
    """
    policy = load_policy(policy) if isinstance(policy, str) else policy
    ratio, per_class, generator = options.get("ratio"), options.get("per_class"), options.get("generator")
    num_added(1, ratio, options.get("count"))  # what is wrong is told before a long check
    if per_class:
        parse_per_class(per_class)
    if (count := options.get("count")) and not policy.components:
        raise UsageError(f"policy 'none' adds nothing, and --count asks for {count}; name transforms, such as hflip")
    sources = [source_path, *(one.path for one in extra)]
    if out is not None:
        outside(out, sources)
    check_container(container, options.get("size"))
    seed = options.get("seed", 0)
    check_settings(options.get("size"), options.get("resize_mode", "crop"), options.get("format", "png"), seed)
    rules = Rules(parse_background(background), parse_mode(mode))
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: must be at least 1")
    if policy.needs_generator and generator is None:
        raise MissingError(
            "the transform 'gan' needs a trained generator: train one with `smallgan train DATA`, "
            "then name its run here with --generator runs/00000-..."
        )
    workers = workers or default_workers()
    checked = open_checked(
        source_path, extra, rules=rules, skip_bad=skip_bad, originals_only=True, workers=workers, seed=seed
    )
    for problem in checked.left_out:
        log(f"left out: {problem}")
    plan = make_plan(checked.source, policy, **options)
    if plan.settings["ratio"] and ratio is None and policy.components:
        log(f"no --ratio or --count given: 1:1, {plan.settings['num_added']} added to {plan.settings['num_original']}")
    is_balanced = bool(per_class or options.get("balance"))  # then it is no news that it could be
    warnings = [note for note in checked.notes if not (is_balanced and TOP_UP in note)]
    warnings += [*policy.notes, *advice(plan), *checked.against_symmetry(policy)]
    for warning in warnings:
        log(f"note: {warning}")
    folder = out or outside(default_folder(plan), sources)
    check_place(folder, container, sources)
    with progress("building", len(plan.entries)) if progress else nullcontext() as report:
        dataset = build(plan, checked.source, folder, workers=workers, generator=generator, progress=report)
    packed, notes = pack(dataset, container)
    notes = [*advice_on_result(dataset), *notes]
    for note in notes:
        log(f"note: {note}")
    result = _summary(plan, dataset, checked.left_out) | {"warnings": [*warnings, *notes]}
    return result if container == "folder" else result | {"container": str(packed)}


def default_folder(plan: Plan) -> Path:
    """Return out/<source>-<policy>, with whatever else differs from the defaults: out/photos-hflip+contrast-64px."""
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
        "added": {component["pipeline"]: component["num"] for component in settings["components"]},
        "num_synthetic": sum(entry.origin == "synthetic" and entry.k is None for entry in plan.entries),
        **({"classes": settings["classes"]} if "classes" in settings else {}),
        "num_kept": dataset.num_kept,
        "left_out": left_out,
        "build_seconds": None if seconds is None else round(seconds, 3),
    }
