"""One run folder -> Run: everything that a page shows of it, as plain data. No HTML, no torch.

A part that is absent or broken is left out and named in `Run.problems`, never guessed.
"""

import json
import math
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from augment.core.limits import read_json, read_text
from augment.errors import InputError, SmallganError
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.metrics import diagnostics
from smallgan.metrics.diagnostics import Reading
from smallgan.metrics.memorisation.sheet_facts import FACTS, SheetFacts
from smallgan.metrics.score import Score
from smallgan.report.pictures import Picture, Sizes, read_picture
from smallgan.report.sheets import MAX_SHOWN, Sheet, find_sheets, read_movie
from smallgan.tables.recipe_yaml import MAX_RECIPE_BYTES, load

MAX_SNAPSHOTS = 8
_T = TypeVar("_T")


@dataclass(frozen=True)
class Snapshot:
    """The grid of fakes of one step."""

    step: int
    picture: Picture


@dataclass(frozen=True)
class Confusion:
    """What a classifier takes test images for."""

    step: int
    classes: tuple[str, ...]
    matrices: Mapping[str, Sequence[Sequence[int]]]  # By what made them; rows: what an image shows


@dataclass(frozen=True)
class Run:
    """One run folder as read."""

    label: str  # Name on the page, unique
    recipe: Mapping[str, Any]  # Flat: dotted key -> value
    recipe_text: str
    data: Mapping[str, Any]
    """data.json; {} where it is absent."""
    environment: Mapping[str, str]
    """environment.json as text; `command` is a line for a shell."""
    stats: tuple[Mapping[str, float], ...]
    """The finite numbers of stats.jsonl, ascending in `step`."""
    scores: tuple[Score, ...]
    """In the order of the file."""
    readings: tuple[Reading, ...]  # The finite numbers of diagnostics.jsonl, ascending in `step`
    warnings: tuple[str, ...]  # What the readings warn of, a sentence each, as in the log
    last_step: int
    """The furthest step that left a trace, 0 when none did."""
    best_step: int | None
    best_meaning: str | None
    """What made that checkpoint the best, in the words of best.json."""
    grid_steps: tuple[int, ...]
    """Steps of all grids that are there, shown or not, ascending."""
    nearest: SheetFacts | None
    """The sheet `worst` in numbers."""
    sheets: tuple[Sheet, ...]  # Made of the run after training, of each kind the newest first
    problems: tuple[str, ...]
    """What is missing, broken or unfinished in the folder, a sentence each."""
    confusion: Confusion | None = None  # Of the last snapshot of a run that trains a classifier
    snapshots: tuple[Snapshot, ...] = ()
    """At most MAX_SNAPSHOTS, the first and the last grid among them; the last one large, the others small."""
    reals: Picture | None = None
    mix: Picture | None = None

    @property
    def asked_steps(self) -> int | None:
        """Steps that the recipe asks for, None when it does not say."""
        return whole(self.recipe.get("train.steps"))

    @property
    def batch_size(self) -> int | None:
        """Images a step, None when the recipe does not say."""
        return whole(self.recipe.get("train.batch_size"))

    @property
    def pictures(self) -> list[Picture]:
        """All pictures of the run."""
        sheets = (one for sheet in self.sheets for one in (sheet.picture, sheet.movie))
        single = (self.reals, self.mix, *sheets)
        return [*(snapshot.picture for snapshot in self.snapshots), *(one for one in single if one)]

    def sheets_of(self, kind: str) -> list[Sheet]:
        """Return the sheets of a kind, the newest first."""
        return [sheet for sheet in self.sheets if sheet.kind == kind]

    @property
    def policy(self) -> str:
        """Augmentation policy of the training images."""
        return str(self.data.get("policy") or self.recipe.get("augment.policy") or "none")

    @property
    def source(self) -> str:
        """Folder of the originals, with '/'."""
        source = str(self.data.get("source") or self.recipe.get("data.source") or "the sample set")
        return source.replace("\\", "/").rstrip("/")

    @property
    def origins(self) -> dict[str, int]:
        """Number of training images of each origin: original, augmented, synthetic."""
        origins = self.data.get("origins")
        counts = origins.items() if isinstance(origins, dict) else ()
        return {str(origin): number for origin, count in counts if (number := whole(count)) and number > 0}

    @property
    def command(self) -> str | None:
        """The command that made the run, None when it was not recorded."""
        return self.environment.get("command") or None

    @property
    def is_finished(self) -> bool:
        """Whether it reached the steps that its recipe asks for; of a recipe that asks for none, always."""
        return self.asked_steps is None or self.last_step >= self.asked_steps

    @property
    def skipped(self) -> list[str]:
        """Names of the unreadable files that were left out of the training images."""
        skipped = self.data.get("skipped")
        return [str(name) for name in skipped] if isinstance(skipped, list) else []


