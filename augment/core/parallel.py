"""Work in threads, each with a contiguous part of the list: decoding and encoding leave Python's lock alone."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Generic, TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int], None]  # Takes the number of items done so far
ProgressBar = Callable[[str, int], AbstractContextManager[Progress]]
"""Takes a title and the number of items, and gives a `Progress` while these are worked on."""

_REPORT_SECONDS = 0.2


class ByteBudget:
    """How many bytes of files all threads together may hold at once."""

    def __init__(self, most_bytes: int, free_bytes: int) -> None:
        """Let `most_bytes` be held, beside files of up to `free_bytes`, which are not counted."""
        self._most, self._free = most_bytes, free_bytes
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Wait until so many bytes may be held, which a file larger than all may alone, and hold them meanwhile."""
        if num_bytes <= self._free:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + num_bytes <= self._most)
            self._held += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._held -= num_bytes
                self._changed.notify_all()


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


@contextmanager
def ahead(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    size_of: Callable[[Result], int],
    *,
    workers: int,
    most_bytes: int,
) -> Iterator[Iterator[Result]]:
    """Give `work` of each item, in the order of `items`, from threads that work ahead of the caller.

    They rest while the results that wait hold `most_bytes` or more: one result a thread comes on top at most. The first
    is given when they rest or have done all. An error is raised in its item's turn. No thread is left at the end.
    """
    line = _Line(work, items, size_of, most_bytes)
    workers = max(1, min(workers, len(items)))
    with _one_cv2_thread(), ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            pool.submit(line.carry_out)
        try:
            yield line.results()
        finally:
            line.stop()


class _Line(Generic[Item, Result]):
    """Results that wait for their turn, and the threads that wait for room."""

    def __init__(
        self, work: Callable[[Item], Result], items: Sequence[Item], size_of: Callable[[Result], int], most_bytes: int
    ) -> None:
        self._work, self._items, self._size_of, self._most_bytes = work, items, size_of, most_bytes
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[Future[Result], int]] = {}
        self._taken = self._given = self._held_bytes = 0
        self._stopped = False

    def carry_out(self) -> None:
        """Work on the next item again and again, in a thread."""
        while True:
            with self._changed:
                self._changed.wait_for(self._may_go_on)
                if self._stopped or self._taken == len(self._items):
                    return
                number = self._taken
                self._taken += 1
            outcome: Future[Result] = Future()
            num_bytes = 0
            try:
                result = self._work(self._items[number])
                num_bytes = self._size_of(result)
                outcome.set_result(result)
            except BaseException as error:
                outcome.set_exception(error)
            with self._changed:
                self._waiting[number] = outcome, num_bytes
                self._held_bytes += num_bytes
                self._changed.notify_all()

    def _may_go_on(self) -> bool:
        is_next = self._taken == self._given  # the caller waits for it, whatever the others hold
        return self._stopped or self._taken == len(self._items) or is_next or self._held_bytes < self._most_bytes

    def results(self) -> Iterator[Result]:
        """Yield the results in order."""
        self._wait(lambda: len(self._waiting) == len(self._items) or self._held_bytes >= self._most_bytes)
        for number in range(len(self._items)):
            self._wait(partial(self._waiting.__contains__, number))
            with self._changed:
                outcome, num_bytes = self._waiting.pop(number)
                self._given += 1
                self._held_bytes -= num_bytes
                self._changed.notify_all()
            yield outcome.result()

    def _wait(self, until: Callable[[], bool]) -> None:
        with self._changed:
            while not self._changed.wait_for(until, _REPORT_SECONDS):  # without a time Windows would not see Ctrl-C
                pass

    def stop(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


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
