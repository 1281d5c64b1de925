"""Report -> one self-contained HTML page: no network, the same bytes for the same input, whole without its script."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from augment.files import make_folder, write_bytes
from smallgan import __version__
from smallgan.report import charts
from smallgan.report.bars import all_bar_charts, bar_svg
from smallgan.report.collect import Column, Report
from smallgan.report.curves import score_charts, stats_charts
from smallgan.report.export import data_uri, export_files, figures
from smallgan.report.pictures import Picture
from smallgan.report.runs import Run, finite
from smallgan.report.words import call_words, floor_words, floors_words, nearest_words, verdicts
from smallgan.run import RunDir
from smallgan.study_dir import StudyDir

_FOLDER = Path(__file__).parent
_CONDITIONS = {
    "features": "Feature network",
    "weights_sha256": "Its weights, sha256",
    "resize": "Resize rule",
    "precision": "Precision",
    "estimator": "Estimator",
    "num_fake": "Fake images",
    "num_real": "Real images",
    "reals": "Real set, fingerprint",
    "splits": "Splits",
}
_PARTS = {"h_y": "diversity H(y)", "h_y_given_x": "confidence H(y|x)"}
_HASH_LETTERS = 12
_SHEETS = (
    ("Reconstructions", "Training images, each above what its learned code gives.", "reconstructions"),
    ("Walks between latents", "Smooth steps speak against a generator that has learnt images by heart.", "strip"),
    ("Nearest to the training images", "The fakes most like a training image: copies show here first.", "worst"),
)
"""Title, what to see in it, and attribute of a run."""


@dataclass(frozen=True)
class Row:
    """A line of a table of facts: a name, and a text for each column."""

    name: str
    cells: tuple[str, ...]
    is_measured: bool = False
    """Of each run by itself: that two of them are alike, rounded, says nothing."""

    @property
    def differs(self) -> bool:
        """Tell whether a cell is needed for each run."""
        return self.is_measured or len(set(self.cells)) > 1


def render(report: Report, page_folder: Path | None = None) -> str:
    """Return the page as HTML. Every text of the report is escaped.

    Args:
        page_folder: where the page will lie; with it, the page links to the pictures that it shows small or not at all.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=charts.number, count=_count, plain=_plain, change=_change, chance=_chance, run_at=report.runs.__getitem__
    )
    facts = _machine(report.runs)
    return environment.get_template("report.html.j2").render(
        report=report,
        title=title(report),
        lede=lede(report),
        verdicts=verdicts(report),
        call_words=call_words,
        **_figures(report),
        **_pictures(report, page_folder),
        key=charts.key,
        metrics={column.metric for column in report.columns},
        floors=any(floors_words(column) for column in report.columns),
        measures=[one for one in report.standings if one not in report.headline and one.order],
        conditions=_conditions(report.columns),
        notes=_notes(report.columns),
        identities=[(column, _pretty(column.identity)) for column in report.columns],
        part_names=_PARTS,
        shared=[row for row in facts if not row.differs] if len(report.runs) > 1 else [],
        machine=[row for row in facts if row.differs or len(report.runs) == 1],
        commands=_commands(report.runs),
        study_recipes=[(study.name, text) for study in report.studies if (text := _recipe_of(study))],
        downloads=_downloads(report),
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        version=__version__,
        **_script(),
    )


