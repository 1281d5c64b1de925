"""Report -> one self-contained HTML page: no network, same input, same bytes, readable without its script."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from augment.core.files import make_folder, write_bytes
from augment.core.limits import read_text
from augment.errors import InputError
from smallgan.core.run_dir import RunDir
from smallgan.core.study_dir import StudyDir
from smallgan.core.version import __version__
from smallgan.metrics.score import RELATED, STRUCK, Score
from smallgan.report import charts
from smallgan.report.agreement import agreement
from smallgan.report.bars import all_bar_charts, bar_svg
from smallgan.report.collect import Report
from smallgan.report.columns import Column
from smallgan.report.curves import reading_charts, score_charts, stats_charts
from smallgan.report.export import figures, tables
from smallgan.report.metadata import as_text, conditions, count, machine, notes
from smallgan.report.phrases import baseline_phrase, conclusion_phrase, listed, sheet_phrase, verdicts
from smallgan.report.pictures import Picture, data_uri
from smallgan.report.plain import FIGURES, banner, plain
from smallgan.report.ranking import MetricRanking
from smallgan.report.runs import Run
from smallgan.report.sheets import KINDS
from smallgan.report.templates import FOLDER, style, template
from smallgan.tables.methods import METHODS
from smallgan.tables.metrics import METRICS
from smallgan.tables.models import MODELS
from smallgan.tables.recipe_yaml import MAX_RECIPE_BYTES

_STANDING = re.compile(rf"\[({STRUCK}|{RELATED})( for some)?\]")
_TABLES = {".csv": "text/csv", ".json": "application/json"}


def render(report: Report, page_folder: Path | None = None) -> str:
    """Return the page as HTML. Every text of the report is escaped.

    Args:
        page_folder: where the page will lie; with it, the page links to the pictures that it shows small or not at all.
    """
    filled = template(
        "report.html.j2",
        number=charts.number,
        count=count,
        plain=as_text,
        change=_change,
        p_value=_p_value,
        run_at=report.runs.__getitem__,
    )
    pretty = partial(json.dumps, indent=2, ensure_ascii=False, default=str)
    rows = machine(report.runs)
    others = [one for one in report.rankings if one not in report.headline and one.order]

    def dataset_of(ranking: MetricRanking) -> str:
        return report.columns[ranking.column].dataset

    return filled.render(
        report=report,
        title=title(report),
        summary=summary(report),
        verdicts=verdicts(report),
        agreement=agreement(report),
        banner=banner(report),
        plain_of=partial(plain, report),
        conclusion_phrase=conclusion_phrase,
        **_figures(report),
        **_pictures(report, page_folder),
        key=charts.key,
        metric_rows=[row for row in METRICS if row.name in {column.metric for column in report.columns}],
        has_baselines=any(baseline_phrase(column.lasts) for column in report.columns),
        other_metrics=others,
        beside=lambda ranking: [one for one in others if dataset_of(one) == dataset_of(ranking)],
        score_tables=_score_tables(report),
        warnings=report.warnings,
        heading=_heading,
        standings={standing for column in report.columns for standing in column.standings},
        has_few=any(column.needed for column in report.columns),
        too_few=_too_few,
        notes=notes(report.columns),
        identities=[(column, pretty(dict(column.identity))) for column in report.columns],
        parts_of=_parts,
        shared=[row for row in rows if not row.differs] if len(report.runs) > 1 else [],
        machine=[row for row in rows if row.differs or len(report.runs) == 1],
        commands=_commands(report.runs),
        study_recipes=[(study.name, text) for study in report.studies if (text := _recipe_of(study))],
        downloads={name: data_uri(content, _TABLES[Path(name).suffix]) for name, content in tables(report).items()},
        style=style(),
        version=__version__,
        **_script(),
    )


def _place(column: Column) -> tuple[bool, int]:
    """Sort columns as the sentence above them names its figures, then the others, then those that do not count."""
    return STRUCK in column.standings, (*FIGURES, column.metric).index(column.metric)


def _heading(label: str) -> Markup:
    """Return the label of a column with its standing, "[struck]", small."""
    return Markup(_STANDING.sub(r"<small>\g<0></small>", str(escape(label))))


def _score_tables(report: Report) -> list[dict[str, Any]]:
    tables = []
    for dataset in dict.fromkeys(report.datasets):
        runs = [number for number, of_run in enumerate(report.datasets) if of_run == dataset]
        if columns := sorted((column for column in report.columns if column.dataset == dataset), key=_place):
            rows = conditions(columns, telling=True), conditions(columns)
            tables.append(
                {"dataset": dataset, "runs": runs, "columns": columns, "telling": rows[0], "conditions": rows[1]}
            )
    return tables


def write_report(report: Report, folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page and return where: `out`, else report.html in the one study or run, or here for several runs.

    Raises OutputError.
    """
    page = out or _default_path(report, folders)
    make_folder(page.parent)
    # a lone surrogate in a JSON text is no UTF-8
    write_bytes(page, render(report, page.parent).encode("utf-8", errors="replace"))
    return page


