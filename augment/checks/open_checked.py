"""The door of augment and train: open a source, check every file, leave out what may be left out, say what was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from augment.checks.advice import by_class, by_duplicates
from augment.checks.inspect import ImageRecord, check, duplicates, found_symmetries, near_duplicate_names, valid_subset
from augment.imaging.codec import RULES, Rules
from augment.imaging.symmetry import KINDS
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source


@dataclass(frozen=True)
class CheckedSource:
    """A source that was let in."""

    source: ImageSet
    """Its sound images."""
    records: list[ImageRecord]
    """Of all its images, also those left out."""
    left_out: list[str]
    """The problems of what was left out."""
    notes: list[str]
    """What to know of it, a line each."""

    def against_symmetry(self, kinds: Set[str]) -> list[str]:
        """Return which of the kinds of a policy make images unlike the set, a line each."""
        if kinds.isdisjoint(KINDS):
            return []
        found = found_symmetries([record for record in self.records if not record.problem])
        unlike = [one for one in found if one.kind in kinds and one.fits is False]
        return [f"{one.text}; the policy adds such by {one.kind}" for one in unlike]


def open_checked(
    path: Path,
    *,
    exclude: Path | None = None,
    rules: Rules = RULES,
    skip_bad: bool = False,
    originals_only: bool = False,
    workers: int = 1,
) -> CheckedSource:
    """Open `path` and look at every file, as `smallgan inspect` does.

    Raises InputError for what is not there and, unless `skip_bad`, for files that cannot be used, naming them.
    """
    source = open_source(path, exclude=exclude, rules=rules)
    notes = list(source.notes)
    if originals_only:
        num_mixed, source = len(source), source.originals()
        if len(source) < num_mixed:
            notes.append(f"{source.path} is a mixed dataset: only its {len(source)} originals are used")
    records = check(source, workers=workers, looks=True)
    source = valid_subset(source, records, skip_bad=skip_bad)
    good = [record for record in records if not record.problem]
    originals = [record for record, image in zip(good, source.images, strict=True) if image.origin == "original"]
    notes += by_duplicates(duplicates(originals), near_duplicate_names(originals))
    classes = Counter(record.label for record in originals if record.label is not None)
    notes += by_class(classes, sum(record.label is None for record in originals) if classes else 0)
    left_out = [record.problem for record in records if record.problem]
    return CheckedSource(source, records, left_out, notes)
