"""Recipes and grids of them: `smallgan run`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UsageError
from smallgan.api.paths import StrPath, as_path, as_text
from smallgan.api.runs import Run
from smallgan.api.training import Settings, settings_of
from smallgan.core.console import Log, say
from smallgan.core.study_dir import StudyDir

if TYPE_CHECKING:
    from smallgan.tables.recipe import Recipe


@dataclass(frozen=True, repr=False)
class Study:
    """A study on disk: its runs and its page."""

    path: Path
    text: str
    """As `smallgan run` prints it."""
    values: dict[str, Any]
    """As `smallgan run --json` prints it."""
    is_complete: bool
    """False when a run failed, or a stop left some to be resumed by the same call."""

    @property
    def report(self) -> Path | None:
        """Its page, None where none was written."""
        page = self.values.get("report")
        return Path(page) if page else None

    @property
    def runs(self) -> list[Run]:
        """Its trials that were begun, in their order."""
        if not StudyDir(self.path).exists():  # of classifiers
            return []
        places = [self.path / trial.run for trial in StudyDir(self.path).trials()]
        return [Run(place) for place in places if (place / "recipe.yaml").is_file()]

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        states = [str(row["state"]) for row in self.values.get("runs", ())]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        counts = f"{len(states)} run(s), {counts or 'none begun'}" if "runs" in self.values else self.text
        return f"{self.path}: {counts}" + (f"; {self.report}" if self.report else "")


def run_study(
    recipe: StrPath,
    *,
    set: Settings = (),
    seed: int | None = None,
    out: StrPath | None = None,
    new: bool = False,
    trial: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    gpus_per_trial: float | None = None,
    cpus_per_trial: float | None = None,
    device: str = "auto",
    smoke: bool = False,
    log: Log = say,
    command: str = "smallgan.run_study(...) in Python",
) -> Study:
    """Run a recipe, or all variants of its grid under all its seeds, and write the report. The same call resumes.

    Args:
        recipe: a shipped recipe (`smallgan recipes list`) or a YAML file.
        set: any recipe key: {"data.source": "photos"}.
        seed: this seed alone, any whole number; None: those of the recipe.
        out: study folder; None: the next number below studies/.
        new: start another study, continue none.
        trial: only this trial, from 0.
        jobs: trials run at the same time, each in a process, from 1. Above 1 a script needs `if __name__ ==
            "__main__":` around its calls, as Python's processes do.
        ray: run the trials on this Ray cluster: "auto", or host:port of its head. Needs the extra [ray].
        gpus_per_trial: GPUs that Ray gives a trial; a fraction shares one; None: 1 where the cluster has GPUs, else 0.
        cpus_per_trial: CPU cores, and threads, that Ray gives a trial; None: 1.
        device: auto, cpu, cuda, cuda:N or mps.
        smoke: try it in seconds: 8 images, 4 steps, 32 px, 1 seed.
        log: takes a status line.
        command: what environment.json of each run records as the call.

    What is wrong with a single run is recorded (`values`). Raises UsageError, InputError, OutputError and MissingError.
    """
    from smallgan.study.run_recipe import run_recipe
    from smallgan.study.stages import ExecutionOptions

    options = ExecutionOptions(device, command)
    which: dict[str, Any] = {"out": as_path(out), "new": new, "smoke": smoke}
    resolved = _resolved(recipe, set, seed)
    workers: Any = nullcontext
    if ray is not None:
        if trial is not None or jobs > 1:
            raise UsageError("--ray cannot be combined with --trial or --jobs: Ray decides how many trials run at once")
        from smallgan.study.ray_jobs import ray_cluster

        workers = partial(ray_cluster, ray, gpus_per_trial, 1.0 if cpus_per_trial is None else cpus_per_trial, log)
    elif gpus_per_trial is not None or cpus_per_trial is not None:
        raise UsageError("--gpus-per-trial and --cpus-per-trial are for --ray: name a cluster with it, or leave them")
    if resolved.downstream is not None:
        refused = {"--trial": trial is not None, "--ray": ray is not None}
        return _downstream(resolved, refused, **which, device=device, num_processes=jobs)
    how: dict[str, Any] = {"num_processes": jobs, "workers": workers, "options": options}
    found = run_recipe(resolved, **which, trial=trial, **how, log=log)
    return Study(Path(found.values["study"]), found.text, found.values, found.is_complete)


def study_status(
    recipe: StrPath,
    *,
    set: Settings = (),
    seed: int | None = None,
    out: StrPath | None = None,
    new: bool = False,
    smoke: bool = False,
) -> Study:
    """Return how far the study of a recipe is; trains and writes nothing.

    Args:
        recipe: a shipped recipe or a YAML file.
        set: any recipe key: {"data.source": "photos"}.
        seed: this seed alone, any whole number; None: those of the recipe.
        out: study folder; None: the newest one of this recipe below studies/.
        new: look at a study that is yet to begin.
        smoke: the study as `run_study(smoke=True)` makes it.

    Raises UsageError and InputError.
    """
    from smallgan.study.run_recipe import study_status as status_of

    resolved = _resolved(recipe, set, seed)
    if resolved.downstream is not None:
        return _downstream(resolved, {"--status": True})
    found = status_of(resolved, out=as_path(out), new=new, smoke=smoke)
    return Study(Path(found.values["study"]), found.text, found.values, found.is_complete)


def estimate_study(
    recipe: StrPath,
    *,
    set: Settings = (),
    seed: int | None = None,
    out: StrPath | None = None,
    new: bool = False,
    smoke: bool = False,
    device: str = "auto",
    log: Log = say,
) -> Study:
    """Return the time that a study would take, from steps measured here; makes no run.

    Args:
        recipe: a shipped recipe or a YAML file.
        set: any recipe key: {"data.source": "photos"}.
        seed: this seed alone, any whole number; None: those of the recipe.
        out: study folder; None: the newest one of this recipe below studies/.
        new: a study from its beginning, not what is left of one.
        smoke: the study as `run_study(smoke=True)` makes it.
        device: to measure on: auto, cpu, cuda, cuda:N or mps.
        log: takes a status line.

    Raises UsageError and InputError.
    """
    from smallgan.study.estimate import estimate, estimate_text

    resolved = _resolved(recipe, set, seed)
    if resolved.downstream is not None:
        return _downstream(resolved, {"--dry-run": True})
    found = estimate(resolved, out=as_path(out), new=new, smoke=smoke, device=device, log=log)
    return Study(Path(found["study"]), estimate_text(found), found, is_complete=False)


def _downstream(recipe: Recipe, refused: Mapping[str, bool], **options: Any) -> Study:
    """Run a recipe with a section `downstream`. Raises UsageError for what such a study does not have."""
    from smallgan.downstream.run import run_from_recipe

    found = run_from_recipe(recipe, refused, **options)
    return Study(Path(found.values["study"]), found.text, found.values, found.is_complete)


def _resolved(recipe: StrPath, settings: Settings, seed: int | None) -> Recipe:
    from smallgan.tables.recipe import load_recipe

    return load_recipe(as_text(recipe), settings_of(settings) | ({} if seed is None else {"seeds": [seed]}))
