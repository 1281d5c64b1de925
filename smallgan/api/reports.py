"""The comparison page: `smallgan report`. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallgan.api.paths import StrPath, as_path
from smallgan.core.console import Log, say
from smallgan.core.downstream_dir import DownstreamDir


@dataclass(frozen=True, repr=False)
class Report:
    """A page on disk, and its numbers."""

    path: Path
    values: dict[str, Any]
    """As `smallgan report --json` prints them."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        from smallgan.report.runs import printable

        return printable(str(self.path))


def write_report(
    runs: Sequence[StrPath] | StrPath | None = None,
    out: StrPath | None = None,
    *,
    export: StrPath | None = None,
    reference: str | None = None,
    metric: str | None = None,
    log: Log = say,
) -> Report:
    """Write one self-contained HTML page that compares runs, as `smallgan report` does.

    Args:
        runs: run folders, studies, or folders of runs; None: runs/. A downstream study has a page of its own.
        out: the page; None: report.html in the one run or study, or here for several.
        export: folder for the numbers (CSV, JSON) and the figures (SVG).
        reference: policy to compare with; None: that of the study, or the policy none.
        metric: headline metric, such as kid; None: kmmd where it was scored.
        log: takes a line for each run that cannot be shown in full.

    Raises UsageError, InputError and OutputError.
    """
    from smallgan.report import collect, find_runs, write_export
    from smallgan.report import write_report as write_page

    named = [runs] if isinstance(runs, str | os.PathLike) else list(runs or ["runs"])
    if any(DownstreamDir(Path(run)).exists() for run in named):
        return _of_downstream(named, as_path(out), as_path(export), {"--reference": reference, "--metric": metric}, log)
    folders = find_runs([Path(run) for run in named])
    collected = collect(folders, reference=reference, metric=metric)
    for label, problem in collected.problems:
        log(f"{label}: {problem}")
    if not any(run.is_finished for run in collected.runs):
        log("No finished run: the page shows samples but no result.")
    page = write_page(collected, folders, as_path(out))
    if export is not None:
        log(f"{export}: {len(write_export(collected, Path(export)))} files written (numbers and figures)")
    return Report(page, {"report": str(page), **collected.to_json()})


def _of_downstream(
    named: Sequence[StrPath], out: Path | None, export: Path | None, refused: Mapping[str, str | None], log: Log
) -> Report:
    """Write the page of one downstream study from its results, without training."""
    from augment.errors import UsageError
    from smallgan.report.downstream_page import read_results, write_files, write_page

    if len(named) > 1:
        raise UsageError(
            f"{', '.join(map(str, named))}: a downstream study has a page of its own, found {len(named)} folders; name "
            "one"
        )
    if given := [name for name, value in refused.items() if value is not None]:
        raise UsageError(f"{', '.join(given)}: not for a downstream study; its recipe says what is compared")
    study = DownstreamDir(Path(named[0]))
    page = write_page(study, out)
    if export is not None:
        log(f"{export}: {len(write_files(study, export))} files written (numbers and figures)")
    return Report(page, {"report": str(page), **read_results(study)[0]})
