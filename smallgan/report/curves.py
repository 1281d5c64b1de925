"""Which charts a report has: each score along training, the losses, and what the discriminator thinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smallgan.metrics.score import Score
from smallgan.report.charts import MAX_BANDS, Chart, Line, Point
from smallgan.report.collect import Report
from smallgan.report.columns import Column
from smallgan.report.groups import Group
from smallgan.report.ranking import BETTER
from smallgan.report.runs import Run, finite

MAX_POINTS = 160
"""Points of a line; of longer logs each point is the mean of some neighbours."""
_LARGEST = 1e30
"""A diverged run may log finite numbers that no axis can hold."""

_STATS: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("loss-d", "Loss of the discriminator", {"loss_d": ""}, ""),
    ("loss-g", "Loss of the generator", {"loss_g": ""}, ""),
    ("pixel", "Pixel error of reconstructions", {"pixel": ""}, "Mean absolute difference, images in [-1, 1]. "),
    ("perceptual", "Perceptual error of reconstructions", {"perceptual": ""}, ""),
    ("latent", "Distance of the codes to normal draws", {"latent": ""}, ""),
    (
        "raw",
        "Raw scores of the discriminator",
        {"score_real": "real images", "score_fake": "fakes"},
        "Solid: real images, dashed: fakes; the further apart, the better it tells them from each other. ",
    ),
)
"""Name, title, keys of stats.jsonl with the word for each, and what to know when reading it."""

_IMAGE_LEVEL = "95 % interval (or deviation over splits) of one trained model over its images"
_READING = {
    "is": "In general higher is better; for a set of one class the augmentation study reads lower as better. ",
    **{metric: f"{way.capitalize()} is better. " for metric, way in BETTER.items()},
}
"""Which way is better, for the note below a chart."""

ToX = Callable[[Run, float], float]
"""From a run and one of its steps to the place on the axis that all runs share."""


def score_charts(report: Report) -> list[Chart]:
    """Return a chart for each column of scores that was measured more than once along a training."""
    x_name, to_x = _x_axis(report.runs)
    drawn = [
        _score_chart(report, column, f"score-{index}", x_name, to_x) for index, column in enumerate(report.columns)
    ]
    return [chart for chart in drawn if _shows_something(chart)]


def stats_charts(report: Report) -> list[Chart]:
    """Return the losses and the raw scores of the discriminator along training, where the runs logged them."""
    x_name, to_x = _x_axis(report.runs)
    drawn = []
    for name, title, keys, note in _STATS:
        lines, chunk = _stats_lines(report, keys, to_x)
        each = "Each point: mean since the point before." if chunk == 1 else f"Each point: mean of {chunk} reports."
        seeds = " Mean over seeds." if report.is_replicated else ""
        drawn.append(Chart(name, title, x_name, note + each + seeds, lines))
    return [chart for chart in drawn if _shows_something(chart)]


def _shows_something(chart: Chart) -> bool:
    return any(len(line.points) > 1 for line in chart.lines)


def _x_axis(runs: Sequence[Run]) -> tuple[str, ToX]:
    """Steps where all runs take as many images a step; else thousands of images shown, which can be compared."""
    sizes = {run.batch_size for run in runs}
    if len(sizes) == 1 or not all(sizes):
        return "step", lambda _run, step: step
    return "thousand images shown", lambda run, step: step * (run.batch_size or 0) / 1000


def _score_chart(report: Report, column: Column, name: str, x_name: str, to_x: ToX) -> Chart:
    with_images = not report.is_replicated and sum(bool(curve) for curve in column.curves) <= MAX_BANDS
    lines, kinds = [], set()
    for index, group in enumerate(report.groups):
        if len(group.runs) > 1:
            line = _over_seeds(report.runs, column, group, index, to_x)
            kinds |= {"range over seeds, about their mean"} if line.band else set()
        else:
            line = _of_one_run(report.runs[group.runs[0]], column.curves[group.runs[0]], group.name, index, to_x)
            if line.band and with_images:
                kinds.add(_IMAGE_LEVEL)
            else:
                line = replace(line, band=())
        if line.points:
            lines.append(line)
    note = (
        f"{_READING.get(column.metric, '')}{column.identity.get('num_fake')} fakes, {column.identity.get('features')}."
    )
    if kinds:
        shape = "Band" if sum(bool(line.band) for line in lines) <= MAX_BANDS else "Strokes"
        note += f" {shape}: {' or '.join(sorted(kinds))}."
    return Chart(name, column.label, x_name, note, tuple(lines))


def _over_seeds(runs: Sequence[Run], column: Column, group: Group, index: int, to_x: ToX) -> Line:
    """Return the mean over the seeds of a policy and their range, at the steps that all of its longest runs have."""
    tables = [
        {
            score.step: score.value
            for score in column.curves[number]
            if score.step is not None and _drawable(score.value)
        }
        for number in group.runs
    ]
    furthest = max((max(table) for table in tables if table), default=0)
    whole = [table for table in tables if table and max(table) == furthest]
    steps = sorted(set.intersection(*(set(table) for table in whole))) if whole else []
    points, band = [], []
    for step in steps:
        values, x = [table[step] for table in whole], to_x(runs[group.runs[0]], step)
        points.append((x, math.fsum(values) / len(values)))
        band.append((x, min(values), max(values)))
    return Line(group.name, index, tuple(points), tuple(band) if len(whole) > 1 else ())


def _of_one_run(run: Run, curve: Sequence[Score], name: str, index: int, to_x: ToX) -> Line:
    points, band = [], []
    for score in curve:
        if score.step is None or not _drawable(score.value):
            continue
        x = to_x(run, score.step)
        points.append((x, score.value))
        bounds = score.interval or (score.std and (score.value - score.std, score.value + score.std))
        if bounds and all(map(_drawable, bounds)):
            band.append((x, *bounds))
    return Line(name, index, tuple(points), tuple(band))


def _stats_lines(report: Report, keys: Mapping[str, str], to_x: ToX) -> tuple[tuple[Line, ...], int]:
    """Return the lines of some keys of stats.jsonl, any after the first dashed, and how many reports make a point."""
    lines, longest = [], 1
    for index, group in enumerate(report.groups):
        runs = [report.runs[number] for number in group.runs]
        for name, word in keys.items():
            points = _stats_mean(runs, name, to_x)
            chunk = max(1, math.ceil(len(points) / MAX_POINTS))
            longest = max(longest, chunk)
            label = f"{group.name}, {word}" if word else group.name
            if points:
                lines.append(Line(label, index, _means(points, chunk), dashed=word != next(iter(keys.values()))))
    return tuple(lines), longest


def _stats_mean(runs: Sequence[Run], name: str, to_x: ToX) -> list[Point]:
    """Return a statistic along training, the mean over the runs that went furthest."""
    tables = [{line["step"]: line[name] for line in run.stats if _shown(line, name)} for run in runs]
    furthest = max((max(table) for table in tables if table), default=0)
    whole = [table for table in tables if table and max(table) == furthest]
    steps = sorted(set.intersection(*(set(table) for table in whole))) if whole else []
    return [(to_x(runs[0], step), math.fsum(table[step] for table in whole) / len(whole)) for step in steps]


def _shown(line: Mapping[str, float], name: str) -> bool:
    """Leave out the total loss of a transfer: divided by itself, it is a constant."""
    return _drawable(line.get(name)) and not (name == "loss_g" and "pixel" in line)


def _drawable(value: Any) -> bool:
    number = finite(value)
    return number is not None and abs(number) < _LARGEST


def _means(points: Sequence[Point], chunk: int) -> tuple[Point, ...]:
    """Return the means of each `chunk` neighbours, at the last one's x."""
    chunks = [points[start : start + chunk] for start in range(0, len(points), chunk)]
    return tuple((part[-1][0], math.fsum(y for _, y in part) / len(part)) for part in chunks)
