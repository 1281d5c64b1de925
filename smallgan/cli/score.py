"""`smallgan score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from smallgan.metrics.score import Score
    from smallgan.metrics.score_paths import Versus


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("score")(score)


def score(
    fake: Annotated[
        Path | None,
        typer.Argument(
            help="A folder or zip of images, a mixed dataset, or a run; default: the newest run below runs/."
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="Real images to compare with; default: the originals of the run or mixed dataset."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Some of is, kmmd, kmmd_u, mmd2_rbf_multi, mmd2_rbf_multi_u, kid, fid, precision, recall, nn, copies, "
            "repeats, leak, target; default: is, and kmmd where there are reals."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Feature network (smallgan weights list), or your own: an .onnx file with a card, or the card; "
            "default: the published Inception if it is here."
        ),
    ] = None,
    num_fake: Annotated[
        int | None, typer.Option(help="Images scored; default: all, and of a run as many as reals, 100 to 1000.")
    ] = None,
    splits: Annotated[
        int | None, typer.Option(help="Parts of the Inception Score; default 10, or 1 below 1000 images.")
    ] = None,
    resize_mode: Annotated[
        str, typer.Option(help="How reals of another size become square: crop, pad or stretch.")
    ] = "crop",
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best or a step.")] = "last",
    versus: Annotated[
        Path | None, typer.Option(help="A second set, scored alike, and a test whether the two sets differ.")
    ] = None,
    augmented: Annotated[Path | None, typer.Option(help="Augmented images, for the metric leak.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="For the metric target: class and neighbours, as 207,208; default: what most reals get."),
    ] = None,
    per_image: Annotated[
        Path | None, typer.Option(help="CSV file of each fake: nearest real, distance, copy or not, class.")
    ] = None,
    worst: Annotated[
        Path | None, typer.Option(help="PNG file of the fakes nearest to a real, that real below each.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="No intervals, and no scores of reals against reals.")] = False,
    latent_kmmd: Annotated[
        int | None,
        typer.Option(help="Of a bsa or apgc run, instead: the posters' KMMD of its codes in batches of this many."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Score made-up features whose answers are known, and say pass or fail.")
    ] = False,
    precision: Annotated[str, typer.Option(help="Of the feature network: fp32, or bf16, faster and coarser.")] = "fp32",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable files out, and list them.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the samples and shuffles the splits.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the scores to this file, one JSON line each.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the scores as a JSON list.")] = False,
) -> None:
    """Score images: Inception Score with its two parts, and KMMD to real images, from one pass of a feature network.

    Values come with a 95 % interval, and with what real images read in the place of the fakes, where reals suffice.
    Nothing is downloaded: without the published Inception in the cache, the small network that ships with smallgan is
    used, and its name stands in every score. For few images choose kid, kmmd and copies.

    Example: smallgan score samples --real photos
    """
    import json

    from augment.core.files import write_text
    from augment.errors import UsageError

    if check:
        _check(json_output)
        return
    from smallgan.metrics import score_paths

    if latent_kmmd is not None:
        run = fake or score_paths.newest_run(Path("runs"))
        typer.echo(_of_codes(run, checkpoint, seed, latent_kmmd, json_output=json_output))
        return

    if resize_mode not in ("crop", "pad", "stretch"):
        raise UsageError(f"--resize-mode {resize_mode}: needed crop, pad or stretch")
    settings = score_paths.Settings(
        metrics=None if metrics is None else tuple(name.strip() for name in metrics.split(",") if name.strip()),
        features=features,
        num_fake=num_fake,
        splits=splits,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        resize_mode=resize_mode,
        precision=precision,
        skip_bad=skip_bad,
        augmented=augmented,
        target=_classes(target),
        per_image=per_image,
        worst=worst,
        baselines=not quick,
        intervals=not quick,
    )
    if versus is not None and (per_image or worst):
        raise UsageError("--per-image and --worst look at one set; leave out --versus")
    path = fake or score_paths.newest_run(Path("runs"))
    if versus is None:
        scores = score_paths.score(path, real, settings)
        records = [each.to_json() for each in scores]
        text = json.dumps(records, indent=2, ensure_ascii=False) if json_output else table(scores)
    else:
        found = score_paths.versus(path, versus, real, settings)
        records = [each.to_json() for each in [*found.one, *found.other]]
        text = versus_json(found) if json_output else versus_table(found, path, versus)
    if out is not None:
        write_text(out, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    typer.echo(text)


def _classes(target: str | None) -> tuple[int, ...] | None:
    """Return the classes of --target. Raises UsageError when they are not whole numbers."""
    from augment.errors import UsageError

    if target is None:
        return None
    try:
        return tuple(int(each) for each in target.split(","))
    except ValueError:
        raise UsageError(f"--target {target}: needed class numbers of the network, as 207 or 207,208") from None


def _of_codes(run: Path, checkpoint: str, seed: int, batch: int, *, json_output: bool) -> str:
    """Return what the APGC posters call KMMD: how far a run's learned codes are from N(0, I); no image enters."""
    import json
    from dataclasses import asdict

    from smallgan.core.device import choose_device
    from smallgan.metrics.latent_kmmd import latent_kmmd
    from smallgan.sampling.loading import load_codes, load_model

    model = load_model(run, choose_device("cpu"), checkpoint)
    codes = load_codes(model)
    found = latent_kmmd(codes, seed, batch)
    if json_output:
        return json.dumps({"metric": "latent_kmmd", "step": model.step, "num_codes": len(codes)} | asdict(found))
    return (
        f"latent KMMD {found.value:.4f}  ({len(codes)} codes of step {model.step} against N(0, I), {found.num_batches} "
        f"batches of {batch})\n"
        "note: a diagnostic of latent codes, to be compared with the posters at the same batch: no image enters it, "
        "and it says nothing of image quality"
    )


