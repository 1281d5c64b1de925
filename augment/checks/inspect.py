"""Look at every image before anything is made of it: each file is read and decoded once, and problems are named."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from augment.checks.advice import advise
from augment.core.parallel import Progress, parallel_map
from augment.errors import InputError
from augment.imaging.geometry import has_border
from augment.imaging.perceptual_hash import ImageSignature, image_signature, mirror_twins, near_duplicates
from augment.imaging.symmetry import MAX_IMAGES, symmetries
from augment.sources.image_set import ImageSet

_MAX_LISTED = 10
_SHAPES = {"crop": "its middle square", "pad": "padded to a square", "stretch": "stretched to a square"}
_FILE_KEYS = ("name", "label", "width", "height", "format", "mode", "orientation", "sha256", "border")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What was found in one file. Width, height and hash are None where it cannot be used."""

    name: str
    label: str | None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    format: str | None = None
    mode: str | None = None
    problem: str | None = None  # Why it cannot be used, naming the file
    notes: tuple[str, ...] = ()  # What is done with it that the user may not expect
    orientation: int = 1  # EXIF's number of how it is stored, 1 to 8; 1 is upright
    plain: bool = False  # Whether the file itself can be taken over
    border: bool = False  # Whether an edge is black or white all along, and what is inside is not
    signature: ImageSignature | None = field(default=None, repr=False)  # What it looks like, where that was asked for


