"""RunDir: the only place that knows the names of the files in a run folder. Torch-free."""

import json
import re
import shutil
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from augment.core.files import make_folder, output_errors, write_text
from augment.core.limits import MAX_LINE, loads, read_json, read_text
from augment.errors import InputError, UsageError

MAX_LOG_BYTES = 256 << 20  # Of each .jsonl: a line a step for half a million steps
_NUMBERED = re.compile(r"\d{5}-.+")
_OF_STEP = re.compile(r"step-(\d{6,})|(?:fakes|reconstructions)-(\d{6,})\.png|confusion-(\d{6,})\.json")


def another(kind: str = "run") -> str:
    """Return how a user starts another run, or study, as an error says it; --new and --out exclude each other."""
    return f"start another {kind} with --new, or if you gave --out, with another folder"


class RunDir:
    """One run on disk. Making the object touches nothing; `create` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.data = path / "data.json"
        self.stats = path / "stats.jsonl"
        self.scores = path / "scores.jsonl"
        self.diagnostics = path / "diagnostics.jsonl"
        self.log = path / "log.txt"
        self.reals = path / "reals.png"
        self.mix = path / "mix.png"
        self.report = path / "report.html"
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.exports = path / "export"
        self.best = self.checkpoints / "best.json"

    def create(self) -> None:
        """Make the folders. Raises OutputError."""
        for folder in (self.path, self.checkpoints, self.samples):
            make_folder(folder)

    def exists(self) -> bool:
        """Tell whether a run was started here."""
        return self.recipe.is_file()

    def fakes(self, step: int) -> Path:
        """Return the path of the grid of `step`."""
        return self.path / f"fakes-{step:06d}.png"

    def confusion(self, step: int) -> Path:
        """Return the path of the confusion matrices of a run that trains a classifier, in the place of a grid."""
        return self.path / f"confusion-{step:06d}.json"

    def confusions(self) -> dict[int, Path]:
        """Return the files of confusion matrices that are there, by step."""
        return dict(_by_step(self.path, "confusion-*"))

    def is_shown(self, step: int) -> bool:
        """Tell whether the snapshot of `step` is whole: its grid, or its confusion matrices, are written last."""
        return self.fakes(step).is_file() or self.confusion(step).is_file()

    def reconstructions(self, step: int) -> Path:
        """Return the path of the training images beside what a transfer makes of their codes at `step`."""
        return self.path / f"reconstructions-{step:06d}.png"

    def reconstruction_steps(self) -> list[int]:
        """Return the steps of the pictures of reconstructions that are there, ascending."""
        return [step for step, _ in _by_step(self.path, "reconstructions-*")]

    def grids(self) -> dict[int, Path]:
        """Return the grids that are there, by step."""
        return dict(_by_step(self.path, "fakes-*"))

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the checkpoint of `step`."""
        return self.checkpoints / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Return the steps of the checkpoints that are there, ascending."""
        return [step for step, _ in _by_step(self.checkpoints, "step-*")]

    def best_step(self) -> int | None:
        """Return the step of the best checkpoint by the score named in best.json, None when nothing was scored."""
        step = (self.best_record() or {}).get("step")
        return step if isinstance(step, int) else None

    def best_record(self) -> dict[str, Any] | None:
        """Return what best.json says, None when nothing was scored or the file is damaged."""
        try:
            return read_record(self.best)
        except InputError:
            return None

    def prune_checkpoints(self) -> None:
        """Keep the last two checkpoints and the best."""
        steps = self.checkpoint_steps()
        for step in steps[:-2]:
            if step != self.best_step():
                shutil.rmtree(self.checkpoint(step))

    def last_step(self) -> int:
        """Return the step of the newest checkpoint, 0 when there is none."""
        return max(self.checkpoint_steps(), default=0)

    def reached(self, step: int) -> bool:
        """Tell whether training came to `step`, and the last snapshot is whole too."""
        return self.last_step() >= step and self.is_shown(self.last_step())

    def cut_after(self, step: int) -> None:
        """Forget what was logged, scored, drawn or saved after `step`, so that a resumed run equals a whole one."""
        for path in (self.stats, self.scores, self.diagnostics):
            _keep_lines(path, lambda at: at <= step)
        for at, shown in [*_by_step(self.path, "*.png"), *_by_step(self.path, "confusion-*")]:
            if at > step:
                shown.unlink()
        for at, checkpoint in _by_step(self.checkpoints, "step-*"):
            if at > step:
                shutil.rmtree(checkpoint)
        best = self.best_step()
        if best is not None and best > step:
            self.best.unlink()

    def forget_scores(self, step: int) -> None:
        """Forget the scores and the reading of `step`, of which a kill may have left some only."""
        for path in (self.scores, self.diagnostics):
            _keep_lines(path, lambda at: at != step)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's lock. Raises UsageError when another process writes to this run."""
        with try_lock(self.path / ".lock") as mine:
            if not mine:
                raise UsageError(f"{self.path}: another process is writing to this run; wait for it, or {another()}")
            yield


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file, in a folder that is made; gives False at once where another process has it.

    The operating system drops it with the process, so a kill leaves no stale lock. Raises OutputError.
    """
    lock = FileLock(path)
    with output_errors(make_folder(path.parent)), suppress(Timeout):
        lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def next_run(root: Path, name: str) -> RunDir:
    """Return the next numbered run folder below `root`, not yet made: 00012-<name>."""
    number = max((int(run.name[:5]) + 1 for run in numbered_runs(root)), default=0)
    return RunDir(root / f"{number:05d}-{name}")


def claim_run(root: Path, name: str) -> RunDir:
    """Make the next numbered run folder; of two processes that ask at once, each gets its own. Raises OutputError."""
    make_folder(root)
    while True:
        run = next_run(root, name)
        with output_errors(run.path), suppress(FileExistsError):
            run.path.mkdir()
            return run


def check_out(
    out: Path,
    kind: str,
    *,
    exists: bool,
    new: bool,
    ours: Container[str],
    changes: Callable[[], Mapping[str, tuple[Any, Any]]],
) -> None:
    """Raise UsageError unless `out` is free, or holds a `kind` ("run", "study") of the same recipe to go on with.

    `ours` are names of files that may lie in a free folder; `changes` gives what differs from the recipe there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: this is a file; name a folder")
    if not exists:
        if out.exists() and any(path.name not in ours for path in out.iterdir()):
            raise UsageError(f"--out {out}: this folder holds other files; name a new or an empty one")
        return
    if new:
        raise UsageError(f"--out {out}: this folder holds a {kind} already; for a new {kind} name another folder")
    changed = changes()
    if changed:
        listed = "; ".join(f"{path} was {old!r}, is {now!r}" for path, (old, now) in changed.items())
        raise UsageError(
            f"--out {out}: this folder holds a {kind} with other settings: {listed}. Give the same settings to go on "
            "with it, or name another folder"
        )