def read_run(folder: RunDir, label: str) -> Run:
    """Read one run without its pictures.

    Raises InputError when its recipe cannot be read; of the rest, what cannot be read becomes a problem.
    """
    parts = _Parts(folder)
    with readable(folder.path):
        recipe_text, recipe = _read_recipe(folder)
        grids, last_checkpoint, confusions = folder.grids(), folder.last_step(), folder.confusions()
    stats = parts.read(folder.stats, _read_stats, ())
    last_step = max([*(int(line["step"]) for line in stats), *grids, *confusions, last_checkpoint])
    environment = parts.read(folder.environment, _read_mapping, {})
    best = parts.read(folder.best, _read_mapping, {})
    readings, warnings = parts.read(folder.diagnostics, _read_readings, ((), ()))
    meaning = best.get("meaning")
    sheets = parts.read(folder.path, lambda _: find_sheets(folder), ())
    worst, asked = [sheet.file for sheet in sheets if sheet.kind == "worst"], whole(recipe.get("train.steps"))
    facts = (folder.path / worst[0]).with_name(FACTS) if worst else None
    unfinished = [f"unfinished: {last_step:,} of {asked:,} steps"] if asked is not None and last_step < asked else []
    return Run(
        label=label,
        recipe=recipe,
        recipe_text=recipe_text,
        data=parts.read(folder.data, _read_mapping, {}),
        environment={
            printable(str(key)): shlex.join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in environment.items()
        },
        stats=stats,
        scores=parts.read(folder.scores, _read_scores, ()),
        readings=readings,
        warnings=warnings,
        last_step=last_step,
        best_step=whole(best.get("step")),
        best_meaning=meaning if isinstance(meaning, str) else None,
        grid_steps=tuple(grids),
        nearest=parts.read(facts, lambda path: SheetFacts.from_json(read_text(path)), None),
        sheets=sheets,
        confusion=parts.read(confusions[max(confusions)], _read_confusion, None) if confusions else None,
        problems=(*unfinished, *parts.problems),
    )


def with_pictures(run: Run, folder: RunDir, sizes: Sizes) -> Run:
    """Return a run with its pictures, no larger than `sizes`; one that cannot be read becomes a problem."""
    parts, grids = _Parts(folder), folder.grids()
    large = partial(read_picture, max_side=sizes.large, keep_bytes=sizes.keep_bytes)
    small = partial(read_picture, max_side=sizes.small, keep_bytes=sizes.keep_bytes)
    shown = spread(list(grids), MAX_SNAPSHOTS)
    return replace(
        run,
        snapshots=tuple(
            Snapshot(step, picture)
            for step in shown
            if (picture := parts.read(grids[step], large if step == shown[-1] else small, None))
        ),
        reals=parts.read(folder.reals, large, None),
        mix=parts.read(folder.mix, large, None),
        sheets=tuple(_with_picture(sheet, run, folder, parts, sizes) for sheet in run.sheets),
        problems=(*run.problems, *parts.problems),
    )


def unique_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return the last part of each path, with as many parts before it as make it unique."""
    names = [path[-1] if path else "" for path in paths]
    for depth in range(2, max(map(len, paths), default=0) + 1):
        twice = {name for name, number in Counter(names).items() if number > 1}
        names = ["/".join(path[-depth:]) if name in twice else name for path, name in zip(paths, names, strict=True)]
    return [printable(name) for name in names]


def printable(text: str) -> str:
    """Return `text` with what no terminal or page should get (control characters, lone surrogates) replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def finite(value: Any) -> float | None:
    """Return a number as float, None when `value` is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def whole(value: Any) -> int | None:
    """Return a number as int, None when `value` is no finite number."""
    number = finite(value)
    return None if number is None else int(number)


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """Return at most `count` (2 or more) of `items`, evenly spread, the first and the last among them.

    >>> spread([0, 10, 20, 30, 40], 3)
    [0, 20, 40]
    """
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


class _Parts:
    """Reads the parts of one run: one that is absent is its default, a broken one too, and then a problem."""

    def __init__(self, folder: RunDir) -> None:
        self.problems: list[str] = []
        self._prefix = f"{folder.path}{os.sep}"

    def read(self, path: Path | None, reader: Callable[[Path], Any], default: Any) -> Any:
        if path is None:
            return default
        try:
            with readable(path):
                return reader(path) if path.exists() else default
        except InputError as error:
            # without the folder, so that the page is the same wherever the run lies
            self.problems.append(printable(str(error).replace(self._prefix, "")))
            return default


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a broken file raises into an InputError that names it."""
    try:
        yield
    except SmallganError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
        raise InputError(f"{path}: not in the format of a run ({reason})") from error


