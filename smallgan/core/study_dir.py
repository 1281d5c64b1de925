"""StudyDir: the only place that knows the names of the files in a study folder. Torch-free."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import ConfigDict, TypeAdapter, ValidationError

from augment.core.files import make_folder, output_errors, write_json, write_text
from augment.core.limits import REPLACE, read_within
from augment.errors import InputError
from smallgan.core.run_dir import try_lock

SMOKE_SUFFIX = "-smoke"  # Ends the name of a study that --smoke tries out: its figures mean nothing
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


_MAX_TRIALS_BYTES = 256 << 20  # Of trials.json: some 500,000 trials
_TRIALS = TypeAdapter(list[Trial], config=ConfigDict(extra="forbid"))


class StudyDir:
    """One study on disk. Making the object touches nothing; `create` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.recipe = path / "recipe.yaml"
        self.trials_file = path / "trials.json"
        self.sources = path / "sources.json"
        """What is known of the images, so that they are looked at once."""
        self.stages = path / "stages"
        self.runs = path / "runs"
        self.shared = path / "shared"
        """Generator runs that several trials take images from and that are no trial themselves."""
        self.log = path / "log.txt"
        self.report = path / "report.html"
        self._lock = path / ".trials.lock"

    def exists(self) -> bool:
        """Tell whether a study was started here."""
        return self.trials_file.is_file()

    def create(self, recipe: str, trials: Sequence[Trial]) -> None:
        """Make the folders, and write the recipe (YAML, the grid included) and the trials.

        Trials that are there already, in the same run folders, keep their states. Raises InputError, OutputError.
        """
        make_folder(self.runs)
        with output_errors(self.path), FileLock(self._lock):
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
            trials = _TRIALS.validate_json(read_within(self.trials_file, _MAX_TRIALS_BYTES, advice=REPLACE))
        except OSError as error:
            raise InputError(
                f"{self.trials_file}: cannot be read ({error.strerror}); is {self.path} a study?"
            ) from error
        except ValidationError as error:
            found = error.errors()[0]
            reason = ": ".join([*map(str, found["loc"]), found["msg"]])
            raise InputError(
                f"{self.trials_file}: not the trials of a study ({reason}); the same `smallgan run` command writes "
                "them again"
            ) from error
        return sorted(trials, key=lambda trial: trial.index)

    def stage_file(self, run: Path) -> Path:
        """Return the file that tells which stages of a run are done, and from which inputs."""
        return self.stages / f"{run.parent.name}-{run.name}.json"

    def claimed(self, run: Path) -> AbstractContextManager[bool]:
        """Hold a run for this process: gives False where another has it. A kill leaves no stale claim."""
        return try_lock(self.stages / f".{run.parent.name}-{run.name}.lock")

    def run_of(self, trial: Trial) -> Path:
        """Return the run folder of a trial."""
        return self.path / trial.run

    def update(self, index: int, state: State, problem: str | None = None) -> None:
        """Set the state of one trial, as one process at a time can. Raises InputError and OutputError."""
        with output_errors(self.path), FileLock(self._lock):
            trials = [replace(t, state=state, problem=problem) if t.index == index else t for t in self.trials()]
            self._write(trials)

    def _write(self, trials: Sequence[Trial]) -> None:
        write_json(self.trials_file, [asdict(trial) for trial in trials])