def _default_path(report: Report, folders: Sequence[Path]) -> Path:
    if len(report.studies) == 1:
        study = report.studies[0]
        runs = {study.run_of(trial).resolve() for trial in study.trials()}
        if all(folder.resolve() in runs for folder in folders):
            return study.report
    return RunDir(folders[0]).report if len(folders) == 1 else Path("report.html")


def _script() -> dict[str, Any]:
    text = (FOLDER / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return {"script": Markup(text), "script_hash": f"sha256-{digest}"}


def _figures(report: Report) -> dict[str, Any]:
    differences, means = all_bar_charts(report)
    return {
        "charts": [group for group in (score_charts(report), reading_charts(report) + stats_charts(report)) if group],
        "differences": differences,
        "means": means,
        "svg": charts.svg,
        "bar_svg": bar_svg,
        "drawings": {name: data_uri(drawing, "image/svg+xml") for name, drawing in figures(report).items()},
    }


def _pictures(report: Report, page_folder: Path | None) -> dict[str, Any]:
    """Return what the sections with pictures need: steps of the slider, owners, links, and sheets that some run has."""
    owners: dict[Picture, dict[str, None]] = {}
    for group in report.groups:
        if picture := report.runs[group.runs[0]].reals:
            owners.setdefault(picture, {})[report.datasets[group.runs[0]] or group.name] = None
    group_of = {number: index for index, group in enumerate(report.groups) for number in group.runs}
    seed_of = {number: seed for group in report.groups for number, seed in zip(group.runs, group.seeds, strict=True)}
    shown = [report.runs[number] for number in seed_of]
    paths = [_relative_path(folder, page_folder) for folder in report.folders]

    def links(number: int) -> list[tuple[int, str]]:
        """Return step and relative link of each grid of a run."""
        steps = report.runs[number].grid_steps if paths[number] is not None else ()
        return [(step, quote(f"{paths[number]}/{RunDir(report.folders[number]).fakes(step).name}")) for step in steps]

    def sheet_links(numbers: Sequence[int], kind: str) -> list[tuple[str, str]]:
        """Return a name and the relative link of each file of a kind that these runs have."""
        sheets = [(at, sheet) for at in numbers if paths[at] is not None for sheet in report.runs[at].sheets_of(kind)]
        files = [(at, file) for at, sheet in sheets for file in (sheet.file, sheet.movie_file) if file]
        seeds = {at: f"seed {seed_of[at]}, " for at in numbers if len(numbers) > 1}
        return [(f"{seeds.get(at, '')}{Path(file).name}", quote(f"{paths[at]}/{file}")) for at, file in files]

    return {
        "reals": [(picture, listed(list(names))) for picture, names in owners.items()],
        "group_of": group_of,
        "seed_of": seed_of,
        "steps": sorted({snapshot.step for run in shown for snapshot in run.snapshots}),
        "sheets": [kind for kind in KINDS if any(run.sheets_of(kind.name) for run in shown)],
        "links": links,
        "sheet_links": sheet_links,
        "shown": "Confusion matrices" if all(run.confusion for run in report.runs) else "Samples",
        "sheet_phrase": sheet_phrase,
        "baseline_phrase": baseline_phrase,
    }


def _relative_path(folder: Path, page_folder: Path | None) -> str | None:
    if page_folder is None:
        return None
    try:
        return Path(os.path.relpath(folder.resolve(), page_folder.resolve())).as_posix()
    except ValueError:
        return None


def _commands(runs: Iterable[Run]) -> dict[str, list[int]]:
    owners: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        owners.setdefault(run.command or "", []).append(number)
    return owners


def _recipe_of(study: StudyDir) -> str:
    try:
        return read_text(study.recipe, MAX_RECIPE_BYTES)
    except (OSError, UnicodeDecodeError, InputError):
        return ""


def _parts(score: Score) -> list[tuple[str, float]]:
    """Return the numbers that a score is made of and that have a name to show; of an unknown metric all."""
    names = METRICS[score.metric].parts if score.metric in METRICS else {name: name for name in score.parts}
    return [(names[name], value) for name, value in score.parts.items() if name in names]


def _too_few(column: Column) -> str:
    """Return what a column has too few of, by the score that needs most; "" for enough."""
    scores = [score for score in column.lasts if score and score.needed]
    return max(scores, key=lambda score: score.needed or 0).too_few if scores else ""


def _change(value: float) -> str:
    return f"+{charts.number(value)}" if value > 0 else charts.number(value)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def title(report: Report) -> str:
    """Return the heading of the page."""
    if report.is_replicated and report.studies:
        return listed([study.name for study in report.studies])
    if report.is_replicated:
        return f"{len(report.groups)} {report.nouns} compared"
    return report.runs[0].label if len(report.runs) == 1 else f"{len(report.runs)} runs compared"


def summary(report: Report) -> str:
    """Return what was compared, in a sentence or two."""
    first = report.runs[0]
    if len(report.runs) == 1:
        model, size = _model(first), first.recipe.get("data.size", "?")
        asked = "" if first.asked_steps in (None, first.last_step) else f" of {count(first.asked_steps)}"
        start = first.recipe.get("train.init")
        begun = f" from the weights of {Path(str(start)).name}" if start else ""
        return f"{model} at {size} px, {count(first.last_step)}{asked} steps{begun}, trained on {_images(first)}."
    names = list(report.differences)
    differ = f"Their recipes differ in {len(names)} keys, listed below."
    if len(names) <= 4:
        differ = f"They differ in {listed(names)}." if names else "Their recipes are equal."
    what = f"{len(report.runs)} runs{_originals(report)}"
    if report.is_replicated:
        counts = sorted({len(group.runs) for group in report.groups})
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        what = f"{len(report.groups)} {report.nouns} under {seeds} seed{'s' if seeds != '1' else ''} each, {what}"
        differ = differ if 0 < len(names) <= 4 else "Recipe differences are listed below."
    return f"{what}. {differ}"


def _model(run: Run) -> str:
    method, model = (str(run.recipe.get(key, "")) for key in ("method.name", "model.name"))
    if method in METHODS and METHODS[method].is_transfer:
        return f"Transfer by {METHODS[method].title}"
    if method in METHODS and not METHODS[method].makes_images:
        return METHODS[method].title
    return MODELS[model].title if model in MODELS else model or method or "GAN"


def _originals(report: Report) -> str:
    prints = {str(run.data.get("fingerprint")) for run in report.runs}
    if "None" in prints:
        return ""
    if any(report.datasets):
        return f", on {listed(list(dict.fromkeys(report.datasets)))}, compared separately"
    same = f", all on the same {count(report.runs[0].data.get('num_real'))} original images"
    return same if len(prints) == 1 else f", on {len(prints)} different sets of original images"


def _images(run: Run) -> str:
    kinds = [f"{count(number)} {origin}" for origin, number in run.origins.items()]
    policy = f" ({run.policy})" if len(kinds) > 1 else ""
    return f"{listed(kinds)} images{policy}" if kinds else "images that were not recorded"
