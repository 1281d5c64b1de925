"""StudyDir: the only place that knows the names of the files in a study folder. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from augment.core.files import make_folder, output_errors, write_json, write_text
from augment.errors import InputError
from smallgan.core.run_dir import claim_run

State = Literal["pending", "running", "done", "failed"]


@dataclass(frozen=True)
class Trial:
    """One variant of a study under one seed: a run."""

    index: int
    """Its number in the study, from 0."""
    variant: str
    """Name of the variant."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the variant changes in the recipe: dotted key -> value."""
    seed: int = 0
    run: str = ""
    """Its run folder relative to the study folder, with '/'."""
    state: State = "pending"
    problem: str | None = None
    """Why it failed."""
    reference: bool = False
    """Whether the other variants are compared with this one: the one with the policy `none`, or else the first."""


class StudyDir:
    """One study on disk. Making the object touches nothing; `create` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.trials_file = path / "trials.json"
        self.stages = path / "stages"
        self.runs = path / "runs"
        self.shared = path / "shared"
        """Generator runs that several trials take images from and that are no trial themselves."""
        self.log = path / "log.txt"
        self.report = path / "report.html"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    def exists(self) -> bool:
        """Tell whether a study was started here."""
        return self.trials_file.is_file()

    def create(self, recipe: str, trials: Sequence[Trial]) -> None:
        """Make the folders, and write the recipe (YAML, the grid included) and the trials.

        Trials that are there already, in the same run folders, keep their states. Raises InputError, OutputError.
        """
        make_folder(self.runs)
        with self.locked():
            before = {trial.run: trial for trial in self.trials()} if self.exists() else {}
            kept = [
                replace(trial, state=old.state, problem=old.problem) if (old := before.get(trial.run)) else trial
                for trial in trials
            ]
            write_text(self.recipe, recipe)
            self._write(kept)

    def trials(self) -> list[Trial]:
        """Return the trials in the order of their numbers.

        Raises InputError naming the file when it is absent or is not what `create` wrote.
        """
        try:
            trials = [Trial(**values) for values in json.loads(self.trials_file.read_text(encoding="utf-8"))]
        except OSError as error:
            raise InputError(
                f"{self.trials_file}: cannot be read ({error.strerror}); is {self.path} a study?"
            ) from error
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.trials_file}: not the trials of a study ({error}); the same `smallgan run` command writes them "
                "again"
            ) from error
        for trial in trials:
            if trial.state not in get_args(State) or not isinstance(trial.run, str):
                raise InputError(
                    f"{self.trials_file}: trial {trial.index} has the state {trial.state!r} and the run {trial.run!r}; "
                    f"states are {', '.join(get_args(State))}, a run is a path"
                )
        return sorted(trials, key=lambda trial: trial.index)

    def stage_file(self, run: Path) -> Path:
        """Return the file that tells which stages of a run are done, and from which inputs."""
        return self.stages / f"{run.parent.name}-{run.name}.json"

    @contextmanager
    def claimed(self, run: Path) -> Iterator[bool]:
        """Hold a run for this process: gives False where another has it. A kill leaves no stale claim."""
        make_folder(self.stages)
        lock = FileLock(self.stages / f".{run.parent.name}-{run.name}.lock")
        with output_errors(self.stages):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                yield False
                return
        try:
            yield True
        finally:
            lock.release()

    def run_of(self, trial: Trial) -> Path:
        """Return the run folder of a trial."""
        return self.path / trial.run

    def update(self, index: int, state: State, problem: str | None = None) -> None:
        """Set the state of one trial, as one process at a time can. Raises InputError and OutputError."""
        with self.locked():
            trials = self.trials()
            self._write(
                [replace(each, state=state, problem=problem) if each.index == index else each for each in trials]
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of trials.json, for a moment only."""
        make_folder(self.path)
        with output_errors(self.path), FileLock(self.path / ".trials.lock"):
            yield

    def _write(self, trials: Sequence[Trial]) -> None:
        write_json(self.trials_file, [asdict(trial) for trial in trials])


def claim_study(root: Path, name: str) -> StudyDir:
    """Make the next numbered study folder below `root`, 00003-<name>. Raises OutputError."""
    return StudyDir(claim_run(root, name).path)
