"""Run folders -> Report: runs and policies, scores by identity, rankings, differing recipe keys. No HTML, no torch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from augment.errors import InputError
from smallgan.core.run_dir import RunDir, runs_below
from smallgan.core.study_dir import StudyDir
from smallgan.metrics.score import Score
from smallgan.report.columns import Column
from smallgan.report.datasets import datasets_of
from smallgan.report.groups import Group, Grouping, group_runs, started_runs
from smallgan.report.opening import Row, opening_rows
from smallgan.report.pictures import sizes_for
from smallgan.report.ranking import MetricRanking, headline, rank_metric, with_copies
from smallgan.report.runs import MAX_SNAPSHOTS, Run, read_run, readable, unique_names, with_pictures
from smallgan.report.sheets import KINDS, MAX_SHOWN
from smallgan.tables.metrics import METRICS

MAX_DRAWN = 60  # Groups with lines, bars and pictures: more cannot be told apart, and make a page slow
_OF_SCORE = ("value", "std", "interval", "baseline", "baseline_counts", "needed", "parts", "step", "standing", "notes")
"""What the JSON of a report says of a score."""


@dataclass(frozen=True)
class Report(Grouping):
    """All that a page shows."""

    runs: tuple[Run, ...]
    columns: tuple[Column, ...]
    differences: Mapping[str, tuple[Any, ...]]
    """Recipe keys whose values differ, with the value in each run (None where the key is absent)."""
    folders: tuple[Path, ...]
    """Where each run lies."""
    rankings: tuple[MetricRanking, ...]
    """Of the policies, one for each column."""
    headline: tuple[MetricRanking, ...]
    """Those of the headline metric."""
    datasets: tuple[str, ...]
    """For each run the name of its set of originals; "" for all where there is one only."""
    drawn: tuple[int, ...]
    """Numbers of the groups with lines, bars and pictures, ascending: all, or of many the reference and the best."""
    opening: tuple[Row, ...]
    """The pictures at the top of the page."""

    @property
    def noun(self) -> str:
        """What a group is called: policy where the groups differ in augmentation, else variant."""
        policies = {self.runs[group.runs[0]].policy for group in self.groups}
        return "policy" if len(policies) > 1 or policies != {"none"} else "variant"

    @property
    def nouns(self) -> str:
        """The same for several."""
        return "policies" if self.noun == "policy" else "variants"

    @property
    def reference(self) -> str:
        """Name of the policy that the others are compared with."""
        return next(group.name for group in self.groups if group.is_reference)

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Everything that is left out, broken or unfinished: label of the run and a sentence."""
        return self.left_out + tuple((run.label, problem) for run in self.runs for problem in run.problems)

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """What the trainings warned of: label of the run and a sentence."""
        return tuple((run.label, text) for run in self.runs for text in run.warnings)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the page for a machine; a number that is not finite is None."""
        return {
            "runs": [
                {
                    "run": run.label,
                    "policy": run.policy,
                    "origins": run.origins,
                    "steps": run.last_step,
                    "asked_steps": run.asked_steps,
                    "train_seconds": run.stats[-1].get("train_seconds") if run.stats else None,
                    "other_seconds": run.stats[-1].get("other_seconds") if run.stats else None,
                    "scores": [_both(column, number) for column in self.columns if column.curves[number]],
                }
                for number, run in enumerate(self.runs)
            ],
            "policies": [
                {"policy": group.name, "reference": group.is_reference}
                | {"runs": [self.runs[number].label for number in group.runs], "seeds": list(group.seeds)}
                for group in self.groups
            ],
            "verdicts": [record for ranking in self.rankings for record in ranking.records(self.groups)],
            "differences": {key: [str(value) for value in row] for key, row in self.differences.items()},
            "problems": [{"run": label, "problem": problem} for label, problem in self.problems],
            "warnings": [{"run": label, "warning": text} for label, text in self.warnings],
        }


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders that `paths` name: runs, studies, or folders of runs; each run once, in that order.

    Raises InputError for a path that is none of them, and for a study that has not begun.
    """
    runs: dict[Path, Path] = {}
    for path in paths:
        with readable(path):
            runs |= {run.resolve(): run for run in _runs_at(path) if run.resolve() not in runs}
    return list(runs.values())