def numbered_runs(root: Path) -> list[RunDir]:
    """Return the numbered runs below `root`, ascending, [] when the folder is absent."""
    return [RunDir(path) for path in sorted(root.glob("*")) if path.is_dir() and _NUMBERED.fullmatch(path.name)]


def runs_below(root: Path) -> list[RunDir]:
    """Return the runs in the folder `root`: the numbered ones ascending, then those with names of their own (--out)."""
    others = (RunDir(path) for path in sorted(root.glob("*")) if not _NUMBERED.fullmatch(path.name))
    return numbered_runs(root) + [run for run in others if run.exists()]


def append_jsonl(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line. A line cut short by a kill is dropped by `read_jsonl`. Raises OutputError."""
    with output_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"{_dump(record)}\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON-lines file; a last line that a kill cut short is left out.

    Raises InputError naming file and line when an earlier line is broken, or when file or line are absurdly large.
    """
    lines = read_text(path, MAX_LOG_BYTES).split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        if len(line) > MAX_LINE:
            raise InputError(f"{path}, line {number}: {len(line):,} characters; at most {MAX_LINE:,}; delete that line")
        try:
            records.append(loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number}: not JSON ({error}); delete that line") from error
    return records


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file of a run, None when it is absent. Raises InputError when it is damaged."""
    try:
        record = read_json(path)
        if not isinstance(record, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); put the file back, or {another()}") from error
    return record


def _by_step(folder: Path, pattern: str) -> list[tuple[int, Path]]:
    found = ((_OF_STEP.fullmatch(path.name), path) for path in folder.glob(pattern))
    return sorted((int(match[1] or match[2] or match[3]), path) for match, path in found if match)


def _keep_lines(path: Path, wanted: Callable[[int], bool]) -> None:
    if path.is_file():
        kept = [line for line in read_jsonl(path) if wanted(line.get("step") or 0)]
        write_text(path, "".join(f"{_dump(line)}\n" for line in kept))


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)
