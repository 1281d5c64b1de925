"""The line charts of a report: scores and logged losses during training."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

from smallgan.metrics.diagnostics import TERMS
from smallgan.metrics.score import Score
from smallgan.report.charts import MAX_BANDS, Bounds, Chart, Line, Point
from smallgan.report.collect import Report
from smallgan.report.columns import Column
from smallgan.report.groups import Group
from smallgan.report.runs import Run, finite
from smallgan.tables.method_terms import Term
from smallgan.tables.methods import METHODS
from smallgan.tables.metrics import METRICS

MAX_POINTS = 160  # Points per line; in longer logs each point is the mean of some neighbours
_LARGEST = 1e30  # Larger numbers, as of diverged runs, are not drawn

_IMAGE_LEVEL = "95 % interval (or standard deviation over splits) of one trained model over its images"
_Step = TypeVar("_Step", int, float)
Logged = Sequence[Mapping[str, float]]
ToX = Callable[[Run, float], float]  # From a run and one of its steps to the place on the axis that all runs share


def score_charts(report: Report) -> list[Chart]:
    """Return a chart for each column with several scores of one run."""
    x_name, to_x = _x_axis(report.runs)
    columns = enumerate(report.columns)
    return _drawn(_score_chart(report, column, f"score-{index}", x_name, to_x) for index, column in columns)


def stats_charts(report: Report) -> list[Chart]:
    """Return the charts of what the methods of the runs log, where they logged it."""
    return _term_charts(report, [_terms(run) for run in report.runs], [run.stats for run in report.runs], "report")


def reading_charts(report: Report) -> list[Chart]:
    """Return the charts of the readings at snapshots, where there are some."""
    terms = {term.name: term for term in TERMS}
    return _term_charts(report, [terms] * len(report.runs), [run.readings for run in report.runs], "snapshot")


def _term_charts(
    report: Report, terms_of: Sequence[Mapping[str, Term]], lines_of: Sequence[Logged], each: str
) -> list[Chart]:
    """Return a chart for each title among the terms.

    Args:
        report: gives the groups.
        terms_of: for each run what it logs.
        lines_of: for each run what it logged.
        each: what a line is: "report", the mean since the line before, or "snapshot".
    """
    x_name, to_x = _x_axis(report.runs)
    charts: dict[str, dict[str, Term]] = {}
    for term in (term for terms in terms_of for term in terms.values() if term.chart):
        charts.setdefault(term.chart, {}).setdefault(term.name, term)
    one = "Each point: one snapshot." if each == "snapshot" else "Each point: mean since the point before."
    drawn = []
    for title, terms in charts.items():
        lines, chunk = _stats_lines(report, terms_of, lines_of, list(terms.values()), to_x)
        note = "".join(term.note for term in terms.values())
        note += one if chunk == 1 else f"Each point: mean of {chunk} {each}s."
        note += " Mean over seeds." if report.is_replicated else ""
        drawn.append(Chart(next(iter(terms)).replace("_", "-"), title, x_name, note, lines))
    return _drawn(drawn)


def _terms(run: Run) -> dict[str, Term]:
    """Return what the method of a run logs, by name; of a method that is not known, what any method draws."""
    method = str(run.recipe.get("method.name"))
    if method in METHODS:
        return {term.name: term for term in METHODS[method].terms}
    return {term.name: term for row in METHODS for term in row.terms if term.chart}


def _drawn(charts: Iterable[Chart]) -> list[Chart]:
    return [chart for chart in charts if any(len(line.points) > 1 for line in chart.lines)]


def _x_axis(runs: Sequence[Run]) -> tuple[str, ToX]:
    sizes = {run.batch_size for run in runs}
    if len(sizes) == 1 or not all(sizes):
        return "step", lambda _run, step: step
    return "thousand images seen", lambda run, step: step * (run.batch_size or 0) / 1000


def _score_chart(report: Report, column: Column, name: str, x_name: str, to_x: ToX) -> Chart:
    with_images = not report.is_replicated and sum(bool(curve) for curve in column.curves) <= MAX_BANDS
    lines, kinds = [], set()
    for index in report.drawn:
        group = report.groups[index]
        if len(group.runs) > 1:
            kind, (points, band) = "range over seeds around the mean", _over_seeds(report.runs, column, group, to_x)
        else:
            run, curve = report.runs[group.runs[0]], column.curves[group.runs[0]]
            kind, (points, band) = _IMAGE_LEVEL, _of_one_run(run, curve, to_x, with_images=with_images)
        kinds |= {kind} if band else set()
        if points:
            lines.append(Line(group.name, index, tuple(points), tuple(band)))
    better = METRICS[column.metric].better if column.metric in METRICS else None
    note = f"{better.capitalize()} is better. " if better else ""
    network = column.identity.get("features")
    fakes, reals = column.identity.get("num_fake"), column.identity.get("num_real")
    images = f"{fakes} fake" if fakes is not None else f"{reals} test"
    note += f"{images} images{f', features of {network}' if network else ''}."
    if kinds:
        shape = "Band" if sum(bool(line.band) for line in lines) <= MAX_BANDS else "Strokes"
        note += f" {shape}: {' or '.join(sorted(kinds))}."
    return Chart(name, column.label, x_name, note, tuple(lines))


def _over_seeds(runs: Sequence[Run], column: Column, group: Group, to_x: ToX) -> tuple[list[Point], list[Bounds]]:
    """Return the mean over the seeds of a policy and their range, at the steps that all of its longest runs have."""
    curves = [[one for one in column.curves[number] if _drawable(one.value)] for number in group.runs]
    tables = [{one.step: one.value for one in curve if one.step is not None} for curve in curves]
    points, band = [], []
    for step, values in _by_step(tables):
        x = to_x(runs[group.runs[0]], step)
        points.append((x, fmean(values)))
        band += [(x, min(values), max(values))] if len(values) > 1 else []
    return points, band


def _by_step(tables: Sequence[Mapping[_Step, float]]) -> Iterator[tuple[_Step, list[float]]]:
    furthest = max((max(table) for table in tables if table), default=0)
    longest = [table for table in tables if table and max(table) == furthest]
    for step in sorted(set.intersection(*(set(table) for table in longest))) if longest else ():
        yield step, [table[step] for table in longest]


def _of_one_run(run: Run, curve: Sequence[Score], to_x: ToX, *, with_images: bool) -> tuple[list[Point], list[Bounds]]:
    points, band = [], []
    for score in curve:
        if score.step is None or not _drawable(score.value):
            continue
        x = to_x(run, score.step)
        points.append((x, score.value))
        bounds = score.interval or (score.std and (score.value - score.std, score.value + score.std))
        if with_images and bounds and all(map(_drawable, bounds)):
            band.append((x, *bounds))
    return points, band


def _stats_lines(
    report: Report,
    terms_of: Sequence[Mapping[str, Term]],
    lines_of: Sequence[Logged],
    terms: Sequence[Term],
    to_x: ToX,
) -> tuple[tuple[Line, ...], int]:
    """Return the lines of one chart and how many logged lines make a point.

    Args:
        report: gives groups.
        terms_of: for each run what it logs.
        lines_of: for each run what it logged.
        terms: of the chart; the lines of any after the first are dashed.
        to_x: from a run and a step to x.
    """
    lines, longest = [], 1
    for index in report.drawn:
        group = report.groups[index]
        for term in terms:
            runs = [number for number in group.runs if terms_of[number].get(term.name) == term]
            tables = [
                {line["step"]: line[term.name] for line in lines_of[number] if _drawable(line.get(term.name))}
                for number in runs
            ]
            points = [(to_x(report.runs[runs[0]], step), fmean(values)) for step, values in _by_step(tables)]
            chunk = max(1, math.ceil(len(points) / MAX_POINTS))
            longest = max(longest, chunk)
            label = f"{group.name}, {term.label}" if term.label else group.name
            if points:
                lines.append(Line(label, index, _means(points, chunk), dashed=term is not terms[0]))
    return tuple(lines), longest


def _drawable(value: Any) -> bool:
    number = finite(value)
    return number is not None and abs(number) < _LARGEST


def _means(points: Sequence[Point], chunk: int) -> tuple[Point, ...]:
    chunks = [points[start : start + chunk] for start in range(0, len(points), chunk)]
    return tuple((part[-1][0], fmean(y for _, y in part)) for part in chunks)
