"""The study that a recipe continues or starts, and what a run of it would cost."""

import json
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import FileLock

from augment.core.files import make_folder, output_errors, sha256_bytes
from augment.errors import InputError, UsageError
from smallgan.core.console import Log
from smallgan.core.device import choose_device, describe_device
from smallgan.core.run_dir import RunDir, check_out, next_run, numbered_runs, try_lock
from smallgan.core.study_dir import SMOKE_SUFFIX, StudyDir
from smallgan.metrics.features.extract import extract_all, feature_nets
from smallgan.metrics.run_scorer import default_num_fake
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.study.plan import Job, plan_jobs
from smallgan.study.sources import Sources, source_keys
from smallgan.study.stages import generator_digest, is_trained, refuse_other_inputs
from smallgan.tables.recipe import Recipe, differences, dump_study, read_recipe
from smallgan.tables.recipe_schema import AugmentSection
from smallgan.tables.sweep import flat, frozen
from smallgan.training.data import load_data
from smallgan.training.factory import open_pretrained, prepare
from smallgan.training.timing import seconds_per_step

ROOT = Path("studies")
_FREE = ("grid", "seeds", "sample.", "report.", "train.steps")
"""Keys of a study that may change: variants and seeds come and go, steps may be raised, the rest is done again."""
_COST = {"data", "model", "method", "loss", "regularizers", "train", "score"}
"""Sections that decide the time of a step and of a score."""
_NUM_TIMED = 32
_MOST_TIMINGS = 20  # Of one dry run: each takes a second or more


def open_study(
    recipe: Recipe,
    *,
    out: Path | None = None,
    new: bool = False,
    smoke: bool = False,
    root: Path = ROOT,
    log: Log = lambda _line: None,
) -> tuple[StudyDir, list[Job]]:
    """Return the study to continue, or a new one, and its runs; creates its folder and trials.json.

    Of several tasks that begin a study at once, as those of a SLURM array, one looks at the images and writes down what
    it found; the others wait for that. No lock that other studies or running trials need is held meanwhile.

    Args:
        recipe: checked.
        out: folder of the study; None continues the newest one below `root` whose recipe differs only in variants,
            seeds, samples and a larger number of steps.
        new: start another study.
        smoke: see `plan_jobs`.
        root: where numbered studies are.
        log: takes status lines.

    Raises UsageError when `out` holds another study or other files, or when the images are not those that its runs
    began with, and the errors of `plan_jobs`.
    """
    recipe = named(recipe, smoke=smoke)
    place = root if out is None else out.parent
    find = partial(find_study, recipe, out=out, new=new, root=root)
    is_known = Sources(find()).has(source_keys(recipe))
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())  # nothing is made before the plan
    claim = there / f".planning-{sha256_bytes(f'{out or root} {dump_study(recipe)}'.encode())[:12]}.lock"
    with nullcontext() if new or is_known else _after_the_first(claim, log):
        sources = Sources(find())
        while True:
            study = find()
            trials = _runs_of(study)
            jobs = planned(recipe, study, smoke=smoke, sources=sources)  # fails before a folder is made
            digest = cache(generator_digest)
            for job in jobs:
                if job.needs is None or RunDir(job.needs).exists():
                    refuse_other_inputs(job, study, digest)
            with output_errors(make_folder(place)), FileLock(place / ".studies.lock"):
                if find().path != study.path or _runs_of(study) != trials:
                    continue  # another task has begun a study, or changed this one, since it was planned
                study.create(dump_study(recipe), [job.trial for job in jobs if job.trial is not None])
                sources.write(study)
                return study, jobs


def _runs_of(study: StudyDir) -> list[tuple[str, int, Hashable]]:
    """Return what a plan depends on of the trials that a study has."""
    return [(trial.run, trial.seed, frozen(trial.overrides)) for trial in study.trials()] if study.exists() else []


@contextmanager
def _after_the_first(claim: Path, log: Log) -> Iterator[None]:
    """Let the first of several tasks go on at once, and the others when it has ended, well or not.

    The operating system drops the lock file `claim` with the process that holds it; afterwards the file is gone.
    """
    try:
        with try_lock(claim) as is_first:
            if is_first:
                yield
        if not is_first:
            log("another task looks at the images of this study: waiting for what it finds")
            with output_errors(claim), FileLock(claim):
                pass
            yield
    finally:
        with suppress(OSError):
            claim.unlink(missing_ok=True)


def named(recipe: Recipe, *, smoke: bool) -> Recipe:
    """Return the recipe under the name of its study; smoke runs have a study of their own."""
    if not smoke:
        return recipe
    return recipe.model_copy(update={"name": f"{recipe.name[:58]}{SMOKE_SUFFIX}"})


