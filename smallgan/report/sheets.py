"""The pictures that were made of a run after training: samples, interpolations, reconstructions, nearest images.

Each kind is a row of `KINDS`; a page shows the newest of each and links the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from augment.errors import InputError
from augment.sources.dataset_format import read_samples_record
from smallgan.core.run_dir import RunDir
from smallgan.report.pictures import Picture

MAX_SHOWN = 2  # Sheets of one kind and run on a page; the others are linked
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Kind:
    """What a sheet can show."""

    name: str  # As `smallgan sample` begins its record's kind, where it makes the sheet
    title: str
    text: str  # What to see in it
    is_wide: bool = True  # Whether it gets a wide column


KINDS = (
    Kind("training", "Training as an animation", "The same latents from the first step to the last."),
    Kind(
        "around-codes",
        "Samples around latent codes",
        "Each is made near the latent code of a training image: new variations of the images that you have.",
    ),
    Kind("images", "Samples made after training", "New images, as smallgan sample made them."),
    Kind("latents", "Images of given latents", "Made from latents in a file (--latents)."),
    Kind(
        "interpolation",
        "Latent interpolations",
        "Each row goes from one latent to another. Smooth transitions speak against memorisation.",
    ),
    Kind(
        "reconstructions",
        "Reconstructions",
        "Training images, each above the image that its latent code generates. They show how well the generator can "
        "make the images it was trained on, and nothing about new ones.",
    ),
    Kind("worst", "Nearest training images", "The samples closest to a training image: copies show here first."),
)


@dataclass(frozen=True)
class Sheet:
    """One picture of a run, with or without an animation beside it."""

    kind: str  # Name of its row in KINDS
    step: int
    file: str  # In the run folder, with '/'; "" where there is an animation alone
    caption: str
    movie_file: str = ""  # An animation that belongs to it, in the run folder
    picture: Picture | None = None
    movie: Picture | None = None


def find_sheets(folder: RunDir) -> tuple[Sheet, ...]:
    """Return the sheets in a run folder without their pictures, in the order of KINDS, of each kind the newest first.

    Raises InputError for a samples.json of absurd size, and OSError.
    """
    sampled = list(_sampled(folder))
    again = max((sheet.step for sheet in sampled if sheet.kind == "reconstructions"), default=-1)
    drawn = [sheet for sheet in _of_training(folder) if sheet.step > again]  # These are a few of the same
    found = [*_training(folder), *sampled, *drawn, *_nearest(folder)]
    order = [kind.name for kind in KINDS]
    return tuple(sorted(found, key=lambda sheet: (order.index(sheet.kind), -sheet.step, sheet.file)))


def read_movie(path: Path, max_bytes: int) -> Picture | None:
    """Return an animated GIF ready to inline, None for one that is too large or no GIF: then a link must do.

    Raises InputError for a file that cannot be read.
    """
    try:
        if path.suffix != ".gif" or path.stat().st_size > max_bytes:
            return None
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be shown ({error.strerror or error})") from error
    if content[:6] not in (b"GIF87a", b"GIF89a") or len(content) < 10:
        raise InputError(f"{path}: cannot be shown, not a valid GIF")
    width, height = (int.from_bytes(content[at : at + 2], "little") for at in (6, 8))
    return Picture(content, "image/gif", width, height)


def _training(folder: RunDir) -> Iterator[Sheet]:
    """Yield the animation of the training, where one was made."""
    for place in (folder.path, folder.samples):
        for movie in sorted(place.glob("training.*")):
            if movie.suffix in (".gif", ".mp4", ".webm"):
                yield Sheet("training", 0, "", "From the first step to the last", _inside(folder, movie))


def _sampled(folder: RunDir) -> Iterator[Sheet]:
    """Yield what `smallgan sample` made: folders below samples/, which a record describes."""
    for picture in sorted([*folder.samples.glob("**/grid.*"), *folder.samples.glob("**/strip.*")]):
        record = read_samples_record(picture.parent) or {}
        what = str(record.get("kind") or ("interpolation" if picture.stem == "strip" else "images"))
        kind = next((kind.name for kind in KINDS if what.startswith(kind.name)), "images")
        step = record.get("step")
        if not isinstance(step, int):
            named = _STEP.match(picture.parent.name)
            step = int(named[1]) if named else 0
        notes = [f"Step {step:,}"] if step else []
        if kind == "around-codes" and record.get("around_codes") is not None:
            notes.append(f"within {record['around_codes']} standard deviations of the codes")
        if codes := re.fullmatch(r"interpolation-codes-([\d-]+)", what):
            notes.append(f"between training images {', '.join(codes[1].split('-'))}")
        notes += [f"{key} {record[key]}" for key in ("truncation", "label") if record.get(key) is not None]
        movie = picture.with_name("loop.gif")
        movie_file = _inside(folder, movie) if movie.is_file() else ""
        yield Sheet(kind, step, _inside(folder, picture), ", ".join(notes), movie_file)


def _of_training(folder: RunDir) -> Iterator[Sheet]:
    """Yield the reconstructions that a transfer draws while it trains: of the newest step."""
    for step in folder.reconstruction_steps()[-1:]:
        yield Sheet("reconstructions", step, folder.reconstructions(step).name, f"Step {step:,}, drawn while training")


def _nearest(folder: RunDir) -> Iterator[Sheet]:
    for picture in sorted(folder.samples.glob("**/worst*.png"))[-1:]:
        yield Sheet("worst", 0, _inside(folder, picture), "")


def _inside(folder: RunDir, file: Path) -> str:
    return file.relative_to(folder.path).as_posix()