def write_report(report: Report, folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page and return where: `out`, else report.html in the one study or run, or here for several runs.

    Raises OutputError.
    """
    page = out or _usual_place(report, folders)
    make_folder(page.parent)
    # a lone surrogate in a JSON text is no UTF-8
    write_bytes(page, render(report, page.parent).encode("utf-8", errors="replace"))
    return page


def _usual_place(report: Report, folders: Sequence[Path]) -> Path:
    if len(report.studies) == 1:
        study = report.studies[0]
        runs = {study.run_of(cell).resolve() for cell in study.cells()}
        if all(folder.resolve() in runs for folder in folders):
            return study.report
    return RunDir(folders[0]).report if len(folders) == 1 else Path("report.html")


def _script() -> dict[str, Any]:
    """Return the script, and its hash, by which the page's policy lets it run and no other."""
    text = (_FOLDER / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return {"script": Markup(text), "script_hash": f"sha256-{digest}"}


def _figures(report: Report) -> dict[str, Any]:
    differences, means = all_bar_charts(report)
    return {
        "charts": [group for group in (score_charts(report), stats_charts(report)) if group],
        "differences": differences,
        "means": means,
        "svg": charts.svg,
        "bar_svg": bar_svg,
        "drawings": {name: data_uri(drawing, "image/svg+xml") for name, drawing in figures(report).items()},
    }


def _pictures(report: Report, page_folder: Path | None) -> dict[str, Any]:
    """Return what the parts with pictures need: steps of the slider, owners, links, and sheets that some run has."""
    owners: dict[Picture, list[str]] = {}
    for group in report.groups:
        picture = report.runs[group.runs[0]].reals
        if picture:
            owners.setdefault(picture, []).append(group.name)
    group_of = {number: place for place, group in enumerate(report.groups) for number in group.runs}
    seed_of = {number: seed for group in report.groups for number, seed in zip(group.runs, group.seeds, strict=True)}
    shown = [report.runs[number] for number in seed_of]
    return {
        "reals": [(picture, _listed(names)) for picture, names in owners.items()],
        "group_of": group_of,
        "seed_of": seed_of,
        "steps": sorted({snapshot.step for run in shown for snapshot in run.snapshots}),
        "sheets": [sheet for sheet in _SHEETS if any(getattr(run, sheet[2]) for run in shown)],
        "links": lambda number: _links(report, number, page_folder),
        "sheet_links": lambda numbers, name: _sheet_links(report, numbers, name, page_folder),
        "nearest_words": nearest_words,
        "floor_words": floor_words,
        "floors_words": floors_words,
    }


def _links(report: Report, number: int, page_folder: Path | None) -> list[tuple[int, str]]:
    """Return step and relative link of each grid of a run; [] where no link can lead there, as to another drive."""
    between = _way_to(report.folders[number], page_folder)
    if between is None:
        return []
    run = RunDir(report.folders[number])
    return [(step, quote(f"{between}/{run.fakes(step).name}")) for step in report.runs[number].grid_steps]


def _sheet_links(report: Report, numbers: Sequence[int], name: str, page_folder: Path | None) -> list[tuple[int, str]]:
    """Return the number of each of these runs that has a sheet, and the relative link to it."""
    found = []
    for number in numbers:
        between, file = _way_to(report.folders[number], page_folder), report.runs[number].sheet_files.get(name)
        if between is not None and file is not None:
            found.append((number, quote(f"{between}/{file}")))
    return found


def _way_to(folder: Path, page_folder: Path | None) -> str | None:
    """Return the relative way from the page to a run folder, None where there is none."""
    if page_folder is None:
        return None
    try:
        return Path(os.path.relpath(folder.resolve(), page_folder.resolve())).as_posix()
    except ValueError:
        return None


def _downloads(report: Report) -> dict[str, str]:
    kinds = {".csv": "text/csv", ".json": "application/json"}
    files = export_files(report).items()
    return {name: data_uri(content, kinds[Path(name).suffix]) for name, content in files if Path(name).suffix in kinds}


def _commands(runs: Iterable[Run]) -> dict[str, list[int]]:
    """Return each command with the numbers of the runs that it made; "" for those that do not tell."""
    found: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        found.setdefault(run.command or "", []).append(number)
    return found


def _recipe_of(study: StudyDir) -> str:
    try:
        return study.recipe.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _change(value: float) -> str:
    """Return a difference with its sign."""
    text = charts.number(abs(value))
    return f"+{text}" if value > 0 else f"\N{MINUS SIGN}{text}" if value < 0 else text


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def title(report: Report) -> str:
    """Return the heading of the page."""
    if report.is_replicated and report.studies:
        return _listed([study.name for study in report.studies])
    if report.is_replicated:
        return f"{len(report.groups)} policies compared"
    return report.runs[0].label if len(report.runs) == 1 else f"{len(report.runs)} runs compared"


def lede(report: Report) -> str:
    """Return what was compared, in a sentence or two."""
    first = report.runs[0]
    if len(report.runs) == 1:
        model, size = _model(first), first.recipe.get("data.size", "?")
        return f"{model} at {size} px, {_steps(first)}, trained on {_images(first)}."
    names = list(report.differences)
    differ = f"Their recipes differ in {len(names)} keys, listed below."
    if len(names) <= 4:
        differ = f"They differ in {_listed(names)}." if names else "Their recipes are alike."
    if report.is_replicated:
        counts = sorted({len(group.runs) for group in report.groups})
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        what = f"{len(report.groups)} policies under {seeds} seed{'s' if seeds != '1' else ''} each"
        differ = f"They differ in {_listed(names)}." if 0 < len(names) <= 4 else "What differs stands below."
        return f"{what}, {len(report.runs)} runs{_originals(report.runs)}. {differ}"
    return f"{len(report.runs)} runs{_originals(report.runs)}. {differ}"


def _model(run: Run) -> str:
    method = run.recipe.get("transfer.method")
    if method:
        names = {"apgc": "APGC on a pretrained BigGAN", "bsa": "BSA on a pretrained BigGAN"}
        return names.get(str(method), "Fine-tuned BigGAN")
    model = str(run.recipe.get("train.model", "GAN"))
    return {"dcgan": "DCGAN", "biggan": "BigGAN"}.get(model, model)


def _originals(runs: Sequence[Run]) -> str:
    """Return whether the runs saw the same originals, nothing when one does not tell."""
    prints = {str(run.data.get("fingerprint")) for run in runs}
    if "None" in prints:
        return ""
    same = f", all on the same {_count(runs[0].data.get('num_real'))} original images"
    return same if len(prints) == 1 else f", on {len(prints)} different sets of original images"


def _steps(run: Run) -> str:
    if run.asked_steps is None or run.asked_steps == run.last_step:
        return f"{_count(run.last_step)} steps"
    return f"{_count(run.last_step)} of {_count(run.asked_steps)} steps"


def _images(run: Run) -> str:
    """Return `100 original and 100 augmented images (hflip)`."""
    kinds = [f"{_count(number)} {origin}" for origin, number in run.origins.items()]
    policy = f" ({run.policy})" if len(kinds) > 1 else ""
    return f"{_listed(kinds)} images{policy}" if kinds else "images that data.json does not tell of"


def _conditions(columns: Iterable[Column]) -> list[Row]:
    """Return what the scores were made under, a row a condition, a cell a column."""
    identities = [column.identity for column in columns]
    unknown = dict.fromkeys(key for one in identities for key in one if key not in _CONDITIONS and key != "metric")
    names = {**_CONDITIONS, **{key: key for key in unknown}}
    known = [key for key in names if any(one.get(key) is not None for one in identities)]
    return [Row(str(names[key]), tuple(_condition(key, one.get(key)) for one in identities)) for key in known]


def _condition(key: str, value: Any) -> str:
    if value is None:
        return "not used"
    is_hash = key in ("weights_sha256", "reals") and isinstance(value, str)
    return value[:_HASH_LETTERS] if is_hash else _count(value)


def _notes(columns: Iterable[Column]) -> dict[str, str]:
    """Return each note once, with the labels of the scores that it belongs to."""
    owners: dict[str, dict[str, None]] = {}
    for column in columns:
        for note in column.notes:
            owners.setdefault(note, {})[column.label] = None
    return {note: ", ".join(labels) for note, labels in owners.items()}


def _machine(runs: Iterable[Run]) -> list[Row]:
    """Return time, speed and environment, a row a fact, a cell a run."""
    runs = list(runs)
    rows = [
        Row("Training", tuple(_span(_newest(run, "train_seconds")) for run in runs), True),
        Row("Elsewhere (grids, scores, saving)", tuple(_span(_newest(run, "other_seconds")) for run in runs), True),
        Row("Images a second, median", tuple(_count(_median(run, "images_per_second")) for run in runs), True),
        Row("Memory, most", tuple(_megabytes(run) for run in runs), True),
    ]
    names = dict.fromkeys(name for run in runs for name in run.environment if name != "command")
    return rows + [Row(name, tuple(run.environment.get(name, "unknown") for run in runs)) for name in names]


def _newest(run: Run, key: str) -> float | None:
    return next((line[key] for line in reversed(run.stats) if key in line), None)


def _median(run: Run, key: str) -> float | None:
    values = sorted(line[key] for line in run.stats if key in line)
    return values[len(values) // 2] if values else None


def _megabytes(run: Run) -> str:
    values = [line["memory_mb"] for line in run.stats if "memory_mb" in line]
    return f"{_count(max(values))} MB" if values else "unknown"


def _span(seconds: float | None) -> str:
    """Return 95 as 1 min 35 s."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _count(value: Any) -> str:
    """Return 12345 as 12,345 and a fraction without its decimals where they do not matter."""
    known = finite(value)
    if known is None:
        return _plain(value)
    return f"{known:,.0f}" if abs(known) >= 100 or known.is_integer() else f"{known:,.1f}"


def _plain(value: Any) -> str:
    """Return a value of a recipe or an identity as text, as YAML would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), indent=2, ensure_ascii=False, default=str)


def _listed(words: list[str]) -> str:
    """Return `a, b and c`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
