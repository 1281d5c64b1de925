"""Which study a recipe goes on with, or a new one; and what it would do, for a dry run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from augment.core.files import make_folder, output_errors
from augment.errors import InputError, UsageError
from smallgan.core.device import choose_device, describe_device
from smallgan.core.run_dir import RunDir, check_out, next_run, numbered_runs
from smallgan.core.study_dir import StudyDir, claim_study
from smallgan.metrics.features.extract import extract, feature_net
from smallgan.metrics.run_scorer import default_num_fake
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.study.plan import Job, plan_jobs
from smallgan.study.stages import is_trained, refuse_other_inputs
from smallgan.tables.recipe import Recipe, differences, dump_study, read_recipe
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare

ROOT = Path("studies")
_FREE = ("grid", "seeds", "sample.", "report.", "train.steps")
"""Keys of a study that may change: cells and seeds come and go, runs go on to more steps, the rest is done anew."""
_TRIAL_IMAGES = 32


def open_study(
    recipe: Recipe, *, out: Path | None = None, new: bool = False, smoke: bool = False, root: Path = ROOT
) -> tuple[StudyDir, list[Job]]:
    """Return the study to go on with, or a new one, and its runs; the folder and its cells.json are there then.

    Without `out` it is the newest below `root` of this name whose recipe is the same but for cells, seeds, samples and
    a larger number of steps. Raises UsageError when `out` holds another study or other files, or the images are not
    those that its runs began with, and the errors of `plan_jobs`.
    """
    recipe = named(recipe, smoke=smoke)
    plan_jobs(recipe, StudyDir(root), smoke=smoke)  # what cannot be run leaves no folder behind
    make_folder(root if out is None else out.parent)
    lock = FileLock((root if out is None else out.parent) / ".studies.lock")
    with output_errors(root), lock:  # the tasks of a SLURM array start at once, and share one study
        study = find_study(recipe, out=out, new=new, root=root)
        if out is None and not study.exists():
            study = claim_study(root, recipe.name)
        jobs = planned(recipe, study, smoke=smoke)
        for job in jobs:
            if job.needs is None or RunDir(job.needs).exists():
                refuse_other_inputs(job, study)
        study.create(dump_study(recipe), [job.cell for job in jobs if job.cell is not None])
    return study, jobs


def named(recipe: Recipe, *, smoke: bool) -> Recipe:
    """Return the recipe under the name of its study: a smoke run is none of the real one's."""
    if not smoke:
        return recipe
    return recipe.model_copy(update={"name": f"{recipe.name[:58]}-smoke"})


def planned(recipe: Recipe, study: StudyDir, *, smoke: bool) -> list[Job]:
    """Return the runs of a study, in the folders that it has for them. Raises the errors of `plan_jobs`."""
    known = study.cells() if study.exists() else []
    jobs = plan_jobs(recipe, study, known, smoke=smoke)
    makers = {job.needs for job in jobs if job.needs is not None}
    for job in jobs:
        reached = RunDir(job.run).last_step()
        if reached > job.recipe.train.steps:
            raise UsageError(
                f"{job.run}: trained to step {reached} already, and {job.recipe.train.steps} are asked for; fewer "
                "steps are another study: start it with --new"
            )
        if job.run in makers and _began_users(job, jobs) and not is_trained(job):
            raise UsageError(
                f"{job.run}: gan images of other cells were made of it at step {reached}; more steps would make "
                "others. Start another study with --new"
            )
    return jobs


def find_study(recipe: Recipe, *, out: Path | None, new: bool, root: Path = ROOT) -> StudyDir:
    """Return the study to go on with, or one that is not there yet. Raises UsageError and InputError."""
    if out is not None:
        study = StudyDir(out)
        check_out(
            out,
            "study",
            exists=study.exists(),
            new=new,
            ours=(".cells.lock", "stages"),
            changes=lambda: _changes(recipe, study),
        )
        return study
    for _, run in [] if new else reversed(numbered_runs(root)):
        study = StudyDir(run.path)
        if study.exists() and not _changes(recipe, study):
            return study
    return StudyDir(next_run(root, recipe.name).path)


