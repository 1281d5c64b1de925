"""Charts with a row for each policy: differences to the reference with their intervals, and means as bars. SVG text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from smallgan.report.charts import NUM_COLOURS, Figure, Scale, framed, mark, number, scale, x_axis
from smallgan.report.collect import Report
from smallgan.report.ranking import MetricRanking
from smallgan.report.verdict import Interval

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 460, 146, 26, 16, 46, 28
_NAME_LETTERS = 18


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    number: int  # Of the policy, which decides colour and marker
    value: float
    interval: Interval | None
    seeds: tuple[tuple[int, float], ...]  # Value of each seed
    is_significant: bool = True  # Else the marker is hollow

    @property
    def description(self) -> str:
        """Name, value and interval."""
        interval = f" [{number(self.interval[0])}, {number(self.interval[1])}]" if self.interval else ""
        return f"{self.name}: {number(self.value)}{interval}"


@dataclass(frozen=True)
class BarChart(Figure):
    """A chart with a row for each policy."""

    bars: tuple[Bar, ...]
    line: float | None  # Where the reference stands
    line_name: str
    from_zero: bool  # Bars from 0, or markers alone

    @property
    def description(self) -> str:
        """The value and the interval of each row."""
        return f"{self.title}. {'; '.join(bar.description for bar in self.bars)}."


def difference_chart(report: Report, ranking: MetricRanking) -> BarChart | None:
    """Return the differences to the reference with their 95 % intervals, None where no interval is known."""
    if not ranking.tested or ranking.reference is None:
        return None
    base, reference, bars = ranking.scores[ranking.reference], report.groups[ranking.reference].name, []
    for index in _in_order(report, ranking):
        one = ranking.differences[index]
        if one and one.mean is not None:
            seeds = tuple((seed, ranking.scores[index][seed] - base[seed]) for seed in one.seeds)
            bars.append(Bar(report.groups[index].name, index, one.mean, one.interval, seeds, one.is_significant))
    return BarChart(
        f"difference-{ranking.column}",
        f"{ranking.label}: difference to {reference}",
        f"difference to {reference}{_better(ranking)}",
        "Large marks: mean over seeds with its 95 % interval; filled = significant (Holm, 5 %). Dots: single seeds.",
        tuple(bars),
        line=0.0,
        line_name=reference,
        from_zero=False,
    )


def mean_chart(report: Report, ranking: MetricRanking) -> BarChart | None:
    """Return the final scores as bars, None for fewer than two policies."""
    bars = []
    for index in _in_order(report, ranking):
        if (mean := ranking.mean(index)) is not None:
            seeds = tuple(sorted(ranking.scores[index].items()))
            bars.append(Bar(report.groups[index].name, index, mean, ranking.interval(index), seeds))
    if len(bars) < 2:
        return None
    reference = ranking.reference
    return BarChart(
        f"mean-{ranking.column}",
        ranking.label,
        f"score at the end of training{_better(ranking)}",
        "Bars: mean over seeds. Strokes: 95 % interval of the mean. Dots: single seeds.",
        tuple(bars),
        line=None if reference is None else ranking.mean(reference),
        line_name="" if reference is None else report.groups[reference].name,
        from_zero=True,
    )


def _in_order(report: Report, ranking: MetricRanking) -> list[int]:
    return [index for index in ranking.order if index in report.drawn]


def bar_svg(chart: BarChart) -> Markup:
    """Return the drawing as an SVG element. Texts are escaped."""
    height = _TOP + len(chart.bars) * _ROW + _BOTTOM
    low, high = _range(chart)
    to_x, base = scale(low, high, _LEFT, _WIDTH - _RIGHT), height - _BOTTOM + 4
    parts = x_axis(low, high, to_x, base, "grid", chart.x_name, rise=base - _TOP + 6, count=4)
    if chart.line is not None:
        parts.append(Markup('<path class="reference" d="M{} {}V{}"/>').format(to_x(chart.line), _TOP - 8, base))
    parts += [_row(chart, bar, _TOP + (index + 0.5) * _ROW, to_x) for index, bar in enumerate(chart.bars)]
    return framed("chart bars", (_WIDTH, height), chart, parts)


def _row(chart: BarChart, bar: Bar, y: float, to_x: Scale) -> Markup:
    parts = [Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 10, y, _short(bar.name))]
    x, half = to_x(bar.value), 7
    if chart.from_zero:
        fill = Markup('<path class="bar-fill" d="M{} {}H{}V{}H{}Z"/>')
        parts.append(fill.format(to_x(0), y - half, x, y + half, to_x(0)))
    if bar.interval:
        low, high = (to_x(bound) for bound in bar.interval)
        ends = Markup("M{} {}v8M{} {}v8").format(low, y - 4, high, y - 4)
        parts.append(Markup('<path class="line" d="M{} {}H{}{}"/>').format(low, y, high, ends))
    dot, below = Markup('<circle class="seed" cx="{}" cy="{}" r="2"><title>seed {}: {}</title></circle>'), y + 9
    parts += [dot.format(to_x(one), y if chart.from_zero else below, seed, number(one)) for seed, one in bar.seeds]
    if not chart.from_zero:
        shape = Markup('<path class="mark{}" transform="translate({} {}) scale(1.25)" d="{}"><title>{}</title></path>')
        parts.append(shape.format("" if bar.is_significant else " hollow", x, y, mark(bar.number), bar.description))
    return Markup('<g class="c{}">{}</g>').format(bar.number % NUM_COLOURS, Markup("").join(parts))


def _range(chart: BarChart) -> Interval:
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


def _better(ranking: MetricRanking) -> str:
    return f"; {ranking.better} is better" if ranking.better else ""


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def all_bar_charts(report: Report) -> tuple[list[BarChart], list[BarChart]]:
    """Return the charts of differences of the headline metric, and the means of every metric."""
    if not report.is_replicated:
        return [], []
    differences = (difference_chart(report, ranking) for ranking in report.headline)
    means = (mean_chart(report, ranking) for ranking in report.rankings)
    return _drawable(differences), _drawable(means)


def _drawable(charts: Iterable[BarChart | None]) -> list[BarChart]:
    return [chart for chart in charts if chart and math.isfinite(sum(bar.value for bar in chart.bars))]