def _read_recipe(folder: RunDir) -> tuple[str, dict[str, Any]]:
    name = Path(folder.recipe.name)
    if not folder.recipe.is_file():
        raise InputError(f"{name}: not found")
    with readable(name):
        text = read_text(folder.recipe, MAX_RECIPE_BYTES)
        recipe = dict(_flat(_mapping(load(text))))
        json.dumps(recipe, default=str)  # a list that contains itself is YAML, but can be neither compared nor shown
        return text, recipe


def _with_picture(sheet: Sheet, run: Run, folder: RunDir, parts: "_Parts", sizes: Sizes) -> Sheet:
    if sheet not in run.sheets_of(sheet.kind)[:MAX_SHOWN]:
        return sheet
    large = partial(read_picture, max_side=sizes.large, keep_bytes=sizes.keep_bytes)
    play = partial(read_movie, max_bytes=sizes.movie_bytes)
    picture = parts.read(folder.path / sheet.file, large, None) if sheet.file else None
    movie = parts.read(folder.path / sheet.movie_file, play, None) if sheet.movie_file else None
    return replace(sheet, picture=picture, movie=movie)


def _read_mapping(path: Path) -> dict[str, Any]:
    return _mapping(read_json(path))


def _read_stats(path: Path) -> tuple[Mapping[str, float], ...]:
    lines: dict[float, dict[str, float]] = {}
    for line in read_jsonl(path):
        numbers = {key: number for key, value in _mapping(line).items() if (number := finite(value)) is not None}
        lines[numbers["step"]] = numbers
    return tuple(lines[step] for step in sorted(lines))


def _read_readings(path: Path) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    readings = _read_stats(path)
    return readings, tuple(f"step {one.step:,}: {one.text}" for one in diagnostics.warnings(readings))


def _read_scores(path: Path) -> tuple[Score, ...]:
    return tuple(_checked(Score.from_json(_mapping(line))) for line in read_jsonl(path))


def _read_confusion(path: Path) -> Confusion:
    found = _mapping(read_json(path))
    classes, step = tuple(map(str, found["classes"])), int(found["step"])
    names = {"adapted": "Adapted to the target", "source_only": "Source only"}
    matrices = {names[key]: [[int(count) for count in row] for row in found[key]] for key in names}
    if any(len(rows) != len(classes) or {*map(len, rows)} != {len(classes)} for rows in matrices.values()):
        raise ValueError(f"expected matrices of {len(classes)} rows and columns")
    return Confusion(step, classes, matrices)


def _checked(score: Score) -> Score:
    texts = [score.metric, score.label, score.standing, *score.notes]
    numbers = [number for number in (score.value, score.std, *(score.interval or ())) if number is not None]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(one, int | float) for one in numbers):
        raise ValueError("a field of a score has the wrong type")
    if score.step is not None and whole(score.step) is None:
        raise ValueError(f"step {score.step!r} of a score is no number")
    value, low, high = map(finite, (score.value, *(score.interval or (None, None))))
    parts = {str(name): finite(part) for name, part in _mapping(score.parts).items()}
    return replace(
        score,
        value=math.nan if value is None else value,
        identity=_mapping(score.identity),
        std=finite(score.std),
        baseline=finite(score.baseline),
        baseline_counts=_counts(score.baseline_counts),
        needed=whole(score.needed),
        interval=None if low is None or high is None else (low, high),
        parts={name: number for name, number in parts.items() if number is not None},
        step=whole(score.step),
    )


def _counts(value: Any) -> tuple[int, int | None] | None:
    first, second = (whole(number) for number in value or (None, None))
    return None if first is None else (first, second)


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"found {type(value).__name__}, expected a mapping")
    return value


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