def collect(folders: Sequence[Path], *, reference: str | None = None, metric: str | None = None) -> Report:
    """Read run folders; those of a study are known by the study's trials.json.

    Args:
        folders: of runs, as `find_runs` returns them.
        reference: policy to compare with; None takes the study's own, or the policy `none`.
        metric: headline metric; None takes the first of `headline_metrics()` that was scored.

    Raises:
        InputError: not one of the runs can be read, or there is no such reference or metric.
    """
    runs, left_out, read_from = _read_all(folders)
    if not runs:
        reasons = "; ".join(f"{label}, {reason}" for label, reason in left_out[:5])
        raise InputError(f"found no run that can be read, expected at least one: {reasons or 'none was named'}")
    datasets = datasets_of(runs)
    columns = _columns(runs, datasets)
    if metric is not None and metric not in {column.metric for column in columns}:
        known = ", ".join(dict.fromkeys(column.metric for column in columns)) or "none at all"
        raise InputError(f"--metric {metric}: no run has such a score; there are {known}")
    grouping = group_runs(runs, read_from, reference=reference)
    ranked = [rank_metric(runs, column, index, grouping.groups) for index, column in enumerate(columns)]
    rankings = with_copies(ranked, columns)
    chosen = headline(rankings, metric)
    drawn = _drawn(grouping.groups, chosen)
    opening = opening_rows(runs, read_from, grouping.groups, datasets, chosen)
    runs = _with_pictures(runs, read_from, opening, {at for index in drawn for at in grouping.groups[index].runs})
    return Report(
        grouping.groups,
        grouping.studies,
        (*left_out, *grouping.left_out),
        runs=tuple(runs),
        columns=columns,
        differences=_differences(runs, grouping),
        folders=tuple(read_from),
        rankings=rankings,
        headline=chosen,
        datasets=tuple(datasets),
        drawn=drawn,
        opening=opening,
    )


def _read_all(folders: Sequence[Path]) -> tuple[list[Run], list[tuple[str, str]], list[Path]]:
    """Return the runs without pictures, those that cannot be read with the reason, and the folders of the former."""
    labels = unique_names([folder.resolve().parts for folder in folders])
    runs, left_out, read_from = [], [], []
    for folder, label in zip(folders, labels, strict=True):
        try:
            runs.append(read_run(RunDir(folder), label))
            read_from.append(folder)
        except InputError as error:
            left_out.append((label, f"left out: {error}"))
    return runs, left_out, read_from


def _drawn(groups: Sequence[Group], rankings: Sequence[MetricRanking]) -> tuple[int, ...]:
    """Return the numbers of the groups to draw; of too many, the reference and the best of each ranking."""
    reference = [index for index, group in enumerate(groups) if group.is_reference]
    best = chain.from_iterable(zip_longest(*(ranking.order for ranking in rankings)))
    wanted = dict.fromkeys(index for index in (*reference, *best, *range(len(groups))) if index is not None)
    return tuple(sorted(list(wanted)[:MAX_DRAWN]))


