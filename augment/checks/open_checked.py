"""A source opened and checked, as augment and train do: bad files stop it or are left out, and notes are taken."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from augment.checks.advice import by_border, by_class, by_duplicates, by_mirror_twins
from augment.checks.inspect import (
    ImageRecord,
    check,
    duplicates,
    mirror_twin_names,
    near_duplicate_names,
    small_grays,
    valid_subset,
)
from augment.errors import InputError
from augment.imaging.codec import RULES, Rules
from augment.imaging.symmetry import symmetries
from augment.policy.expression import Policy
from augment.sources.concat import ExtraSource, concat
from augment.sources.dataset_format import holds_plan
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source


@dataclass(frozen=True)
class CheckedSource:
    """A source whose files were checked."""

    source: ImageSet  # Its valid images
    records: list[ImageRecord]  # Of all its images, also those left out; without signatures
    left_out: list[str]  # The problems of what was left out
    notes: list[str]  # What to know of it, a line each
    grays: list[bytes]  # What its symmetry is found by

    def fits_symmetry(self, name: str) -> bool:
        """Tell whether images turned over so look like the set, as far as could be told: "hflip", say."""
        return any(one.name == name and one.fits is not False for one in symmetries(self.grays))

    def against_symmetry(self, policy: Policy) -> list[str]:
        """Return which transforms of a policy make images unlike the set, a line each."""
        used = {t.symmetry: t.name for component in policy.components for t in component.transforms if t.symmetry}
        if not used:
            return []
        unlike = [one for one in symmetries(self.grays) if one.name in used and one.fits is False]
        return [f"{one.text}; the policy adds such images by {used[one.name]}" for one in unlike]


def open_checked(
    path: Path,
    extra: Sequence[ExtraSource] = (),
    *,
    rules: Rules = RULES,
    skip_bad: bool = False,
    originals_only: bool = False,
    workers: int = 1,
    seed: int = 0,
) -> CheckedSource:
    """Open `path`, and after it `extra`, as one set, and look at every file, as `smallgan inspect` does.

    Args:
        path: the first source; the records are of its images.
        extra: other sources, with how much is taken of each.
        rules: what becomes of transparent and gray images.
        skip_bad: leave files out that cannot be used.
        originals_only: of a mixed dataset take only these.
        workers: threads.
        seed: decides which images of an extra source are taken.

    Raises:
        InputError: something is not there or, unless `skip_bad`, files cannot be used; it names them.
        UsageError: an extra source has fewer images than are asked for.
    """
    _refuse_part_of_mixed(path)
    source = open_source(path, rules=rules)
    notes = list(source.notes)
    if originals_only:
        num_mixed, source = len(source), source.originals()
        if len(source) < num_mixed:
            notes.append(f"{source.path} is a mixed dataset: only its {len(source)} originals are used")
    records = check(source, workers=workers, signatures=True)
    source = valid_subset(source, records, skip_bad=skip_bad)
    good = [record for record in records if not record.problem]
    originals = [record for record, image in zip(good, source.images, strict=True) if image.origin == "original"]
    notes += by_duplicates(duplicates(originals), near_duplicate_names(originals))
    notes += by_mirror_twins(mirror_twin_names(originals))
    classes = Counter(record.label for record in originals if record.label is not None)
    notes += by_class(classes, sum(record.label is None for record in originals) if classes else 0)
    notes += by_border(sum(record.border for record in originals), len(originals))
    left_out = [record.problem for record in records if record.problem]
    grays = small_grays(records)
    records = [replace(record, signature=None) for record in records]  # of 100,000 images they take 80 MB
    known = {record.sha256 for record in good}
    for one in extra:
        is_real = one.origin == "original"
        more = open_checked(one.path, rules=rules, skip_bad=skip_bad, originals_only=is_real, workers=workers)
        images = more.source
        if not is_real and images.is_mixed:
            images = images.subset([at for at, image in enumerate(images.images) if image.origin != "original"])
            notes.append(f"{one.path} is a mixed dataset: its {len(more.source) - len(images)} originals are left out")
        hashes = [record.sha256 for record in more.records if not record.problem]
        if is_real and (num_same := sum(each in known for each in hashes)):
            notes.append(f"{one.path}: {num_same} images equal images of a source before it; they count twice")
        known |= set(hashes)
        source = concat(source, one, images, seed)
        left_out += more.left_out
        notes += [f"{one.path}: {note}" for note in more.notes]
    return CheckedSource(source, records, left_out, notes, grays)


def _refuse_part_of_mixed(path: Path) -> None:
    """Raise InputError for a folder inside a mixed dataset: without its table all its images would be originals."""
    inside = next((above for above in path.absolute().parents if holds_plan(above)), None) if path.is_dir() else None
    if inside is not None:
        raise InputError(
            f"{path}: a folder of the mixed dataset {inside}, whose metadata says which images are originals; name "
            f"{inside} instead"
        )
