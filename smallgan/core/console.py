"""Status and progress of a command on stderr; stdout is for the result alone."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Log = Callable[[str], None]  # Takes a line for a person to read
_WARNING = "warning:"  # Begin of a line that stays where little is said
PLAIN_SECONDS = 5.0  # Seconds between two progress lines where there is no terminal; shorter work prints none


_is_quiet = False
_is_silent = False


def say(line: str) -> None:
    """Print a status line on stderr at once; while it is `quiet`, warnings alone."""
    if not _is_quiet or line.startswith(_WARNING):
        _print(line)


@contextmanager
def quiet(on: bool = True) -> Iterator[None]:
    """Let commands print warnings alone on stderr, and no bar, for a while; without `on` nothing changes."""
    global _is_quiet
    before, _is_quiet = _is_quiet, _is_quiet or on
    try:
        yield
    finally:
        _is_quiet = before


@contextmanager
def silent(on: bool = True) -> Iterator[None]:
    """Print nothing at all for a while, in a process that another speaks for; without `on` nothing changes."""
    global _is_silent
    before, _is_silent = _is_silent, _is_silent or on
    try:
        with quiet(on):
            yield
    finally:
        _is_silent = before


def warnings_of(log: Log) -> Log:
    """Return a `log` that takes warnings and drops the rest."""
    return lambda line: log(line) if line.startswith(_WARNING) else None


def _print(line: str) -> None:
    if not _is_silent:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the only print


def is_terminal() -> bool:
    """Tell whether stderr is a terminal."""
    return sys.stderr.isatty()


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Give a function that takes the number done so far and moves a bar on a terminal; elsewhere it does nothing.

    Where the total is not known yet (None), the function takes it beside the number. Its third argument is a note that
    stands behind the bar.
    """
    if _is_quiet or not is_terminal():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda done, of=total, note="": bar.update(task, completed=done, total=of, note=note)


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
                left = f", {rate:,.3g} per second, ETA {duration((total - done) / rate)}" if 0 < done < total else ""
                say(f"{title}: {done:,} of {total:,}{left}")

        yield advance


def number_of(count: int, noun: str) -> str:
    """Return 1 run, 3 runs, 3,000 runs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time as 40s, 1m35s or 3h05m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


@contextmanager
def stop_flag(*, once: bool = False) -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C or SIGTERM came; the second of them interrupts at once.

    `once`: it does nothing. Of several processes a launcher may tell each again what each was told.
    Python delivers signals to the main thread alone: in another thread the function always says no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and once:
            return
        if asked:
            raise KeyboardInterrupt
        asked = True
        again = "" if once else " Press Ctrl-C again to quit now (progress since the last checkpoint is lost)."
        _print(f"Stopping after this step.{again}")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
