"""`smallgan score`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from smallgan.tables.metrics import metrics_help


def score(
    fake: Annotated[
        Path | None, typer.Argument(help="Images (folder or zip), a mixed dataset, or a run; default: the newest run.")
    ] = None,
    real: Annotated[Path | None, Option(help="Reals to compare with; default: originals of a run or dataset.")] = None,
    metrics: Annotated[str | None, Option(help=metrics_help())] = None,
    features: Annotated[
        str | None,
        Option(
            help="Feature network (smallgan weights list), or your own: an .onnx file with a card, or the card. "
            "Several, by commas; panel: the shipped one, SqueezeNet at 64 px if it is here, 8 x 8 pixels. "
            "Default: the published Inception if it is here."
        ),
    ] = None,
    num_fake: Annotated[
        int | None, Option(help="Images scored; default: all, and of a run as many as reals, 100 to 1000.")
    ] = None,
    splits: Annotated[int | None, Option(help="Parts of the Inception Score; default 10, 1 below 1000 images.")] = None,
    resize_mode: Annotated[str, Option(help="How reals of another size become square: crop, pad, stretch.")] = "crop",
    checkpoint: Annotated[str, Option(help="Of a run: last, best or a step.")] = "last",
    versus: Annotated[Path | None, Option(help="Second set, scored alike, and a test whether the two differ.")] = None,
    augmented: Annotated[Path | None, Option(help="Augmented images, for the metric leak.")] = None,
    source: Annotated[
        Path | None, Option(help="Images of what a transfer started from, for the metric domain.")
    ] = None,
    target: Annotated[
        str | None, Option(help="For the metric target: class and neighbours, 207,208; default: what most reals get.")
    ] = None,
    per_image: Annotated[Path | None, Option(help="CSV file of fakes: nearest real, distance, copy, class.")] = None,
    worst: Annotated[Path | None, Option(help="PNG file of the fakes nearest to a real, that real below each.")] = None,
    quick: Annotated[bool, Option("--quick", help="No intervals and no baselines.")] = False,
    latent_kmmd: Annotated[
        int | None, Option(help="Of a bsa or apgc run: the posters' KMMD of its codes in batches of this many.")
    ] = None,
    check: Annotated[bool, Option("--check", help="Score made-up features of known answers: pass or fail.")] = False,
    precision: Annotated[str, Option(help="Of the feature network: fp32, or bf16, faster and coarser.")] = "fp32",
    skip_bad: Annotated[bool, Option("--skip-bad", help="Leave unreadable files out, and list them.")] = False,
    seed: Annotated[int, Option(help="Draws the samples and shuffles the splits.")] = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    out: Annotated[Path | None, Option(help="Also write the scores to this file, one JSON line each.")] = None,
    json_output: Annotated[bool, Option("--json", help="Print the scores as a JSON list.")] = False,
) -> None:
    """Score images by one or several metrics, such as KID, KMMD and the copy rate, from one pass of a feature network.

    Values come with a 95 % interval and a real-vs-real baseline (the score of real images in the place of the fakes).
    Nothing is downloaded: without the published Inception in the cache, the small network that ships with smallgan is
    used, and its name stands in every score.

    Example: smallgan score samples --real photos
    """
    if check:
        from smallgan.metrics.self_check import checks_text, refuse_failed, run_checks

        checks = run_checks()
        typer.echo(checks_text(checks, as_json=json_output))
        refuse_failed(checks)
        return
    from smallgan.api import scores

    if latent_kmmd is not None:
        from smallgan.metrics.latent_kmmd import run_text

        typer.echo(run_text(scores.fake_or_newest(fake), checkpoint, seed, latent_kmmd, as_json=json_output))
        return
    flags: dict[str, Any] = {
        "metrics": metrics,
        "features": features,
        "num_fake": num_fake,
        "splits": splits,
        "resize_mode": resize_mode,
        "checkpoint": checkpoint,
        "augmented": augmented,
        "source": source,
        "target": target,
        "per_image": per_image,
        "worst": worst,
        "quick": quick,
        "precision": precision,
        "skip_bad": skip_bad,
        "seed": seed,
        "device": device,
        "out": out,
    }
    if versus is not None:
        scores.versus(fake, versus, real, **flags, show=lambda found: _echo(found, json_output))
    else:
        scores.score(fake, real, **flags, show=lambda found: _echo(found, json_output))


def _echo(found: Any, as_json: bool) -> None:
    import json

    typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else repr(found))
