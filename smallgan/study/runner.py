"""The runs of a study, one after another or in several processes; a run that fails does not stop the others."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import torch

from augment.errors import SmallganError, UsageError
from smallgan.core.console import Log, is_terminal, stop_flag
from smallgan.core.device import gpus_to_share, least_used, see_only
from smallgan.core.run_log import append_log
from smallgan.core.study_dir import State, StudyDir
from smallgan.study.plan import Job
from smallgan.study.stages import ExecutionOptions, carry_out
from smallgan.study.status import live

_POLL_SECONDS, _WAIT_SECONDS = 0.2, 2.0


@dataclass
class Outcome:
    """What became of the runs that were asked for; a run in none of the three can be resumed."""

    done: set[Path] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)  # With the reason
    elsewhere: set[Path] = field(default_factory=set)  # Held by other processes
    stopped: bool = False

    def add(self, other: Outcome) -> None:
        """Take in what became of other runs."""
        self.done |= other.done
        self.failed |= other.failed
        self.elsewhere |= other.elsewhere


class Workers(Protocol):
    """Where several runs are made at the same time."""

    capacity: float  # Runs that are given out at the same time
    lost: tuple[type[BaseException], ...]  # What the future of a run raises whose worker was lost

    def start(self, study: StudyDir, job: Job, options: ExecutionOptions) -> Future[Outcome]:
        """Give out a run."""

    def problem(self, error: BaseException) -> str:
        """Return why a run was lost, for its row in the table."""

    def stop(self) -> None:
        """Let the runs that were given out end soon, so that they can be resumed; called once."""


def run_jobs(
    study: StudyDir,
    jobs: Sequence[Job],
    options: ExecutionOptions,
    *,
    num_processes: int = 1,
    workers: Workers | None = None,
    wait_for_others: bool = False,
    log: Log = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Carry out runs, each after the run that it needs, and return what became of them.

    A run that fails is recorded with its reason, and the others go on. A stop leaves every run resumable. A terminal
    shows the table of trials, and status lines go to the study's log alone; elsewhere they are printed too.

    Args:
        study: the study that the runs belong to.
        jobs: the runs, in the order in which they are made.
        options: how they are made.
        num_processes: runs made at the same time, each in a process of its own; 1 makes them in this process.
        workers: makes the runs instead.
        wait_for_others: wait for a run that another process works on where a run of `jobs` needs it; else it is left.
        log: takes status lines.
        stop_requested: asked after each step.
    """

    def tell(line: str) -> None:
        append_log(study.log, line)
        if not is_terminal():
            log(line)

    if workers is None and num_processes > 1:
        workers = _Processes(num_processes, options.device, lambda job, line: tell(f"[{job.label}] {line}"))
    with live(study) if workers or is_terminal() else nullcontext(lambda: None) as show:
        runner = _Runner(study, options, stop_requested, tell, show)
        if workers:
            return runner.by_workers(jobs, workers)
        return runner.in_turn(jobs, wait_for_others=wait_for_others)


def jobs_of_trial(jobs: Sequence[Job], number: int) -> list[Job]:
    """Return the run of trial `number`, and before it the one that it needs. Raises UsageError."""
    chosen = [job for job in jobs if job.trial is not None and job.trial.index == number]
    if not chosen:
        count = sum(job.trial is not None for job in jobs)
        raise UsageError(f"--trial {number}: this study has trials 0 to {count - 1}, one for each variant and seed")
    return [*(job for job in jobs if job.run == chosen[0].needs), *chosen]