def _with_pictures(
    runs: Sequence[Run], folders: Sequence[Path], opening: Sequence[Row], wanted: Collection[int]
) -> list[Run]:
    """Return the runs, those with a number in `wanted` with pictures.

    These are read at sizes that should fit the page, and once more, smaller, where they do not.
    """
    num_small = sum(min(len(runs[number].grid_steps), MAX_SNAPSHOTS) for number in wanted)
    sheets = [one for at in wanted for kind in KINDS for one in runs[at].sheets_of(kind.name)[:MAX_SHOWN]]
    sizes = sizes_for(2 * len(wanted) + len(sheets), num_small, sum(bool(one.movie_file) for one in sheets))
    at_the_top = sum(len(panel.picture.data) for row in opening for panel in row.panels)
    while True:
        shown = [
            with_pictures(run, RunDir(folder), sizes) if number in wanted else run
            for number, (run, folder) in enumerate(zip(runs, folders, strict=True))
        ]
        num_bytes = sum(len(data) for data in {picture.data for run in shown for picture in run.pictures})
        if (smaller := sizes.smaller(num_bytes + at_the_top)) is None:
            return shown
        sizes = smaller


def _runs_at(path: Path) -> list[Path]:
    advice = "name a run folder or a folder of runs, or make a run with: smallgan train"
    if not path.is_dir():
        raise InputError(f"{path}: {'not a folder' if path.exists() else 'no such folder'}; {advice}")
    if (study := StudyDir(path)).exists():
        return started_runs(study)
    run = RunDir(path)
    if any(file.is_file() for file in (run.recipe, run.stats, run.scores, run.environment)):
        return [path]
    runs = [below.path for below in runs_below(path)]
    if not runs:
        raise InputError(f"{path}: neither a run (it has no {run.recipe.name}) nor a folder of runs; {advice}")
    return runs


def _columns(runs: Sequence[Run], datasets: Sequence[str]) -> tuple[Column, ...]:
    by_identity: dict[tuple[str, str], list[dict[int, Score]]] = {}
    for number, run in enumerate(runs):
        for score in run.scores:
            key = datasets[number], repr(sorted((str(name), repr(value)) for name, value in score.identity.items()))
            curves = by_identity.setdefault(key, [{} for _ in runs])
            curves[number][-1 if score.step is None else score.step] = score
    columns = [_column(runs, curves, dataset) for (dataset, _), curves in by_identity.items()]
    order = list(dict.fromkeys([*METRICS.names, *(column.metric for column in columns)]))
    return tuple(sorted(columns, key=lambda column: order.index(column.metric)))


def _column(runs: Sequence[Run], curves: Sequence[Mapping[int, Score]], dataset: str) -> Column:
    example = next(score for curve in curves for score in curve.values())
    ascending = tuple(tuple(curve[step] for step in sorted(curve)) for curve in curves)
    bests = tuple(curve.get(run.best_step) if run.best_step else None for run, curve in zip(runs, curves, strict=True))
    standings = {curve[-1].standing for curve in ascending if curve}
    marks = [f" [{mark}{' for some' if len(standings) > 1 else ''}]" for mark in sorted(standings) if mark]
    label = "".join([example.label, *marks, f" on {dataset}" if dataset else ""])
    return Column(example.metric, label, dataset, example.identity, ascending, bests)


def _differences(runs: Sequence[Run], grouping: Grouping) -> dict[str, tuple[Any, ...]]:
    without, studies = ("name", "seeds") if grouping.is_replicated else ("name",), grouping.studies
    keys = dict.fromkeys(key for run in runs for key in run.recipe if key not in without)
    values = {key: tuple(_within(run.recipe.get(key), studies) for run in runs) for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _within(value: Any, studies: Sequence[StudyDir]) -> Any:
    """Return a value of a recipe, and of the path of a run in one of the studies the part below the study.

    That part is the same wherever the study lies: runs/00-none-seed0.
    """
    for study in studies if isinstance(value, str) else ():
        _, found, below = f"/{value}".rpartition(f"/{study.name}/")
        if found and below.startswith(("runs/", "shared/")):
            return below
    return value


def _both(column: Column, number: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"metric": column.metric, "label": column.label, "identity": dict(column.identity)}
    for name, score in (("last", column.lasts[number]), ("best", column.bests[number])):
        record = score.to_json() if score else None
        shown[name] = record and {key: record[key] for key in _OF_SCORE}
    return shown
