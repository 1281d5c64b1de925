"""Work in threads, each with a contiguous part of the list: decoding and encoding leave Python's lock alone."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int], None]  # Takes the number of items done so far
ProgressBar = Callable[[str, int], AbstractContextManager[Progress]]
"""Takes a title and the number of items, and gives a `Progress` while these are worked on."""

_REPORT_SECONDS = 0.2


def parallel_map(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1, progress: Progress | None = None
) -> list[Result]:
    """Return `work` of each item, in the order of `items`. The first error stops all and is raised.

    `progress` is called with the number done so far, from the calling thread.
    """
    workers = max(1, min(workers, len(items)))
    stop = threading.Event()
    done = [0] * workers

    def carry_out(worker: int) -> list[Result]:
        results = []
        reported = time.monotonic()
        for item in items[len(items) * worker // workers : len(items) * (worker + 1) // workers]:
            if stop.is_set():
                break
            results.append(work(item))
            done[worker] += 1
            if progress and workers == 1 and time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                progress(done[0])
        return results

    with _one_cv2_thread():
        if workers == 1:
            results = [carry_out(0)]
        else:
            results = _in_threads(carry_out, workers, stop, lambda: progress and progress(sum(done)))
    if progress:
        progress(len(items))
    return list(itertools.chain.from_iterable(results))


def default_workers() -> int:
    """Return how many threads are worth it here: the cores this process may use, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)


def _in_threads(
    carry_out: Callable[[int], list[Result]], workers: int, stop: threading.Event, report: Callable[[], object]
) -> list[list[Result]]:
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[list[Result]]] = [pool.submit(carry_out, worker) for worker in range(workers)]
        try:
            while wait(futures, timeout=_REPORT_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                if any(future.done() and future.exception() for future in futures):
                    break
                report()
        finally:
            stop.set()  # after an error or Ctrl-C; otherwise all are done
    return [future.result() for future in futures]


@contextmanager
def _one_cv2_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own below ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