@dataclass(frozen=True)
class _Runner:
    study: StudyDir
    options: ExecutionOptions
    stop_requested: Callable[[], bool]
    tell: Log = lambda _line: None
    show: Callable[[], None] = lambda: None

    def in_turn(self, jobs: Sequence[Job], *, wait_for_others: bool) -> Outcome:
        outcome, left = Outcome(), list(jobs)
        while not outcome.stopped and (job := self.next(left, outcome)) is not None:
            made = self.make(job)
            if made.elsewhere and wait_for_others and any(other.needs == job.run for other in left):
                left.insert(0, job)
                time.sleep(_WAIT_SECONDS)
            else:
                outcome.add(made)
            outcome.stopped = self.stop_requested()
        return outcome

    def by_workers(self, jobs: Sequence[Job], workers: Workers) -> Outcome:
        outcome, left = Outcome(), list(jobs)
        running: dict[Future[Outcome], Job] = {}
        while True:
            while (
                len(running) < workers.capacity
                and not outcome.stopped
                and (job := self.next(left, outcome)) is not None
            ):
                running[workers.start(self.study, job, self.options)] = job
            if not running:
                return outcome
            ended, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
            self.show()
            if not outcome.stopped and self.stop_requested():
                outcome.stopped = True
                workers.stop()
            for future in ended:
                job = running.pop(future)
                try:
                    made = future.result()
                except workers.lost as error:
                    made = Outcome() if outcome.stopped else self.failed(job, workers.problem(error))
                if made.done or made.failed:
                    self.say(job, "done" if made.done else f"failed: {made.failed[job.run]}")
                outcome.add(made)

    def make(self, job: Job) -> Outcome:
        """Make one run here, unless another process works on it, and record in trials.json what became of it."""
        with self.study.claimed(job.run) as mine:
            if not mine:
                return Outcome(elsewhere={job.run})
            self.record(job, "running")
            self.show()
            log = partial(self.say, job)
            try:
                finished = carry_out(job, self.study, self.options, log, self.stop_requested, lambda _step: self.show())
            except Exception as error:  # a fault in one run must not end the others
                problem = str(error)
                if not isinstance(error, SmallganError):
                    append_log(self.study.log, traceback.format_exc())
                    first = problem.partition("\n")[0]
                    problem = f"{type(error).__name__}: {first} (the traceback is in {self.study.log})"
                made = self.failed(job, problem)
                self.say(job, f"failed: {problem}")
            else:
                made = Outcome(done={job.run} if finished else set())
                self.record(job, "done" if finished else "pending")
            self.show()
            return made

    def next(self, left: list[Job], outcome: Outcome) -> Job | None:
        """Take the next run that can be made out of `left`; those that never can be go into `outcome`."""
        ended = {*outcome.done, *outcome.failed, *outcome.elsewhere}
        for job in list(left):
            if job.needs is not None and job.needs not in ended:
                continue
            left.remove(job)
            ended.add(job.run)  # unless it is returned now
            if job.needs is not None and job.needs in outcome.failed:
                reason = outcome.failed[job.needs]
                outcome.add(self.failed(job, f"the run that makes its gan images failed ({job.needs}): {reason}"))
            elif job.needs in outcome.elsewhere:
                outcome.elsewhere.add(job.run)
            else:
                return job
        return None

    def say(self, job: Job, line: str) -> None:
        self.tell(f"[{job.label}] {line}")

    def failed(self, job: Job, problem: str) -> Outcome:
        self.record(job, "failed", problem)
        return Outcome(failed={job.run: problem})

    def record(self, job: Job, state: State, problem: str | None = None) -> None:
        if job.trial is not None:
            self.study.update(job.trial.index, state, problem)


def make_apart(
    study: StudyDir,
    job: Job,
    options: ExecutionOptions,
    stop_requested: Callable[[], bool] = lambda: False,
    *,
    wait_seconds: float = 0.0,
) -> tuple[Outcome, bool]:
    """Make one run in a process of its own, whose stderr goes to the study's log.

    Returns what became of it, and whether a signal stopped it. `wait_seconds` is how long to wait for another process
    that works on the run.
    """
    with study.log.open("a", encoding="utf-8", newline="\n") as file, redirect_stderr(file), stop_flag() as asked:
        runner = _Runner(study, options, lambda: asked() or stop_requested())
        until = time.monotonic() + wait_seconds
        while (made := runner.make(job)).elsewhere and time.monotonic() < until and not asked():
            time.sleep(_WAIT_SECONDS)
        return made, asked()


class _Processes:
    """Processes of this machine, one for each run."""

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, number: int, device: str, say: Callable[[Job, str], None]) -> None:
        self.capacity = float(number)
        self._context, self._threads = get_context("spawn"), max(torch.get_num_threads() // number, 1)
        self._stop = self._context.RawValue("b", 0)  # without a lock, which a killed worker could hold for ever
        self._gpus = gpus_to_share(device)
        self._gpu_of: dict[Future[Outcome], str | None] = {}
        self._say = say

    def start(self, study: StudyDir, job: Job, options: ExecutionOptions) -> Future[Outcome]:
        gpu = least_used(self._gpus, [gpu for future, gpu in self._gpu_of.items() if not future.done()])
        # A pool for each run: a worker that dies takes no other run with it, and its memory is given back.
        begin = _begin_worker, (self._stop, self._threads, gpu)
        pool = ProcessPoolExecutor(1, self._context, *begin)
        future = pool.submit(_make_in_worker, study.path, job, options)
        pool.shutdown(wait=False)
        self._gpu_of[future] = gpu
        self._say(job, f"started on GPU {gpu}" if len(self._gpus) > 1 else "started")
        return future

    def problem(self, _error: BaseException) -> str:
        return "its process was killed, perhaps for lack of memory"

    def stop(self) -> None:
        self._stop.value = 1


_stop: Any = None  # In a worker: a shared number, not 0 once the study is to stop


def _begin_worker(stop: Any, threads: int, gpu: str | None = None) -> None:
    global _stop
    _stop = stop
    see_only(gpu)
    torch.set_num_threads(threads)


def _make_in_worker(folder: Path, job: Job, options: ExecutionOptions) -> Outcome:
    parent = parent_process()
    assert parent is not None
    if _stop.value:
        return Outcome()

    def end_with_parent() -> None:
        parent.join()
        os._exit(0)

    made, _ = make_apart(StudyDir(folder), job, options, lambda: bool(_stop.value) or not parent.is_alive())
    Thread(target=end_with_parent, daemon=True).start()  # an idle worker would outlive a parent that is killed
    return made
