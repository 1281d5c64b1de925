"""Which charts a report has: each score along training, the losses, and what the discriminator thinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smallgan.report.charts import Chart, Line, Point
from smallgan.report.collect import Column, Report
from smallgan.report.runs import Run, finite

MAX_POINTS = 160
"""Points of a line; of longer logs each point is the mean of some neighbours."""
_MAX_BANDS = 4
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

ToX = Callable[[Run, float], float]
"""From a run and one of its steps to the place on the axis that all runs share."""


def score_charts(report: Report) -> list[Chart]:
    """Return a chart for each column of scores that was measured more than once along a training."""
    x_name, to_x = _x_axis(report.runs)
    drawn = [
        _score_chart(report.runs, column, f"score-{place}", x_name, to_x) for place, column in enumerate(report.columns)
    ]
    return [chart for chart in drawn if _shows_something(chart)]


def stats_charts(report: Report) -> list[Chart]:
    """Return the losses and the raw scores of the discriminator along training, where the runs logged them."""
    x_name, to_x = _x_axis(report.runs)
    drawn = []
    for name, title, keys, note in _STATS:
        lines, chunk = _stats_lines(report.runs, keys, to_x)
        each = "Each point: mean since the point before." if chunk == 1 else f"Each point: mean of {chunk} reports."
        drawn.append(Chart(name, title, x_name, note + each, lines))
    return [chart for chart in drawn if _shows_something(chart)]


def _shows_something(chart: Chart) -> bool:
    return any(len(line.points) > 1 for line in chart.lines)


def _x_axis(runs: Sequence[Run]) -> tuple[str, ToX]:
    """Steps where all runs take as many images a step; else thousands of images shown, which can be compared."""
    sizes = {run.batch_size for run in runs}
    if len(sizes) == 1 or not all(sizes):
        return "step", lambda _run, step: step
    return "thousand images shown", lambda run, step: step * (run.batch_size or 0) / 1000


def _score_chart(runs: Sequence[Run], column: Column, name: str, x_name: str, to_x: ToX) -> Chart:
    has_bands = sum(bool(curve) for curve in column.curves) <= _MAX_BANDS
    lines, kinds = [], set()
    for place, (run, curve) in enumerate(zip(runs, column.curves, strict=True)):
        points, band = [], []
        for score in curve:
            if score.step is None or not _drawable(score.value):
                continue
            x = to_x(run, score.step)
            points.append((x, score.value))
            bounds = score.interval or (score.std and (score.value - score.std, score.value + score.std))
            if has_bands and bounds and all(map(_drawable, bounds)):
                band.append((x, *bounds))
                kinds.add("95 % interval" if score.interval else "one standard deviation over splits")
        if points:
            lines.append(Line(run.label, place, tuple(points), tuple(band)))
    note = f"{column.identity.get('num_fake')} fakes, {column.identity.get('features')}."
    if kinds:
        note += f" Band: {' or '.join(sorted(kinds))}."
    return Chart(name, column.label, x_name, note, tuple(lines))


def _stats_lines(runs: Sequence[Run], keys: Mapping[str, str], to_x: ToX) -> tuple[tuple[Line, ...], int]:
    """Return the lines of some keys of stats.jsonl, any after the first dashed, and how many reports make a point."""
    lines, longest = [], 1
    for place, run in enumerate(runs):
        for name, word in keys.items():
            points = [(to_x(run, line["step"]), line[name]) for line in run.stats if _shown(line, name)]
            chunk = max(1, math.ceil(len(points) / MAX_POINTS))
            longest = max(longest, chunk)
            label = f"{run.label}, {word}" if word else run.label
            if points:
                lines.append(Line(label, place, _means(points, chunk), dashed=word != next(iter(keys.values()))))
    return tuple(lines), longest


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
