"""Which runs are one policy under several seeds: the trials of a study, or runs with equal recipes but for the seed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from augment.errors import InputError
from smallgan.core.study_dir import StudyDir, Trial
from smallgan.report.runs import Run, printable, whole

_NOT_THE_POLICY = ("seeds", "name")  # Keys of a recipe in which the runs of one group may differ
_MOST_KEYS = 3
_NAME_LETTERS = 60
_Known = dict[Path, tuple[StudyDir, Trial]]
_LEVELS_UP = 4  # How far above a run folder its study is looked for


@dataclass(frozen=True)
class Group:
    """The runs of one policy: of one variant of a study, or of one recipe."""

    name: str
    runs: tuple[int, ...]  # Numbers of its runs in the report, ascending in seed, one a seed
    seeds: tuple[int, ...]  # The seed of each of them
    is_reference: bool = False


@dataclass(frozen=True)
class Grouping:
    """All runs of a report in groups."""

    groups: tuple[Group, ...]
    """The policies: runs with equal recipes but for the seed."""
    studies: tuple[StudyDir, ...]
    left_out: tuple[tuple[str, str], ...]
    """Trials that are no finished run, and runs that do not count or cannot be read: label and a sentence."""

    @property
    def is_replicated(self) -> bool:
        """Tell whether runs are grouped by policy or variant; else each run is a group."""
        return bool(self.studies) or any(len(group.runs) > 1 for group in self.groups)


def started_runs(study: StudyDir) -> list[Path]:
    """Return the run folders that a study has begun, in the order of its trials. Raises InputError when it has none."""
    folders = [study.run_of(trial) for trial in study.trials() if trial.run]
    started = [folder for folder in folders if (folder / "recipe.yaml").is_file()]
    if not started:
        raise InputError(
            f"{study.path}: a study of {len(folders)} run(s), none of which has begun; start it with: smallgan run"
        )
    return list(dict.fromkeys(started))


def group_runs(runs: Sequence[Run], folders: Sequence[Path], *, reference: str | None = None) -> Grouping:
    """Sort runs into groups.

    Args:
        runs, folders: what was read, and where.
        reference: name of the group to compare with; None takes the study's own, or the one with the policy `none`.

    Raises:
        InputError: trials.json of a study is broken, or no group has that name.
    """
    trials, studies, problems = _trials_of(folders)
    members: dict[tuple[str, str], list[tuple[int, int]]] = {}
    names: dict[tuple[str, str], str] = {}
    marked: set[tuple[str, str]] = set()
    for number, (run, folder) in enumerate(zip(runs, folders, strict=True)):
        if known := trials.get(folder.resolve()):
            study, trial = known
            key, seed = (str(study.path.resolve()), trial.variant), trial.seed
            names[key] = f"{study.path.resolve().name}: {trial.variant}" if len(studies) > 1 else trial.variant
            marked |= {key} if trial.reference else set()
        else:
            kept = {key: value for key, value in run.recipe.items() if key not in _NOT_THE_POLICY}
            key, seed = ("", json.dumps(kept, sort_keys=True, default=str)), _seed(run)
        members.setdefault(key, []).append((seed, number))
    names |= _plain_names({key: runs[of[0][1]] for key, of in members.items() if key not in names})
    if not studies and all(len(dict(of)) == 1 for of in members.values()):
        alone = [Group(run.label, (number,), (_seed(run),)) for number, run in enumerate(runs)]
        return Grouping(tuple(_with_reference(alone, runs, reference)), (), ())
    groups = []
    for key, of in members.items():
        latest = dict(of)  # of two runs with one seed the later counts
        problems += [
            (runs[number].label, f"not counted: {runs[latest[seed]].label} has the same recipe and seed ({seed})")
            for seed, number in of
            if latest[seed] != number
        ]
        seeds = tuple(sorted(latest))
        groups.append(Group(printable(names[key]), tuple(latest[seed] for seed in seeds), seeds, key in marked))
    groups = _with_reference(_with_unique_names(groups, runs), runs, reference)
    return Grouping(tuple(groups), tuple(studies), tuple(problems))


def _trials_of(folders: Sequence[Path]) -> tuple[_Known, list[StudyDir], list[tuple[str, str]]]:
    """Return the trial of each run folder that belongs to a study, the studies, and what is wrong with their trials."""
    studies: dict[Path, StudyDir] = {}
    for folder in folders:
        for above in (*list(folder.parents)[:_LEVELS_UP], *list(folder.resolve().parents)[:_LEVELS_UP]):
            if above.resolve() not in studies and (study := StudyDir(above)).exists():
                studies[above.resolve()] = study
    trials: _Known = {}
    wanted = {folder.resolve() for folder in folders}
    used, problems = [], []
    for study in studies.values():
        found = {study.run_of(trial).resolve(): (study, trial) for trial in study.trials() if trial.run}
        if not wanted & found.keys():
            continue
        used.append(study)
        trials |= found
        for trial in study.trials():
            label = printable(f"{trial.variant}, seed {trial.seed}")
            if trial.state == "failed":
                reason = " ".join(str(trial.problem or "no reason was kept").split())
                problems.append((label, f"failed: {printable(reason)}"))
            elif study.run_of(trial).resolve() not in wanted:
                problems.append((label, "not begun" if trial.state == "pending" else "not among the runs shown"))
    return trials, used, problems


def _seed(run: Run) -> int:
    seeds = run.recipe.get("seeds")
    return (whole(seeds[0]) or 0) if isinstance(seeds, list) and seeds else 0


def _plain_names(firsts: Mapping[tuple[str, str], Run]) -> dict[tuple[str, str], str]:
    keys = dict.fromkeys(key for run in firsts.values() for key in run.recipe if key not in _NOT_THE_POLICY)
    telling = [key for key in keys if len({_text(run.recipe.get(key)) for run in firsts.values()}) > 1]
    others = [key for key in telling if key != "augment.policy"]
    names = {}
    for key, run in firsts.items():
        parts = [run.policy] if "augment.policy" in telling or not telling else []
        for other in others[:_MOST_KEYS]:
            parts.append(f"{other.removesuffix('.name').rpartition('.')[2]} {_text(run.recipe.get(other))}")
        names[key] = ", ".join(parts)[:_NAME_LETTERS]
    return names


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _with_unique_names(groups: Sequence[Group], runs: Sequence[Run]) -> list[Group]:
    counts = Counter(group.name for group in groups)
    labels = [f" ({runs[group.runs[0]].label})" if counts[group.name] > 1 else "" for group in groups]
    return [replace(group, name=group.name + label) for group, label in zip(groups, labels, strict=True)]


def _with_reference(groups: Sequence[Group], runs: Sequence[Run], name: str | None) -> list[Group]:
    if name is not None:
        called = [group for group in groups if name in (group.name, *(runs[number].label for number in group.runs))]
        if not called:
            known = ", ".join(group.name for group in groups)
            raise InputError(f"--reference {name}: no policy here has that name; there are {known}")
    else:
        marked = [group for group in groups if group.is_reference]
        called = [*marked, *(group for group in groups if runs[group.runs[0]].policy == "none"), *groups]
    return [replace(group, is_reference=group is called[0]) for group in groups]
