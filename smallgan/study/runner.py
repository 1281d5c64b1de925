"""A study carried out: found or made, its runs one after another or several at a time, failures told, then the page."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from augment.core.files import output_errors
from augment.errors import InputError, SmallganError, UsageError
from smallgan.core.console import is_terminal, stop_flag
from smallgan.core.run_dir import RunDir
from smallgan.core.study_dir import StudyDir
from smallgan.study.plan import Job
from smallgan.study.stages import carry_out
from smallgan.study.status import live

Say = Callable[[str], None]
_POLL_SECONDS, _WAIT_SECONDS = 0.2, 2.0
_FAILED, _STOPPED, _ELSEWHERE = 1, 3, 4
"""How a process that was given one run ends where it could not finish it."""


@dataclass
class Outcome:
    """What became of the runs that were asked for."""

    done: set[Path] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)
    elsewhere: set[Path] = field(default_factory=set)
    """Held by other processes."""
    stopped: bool = False


@dataclass(frozen=True)
class ExecutionOptions:
    """How runs are made; nothing of it changes what is computed."""

    device: str = "auto"
    command: str = ""


def run_jobs(
    study: StudyDir,
    jobs: Sequence[Job],
    way: ExecutionOptions,
    *,
    num_processes: int = 1,
    wait: bool = False,
    say: Say = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Bring runs to their end, each after the run that it needs, and tell what became of them.

    A run that fails is noted with its reason, and the others go on. A run that another process is at is left to it;
    `wait` waits for it where another needs it. A stop leaves every run resumable.
    """
    with _shown(study, say, num_processes) as (tell, show):
        if num_processes > 1:
            return _by_processes(study, jobs, way, num_processes, tell, stop_requested, show)
        return _in_turn(study, jobs, way, tell, stop_requested, show, wait=wait)


def write_page(study: StudyDir, say: Say = print) -> Path | None:
    """Write the report of a study and return its path; None where no run of it can be shown."""
    from smallgan.report import collect, find_runs, write_report

    try:
        folders = find_runs([study.path])
        page = write_report(collect(folders), folders, study.report)
    except InputError as error:
        say(f"no report: {error}")
        return None
    return page


def _in_turn(
    study: StudyDir,
    jobs: Sequence[Job],
    way: ExecutionOptions,
    tell: Say,
    stop_requested: Callable[[], bool],
    show: Callable[[], None],
    *,
    wait: bool,
) -> Outcome:
    outcome, left = Outcome(), list(jobs)
    while left:
        job = _next(left, outcome)
        if job is None:
            break
        if _cannot(study, job, outcome):
            left.remove(job)
            continue
        with study.claimed(job.run) as mine:
            if mine:
                left.remove(job)
                _one(study, job, way, tell, stop_requested, show, outcome)
        if not mine and wait and any(other.needs == job.run for other in left):
            time.sleep(_WAIT_SECONDS)
        elif not mine:
            outcome.elsewhere.add(job.run)
            left.remove(job)
        if stop_requested():
            outcome.stopped = True
            break
    return outcome


def _one(
    study: StudyDir,
    job: Job,
    way: ExecutionOptions,
    tell: Say,
    stop_requested: Callable[[], bool],
    show: Callable[[], None],
    outcome: Outcome,
) -> None:
    """Carry one run out here, and note in `outcome` and in cells.json what became of it."""
    if job.cell is not None:
        study.update(job.cell.index, "running")
    show()
    try:
        finished = carry_out(
            job,
            study,
            device=way.device,
            say=lambda line: tell(f"[{job.label}] {line}"),
            command=way.command,
            stop_requested=stop_requested,
            advance=lambda _step: show(),
        )
    except SmallganError as error:
        outcome.failed[job.run] = _fail(study, job, str(error))
        tell(f"[{job.label}] failed: {error}")
    except Exception as error:  # a cell's fault must not take the others with it
        _log(study, traceback.format_exc())
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        outcome.failed[job.run] = _fail(study, job, f"{reason} (the whole of it is in {study.log})")
        tell(f"[{job.label}] failed: {reason}")
    else:
        if finished:
            outcome.done.add(job.run)
        if job.cell is not None:
            study.update(job.cell.index, "done" if finished else "pending")
    show()


