"""Charts with a row for each policy: differences to the reference with their intervals, and means as bars. SVG text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from smallgan.report.charts import NUM_COLOURS, framed, mark, number, tick_texts, ticks
from smallgan.report.collect import Report
from smallgan.report.ranking import Standing
from smallgan.report.verdict import Interval

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 460, 146, 26, 16, 46, 28
_NAME_LETTERS = 18


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    number: int
    """Of the policy, which decides colour and marker."""
    value: float
    interval: Interval | None
    seeds: tuple[tuple[int, float], ...]
    """Value of each seed."""
    is_called: bool = True
    """Whether the difference was found to be more than luck; else the marker is hollow."""


@dataclass(frozen=True)
class BarChart:
    """What a chart with a row for each policy shows."""

    name: str
    """Its ids on the page begin with it."""
    title: str
    x_name: str
    note: str
    bars: tuple[Bar, ...]
    line: float | None
    """Where the reference stands."""
    line_name: str
    from_zero: bool
    """Bars from 0, or markers alone."""

    @property
    def description(self) -> str:
        """The rows in words, for who cannot see them."""
        rows = [f"{bar.name}: {number(bar.value)}{_within(bar.interval)}" for bar in self.bars]
        return f"{self.title}. {'; '.join(rows)}."


def difference_chart(report: Report, standing: Standing) -> BarChart | None:
    """Return the differences to the reference with their 95 % intervals, None where there is none with two seeds."""
    bars = []
    for place in standing.order:
        one = standing.differences[place]
        if one is None or one.mean is None or standing.reference is None:
            continue
        scores, base = standing.scores[place], standing.scores[standing.reference]
        seeds = tuple((seed, scores[seed] - base[seed]) for seed in one.seeds)
        bars.append(Bar(report.groups[place].name, place, one.mean, one.interval, seeds, one.is_called))
    if not any(bar.interval for bar in bars):
        return None
    assert standing.reference is not None
    reference = report.groups[standing.reference].name
    way = f"; {standing.better} is better" if standing.better else ""
    return BarChart(
        f"difference-{standing.column}",
        f"{standing.label}: difference to {reference}",
        f"difference to {reference}{way}",
        "Large marks: mean over seeds with its 95 % interval, filled where it is more than luck. Dots: each seed.",
        tuple(bars),
        0.0,
        reference,
        from_zero=False,
    )


def mean_chart(report: Report, standing: Standing) -> BarChart | None:
    """Return the final scores as bars, None for fewer than two policies."""
    bars = []
    for place in standing.order:
        mean = standing.mean(place)
        if mean is not None:
            seeds = tuple(sorted(standing.scores[place].items()))
            bars.append(Bar(report.groups[place].name, place, mean, standing.interval(place), seeds))
    if len(bars) < 2:
        return None
    reference = None if standing.reference is None else standing.mean(standing.reference)
    name = "" if standing.reference is None else report.groups[standing.reference].name
    way = f"; {standing.better} is better" if standing.better else ""
    return BarChart(
        f"mean-{standing.column}",
        standing.label,
        f"end of training{way}",
        "Bars: mean over seeds. Strokes: its 95 % interval over seeds. Dots: each seed.",
        tuple(bars),
        reference,
        name,
        from_zero=True,
    )


def bar_svg(chart: BarChart) -> Markup:
    """Return the drawing as an SVG element. Texts are escaped."""
    height = _TOP + len(chart.bars) * _ROW + _BOTTOM
    low, high = _range(chart)

    def at(value: float) -> float:
        inside = min(max(value, low), high)
        return round(_LEFT + (inside - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    places = ticks(low, high, 4)
    base = height - _BOTTOM + 4
    parts = []
    for value, text in zip(places, tick_texts(places), strict=True):
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(at(value), _TOP - 6, base))
        parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(at(value), base + 16, text))
    if chart.line is not None:
        parts.append(Markup('<path class="reference" d="M{} {}V{}"/>').format(at(chart.line), _TOP - 8, base))
    parts += [_row(chart, bar, _TOP + (place + 0.5) * _ROW, at) for place, bar in enumerate(chart.bars)]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(middle, height - 6, chart.x_name))
    return framed("chart bars", (_WIDTH, height), (chart.name, chart.title, chart.description), parts)


def _row(chart: BarChart, bar: Bar, y: float, at: Callable[[float], float]) -> Markup:
    parts = [Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 10, y, _short(bar.name))]
    x, half = at(bar.value), 7
    if chart.from_zero:
        parts.append(
            Markup('<path class="bar-fill" d="M{} {}H{}V{}H{}Z"/>').format(at(0), y - half, x, y + half, at(0))
        )
    if bar.interval:
        low, high = (at(bound) for bound in bar.interval)
        ends = Markup("M{} {}v8M{} {}v8").format(low, y - 4, high, y - 4)
        parts.append(Markup('<path class="line" d="M{} {}H{}{}"/>').format(low, y, high, ends))
    parts += [
        Markup('<circle class="seed" cx="{}" cy="{}" r="2"><title>seed {}: {}</title></circle>').format(
            at(value), y + (0 if chart.from_zero else 9), seed, number(value)
        )
        for seed, value in bar.seeds
    ]
    if not chart.from_zero:
        hollow = "" if bar.is_called else " hollow"
        title = f"{bar.name}: {number(bar.value)}{_within(bar.interval)}"
        parts.append(
            Markup(
                '<path class="mark{}" transform="translate({} {}) scale(1.25)" d="{}"><title>{}</title></path>'
            ).format(hollow, x, y, mark(bar.number), title)
        )
    return Markup('<g class="c{}">{}</g>').format(bar.number % NUM_COLOURS, Markup("").join(parts))


def _range(chart: BarChart) -> Interval:
    """Return an axis that holds every seed and the 0 or the reference; an interval may run out of it."""
    values = [value for bar in chart.bars for value in (bar.value, *(value for _, value in bar.seeds))]
    values += [0.0] if chart.from_zero else []
    values += [chart.line] if chart.line is not None else []
    width = (max(values) - min(values)) or abs(max(values)) or 1.0
    bounds = [bound for bar in chart.bars for bound in bar.interval or ()]
    low = max(min([*values, *bounds]), min(values) - width)
    high = min(max([*values, *bounds]), max(values) + width)
    margin = 0.05 * (high - low or width)
    starts_at_zero = chart.from_zero and min(values) >= 0
    return (0.0 if starts_at_zero else low - margin), high + margin


def _within(interval: Interval | None) -> str:
    return f" [{number(interval[0])}, {number(interval[1])}]" if interval else ""


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def all_bar_charts(report: Report) -> tuple[list[BarChart], list[BarChart]]:
    """Return the charts of differences of the headline's standings, and the bars of every measure."""
    if not report.is_replicated:
        return [], []
    return _made(report, report.headline, difference_chart), _made(report, report.standings, mean_chart)


def _made(
    report: Report, found: Sequence[Standing], make: Callable[[Report, Standing], BarChart | None]
) -> list[BarChart]:
    return [chart for one in found if (chart := make(report, one)) and math.isfinite(sum(b.value for b in chart.bars))]