def planned(recipe: Recipe, study: StudyDir, *, smoke: bool, sources: Sources | None = None) -> list[Job]:
    """Return the runs of a study in the folders that it has for them. Raises UsageError and those of `plan_jobs`."""
    known = study.trials() if study.exists() else []
    jobs = plan_jobs(recipe, study, known, smoke=smoke, sources=sources)
    in_use = {job.needs for job in jobs if job.needs is not None and RunDir(job.run).exists()}
    for job in jobs:
        reached = RunDir(job.run).last_step()
        if reached > job.recipe.train.steps:
            raise UsageError(
                f"{job.run}: already trained to step {reached}, but train.steps is {job.recipe.train.steps}; "
                "start another study with --new"
            )
        if job.run in in_use and not is_trained(job):
            raise UsageError(
                f"{job.run}: other variants already use images sampled from this run at step {reached}, so it cannot "
                "be trained further; start another study with --new"
            )
    return jobs


def find_study(recipe: Recipe, *, out: Path | None, new: bool, root: Path = ROOT) -> StudyDir:
    """Return the study to continue, or one that does not exist yet. Raises UsageError and InputError."""
    if out is not None:
        study = StudyDir(out)
        ours, changes = (".trials.lock", "stages"), lambda: _changes(recipe, study)
        check_out(out, "study", exists=study.exists(), new=new, ours=ours, changes=changes)
        return study
    for run in [] if new else reversed(numbered_runs(root)):
        study = StudyDir(run.path)
        if study.exists() and not _changes(recipe, study):
            return study
    return StudyDir(next_run(root, recipe.name).path)


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
    timed: dict[str, tuple[float, float]] = {}
    others: set[str] = set()
    rows: list[dict[str, Any]] = []
    for job in jobs:
        settings, run, trial = job.recipe, RunDir(job.run), job.trial
        key = _cost(settings)
        if key not in timed and len(timed) < _MOST_TIMINGS:
            log(f"timing steps of {job.label}")
            timed[key] = _timed(settings, device)
        others.update([] if key in timed else [key])
        step_seconds, image_seconds = timed.get(key) or map(fmean, zip(*timed.values(), strict=True))
        steps = max(settings.train.steps - run.last_step(), 0)
        snapshots = len(range(0, steps, settings.train.snapshot_every)) + (not run.last_step())
        num_fake = settings.score.num_fake or default_num_fake(job.data.num_held or job.data.num_originals)
        scoring = snapshots * num_fake * image_seconds if settings.score.metrics else 0.0
        done = is_trained(job)
        rows.append(
            {
                **(asdict(trial) if trial else {"seed": settings.seed}),
                "run": str(job.run),
                "stages": [] if done else ["train", *(["sample"] if settings.sample.count else [])],
                "needs": str(job.needs) if job.needs else None,
                "num_images": job.num_images,
                "num_held_out": job.data.num_held + job.data.num_selecting,
                "steps": steps,
                "num_snapshots": snapshots,
                "num_images_seen": steps * settings.train.batch_size,
                "minutes": round((steps * step_seconds + scoring) / 60, 2),
            }
        )
    notes = {note for job in jobs for note in job.data.notes}
    if others:
        notes.add(f"{len(others)} of {len(timed) + len(others)} kinds of trial were not timed: they count as the mean")
    return {
        "study": str(study.path),
        "name": recipe.name,
        "device": describe_device(choose_device(device)),
        "budget": recipe.budget,
        "num_runs": len(jobs),
        "seconds_per_step": [round(seconds, 4) for seconds, _ in timed.values()],
        "minutes": round(sum(row["minutes"] for row in rows), 1),
        "notes": sorted(notes),
        "runs": rows,
    }


def _changes(recipe: Recipe, study: StudyDir) -> dict[str, tuple[Any, Any]]:
    try:
        found = differences(read_recipe(study.recipe), recipe)
    except (InputError, UsageError) as error:
        raise UsageError(f"{study.path}: its recipe cannot be read, so it cannot go on: {error}") from error
    return {path: values for path, values in found.items() if not path.startswith(_FREE)}


def _cost(recipe: Recipe) -> str:
    """Return what decides the time of a step and of a score, as text; rates and weights do only where they are 0."""
    steps = {"steps", "report_every", "snapshot_every"}
    values = flat(recipe.model_dump(mode="json", include=_COST, exclude={"train": steps}))
    return json.dumps({key: bool(value) if isinstance(value, float) else value for key, value in values.items()})


def _timed(recipe: Recipe, device: str) -> tuple[float, float]:
    chosen = choose_device(device)
    plain, source = open_pretrained(recipe.model_copy(update={"augment": AugmentSection()}))
    data = load_data(plain, chosen)
    trainer, batches = prepare(plain, data, chosen, source, lambda _line: None)
    step_seconds = min(seconds_per_step(trainer, batches))
    if not plain.score.metrics:
        return step_seconds, 0.0
    trainer.recalibrate_batchnorm()
    nets, _ = feature_nets(plain.score.features, chosen)
    generator: Any = trainer.generator_ema
    model = Model(generator, chosen, Path("timed"), None, 0, sha256="")
    started = time.perf_counter()
    extract_all(sample_pixels(model, _NUM_TIMED, plain.seed), nets)
    return step_seconds, (time.perf_counter() - started) / _NUM_TIMED
