"""How far a study is: a row for each trial, read from its run folders. Torch-free; nothing is written."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from augment.core.limits import read_text
from augment.errors import InputError
from smallgan.core.console import duration, is_terminal, say
from smallgan.core.run_dir import RunDir
from smallgan.core.study_dir import StudyDir, Trial
from smallgan.tables.metrics import selection_metric
from smallgan.tables.recipe_yaml import MAX_RECIPE_BYTES, load

PLAIN_SECONDS = 30.0  # Between two lines about running trials where there is no terminal
_TAIL_BYTES, _FRAME_LINES = 4096, 6  # of a table: title, heading, borders
_SHARE = 0.05  # Of the time, that the table may take: with a thousand trials it takes long to read
_FIRST = ("running", "failed", "stopped", "pending", "done")  # What a table shows where it has no room for all


@dataclass(frozen=True)
class Row:
    """One trial."""

    index: int
    variant: str
    seed: int
    state: str  # As in trials.json, or "stopped": begun, not finished, and no process works on it
    step: int
    steps: int | None  # Asked for; None before the run has begun
    seconds_left: float | None  # Of training, at the speed so far
    score: float | None  # Of the last snapshot, by the metric that selects the best checkpoint
    problem: str | None


def rows(study: StudyDir) -> list[Row]:
    """Return a row for each trial. Raises InputError when trials.json is absent or broken."""
    return [_row(study, trial) for trial in study.trials()]


def counted(found: Sequence[Row]) -> str:
    """Return how many trials are in which state, in a phrase."""
    states = [row.state for row in found]
    named = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    return f"{len(found)} runs: {', '.join(named)}"


def as_text(found: Sequence[Row]) -> list[str]:
    """Return the rows as lines, columns under each other."""
    table = [_headings(), *(_words(row) for row in found)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in table]
    problems = [f"{row.variant}, seed {row.seed}: {row.problem}" for row in found if row.problem]
    return [*lines, *problems]


@contextmanager
def live(study: StudyDir) -> Iterator[Callable[[], None]]:
    """Give a function that updates the table, to be called as often as one likes.

    On a terminal the table is live; elsewhere each running trial gets a plain line now and then.
    """
    if not is_terminal():
        yield _at_most_every(PLAIN_SECONDS, lambda: _say_running(study))
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)

    def draw() -> None:
        display.update(_rich(rows(study), max(console.height - _FRAME_LINES, 1)), refresh=True)

    with Live(console=console, auto_refresh=False) as display:
        yield _at_most_every(0.5, draw)
        draw()


def _headings() -> tuple[str, ...]:
    return ("no.", "variant", "seed", "state", "step", "ETA", selection_metric().title)


def _words(row: Row) -> tuple[str, ...]:
    step = f"{row.step}/{row.steps}" if row.steps else ""
    left = "" if row.seconds_left is None or row.state == "done" else duration(row.seconds_left)
    score = "" if row.score is None else f"{row.score:.4f}"
    return str(row.index), row.variant, str(row.seed), row.state, step, left, score


def _row(study: StudyDir, trial: Trial) -> Row:
    run = RunDir(study.run_of(trial))
    last = _last_line(run.stats)
    steps = _steps(run.recipe)
    step = min(int(last.get("step", 0)), steps or 0)
    left = None
    if steps and step:
        left = (steps - step) * (last.get("train_seconds", 0.0) + last.get("other_seconds", 0.0)) / step
    state: str = trial.state
    if state == "running":
        with study.claimed(run.path) as free:
            state = "stopped" if free else state
    elif state == "pending" and step:
        state = "stopped"
    value = _last_line(run.scores, f'"metric": "{selection_metric().name}"').get("value")
    score = float(value) if isinstance(value, int | float) else None
    return Row(trial.index, trial.variant, trial.seed, state, step, steps, left, score, trial.problem)


def _steps(recipe: Path) -> int | None:
    try:
        status = recipe.stat()
        return _steps_in(recipe, (status.st_ino, status.st_size, status.st_mtime_ns))
    except (OSError, InputError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None  # not begun, or being written


@cache
def _steps_in(recipe: Path, _status: tuple[int, ...]) -> int:
    """Return the steps that a recipe asks for; it is read once while it is the same file."""
    return int(load(read_text(recipe, MAX_RECIPE_BYTES))["train"]["steps"])


def _last_line(path: Path, wanted: str = "") -> dict[str, Any]:
    """Return the last whole line of a JSON-lines file that holds `wanted`, {} where there is none near its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            lines = file.read().decode(errors="replace").split("\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        with suppress(ValueError):
            if wanted in line and isinstance(found := json.loads(line), dict):
                return found
    return {}


def _at_most_every(seconds: float, show: Callable[[], None]) -> Callable[[], None]:
    next_time = 0.0

    def shown() -> None:
        nonlocal next_time
        began = time.monotonic()
        if began >= next_time:
            show()
            now = time.monotonic()
            next_time = max(began + seconds, now + (now - began) / _SHARE)

    return shown


def _say_running(study: StudyDir) -> None:
    for row in rows(study):
        if row.state == "running" and row.step:
            eta = f", ETA {duration(row.seconds_left)}" if row.seconds_left is not None else ""
            say(f"{row.variant}, seed {row.seed}: step {row.step} of {row.steps}{eta}")


def most_wanted(found: Sequence[Row], room: int) -> list[Row]:
    """Return at most `room` rows in their order: those that run, then those that failed, stopped, wait or are done."""
    wanted = sorted(found, key=lambda row: _FIRST.index(row.state))[:room]
    return sorted(wanted, key=lambda row: row.index)


def _rich(found: Sequence[Row], room: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    shown = most_wanted(found, room)
    more = f"; {len(shown)} are shown, --status lists all" if len(shown) < len(found) else ""
    table = Table(title=counted(found) + more, title_justify="left")
    for heading in _headings():
        table.add_column(heading, justify="left" if heading in ("variant", "state") else "right")
    for row in shown:
        words = map(Text, _words(row))  # a name in brackets is no markup
        table.add_row(*words, style={"failed": "red", "running": "bold", "done": "green"}.get(row.state))
    return table
