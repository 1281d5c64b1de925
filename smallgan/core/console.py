"""What a person sees while a command works: status on stderr, so that stdout holds the result alone."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Log = Callable[[str], None]
"""Takes a line for a person to read."""
PLAIN_SECONDS = 5.0
"""Between two lines where there is no terminal; what is done sooner says nothing."""


def say(line: str) -> None:
    """Print a status line on stderr at once."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one place that talks


def is_terminal() -> bool:
    """Tell whether a person sees stderr as it comes."""
    return sys.stderr.isatty()


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that takes the number done so far and moves a bar on a terminal; elsewhere it does nothing."""
    if not is_terminal():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that takes the number done so far: a bar on a terminal, else a plain line now and then."""
    with progress_bar(title, total) as move:
        started = last = time.monotonic()

        def advance(done: int) -> None:
            nonlocal last
            move(done)
            now = time.monotonic()
            if not is_terminal() and now - last >= PLAIN_SECONDS:
                last = now
                rate = done / max(now - started, 1e-9)
                left = f", {rate:,.3g} a second, {duration((total - done) / rate)} left" if 0 < done < total else ""
                say(f"{title}: {done:,} of {total:,}{left}")

        yield advance


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 5 min, 3.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C or SIGTERM came; a second Ctrl-C interrupts at once."""
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping after this step; once more stops at once, and loses what came after the last checkpoint")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
