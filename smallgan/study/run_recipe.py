"""A recipe carried out from its images to its report, and how far its study is."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augment.errors import InputError, UsageError
from smallgan.core.console import Log, stop_flag
from smallgan.core.study_dir import StudyDir
from smallgan.report import collect, find_runs, write_report
from smallgan.report.runs import printable
from smallgan.study.open import find_study, named, open_study
from smallgan.study.runner import Workers, jobs_of_trial, run_jobs
from smallgan.study.stages import ExecutionOptions
from smallgan.study.status import Row, as_text, counted, rows
from smallgan.tables.recipe import Recipe


@dataclass(frozen=True)
class StudyResult:
    """What a command on a study came to."""

    values: dict[str, Any]  # As JSON prints it
    text: str
    is_complete: bool = True  # False when a run failed, or a stop left some to be resumed


def run_recipe(
    recipe: Recipe,
    *,
    out: Path | None = None,
    new: bool = False,
    trial: int | None = None,
    num_processes: int = 1,
    workers: Callable[[], AbstractContextManager[Workers | None]] = nullcontext,
    options: ExecutionOptions = ExecutionOptions(),
    smoke: bool = False,
    log: Log = print,
) -> StudyResult:
    """Run a recipe, or all trials of its grid, and write the report once all have ended.

    Args:
        recipe: checked.
        out, new, smoke: see `open_study`.
        trial: number of the only trial to run, after the run that it needs; None runs all.
        num_processes: runs made at the same time.
        workers: opens what makes the runs in place of this process; left before the page is written.
        options: how they are made.
        log: takes status lines.

    Raises UsageError for options that exclude each other and the errors of `open_study`; those of runs are recorded.
    """
    if trial is not None and (new or num_processes > 1):
        raise UsageError("--trial cannot be combined with --new or --jobs: it runs one trial of a study")
    if recipe.data.source is None:
        log("no data.source given: the sample set of painted flowers that ships with smallgan")
    with workers() as elsewhere:
        study, jobs = open_study(recipe, out=out, new=new, smoke=smoke, log=log)
        log(f"study {study.path}: {counted(rows(study))}")
        with stop_flag() as stop_requested:
            outcome = run_jobs(
                study,
                jobs if trial is None else jobs_of_trial(jobs, trial),
                options,
                num_processes=num_processes,
                workers=elsewhere,
                wait_for_others=trial is not None,
                log=log,
                stop_requested=stop_requested,
            )
    found = rows(study)
    ended = all(row.state in ("done", "failed") for row in found)
    page = None
    if ended and not outcome.stopped and recipe.report.page:
        try:
            folders = find_runs([study.path])
            page = write_report(collect(folders), folders, study.report)
        except InputError as error:  # no run of it can be shown
            log(f"no report: {error}")
    if outcome.elsewhere:
        log(f"{len(outcome.elsewhere)} run(s) are running in other processes")
    log(f"{counted(found)}{'; the same command continues' if outcome.stopped else ''}")
    for row in found:
        if row.problem:
            log(f"failed: {row.variant}, seed {row.seed}: {row.problem}")
    values = _values(study, found, report=page and str(page))
    return StudyResult(values, printable(str(page or study.path)), not (outcome.failed or outcome.stopped))


def study_status(recipe: Recipe, *, out: Path | None = None, new: bool = False, smoke: bool = False) -> StudyResult:
    """Return how far the study of a recipe is; trains and writes nothing. Raises UsageError and InputError."""
    study = find_study(named(recipe, smoke=smoke), out=out, new=new)
    found = rows(study) if study.exists() else []
    lines = [f"{study.path}: {counted(found)}", *as_text(found)]
    if not found:
        lines = ["no study of this recipe has begun; the same command without --status begins one"]
    return StudyResult(_values(study, found), "\n".join(map(printable, lines)))


def _values(study: StudyDir, found: list[Row], **more: Any) -> dict[str, Any]:
    return {"study": str(study.path), **more, "runs": [asdict(row) for row in found]}