def check(
    source: ImageSet, *, workers: int = 1, signatures: bool = False, progress: Progress | None = None
) -> list[ImageRecord]:
    """Return a record for each image of `source`, in its order. Nothing is raised for a bad file.

    `signatures` adds what near duplicates and symmetry are found by: about 0.1 ms an image.
    """
    every = max(1, -(-len(source) // MAX_IMAGES))  # spread over the set, which may be sorted by class

    def inspected(index: int) -> ImageRecord:
        image = source.images[index]
        try:
            loaded = source.load(index)
        except InputError as error:
            return ImageRecord(image.name, image.label, problem=str(error))
        decoded = loaded.image
        height, width = decoded.pixels.shape[:2]
        return ImageRecord(
            *(image.name, image.label, width, height, loaded.sha256, decoded.format, decoded.mode),
            notes=decoded.notes,
            orientation=decoded.orientation,
            plain=decoded.plain,
            border=has_border(decoded.pixels),
            signature=image_signature(decoded.pixels, keep_gray=index % every == 0) if signatures else None,
        )

    return parallel_map(inspected, range(len(source)), workers, progress)


def valid_subset(source: ImageSet, records: Sequence[ImageRecord], *, skip_bad: bool) -> ImageSet:
    """Return the images of `source` that can be used.

    `records` are those of `check(source)`.
    Raises InputError naming the bad files, unless `skip_bad`; and when none is left.
    """
    bad = [record.problem for record in records if record.problem]
    if not bad:
        return source
    if skip_bad and len(bad) < len(records):
        return source.subset([index for index, record in enumerate(records) if not record.problem])
    more = [f"and {len(bad) - _MAX_LISTED} more"] if len(bad) > _MAX_LISTED else []
    advice = "none is left" if skip_bad else "fix them, or leave them out with --skip-bad"
    listed = "\n".join(f"  {line}" for line in [*bad[:_MAX_LISTED], *more])
    raise InputError(f"{source.path}: {len(bad)} of {len(records)} images cannot be used; {advice}:\n{listed}")


def duplicates(records: Sequence[ImageRecord]) -> list[list[str]]:
    """Return groups of names whose files are equal byte for byte, in the order of `records`."""
    groups: dict[str, list[str]] = {}
    for record in records:
        if record.sha256:
            groups.setdefault(record.sha256, []).append(record.name)
    return [names for names in groups.values() if len(names) > 1]


def look_alikes(records: Sequence[ImageRecord]) -> list[list[int]]:
    """Return groups of places whose images look the same; of files that are equal only the first is compared.

    Needs records with signatures.
    """
    return _groups(records, near_duplicates)


def mirror_twin_names(records: Sequence[ImageRecord]) -> list[list[str]]:
    """Return pairs of names: an image and, nearly, its mirror image. Needs records with signatures."""
    return _named(records, _groups(records, mirror_twins))


def _groups(
    records: Sequence[ImageRecord], find: Callable[[Sequence[ImageSignature]], list[list[int]]]
) -> list[list[int]]:
    shown: dict[str | None, tuple[int, ImageSignature]] = {}
    for at, record in enumerate(records):
        if record.signature:
            shown.setdefault(record.sha256, (at, record.signature))
    places, signatures = [at for at, _ in shown.values()], [signature for _, signature in shown.values()]
    return [[places[at] for at in group] for group in find(signatures)]


def near_duplicate_names(records: Sequence[ImageRecord]) -> list[list[str]]:
    """Return the groups of `look_alikes` by name."""
    return _named(records, look_alikes(records))


def _named(records: Sequence[ImageRecord], groups: Sequence[Sequence[int]]) -> list[list[str]]:
    return [[records[at].name for at in group] for group in groups]


def small_grays(records: Sequence[ImageRecord]) -> list[bytes]:
    """Return the small gray images that symmetry is found by. Needs records with signatures."""
    return [record.signature.gray for record in records if record.signature and record.signature.gray]


def what_is_done(record: ImageRecord, size: int | None = None, resize_mode: str = "crop") -> str:
    """Return in words what `smallgan augment` will do to a file, with --size and --resize-mode."""
    if record.problem:
        return "refused"
    width, height = record.width or 0, record.height or 0
    done = ["turned upright"] if record.orientation != 1 else []
    done += [note for note in record.notes if not note.startswith("a ")]
    if size is not None and (width, height) != (size, size):
        shape = _SHAPES[resize_mode]
        done.append(f"{shape if width != height else 'resized'}, {width}x{height} to {size}x{size}")
    if not done and record.plain:
        return "copied as it is"
    return "; ".join(done) or "written again in the channels and under the ending of the set"


def summarise(
    source: ImageSet, records: Sequence[ImageRecord], *, size: int | None = None, resize_mode: str = "crop"
) -> dict[str, Any]:
    """Return what the records say together, ready for JSON: counts, sizes, classes, problems, duplicates, advice.

    `size` and `resize_mode` are those that the images will be given; near duplicates and symmetry need records with
    signatures.
    """
    good = [record for record in records if not record.problem]
    sizes = Counter((record.width, record.height) for record in good)
    classes = Counter(record.label for record in good if record.label is not None)
    actions = [what_is_done(record, size, resize_mode) for record in records]
    summary = {
        "source": str(source.path),
        "num_images": len(records),
        "num_usable": len(good),
        "sizes": {f"{width}x{height}": count for (width, height), count in sizes.most_common()},
        "formats": dict(Counter(f"{record.format} {record.mode}" for record in good).most_common()),
        "turned": [record.name for record in good if record.orientation != 1],
        "classes": dict(sorted(classes.items())),
        "num_without_class": sum(record.label is None for record in good) if classes else 0,
        "set_notes": list(source.notes),
        "problems": [record.problem for record in records if record.problem],
        "notes": {record.name: list(record.notes) for record in good if record.notes},
        "duplicates": duplicates(records),
        "near_duplicates": near_duplicate_names(records),
        "mirror_twins": mirror_twin_names(records),
        "symmetry": [asdict(symmetry) for symmetry in symmetries(small_grays(records))] if good else [],
        "ignored": list(source.ignored),
        "actions": dict(Counter(actions).most_common()),
        "files": [
            {key: getattr(record, key) for key in _FILE_KEYS} | {"action": action, "problem": record.problem}
            for record, action in zip(records, actions, strict=True)
        ],
    }
    return summary | {"advice": advise(summary)}