def _check(json_output: bool) -> None:
    """Print each check of the metrics; exit code 1 when one fails."""
    import json
    from dataclasses import asdict

    from augment.errors import FailedError
    from smallgan.metrics.self_check import run_checks

    checks = run_checks()
    failed = [check for check in checks if not check.passed]
    if json_output:
        typer.echo(json.dumps([asdict(check) | {"passed": check.passed} for check in checks], indent=2))
    else:
        typer.echo("\n".join(check.line() for check in checks))
    if failed:
        names = ", ".join(dict.fromkeys(check.metric for check in failed))
        raise FailedError(
            f"{len(failed)} of {len(checks)} checks failed ({names}): do not trust scores from this installation; "
            "reinstall numpy and scipy"
        )
    if not json_output:
        typer.echo(f"all {len(checks)} checks passed")


def table(scores: list[Score]) -> str:
    """Return the scores as lines: value, interval, parts and conditions, then each note once."""
    width = max(len(score.label) for score in scores)
    lines = []
    for score in scores:
        spread = f" ± {score.std:.3f}" if score.std is not None else ""
        parts = {"h_y": "H(y)", "h_y_given_x": "H(y|x)"}
        numbers = [f"{parts.get(name, name)} {value:.3f}" for name, value in score.parts.items()]
        known = score.identity
        counts = f"{known['num_fake']} images" + (f" against {known['num_real']} reals" if known["num_real"] else "")
        splits = f", {known['splits']} split(s)" if known["splits"] else ""
        if score.needed is not None:
            counts += f", FEW: {score.needed} a side would do"
        conditions = "; ".join([counts + splits, *([", ".join(numbers)] if numbers else []), *_baseline(score)])
        lines.append(f"{score.label:{width}}  {score.value:.4f}{spread}{_interval(score)}  ({conditions})")
    notes = dict.fromkeys(note for score in scores for note in score.notes)
    if any(score.metric == "is" for score in scores):
        notes[
            "Inception Score: standard, higher is better; single class (the augmentation study's), lower is better"
        ] = None
    return "\n".join(lines + [f"note: {note}" for note in notes])


def _interval(score: Score) -> str:
    return f" [{score.interval[0]:.4f}, {score.interval[1]:.4f}]" if score.interval else ""


def _baseline(score: Score) -> list[str]:
    """Return what reals read in the place of the fakes, as a list of one, or of none where that is not known."""
    if score.baseline is None or score.baseline_counts is None:
        return []
    fakes, reals = score.baseline_counts
    counts = f"{fakes}" if reals is None else f"{fakes} against {reals}"
    return [f"reals read {score.baseline:.4f}, {counts}"]


def versus_table(found: Versus, one: Path, other: Path) -> str:
    """Return two sets' scores side by side, and the result of the permutation test in words."""
    width = max(len(score.label) for score in found.one)
    lines = [f"A  {one}", f"B  {other}"]
    for a, b in zip(found.one, found.other, strict=True):
        lines.append(
            f"{a.label:{width}}  A {a.value:.4f}{_interval(a)}  B {b.value:.4f}{_interval(b)}  "
            f"B - A {found.differences[a.metric]:+.4f}"
        )
    notes = dict.fromkeys(note for score in [*found.one, *found.other] for note in score.notes)
    return "\n".join([*lines, found.test.sentence(), *(f"note: {note}" for note in notes)])


def versus_json(found: Versus) -> str:
    """Return the same for a machine."""
    import json
    from dataclasses import asdict

    record = {
        "one": [each.to_json() for each in found.one],
        "other": [each.to_json() for each in found.other],
        "differences": found.differences,
        "test": asdict(found.test),
    }
    return json.dumps(record, indent=2, ensure_ascii=False)