def estimate(
    recipe: Recipe, study: StudyDir, *, smoke: bool, device: str, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Return what a study would do: cells, stages, images, and minutes by a step and a score measured here.

    Cells that train alike but for their images share a measurement. Nothing is written.
    """
    recipe = named(recipe, smoke=smoke)
    jobs = planned(recipe, study, smoke=smoke)
    measured: dict[str, tuple[float, float]] = {}
    rows: list[dict[str, Any]] = []
    for job in jobs:
        settings, run = job.recipe, RunDir(job.run)
        key = _cost_key(settings)
        if key not in measured:
            say(f"measuring steps of {job.label}")
            measured[key] = _measure(settings, device)
        step_seconds, image_seconds = measured[key]
        steps = max(settings.train.steps - run.last_step(), 0)
        snapshots = len(range(0, steps, settings.train.snapshot_every)) + (not run.last_step())
        num_fake = settings.score.num_fake or default_num_fake(job.data.num_held or job.data.num_originals)
        scoring = snapshots * num_fake * image_seconds if settings.score.metrics else 0.0
        done = is_trained(job)
        rows.append(
            {
                **({"cell": job.cell.cell, "index": job.cell.index} if job.cell else {"cell": job.label}),
                "seed": settings.seed,
                "reference": bool(job.cell and job.cell.reference),
                "overrides": dict(job.cell.overrides) if job.cell else {},
                "run": str(job.run),
                "stages": [] if done else ["train", *(["sample"] if settings.sample.count else [])],
                "needs": str(job.needs) if job.needs else None,
                "num_images": job.num_images,
                "num_held_out": job.data.num_held,
                "steps": steps,
                "num_snapshots": snapshots,
                "num_images_seen": steps * settings.train.batch_size,
                "minutes": round((steps * step_seconds + scoring) / 60, 2),
            }
        )
    return {
        "study": str(study.path),
        "name": recipe.name,
        "device": describe_device(choose_device(device)),
        "budget": recipe.budget,
        "num_runs": len(jobs),
        "seconds_per_step": [round(seconds, 4) for seconds, _ in measured.values()],
        "minutes": round(sum(row["minutes"] for row in rows), 1),
        "notes": sorted({note for job in jobs for note in job.data.notes}),
        "cells": rows,
    }


def _began_users(job: Job, jobs: list[Job]) -> bool:
    return any(other.needs == job.run and RunDir(other.run).exists() for other in jobs)


def _changes(recipe: Recipe, study: StudyDir) -> dict[str, tuple[Any, Any]]:
    try:
        found = differences(read_recipe(study.recipe), recipe)
    except (InputError, UsageError) as error:
        raise UsageError(f"{study.path}: its recipe cannot be read, so it cannot go on: {error}") from error
    return {path: values for path, values in found.items() if not path.startswith(_FREE)}


def _cost_key(recipe: Recipe) -> str:
    """Return what decides the time of a step and of a score."""
    values = recipe.model_dump(include={"data", "train", "biggan", "transfer", "score"}, mode="json")
    for key in ("steps", "report_every", "snapshot_every"):
        del values["train"][key]
    return str(values)


def _measure(recipe: Recipe, device: str) -> tuple[float, float]:
    """Return the seconds of a step, and of drawing and scoring an image; without a policy, as it costs neither."""
    chosen = choose_device(device)
    plain = Recipe.model_validate({**recipe.model_dump(exclude_unset=True), "augment": {}})
    plain, source = open_pretrained(plain)
    data = load_data(plain, chosen)
    trainer, batches = prepare(plain, data, chosen, source, lambda _line: None)
    steps = []
    for step in range(3):
        started = time.perf_counter()
        trainer.step(batches.batch(step), step)["loss_g"].item()
        steps.append(time.perf_counter() - started)
    if not plain.score.metrics:
        return min(steps), 0.0
    trainer.recalibrate_batchnorm()
    net, _ = feature_net(plain.score.features, chosen)
    generator: Any = trainer.generator_ema
    model = Model(generator, chosen, "fp32", Path("trial"), None, 0, sha256="")
    started = time.perf_counter()
    extract(sample_pixels(model, _TRIAL_IMAGES, plain.seed), net)
    return min(steps), (time.perf_counter() - started) / _TRIAL_IMAGES
