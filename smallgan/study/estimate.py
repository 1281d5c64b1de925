"""What a study would take: `smallgan run --dry-run`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from smallgan.core.console import Log, duration, number_of
from smallgan.core.device import choose_device, describe_device, peak_memory_mb
from smallgan.core.run_dir import RunDir
from smallgan.study.open import find_study, named, planned
from smallgan.study.plan import Job
from smallgan.study.sources import Sources
from smallgan.study.stages import is_trained
from smallgan.tables.recipe import Recipe
from smallgan.tables.recipe_schema import AugmentSection
from smallgan.tables.sweep import flat, frozen
from smallgan.training.data import load_data
from smallgan.training.evaluation import seconds_per_scored
from smallgan.training.factory import open_pretrained
from smallgan.training.plan import memory, minutes_of, work_left
from smallgan.training.timing import seconds_per_step
from smallgan.training.train import trainer_of

_COST = {"data", "model", "method", "latent", "loss", "regularizers", "train", "score"}
"""Sections that decide the time of a step and of a score."""
_MOST_TIMINGS = 20  # Of one dry run: each takes a second or more


def estimate(
    recipe: Recipe,
    *,
    out: Path | None = None,
    new: bool = False,
    smoke: bool = False,
    device: str = "auto",
    log: Log = print,
) -> dict[str, Any]:
    """Return what a study would do: trials, stages, images, and minutes from a step and a score timed here.

    Trials that differ only in their images, or in rates and weights, share a timing. Of more than 20 different kinds of
    trial the rest count as the mean of those that were timed. Nothing is written.

    Args:
        recipe: checked.
        out, new, smoke: see `open_study`.
        device: as `choose_device` takes it.
        log: takes status lines.
    """
    recipe = named(recipe, smoke=smoke)
    study = find_study(recipe, out=out, new=new)
    jobs = planned(recipe, study, smoke=smoke, sources=Sources(study))
    chosen = choose_device(device)
    timed: dict[str, tuple[float, float]] = {}
    others: set[str] = set()
    rows: list[dict[str, Any]] = []
    for job in jobs:
        key = _cost(job.recipe)
        if key not in timed and len(timed) < _MOST_TIMINGS:
            log(f"timing steps of {job.label}")
            timed[key] = _timed(job.recipe, chosen)
        others.update([] if key in timed else [key])
        step_seconds, sample_seconds = timed.get(key) or map(fmean, zip(*timed.values(), strict=True))
        rows.append(_row(job, step_seconds, sample_seconds))
    notes = {note for job in jobs for note in job.data.notes}
    if others:
        notes.add(f"{len(others)} of {len(timed) + len(others)} kinds of trial were not timed: they count as the mean")
    return {
        "study": str(study.path),
        "name": recipe.name,
        "device": describe_device(chosen),
        "memory_mb": round(peak_memory_mb(chosen)),
        "budget": recipe.budget,
        "num_runs": len(jobs),
        "num_variants": len({frozen(job.trial.overrides) for job in jobs if job.trial}),
        "num_seeds": len({job.recipe.seed for job in jobs}),
        "seconds_per_step": [round(seconds, 4) for seconds, _ in timed.values()],
        "minutes": round(sum(row["minutes"] for row in rows), 1),
        "notes": sorted(notes),
        "runs": rows,
    }


def estimate_text(found: Mapping[str, Any]) -> str:
    """Return what `estimate` found in a few sentences."""
    rows = found["runs"]
    left, finished = [row for row in rows if row["stages"]], sum(not row["stages"] for row in rows)
    if not left:
        return f"All {len(rows)} runs of {found['study']} are done: only the page would be written."
    begun = f"; {finished} more are done" if finished else ""
    steps = sorted({row["steps"] for row in left})
    many = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    notes = "".join(f"\nnote: {note}" for note in found["notes"])
    return (
        f"Would make {number_of(len(left), 'run')} in {found['study']} ({number_of(found['num_variants'], 'variant')}, "
        f"{number_of(found['num_seeds'], 'seed')}{begun}), {many} steps each, and write the page.\n"
        f"Takes about {duration(60 * found['minutes'])} on {found['device']}, one run after another, and "
        f"{memory(found['memory_mb'])} of memory for each, as measured here now.{notes}\n"
        "No run was made. --json lists the runs."
    )


def _row(job: Job, step_seconds: float, sample_seconds: float) -> dict[str, Any]:
    settings, run = job.recipe, RunDir(job.run)
    work = work_left(settings, run, job.data.num_held or job.data.num_originals)
    done = is_trained(job)
    return {
        **(asdict(job.trial) if job.trial else {"seed": settings.seed}),
        "run": str(job.run),
        "stages": [] if done else ["train", *(["sample"] if settings.sample.count else [])],
        "needs": str(job.needs) if job.needs else None,
        "num_images": job.num_images,
        "num_held_out": job.data.num_held + job.data.num_selecting,
        **work,
        "num_images_seen": work["steps"] * settings.train.batch_size,
        "minutes": minutes_of(work, step_seconds, sample_seconds),
    }


def _cost(recipe: Recipe) -> str:
    """Return what decides the time of a step and of a score, as text; rates and weights do only where they are 0."""
    steps = {"steps", "report_every", "snapshot_every"}
    values = flat(recipe.model_dump(mode="json", include=_COST, exclude={"train": steps}))
    return json.dumps({key: bool(value) if isinstance(value, float) else value for key, value in values.items()})


def _timed(recipe: Recipe, device: torch.device) -> tuple[float, float]:
    """Return the seconds of a step, and of a sample that is scored."""
    plain, source = open_pretrained(recipe.model_copy(update={"augment": AugmentSection()}))
    data = load_data(plain, device)
    trainer, batches = trainer_of(plain, data, device, source, lambda _line: None)
    return min(seconds_per_step(trainer, batches)), seconds_per_scored(plain, trainer, device)
