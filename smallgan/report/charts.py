"""Line charts as SVG text.

Drawn by hand rather than by matplotlib: text stays text, the colours come from the page's style (light, dark and print
from one drawing), a chart is a few kilobytes, and a report starts at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from smallgan.report.runs import finite, spread

NUM_COLOURS = 8
_MAX_MARKED = 24
MAX_BANDS = 4
"""Of more than so many, bands over one another hide everything; they are drawn as strokes."""
_TABLE_ROWS = 24
_WIDTH, _HEIGHT = 480, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 26, 14, 46
_MARKS = ("M0-4A4 4 0 1 1 0 4A4 4 0 1 1 0-4Z", "M-3.6-3.6H3.6V3.6H-3.6Z", "M0-5L5 0L0 5L-5 0Z", "M0-4.8L4.6 3.4H-4.6Z")
"""Circle, square, diamond, triangle about the origin: colour is never the only difference."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    number: int
    """Of its run or policy, which decides colour and marker."""
    points: tuple[Point, ...]
    band: tuple[tuple[float, float, float], ...] = ()
    """(x, low, high) of the range or uncertainty around the line; empty where there is none."""
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """What a chart shows; `svg` draws it and `rows` is the same as a table."""

    name: str
    """Its ids on the page begin with it."""
    title: str
    x_name: str
    note: str
    lines: tuple[Line, ...]

    @property
    def description(self) -> str:
        """What the lines do, for who cannot see them."""
        ends = [f"{one.label}: from {number(one.points[0][1])} to {number(one.points[-1][1])}" for one in self.lines]
        return f"{self.title} by {self.x_name}. {'; '.join(ends)}."

    @property
    def rows(self) -> list[tuple[float, list[float | None]]]:
        """The points as rows (x, value of each line), at most 24, evenly spread."""
        tables = [dict(line.points) for line in self.lines]
        return [(x, [table.get(x) for table in tables]) for x in spread(sorted(set().union(*tables)), _TABLE_ROWS)]


def number(value: float | None) -> str:
    """Return a number as a reader wants it: 0.412, 3.214, 1,234; `not finite` for what is none."""
    if value is None or finite(value) is None:
        return "not finite"
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000 else f"{size:.3f}" if size >= 0.01 or size == 0 else f"{size:.2g}"
    return f"\N{MINUS SIGN}{text}" if value < 0 else text


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, low < high.

    >>> ticks(0, 2000)
    [0.0, 500.0, 1000.0, 1500.0, 2000.0]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda candidate: abs(math.log(candidate / raw)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def svg(chart: Chart) -> Markup:
    """Return the drawing as an SVG element. Texts are escaped."""
    left, right, low, high = _ranges(chart.lines)

    def at(x: float, y: float) -> Point:
        across = _LEFT + (x - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        return round(across, 1), round(_HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [_axes(chart, (left, right), (low, high), at)]
    banded = [line for line in chart.lines if line.band]
    if len(banded) <= MAX_BANDS:
        parts += [_band(line, at) for line in banded]
    else:
        parts += [_whiskers(line, place - len(banded) / 2, at) for place, line in enumerate(banded)]
    parts += [_line(line, chart.x_name, at) for line in chart.lines]
    return framed("chart", (_WIDTH, _HEIGHT), (chart.name, chart.title, chart.description), parts)


def framed(kind: str, size: tuple[int, int], words: tuple[str, str, str], parts: Sequence[Markup]) -> Markup:
    """Return an SVG element of class `kind` and of width and height `size`, for screen readers too.

    `words` are the name that its ids begin with, its title and its description. Texts are escaped.
    """
    name, title, description = words
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="{}" viewBox="0 0 {} {}" role="img"'
        ' aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
    ).format(kind, *size, name, name, name, title, name, description, Markup("").join(parts))


def key(number: int, *, dashed: bool = False) -> Markup:
    """Return the small sample of a line that stands beside the name of its run or policy."""
    dash = " dashed" if dashed else ""
    return Markup(
        '<svg class="key" viewBox="0 0 24 12" aria-hidden="true"><g class="c{}"><path class="line{}" d="M0 6H24"/>'
        '<path class="mark" transform="translate(12 6)" d="{}"/></g></svg>'
    ).format(number % NUM_COLOURS, dash, mark(number))


def mark(number: int) -> str:
    """Return the path of the marker of a run or policy; the eight colours come with another marker each time around."""
    return _MARKS[(number + number // NUM_COLOURS) % len(_MARKS)]


def _ranges(lines: Sequence[Line]) -> tuple[float, float, float, float]:
    xs = [0.0] + [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    ys += [bound for line in lines for _, *bounds in line.band for bound in bounds]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    if low == high == 0:
        high = 1.0  # nothing at all, as a copy rate mostly is: on the scale of a share, not of rounding
    margin = (high - low) * 0.06 or abs(high) * 0.1
    return left, right if right > left else left + 1, low - margin, high + margin


def _axes(chart: Chart, across: Point, up: Point, at: Callable[[float, float], Point]) -> Markup:
    parts = []
    y_ticks, x_ticks = ticks(*up), ticks(*across)
    for value, text in zip(y_ticks, tick_texts(y_ticks), strict=True):
        _, y = at(across[0], value)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, _WIDTH - _RIGHT))
        parts.append(Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 8, y, text))
    base = _HEIGHT - _BOTTOM
    for value, text in zip(x_ticks, tick_texts(x_ticks), strict=True):
        x, _ = at(value, up[0])
        parts.append(Markup('<path class="axis" d="M{} {}v5"/>').format(x, base))
        parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(x, base + 18, text))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, base, _WIDTH - _RIGHT))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(middle, _HEIGHT - 6, chart.x_name))
    return Markup("").join(parts)


def tick_texts(values: Sequence[float]) -> list[str]:
    """Return the texts of ticks with as many decimals as their distance needs, all alike."""
    distance = values[1] - values[0] if len(values) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(distance) + 1e-9))
    return [f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in values]


def _band(line: Line, at: Callable[[float, float], Point]) -> Markup:
    outline = [at(x, high) for x, _, high in line.band] + [at(x, low) for x, low, _ in reversed(line.band)]
    path = "L".join(f"{x} {y}" for x, y in outline)
    return Markup('<path class="band c{}" d="M{}Z"/>').format(line.number % NUM_COLOURS, path)


def _whiskers(line: Line, shift: float, at: Callable[[float, float], Point]) -> Markup:
    """Draw the band as upright strokes beside those of the other lines."""
    ends = [(at(x, low), at(x, high)) for x, low, high in line.band]
    path = "".join(f"M{round(x + shift * 2, 1)} {bottom}V{top}" for (x, bottom), (_, top) in ends)
    return Markup('<path class="whisker c{}" d="{}"/>').format(line.number % NUM_COLOURS, path)


def _line(line: Line, x_name: str, at: Callable[[float, float], Point]) -> Markup:
    places = [at(*point) for point in line.points]
    path = "L".join(f"{x} {y}" for x, y in places)
    marks = [
        Markup('<path class="mark" transform="translate({} {})" d="{}"><title>{}, {} {:,g}: {}</title></path>').format(
            *place, mark(line.number), line.label, x_name, x, number(y)
        )
        for place, (x, y) in zip(places, line.points, strict=True)
        if len(places) <= _MAX_MARKED
    ]
    dash = " dashed" if line.dashed else ""
    return Markup('<g class="c{}"><path class="line{}" d="M{}"/>{}</g>').format(
        line.number % NUM_COLOURS, dash, path, Markup("").join(marks)
    )
