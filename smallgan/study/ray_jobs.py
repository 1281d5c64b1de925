"""The runs of a study as tasks of a Ray cluster: `smallgan run --ray`.

Ray decides where and when a run is made, and makes it again elsewhere when its worker or node is lost; it then goes on
from its last checkpoint in the study's folder, which all nodes share. What a task does is what a process of `--jobs`
does.
"""

from __future__ import annotations

import math
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from augment.errors import InputError, MissingError, UsageError
from smallgan.core.console import Log
from smallgan.core.run_log import append_log
from smallgan.core.study_dir import StudyDir
from smallgan.core.version import __version__
from smallgan.study.plan import Job
from smallgan.study.runner import Outcome, make_apart
from smallgan.study.stages import ExecutionOptions

MAX_RETRIES = 10  # Of a run whose worker or node is lost; a run that kills its worker each time must end some day
LOCK_SECONDS = 180.0  # A file server may keep the lock of a node that is gone for so long


class StoppedBySignalError(Exception):
    """A worker was told to end, as by `ray stop` or a preempted node: Ray makes the run elsewhere."""


@contextmanager
def ray_cluster(address: str, gpus: float | None, cpus: float, log: Log) -> Iterator[RayWorkers]:
    """Connect to a Ray cluster, and leave it afterwards; runs that are still being made there are ended.

    Args:
        address: "auto" for the cluster of this machine, or host:port of its head.
        gpus: of a run; a fraction shares one. None: 1 where the cluster has GPUs, else 0.
        cpus: cores, and so threads, of a run, 0 or more.
        log: takes a status line.

    Raises MissingError without Ray, and UsageError for a cluster that cannot be reached and for numbers that Ray
    refuses.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    try:
        import ray
    except ImportError as error:
        raise MissingError(
            "--ray needs the package ray, which is not installed; install it on all nodes with: pip install "
            "'smallgan[ray]'"
        ) from error
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        told = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"--ray {address}: no Ray cluster there ({told}); start one with `ray start --head`, and name its address"
        ) from error
    try:
        if in_main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there, which ends a process at once
        if gpus is None:
            gpus = min(ray.cluster_resources().get("GPU", 0.0), 1.0)
        workers = RayWorkers(gpus, cpus)
        _tell(gpus, cpus, log)
        with redirect_stdout(sys.stderr):  # Ray prints there what became of a node; stdout is for the result alone
            yield workers
    finally:
        ray.shutdown()


class RayWorkers:
    """Tasks of the cluster that this process is connected to, one for each run; Ray queues them."""

    capacity: float = math.inf

    def __init__(self, gpus: float, cpus: float) -> None:
        """Raise UsageError for numbers that Ray refuses."""
        import ray

        self.lost: tuple[type[BaseException], ...] = (ray.exceptions.RayError,)
        self._gpus, self._threads = gpus, max(int(cpus), 1)
        self._given: list[Any] = []
        asked = f"--gpus-per-trial {gpus:g} --cpus-per-trial {cpus:g}"
        if any(number > 1 and number != int(number) for number in (gpus, cpus)):
            raise UsageError(f"{asked}: must be whole numbers above 1; Ray divides single GPUs and cores alone")
        try:
            self._task = ray.remote(
                num_gpus=gpus, num_cpus=cpus, max_retries=MAX_RETRIES, retry_exceptions=[StoppedBySignalError]
            )(_make_on_node)
        except ValueError as error:
            raise UsageError(f"{asked}: {error}") from error

    def start(self, study: StudyDir, job: Job, options: ExecutionOptions) -> Future[Outcome]:
        """Hand a run to Ray, which queues it."""
        device = "cpu" if options.device == "auto" and not self._gpus else options.device
        wanted = ExecutionOptions(device, options.command)
        given = self._task.remote(__version__, Path.cwd(), study.path, job, wanted, self._threads)
        self._given.append(given)
        future: Future[Outcome] = given.future()
        return future

    def problem(self, error: BaseException) -> str:
        """Return why Ray gave a run up."""
        if isinstance(cause := getattr(error, "cause", None), InputError):
            return str(cause)
        told = [line.strip(" .") for line in str(error).splitlines() if line.strip()] or ["no reason given"]
        return f"given up by Ray ({type(error).__name__}): {told[-1]}; the same command goes on with it"

    def stop(self) -> None:
        """Take the runs that wait out of Ray's queue, and let the others end after their step, with a checkpoint."""
        import ray

        for given in self._given:
            ray.cancel(given)  # a worker sees Ctrl-C


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port: Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()


def _tell(gpus: float, cpus: float, log: Log) -> None:
    """Say what the cluster has, and where no node of it has what a run needs."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    total = [sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")]
    log(
        f"Ray: {len(nodes)} node(s) with {total[0]:g} CPUs and {total[1]:g} GPUs; {cpus:g} CPUs and {gpus:g} GPUs for "
        "each trial"
    )
    if not any(node.get("CPU", 0.0) >= cpus and node.get("GPU", 0.0) >= gpus for node in nodes):
        log("warning: no node has so many, so trials wait until one joins; ask for less with --gpus-per-trial")


def _make_on_node(
    version: str, place: Path, folder: Path, job: Job, options: ExecutionOptions, threads: int
) -> Outcome:
    """Make one run on whatever node this is. Raises InputError where the node lacks what all must share."""
    import ray
    import torch

    where = f"{platform.node()} (Ray node {ray.get_runtime_context().get_node_id()[:8]})"
    if version != __version__:
        raise InputError(f"{where}: smallgan {__version__}, but {version} planned this study; install the same version")
    try:
        os.chdir(place)  # paths of a recipe may count from there
    except OSError as error:
        raise InputError(f"{where}: no folder {place}; start the study in a folder that all nodes share") from error
    study = StudyDir(folder)
    if not study.exists():
        raise InputError(f"{where}: no study in {folder.absolute()}; name a folder that all nodes share with --out")
    torch.set_num_threads(threads)
    append_log(study.log, f"[{job.label}] started on {where}")
    made, was_stopped = make_apart(study, job, options, wait_seconds=LOCK_SECONDS)
    if was_stopped and not (made.done or made.failed):
        raise StoppedBySignalError(f"{where}: told to end")
    return made
