"""Look at every image before anything is made of it: each file is read and decoded once, and problems are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augment.errors import InputError
from augment.shares import in_shares
from augment.sources import ImageSet

_MAX_LISTED = 10


@dataclass(frozen=True)
class ImageRecord:
    """What was found in one file. Width, height and hash are None where it cannot be used."""

    name: str
    label: str | None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    format: str | None = None
    mode: str | None = None
    problem: str | None = None
    """Why it cannot be used, naming the file."""
    notes: tuple[str, ...] = ()
    """What is done with it that the user may not expect."""


def check(source: ImageSet, *, workers: int = 1) -> list[ImageRecord]:
    """Return a record for each image of `source`, in its order. Nothing is raised for a bad file."""
    return in_shares(lambda index: _look(source, index), range(len(source)), workers)


def sound(source: ImageSet, records: Sequence[ImageRecord], *, skip_bad: bool) -> ImageSet:
    """Return the images of `source` that can be used.

    `records` are those of `check(source)`.
    Raises InputError naming the bad files, unless `skip_bad`; and when none is left.
    """
    bad = [record.problem for record in records if record.problem]
    if not bad:
        return source
    if skip_bad and len(bad) < len(records):
        return source.subset([index for index, record in enumerate(records) if not record.problem])
    lines = [f"  {problem}" for problem in bad[:_MAX_LISTED]]
    if len(bad) > _MAX_LISTED:
        lines.append(f"  and {len(bad) - _MAX_LISTED} more")
    advice = "none is left" if skip_bad else "mend them, or leave them out with --skip-bad"
    listed = "\n".join(lines)
    raise InputError(f"{source.path}: {len(bad)} of {len(records)} images cannot be used; {advice}:\n{listed}")


def duplicates(records: Sequence[ImageRecord]) -> list[list[str]]:
    """Return groups of names whose files are equal byte for byte, in the order of `records`."""
    groups: dict[str, list[str]] = {}
    for record in records:
        if record.sha256:
            groups.setdefault(record.sha256, []).append(record.name)
    return [names for names in groups.values() if len(names) > 1]


def summarise(source: ImageSet, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Return what the records say together, ready for JSON: counts, sizes, classes, problems, duplicates."""
    good = [record for record in records if not record.problem]
    sizes = Counter((record.width, record.height) for record in good)
    classes = Counter(record.label for record in good if record.label is not None)
    return {
        "source": str(source.path),
        "num_images": len(records),
        "num_usable": len(good),
        "sizes": {f"{width}x{height}": count for (width, height), count in sizes.most_common()},
        "formats": dict(Counter(f"{record.format} {record.mode}" for record in good).most_common()),
        "classes": dict(sorted(classes.items())),
        "problems": [record.problem for record in records if record.problem],
        "notes": {record.name: list(record.notes) for record in good if record.notes},
        "duplicates": duplicates(records),
        "ignored": list(source.ignored),
    }


def _look(source: ImageSet, index: int) -> ImageRecord:
    image = source.images[index]
    try:
        loaded = source.load(index)
    except InputError as error:
        return ImageRecord(image.name, image.label, problem=str(error))
    found = loaded.image
    height, width = found.pixels.shape[:2]
    return ImageRecord(
        image.name, image.label, width, height, loaded.sha256, found.format, found.mode, notes=found.notes
    )
