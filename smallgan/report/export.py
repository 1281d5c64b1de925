"""The numbers and figures of a page as files of their own: CSV, JSON and SVG."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from augment.core.files import make_folder, write_bytes
from smallgan.report.bars import all_bar_charts, bar_svg
from smallgan.report.charts import key, svg
from smallgan.report.collect import Report
from smallgan.report.curves import reading_charts, score_charts, stats_charts
from smallgan.report.runs import finite

_PAINT = (
    ".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}"
    ".mark,.bar-fill,.seed{fill:var(--c)}.bar-fill{opacity:.35}.hollow{fill:#fff;stroke:var(--c);stroke-width:1.6}"
    ".band{fill:var(--c);opacity:.13}.whisker{fill:none;stroke:var(--c);opacity:.6}"
    ".grid{stroke:#dde2e1}.axis,.reference{stroke:#5b676c;fill:none}.reference{stroke-dasharray:3 3}"
    "text{fill:#333;font:12.5px sans-serif}.x{text-anchor:middle}.y{text-anchor:end;dominant-baseline:central}"
)
_COLOURS = ("#0b7285", "#c2541b", "#5f3dc4", "#2b8a3e", "#b0276f", "#1864ab", "#7a6200", "#495057")
"""Those of the page in light mode (report.css)."""
_TITLE_HEIGHT = 26


def export_files(report: Report) -> dict[str, bytes]:
    """Return all files by name: the tables, and the figures as SVG."""
    return tables(report) | {f"{name}.svg": drawing for name, drawing in figures(report).items()}


def tables(report: Report) -> dict[str, bytes]:
    """Return the numbers as scores.csv, verdicts.csv and report.json."""
    page = report.to_json()
    text = json.dumps(page, indent=1, ensure_ascii=False, allow_nan=False)
    return {
        "scores.csv": csv_bytes(list(_score_rows(report))),
        "verdicts.csv": csv_bytes(page["verdicts"]),
        "report.json": text.encode("utf-8", errors="replace"),
    }


def write_export(report: Report, folder: Path) -> list[Path]:
    """Write the files into a folder and return their paths. Raises OutputError."""
    make_folder(folder)
    files = {folder / name: content for name, content in export_files(report).items()}
    for path, content in files.items():
        write_bytes(path, content)
    return list(files)


def figures(report: Report) -> dict[str, bytes]:
    """Return each chart of the page as an SVG file that needs no style from outside, with a key where it has lines."""
    differences, means = all_bar_charts(report)
    drawn = {chart.name: standalone(bar_svg(chart), chart.title, ()) for chart in (*differences, *means)}
    for chart in (*score_charts(report), *reading_charts(report), *stats_charts(report)):
        names = dict.fromkeys((line.number, report.groups[line.number].name) for line in chart.lines)
        drawn[chart.name] = standalone(svg(chart), chart.title, list(names))
    return drawn


def csv_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV with the keys of the first as its header."""
    if not rows:
        return b""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", errors="replace")


def _score_rows(report: Report) -> Iterable[dict[str, Any]]:
    """Yield every score of every run: policy, seed, run, step, value, the interval over images, and the column."""
    for index, column in enumerate(report.columns):
        for group in report.groups:
            for number, seed in zip(group.runs, group.seeds, strict=True):
                for score in column.curves[number]:
                    low, high = score.interval or (None, None)
                    baseline_fakes, baseline_reals = score.baseline_counts or (None, None)
                    yield {
                        "policy": group.name,
                        "seed": seed,
                        "run": report.runs[number].label,
                        "step": score.step,
                        "metric": score.metric,
                        "column": index,
                        "dataset": column.dataset,
                        "label": score.label,
                        "standing": score.standing,
                        "value": finite(score.value),
                        "image_level_low": finite(low),
                        "image_level_high": finite(high),
                        "std_over_splits": score.std,
                        "baseline": finite(score.baseline),
                        "baseline_num_fake": baseline_fakes,
                        "baseline_num_real": baseline_reals,
                        "images_needed_per_set": score.needed,
                    }


def standalone(drawing: str, title: str, names: Sequence[tuple[int, str]]) -> bytes:
    """Return a chart of the page with its style inside, its title above and the names of its lines below it."""
    start, _, rest = drawing.partition('viewBox="')
    box, _, body = rest.partition('"')
    width, height = (int(part) for part in box.split()[2:])
    head, _, inner = body.partition(">")
    row, legend = Markup('<g transform="translate(20 {})">{}<text x="32" y="10">{}</text></g>'), ""
    for index, (number, name) in enumerate(names):
        sample = Markup(str(key(number)).replace("viewBox", 'width="24" height="12" viewBox', 1))
        legend += row.format(_TITLE_HEIGHT + height + 8 + 18 * index, sample, name)
    heading = Markup('<text x="12" y="18" font-weight="600">{}</text>').format(title)
    full = _TITLE_HEIGHT + height + 18 * len(names) + (10 if names else 0)
    return (
        f'{start}width="{width}" height="{full}" viewBox="0 0 {width} {full}"{head}><style>{_resolved()}</style>'
        f'<rect width="{width}" height="{full}" fill="#fff"/>{heading}'
        f'<g transform="translate(0 {_TITLE_HEIGHT})">{inner.removesuffix("</svg>")}</g>{legend}</svg>'
    ).encode("utf-8", errors="replace")


def _resolved() -> str:
    """Return the style with its colours written out, as editors of drawings know no variables."""
    rules = []
    for rule in filter(None, _PAINT.split("}")):
        names, _, style = rule.partition("{")
        if "var(--c)" not in style:
            rules.append(f"{rule}}}")
            continue
        for number, colour in enumerate(_COLOURS):
            owners = ",".join(f".c{number} {name},{name}.c{number}" for name in names.split(","))
            rules.append(f"{owners}{{{style.replace('var(--c)', colour)}}}")
    return "".join(rules)
