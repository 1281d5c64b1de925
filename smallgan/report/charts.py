"""Line charts as SVG text, and the axes of all charts.

Drawn by hand rather than by matplotlib: text stays text, the colours come from the page's style (light, dark and print
from one drawing), a chart is a few kilobytes, and a report starts at once.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from smallgan.report.runs import finite, spread

NUM_COLOURS = 8
_MAX_MARKED = 24
MAX_BANDS = 4  # More bands than this hide each other and are drawn as strokes
_TABLE_ROWS = 24
_WIDTH, _HEIGHT = 480, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 26, 14, 46
_MARKS = ("M0-4A4 4 0 1 1 0 4A4 4 0 1 1 0-4Z", "M-3.6-3.6H3.6V3.6H-3.6Z", "M0-5L5 0L0 5L-5 0Z", "M0-4.8L4.6 3.4H-4.6Z")
"""Circle, square, diamond, triangle about the origin: colour is never the only difference."""

Point = tuple[float, float]
Bounds = tuple[float, float, float]  # x, low and high
Scale = Callable[[float], float]  # From a value to its position in the drawing


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    number: int  # Of its run or policy, which decides colour and marker
    points: tuple[Point, ...]
    band: tuple[Bounds, ...] = ()  # The range or uncertainty around the line; empty where there is none
    dashed: bool = False


@dataclass(frozen=True)
class Figure:
    """What every chart has."""

    name: str  # Its ids on the page begin with it
    title: str
    x_name: str
    note: str

    @property
    def description(self) -> str:
        """The content in words, for screen readers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Chart(Figure):
    """A line chart; `svg` draws it and `rows` is the same as a table."""

    lines: tuple[Line, ...]

    @property
    def description(self) -> str:
        """Start and end of each line."""
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
    return [index * step for index in range(first, last + 1)]


def svg(chart: Chart) -> Markup:
    """Return the drawing as an SVG element. Texts are escaped."""
    left, right, low, high = _ranges(chart.lines)
    base, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    to_x, to_y = scale(left, right, _LEFT, end), scale(low, high, base, _TOP)
    parts = []
    for y, text in _placed_ticks(low, high, to_y):
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, end))
        parts.append(Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 8, y, text))
    parts += x_axis(left, right, to_x, base, "axis", chart.x_name)
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, base, end))
    banded = [line for line in chart.lines if line.band]
    for index, line in enumerate(banded):
        bounds = [(to_x(x), to_y(low), to_y(high)) for x, low, high in line.band]
        parts.append(_band(line, bounds) if len(banded) <= MAX_BANDS else _whiskers(line, bounds, index, len(banded)))
    parts += [_line(line, chart.x_name, to_x, to_y) for line in chart.lines]
    return framed("chart", (_WIDTH, _HEIGHT), chart, parts)


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return the function from a value to its position: `low` is drawn at `start`, `high` at `end`, others between."""
    return lambda value: round(start + (min(max(value, low), high) - low) / (high - low) * (end - start), 1)


def x_axis(
    low: float, high: float, to_x: Scale, base: float, kind: str, name: str, *, rise: float = -5, count: int = 5
) -> list[Markup]:
    """Return ticks with their texts and the name of an axis.

    Args:
        low, high: its range.
        to_x: from a value to its x.
        base: y of the axis.
        kind: class of the ticks.
        name: stands below the middle.
        rise: height of a tick above the base; below it where negative.
        count: about how many ticks.
    """
    parts = []
    for x, text in _placed_ticks(low, high, to_x, count):
        parts.append(Markup('<path class="{}" d="M{} {}v{}"/>').format(kind, x, base, -rise))
        parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(x, base + 18, text))
    middle = (to_x(low) + to_x(high)) / 2
    return [*parts, Markup('<text class="x" x="{}" y="{}">{}</text>').format(middle, base + 38, name)]


def framed(kind: str, size: tuple[int, int], figure: Figure, parts: Sequence[Markup]) -> Markup:
    """Return an SVG element with the drawn `parts` of a figure, of class `kind` and of width and height `size`."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="{}" viewBox="0 0 {} {}" role="img"'
        ' aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{}</title><desc id="{name}-desc">{}</desc>{}</svg>'
    ).format(kind, *size, figure.title, figure.description, Markup("").join(parts), name=figure.name)


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
        high = 1.0  # a constant 0, such as most copy rates: from 0 to 1, not at the scale of rounding
    margin = (high - low) * 0.06 or abs(high) * 0.1
    return left, right if right > left else left + 1, low - margin, high + margin


def _placed_ticks(low: float, high: float, to_position: Scale, count: int = 5) -> Iterator[tuple[float, str]]:
    values = ticks(low, high, count)
    distance = values[1] - values[0] if len(values) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(distance) + 1e-9))
    for value in values:
        yield to_position(value), f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _band(line: Line, bounds: Sequence[Bounds]) -> Markup:
    outline = [(x, high) for x, _, high in bounds] + [(x, low) for x, low, _ in reversed(bounds)]
    return Markup('<path class="band c{}" d="M{}Z"/>').format(line.number % NUM_COLOURS, _path(outline))


def _whiskers(line: Line, bounds: Sequence[Bounds], index: int, count: int) -> Markup:
    """Draw the band as upright strokes beside those of the other lines."""
    shift = 2 * (index - count / 2)
    path = "".join(f"M{round(x + shift, 1)} {low}V{high}" for x, low, high in bounds)
    return Markup('<path class="whisker c{}" d="{}"/>').format(line.number % NUM_COLOURS, path)


def _line(line: Line, x_name: str, to_x: Scale, to_y: Scale) -> Markup:
    shape = Markup('<path class="mark" transform="translate({} {})" d="{}"><title>{}, {} {:,g}: {}</title></path>')
    marked = line.points if len(line.points) <= _MAX_MARKED else ()
    marks = [shape.format(to_x(x), to_y(y), mark(line.number), line.label, x_name, x, number(y)) for x, y in marked]
    dash = " dashed" if line.dashed else ""
    colour, path = line.number % NUM_COLOURS, _path([(to_x(x), to_y(y)) for x, y in line.points])
    whole = Markup('<g class="c{}"><path class="line{}" d="M{}"/>{}</g>')
    return whole.format(colour, dash, path, Markup("").join(marks))


def _path(points: Sequence[Point]) -> str:
    return "L".join(f"{x} {y}" for x, y in points)
