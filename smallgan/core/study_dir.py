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
class Cell:
    """One cell of a grid under one seed: a run of the study."""

    index: int
    """Its number in the study, from 0."""
    cell: str
    """Name of the cell, the same under every seed."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the cell changes in the recipe: dotted key -> value; the seed is not among them."""
    seed: int = 0
    run: str = ""
    """Its run folder relative to the study folder, with '/'."""
    state: State = "pending"
    problem: str | None = None
    """Why it failed."""
    reference: bool = False
    """Whether the other cells are compared with this one: the one with the policy `none`, or else the first."""


class StudyDir:
    """One study on disk. Making the object touches nothing; `create` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.cells_file = path / "cells.json"
        self.stages = path / "stages"
        self.runs = path / "runs"
        self.shared = path / "shared"
        """Runs that several cells need and that are no cell."""
        self.log = path / "log.txt"
        self.report = path / "report.html"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    def exists(self) -> bool:
        """Tell whether a study was started here."""
        return self.cells_file.is_file()

    def create(self, recipe: str, cells: Sequence[Cell]) -> None:
        """Make the folders, and write the recipe (YAML, the grid included) and the cells.

        Cells that stand there already, in the same run folders, keep their states. Raises InputError, OutputError.
        """
        make_folder(self.runs)
        with self.locked():
            before = {cell.run: cell for cell in self.cells()} if self.exists() else {}
            kept = [
                replace(cell, state=old.state, problem=old.problem) if (old := before.get(cell.run)) else cell
                for cell in cells
            ]
            write_text(self.recipe, recipe)
            self._write(kept)

    def cells(self) -> list[Cell]:
        """Return the cells in the order of their numbers.

        Raises InputError naming the file when it is absent or is not what `create` wrote.
        """
        try:
            found = json.loads(self.cells_file.read_text(encoding="utf-8"))
            cells = [Cell(**values) for values in found]
        except OSError as error:
            raise InputError(
                f"{self.cells_file}: cannot be read ({error.strerror}); is {self.path} a study?"
            ) from error
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.cells_file}: not the cells of a study ({error}); write it anew by the same "
                "`smallgan run` command"
            ) from error
        broken = [cell for cell in cells if cell.state not in get_args(State) or not isinstance(cell.run, str)]
        if broken:
            raise InputError(
                f"{self.cells_file}: cell {broken[0].index} has the state {broken[0].state!r} and the run "
                f"{broken[0].run!r}; states are {', '.join(get_args(State))}, a run is a path"
            )
        return sorted(cells, key=lambda cell: cell.index)

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

    def run_of(self, cell: Cell) -> Path:
        """Return the run folder of a cell."""
        return self.path / cell.run

    def update(self, index: int, state: State, problem: str | None = None) -> None:
        """Set the state of one cell; of processes that do so at once, one waits. Raises InputError and OutputError."""
        with self.locked():
            self._write(
                [replace(cell, state=state, problem=problem) if cell.index == index else cell for cell in self.cells()]
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of cells.json, for a moment only."""
        make_folder(self.path)
        with output_errors(self.path), FileLock(self.path / ".cells.lock"):
            yield

    def _write(self, cells: Sequence[Cell]) -> None:
        write_json(self.cells_file, [asdict(cell) for cell in cells])


def claim_study(root: Path, name: str) -> StudyDir:
    """Make the next numbered study folder below `root`, 00003-<name>. Raises OutputError."""
    return StudyDir(claim_run(root, name).path)
