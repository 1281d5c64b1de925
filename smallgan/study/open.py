"""The study that a recipe continues or starts."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from augment.core.files import make_folder, output_errors, sha256_bytes
from augment.errors import InputError, UsageError
from smallgan.core.console import Log
from smallgan.core.run_dir import RunDir, another, check_out, next_run, numbered_runs, try_lock
from smallgan.core.study_dir import SMOKE_SUFFIX, StudyDir
from smallgan.study.plan import Job, plan_jobs
from smallgan.study.sources import Sources, source_keys
from smallgan.study.stages import generator_digest, is_trained, refuse_other_inputs
from smallgan.tables.recipe import Recipe, differences, dump_study, read_recipe
from smallgan.tables.sweep import frozen

ROOT = Path("studies")
_FREE = ("grid", "seeds", "sample.", "report.", "train.steps")
"""Keys of a study that may change: variants and seeds come and go, steps may be raised, the rest is done again."""


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
                f"{another('study')}"
            )
        if job.run in in_use and not is_trained(job):
            raise UsageError(
                f"{job.run}: other variants already use images sampled from this run at step {reached}, so it cannot "
                f"be trained further; {another('study')}"
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


def _changes(recipe: Recipe, study: StudyDir) -> dict[str, tuple[Any, Any]]:
    try:
        found = differences(read_recipe(study.recipe), recipe)
    except (InputError, UsageError) as error:
        raise UsageError(f"{study.path}: its recipe cannot be read, so it cannot go on: {error}") from error
    return {path: values for path, values in found.items() if not path.startswith(_FREE)}
