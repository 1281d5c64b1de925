"""What a benchmark gives back, and how its ways are timed: in turn, so that a busy moment meets all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """How many times as fast as the plain way, round by round."""

    name: str
    target: float | None
    """The ratio that the project asks for; None: for comparison only."""
    ratios: tuple[float, ...]
    note: str
    """The conditions."""

    def line(self) -> str:
        """Return the row as `make bench` prints it: median, least, greatest, target, conditions."""
        target = "-" if self.target is None else f"{self.target:.2f}"
        middle, least, most = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        return f"{self.name:34} {middle:6.2f} {least:6.2f} {most:6.2f} {target:>7}  {self.note}"


def interleave(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return the seconds of each way in each round, A B A B ..., after one round to warm up.

    `clock` is that of the wall, or of the processor for work of one process on one thread: neighbours do not count in
    it. What was imported before is kept from the garbage collector: else a collection looks through all of torch, a
    tenth of a second that falls on one way or the other and made short rows swing.
    """
    gc.collect()
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = clock()
            way()
            if number:
                seconds[name].append(clock() - started)
    gc.unfreeze()
    return seconds
