"""`smallgan score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from smallgan.metrics.score import Score


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
        str | None, typer.Option(help="Some of is,kmmd,nn; default: is, and kmmd where there are reals.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(help="Feature network (smallgan weights list); default: the published Inception if it is here."),
    ] = None,
    num_fake: Annotated[
        int | None, typer.Option(help="Images scored; default: all, and of a run as many as reals, 100 to 1000.")
    ] = None,
    splits: Annotated[
        int | None, typer.Option(help="Parts of the Inception Score; default 10, or 1 below 1000 images.")
    ] = None,
    fit: Annotated[str, typer.Option(help="How reals of another size become square: crop, pad or stretch.")] = "crop",
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best or a step.")] = "last",
    seed: Annotated[int, typer.Option(help="Draws the samples and shuffles the splits.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the scores to this file, one JSON line each.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the scores as a JSON list.")] = False,
) -> None:
    """Score images: Inception Score with its two parts, and KMMD to real images, from one pass of a feature network.

    Nothing is downloaded: without the published Inception in the cache, the small network that ships with smallgan is
    used, and its name stands in every score.

    Example: smallgan score samples --real photos
    """
    import json

    from augment.errors import UsageError
    from augment.files import write_text
    from smallgan.scoring import Settings, newest_run
    from smallgan.scoring import score as score_paths

    if fit not in ("crop", "pad", "stretch"):
        raise UsageError(f"--fit {fit}: needed crop, pad or stretch")
    settings = Settings(
        metrics=None if metrics is None else tuple(name.strip() for name in metrics.split(",") if name.strip()),
        features=features,
        num_fake=num_fake,
        splits=splits,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        fit=fit,
    )
    scores = score_paths(fake or newest_run(Path("runs")), real, settings)
    records = [each.to_json() for each in scores]
    if out is not None:
        write_text(out, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    typer.echo(json.dumps(records, indent=2, ensure_ascii=False) if json_output else table(scores))


def table(scores: list[Score]) -> str:
    """Return the scores as lines: value, spread, parts and conditions, then each note once."""
    width = max(len(score.label) for score in scores)
    lines = []
    for score in scores:
        spread = f" ± {score.std:.3f}" if score.std is not None else ""
        parts = {"h_y": "H(y)", "h_y_given_x": "H(y|x)"}
        numbers = ", ".join(f"{parts.get(name, name)} {value:.3f}" for name, value in score.parts.items())
        known = score.identity
        counts = f"{known['num_fake']} images" + (f" against {known['num_real']} reals" if known["num_real"] else "")
        splits = f", {known['splits']} split(s)" if known["splits"] else ""
        lines.append(f"{score.label:{width}}  {score.value:.4f}{spread}  ({counts}{splits}; {numbers})")
    notes = dict.fromkeys(note for score in scores for note in score.notes)
    return "\n".join(lines + [f"note: {note}" for note in notes])
