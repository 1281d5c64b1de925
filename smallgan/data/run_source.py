"""The images that a run was trained on, found again from its data.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.errors import InputError, UsageError
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from augment.sources.remote import is_there
from smallgan.core.resources import sample_set
from smallgan.core.run_dir import RunDir, read_record
from smallgan.tables.data_sources import find_source
from smallgan.tables.dotted import load


def source_path(source: str | None) -> Path:
    """Return where the images of a `data.source` are; a set of images that is drawn is made where it is not there.

    Raises UsageError for points, InputError and OutputError.
    """
    if source is None:
        return sample_set()
    row = find_source(source)
    if row is None:
        return Path(source)
    if row.is_points:
        raise UsageError(f"{source} is a set of points, not of images; smallgan train and run take it")
    made: Path = load(row.make)(source.partition(":")[2])
    return made


def read_summary(run: RunDir) -> dict[str, Any] | None:
    """Return what data.json says of a run's images, None where the run has none. Raises InputError when damaged."""
    summary = read_record(run.data)
    if summary is None:
        return None
    missing = [key for key in ("source", "names", "skipped", "fingerprint", "resize_mode") if key not in summary]
    if missing:
        raise InputError(f"{run.data}: damaged ({missing[0]} is missing); put the file back, or name reals with --real")
    return summary


def open_run_source(run: RunDir, summary: Mapping[str, Any]) -> ImageSet:
    """Return all images of the source that a run was trained on, wherever this process stands.

    Raises InputError when the source is gone.
    """
    if summary["source"] is None or find_source(summary["source"]):
        return open_source(source_path(summary["source"]))
    given = Path(str(summary.get("source_path") or summary["source"]))
    places = [given, Path(str(summary["source"]))]  # the first where it was, the second where a moved run may look
    found = next((place for place in places if is_there(place)), None)
    if found is None:
        raise InputError(f"{given}: the images that {run.path} was trained on are gone; put them back, or use --real")
    return open_source(found)
