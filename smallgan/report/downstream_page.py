"""Results of a downstream study -> one self-contained page: no network, no script, same input, same bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.core.files import make_folder, write_bytes, write_text
from augment.errors import InputError
from smallgan.core.downstream_dir import DownstreamDir
from smallgan.core.run_dir import read_record
from smallgan.core.study_dir import SMOKE_SUFFIX
from smallgan.core.version import __version__
from smallgan.report import charts
from smallgan.report.bars import Bar, BarChart, bar_svg
from smallgan.report.charts import Chart, Line
from smallgan.report.downstream_words import HEADLINE, details, percent, rows_of
from smallgan.report.export import standalone
from smallgan.report.pictures import data_uri
from smallgan.report.runs import readable
from smallgan.report.templates import style, template

FORMAT = "smallgan-downstream-1"
LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}


def page(results: Mapping[str, Any], pictures: Mapping[int, bytes], downloads: Mapping[str, bytes]) -> str:
    """Return the page as HTML. Every text of the results is escaped.

    Args:
        results: results.json.
        pictures: PNG of each test image that changed sides, by its place in the test part.
        downloads: files that the page offers, by name: CSV and JSON.
    """
    filled = template("downstream.html.j2", number=charts.number, percent=percent, points=_points)
    numbers = list(dict.fromkeys(row["per_class"] for row in results["rows"]))
    kinds = {".csv": "text/csv", ".json": "application/json", ".svg": "image/svg+xml"}
    drawn = drawings(results)
    return filled.render(
        results=results,
        details=details(results),
        numbers=numbers,
        rows_of=lambda measure, number: rows_of(results, measure, number),
        labels=LABELS,
        differences=[bar_svg(chart) for chart in difference_charts(results)],
        curve=charts.svg(chart) if (chart := curve_chart(results)) else None,
        key=charts.key,
        number_of={name: at for at, name in enumerate(results["variants"])},
        pictures={place: data_uri(png, "image/png") for place, png in pictures.items()},
        downloads={name: data_uri(body, kinds[Path(name).suffix]) for name, body in {**downloads, **drawn}.items()},
        is_smoke=str(results["name"]).endswith(SMOKE_SUFFIX),
        style=style(),
        version=__version__,
    )


def write_page(study: DownstreamDir, out: Path | None = None) -> Path:
    """Write the page of a finished study from its results, tables and pictures, and return it.

    Args:
        study: its folder.
        out: the page; None: report.html in the study.

    Raises InputError for a study without results, or with damaged ones, and OutputError.
    """
    results, downloads = read_results(study)
    pictures = {int(file.stem): file.read_bytes() for file in sorted(study.pictures.glob("[0-9]*.png"))}
    shown = study.report if out is None else out
    with readable(study.results):
        html = page(results, pictures, downloads)
    write_text(shown, html)
    return shown


def write_files(study: DownstreamDir, folder: Path) -> list[Path]:
    """Write the numbers of a finished study (CSV, JSON) and its charts (SVG) into a folder.

    Raises InputError and OutputError.
    """
    results, downloads = read_results(study)
    with readable(study.results):
        files = {**downloads, **drawings(results)}
    make_folder(folder)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]


def read_results(study: DownstreamDir) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return results.json of a study, and the files that its page offers, by name. Raises InputError."""
    results = read_record(study.results)
    if results is None:
        raise InputError(
            f"{study.results}: not found, as this study is not finished; the command that began it goes on with it, "
            "and makes its page"
        )
    if results.get("format") != FORMAT:
        raise InputError(f"{study.results}: found the format {results.get('format')!r}, expected {FORMAT}")
    files = [path for path in (study.results, study.table, study.trial_table) if path.is_file()]
    return results, {path.name: path.read_bytes() for path in files}


def drawings(results: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the charts of the page as SVG files."""
    found = {f"{chart.name}.svg": standalone(bar_svg(chart), chart.title, ()) for chart in difference_charts(results)}
    if (curve := curve_chart(results)) is not None:
        names = [(line.number, line.label) for line in curve.lines]
        found["curve.svg"] = standalone(charts.svg(curve), curve.title, names)
    return found


def difference_charts(results: Mapping[str, Any]) -> list[BarChart]:
    """Return the differences in accuracy to the reference with the largest number of images, [] where none is known."""
    rows = rows_of(results)
    base = next(row for row in rows if row["is_reference"])
    bars = []
    for row in rows:
        if row["difference_low"] is None:
            continue
        pairs = zip(results["seeds"], row["by_seed"], base["by_seed"], strict=True)
        seeds = tuple((seed, 100 * (value - other)) for seed, value, other in pairs)
        interval = 100 * row["difference_low"], 100 * row["difference_high"]
        is_significant = row["conclusion"] in ("better", "worse")
        place = results["variants"].index(row["variant"])
        bars.append(Bar(row["variant"], place, 100 * row["difference"], interval, seeds, is_significant))
    if not bars:
        return []
    name = base["variant"]
    note = "Large marks: mean with its 95 % interval over seeds and test images; filled = significant. Dots: seeds."
    title, below = f"Accuracy: difference to {name}", f"points of accuracy more than {name}"
    return [BarChart("difference", title, below, note, tuple(bars), line=0.0, line_name=name, from_zero=False)]


def curve_chart(results: Mapping[str, Any]) -> Chart | None:
    """Return accuracy against real images a class, None with a single number of them."""
    rows = [row for row in results["rows"] if row["measure"] == HEADLINE]
    if len(results["per_class"]) < 2:
        return None
    lines = []
    for number, name in enumerate(results["variants"]):
        of_variant = [row for row in rows if row["variant"] == name]
        points = tuple((float(row["per_class"]), 100 * row["mean"]) for row in of_variant)
        known = [row for row in of_variant if row["low"] is not None]
        band = tuple((float(row["per_class"]), 100 * row["low"], 100 * row["high"]) for row in known)
        lines.append(Line(name, number, points, band, dashed=name == results["reference"]))
    note = "Bands: 95 % intervals over seeds and test images. Dashed: the reference."
    return Chart("curve", "Accuracy (%)", "real training images a class", note, tuple(lines))


def _points(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return text.replace("-", "\N{MINUS SIGN}")