def _by_processes(
    study: StudyDir,
    jobs: Sequence[Job],
    way: ExecutionOptions,
    number: int,
    tell: Say,
    stop_requested: Callable[[], bool],
    show: Callable[[], None],
) -> Outcome:
    context, threads = get_context("spawn"), max(torch.get_num_threads() // number, 1)
    outcome, left = Outcome(), list(jobs)
    running: dict[Path, tuple[Job, SpawnProcess]] = {}
    while left or running:
        while len(running) < number and not outcome.stopped and (job := _next(left, outcome)) is not None:
            left.remove(job)
            if _cannot(study, job, outcome):
                continue
            process = context.Process(target=_child, args=(study.path, job, way, threads), name=job.label)
            process.start()
            tell(f"[{job.label}] begun by process {process.pid}")
            running[job.run] = (job, process)
        if not running:
            break
        time.sleep(_POLL_SECONDS)
        show()
        if stop_requested() and not outcome.stopped:
            outcome.stopped = True
            for _, process in running.values():
                process.terminate()
        for run, (job, process) in list(running.items()):
            code = process.exitcode
            if code is not None:
                del running[run]
                _note_end(study, job, code, outcome, tell)
    return outcome


def _note_end(study: StudyDir, job: Job, code: int, outcome: Outcome, tell: Say) -> None:
    if code == 0:
        outcome.done.add(job.run)
        tell(f"[{job.label}] done")
    elif code == _ELSEWHERE:
        outcome.elsewhere.add(job.run)
    elif code == _STOPPED or (code < 0 and outcome.stopped):
        outcome.stopped = True
    else:
        cell = job.cell
        problem = study.cells()[cell.index].problem if cell else None
        if code != _FAILED or problem is None:
            problem = f"its process ended with {code}" if code != _FAILED else f"see {RunDir(job.run).log}"
            _fail(study, job, problem)
        outcome.failed[job.run] = problem
        tell(f"[{job.label}] failed: {problem}")


def _child(folder: Path, job: Job, way: ExecutionOptions, threads: int) -> None:
    """Carry one run out in a process of its own, which ends with a code that says how it went."""
    torch.set_num_threads(threads)
    study, outcome, parent = StudyDir(folder), Outcome(), parent_process()
    with (
        study.log.open("a", encoding="utf-8", newline="\n") as log,
        redirect_stderr(log),
        study.claimed(job.run) as mine,
        stop_flag() as asked,
    ):
        if not mine:
            raise SystemExit(_ELSEWHERE)

        def stop_requested() -> bool:
            return asked() or (parent is not None and not parent.is_alive())

        _one(study, job, way, lambda _line: None, stop_requested, lambda: None, outcome)
    if outcome.failed:
        raise SystemExit(_FAILED)
    raise SystemExit(0 if outcome.done else _STOPPED)


def _next(left: Sequence[Job], outcome: Outcome) -> Job | None:
    """Return the first run whose turn it is: what it needs is done, or will not be."""
    ended = outcome.done | outcome.failed.keys() | outcome.elsewhere
    return next((job for job in left if job.needs is None or job.needs in ended), None)


def _cannot(study: StudyDir, job: Job, outcome: Outcome) -> bool:
    """Tell whether a run cannot be made now, as the one that it needs failed or is another process's; and note it."""
    if job.needs in outcome.failed:
        reason = f"the run that makes its gan images failed ({job.needs}): {outcome.failed[job.needs]}"
        outcome.failed[job.run] = _fail(study, job, reason)
    elif job.needs in outcome.elsewhere:
        outcome.elsewhere.add(job.run)
    return job.run in outcome.failed or job.run in outcome.elsewhere


def _fail(study: StudyDir, job: Job, problem: str) -> str:
    if job.cell is not None:
        study.update(job.cell.index, "failed", problem)
    return problem


def _log(study: StudyDir, text: str) -> None:
    stamp = datetime.now().astimezone().isoformat(timespec="seconds")
    with output_errors(study.log), study.log.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"{stamp} {text}\n")


@contextmanager
def _shown(study: StudyDir, say: Say, num_processes: int) -> Iterator[tuple[Say, Callable[[], None]]]:
    """Give a function that takes status lines, and one that shows the table anew.

    A terminal shows the table, and the lines go to the study's log alone; elsewhere each run's own lines are the news,
    or the table's where processes make the runs.
    """

    def tell(line: str) -> None:
        _log(study, line)
        if not is_terminal():
            say(line)

    if num_processes == 1 and not is_terminal():
        yield tell, lambda: None
        return
    with live(study) as show:
        yield tell, show


def check_cell(jobs: Sequence[Job], number: int) -> list[Job]:
    """Return the run of cell `number`, and before it the one that it needs. Raises UsageError."""
    chosen = [job for job in jobs if job.cell is not None and job.cell.index == number]
    if not chosen:
        count = sum(job.cell is not None for job in jobs)
        raise UsageError(f"--cell {number}: this study has cells 0 to {count - 1}, one for each cell and seed")
    return [*(job for job in jobs if job.run == chosen[0].needs), *chosen]


def all_ended(study: StudyDir) -> bool:
    """Tell whether every cell is done or has failed."""
    return all(cell.state in ("done", "failed") for cell in study.cells())
