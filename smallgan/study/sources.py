"""What a study knows of its images: looked at by one task, kept in sources.json, and read from there by the others.

Torch-free. What was found counts only while the files are the very same; to know that they are read and hashed, which
takes a tenth of the time of decoding and checking them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from augment.checks.open_checked import open_checked
from augment.core.files import write_json
from augment.core.limits import read_json
from augment.core.parallel import default_workers
from augment.errors import InputError
from augment.sources.image_set import content_hash, fingerprint
from augment.sources.readers import open_source
from smallgan.core.study_dir import StudyDir
from smallgan.core.version import __version__
from smallgan.data.run_source import source_path
from smallgan.data.split import split
from smallgan.tables.data_sources import find_source
from smallgan.tables.recipe import Recipe, variants_of
from smallgan.tables.sweep import flat

_MAX_BYTES = 256 << 20  # Of sources.json: some three million images


class SourceKey(NamedTuple):
    """What decides which images a recipe has."""

    source: str | None  # None: the sample set
    skip_bad: bool

    @property
    def path(self) -> Path:
        """Where the images are."""
        return source_path(self.source)


@dataclass(frozen=True)
class SourceFacts:
    """What the checks of a source found."""

    content: str  # Of all its files, `augment.sources.image_set.content_hash`: while it is the same, so is the rest
    hashes: tuple[str, ...]  # SHA-256 of each image that can be used, in the order of the set
    num_originals: int
    notes: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the images that can be used."""
        return fingerprint(self.hashes)

    def divided(self, holdout: float, limit: int | None, *, selection: bool) -> tuple[int, int, int]:
        """Return how many images are trained on, are compared with, and select. Raises UsageError, as `split` does."""
        return _divided(self.hashes, holdout, limit, selection)


class Sources:
    """The sources of a study. Facts that are not known are found out, once, when they are asked for."""

    def __init__(self, study: StudyDir | None = None) -> None:
        """Take over what `study` has written down, if it exists; nothing else of it is read."""
        self._recorded = _read(study) if study else {}
        self._known: dict[SourceKey, SourceFacts] = {}

    def has(self, keys: Iterable[SourceKey]) -> bool:
        """Tell whether all these sources have been looked at, by this task or another."""
        return set(keys) <= self._recorded.keys() | self._known.keys()

    def facts(self, key: SourceKey) -> SourceFacts:
        """Return what is known of a source. Raises InputError for images that cannot be used."""
        if key not in self._known:
            recorded = self._recorded.get(key)
            is_same = recorded is not None and recorded.content == _content(key)
            self._known[key] = recorded if recorded is not None and is_same else _look_at(key)
        return self._known[key]

    def write(self, study: StudyDir) -> None:
        """Write down what is known, beside what another task did meanwhile. Raises OutputError."""
        there = _read(study)
        known = {**there, **self._recorded, **self._known}
        if known != there:
            rows = [{**key._asdict(), **asdict(facts)} for key, facts in known.items()]
            write_json(study.sources, {"smallgan": __version__, "sources": rows})


def source_keys(recipe: Recipe) -> set[SourceKey]:
    """Return the sources of all variants of a recipe."""
    data, keys = recipe.data, set()
    for variant in variants_of(recipe):
        own = flat(variant.overrides)
        source, skip_bad = own.get("data.source", data.source), own.get("data.skip_bad", data.skip_bad)
        if not ((made := find_source(source)) and made.is_points):  # of which nothing need be found out
            keys.add(SourceKey(source, skip_bad))
    return keys


def _look_at(key: SourceKey) -> SourceFacts:
    checked = open_checked(key.path, skip_bad=key.skip_bad, workers=default_workers())
    hash_of = {record.name: record.sha256 for record in checked.records if record.sha256}
    images = checked.source.images
    return SourceFacts(
        _content(key, hash_of),
        tuple(hash_of[image.name] for image in images),
        sum(image.origin == "original" for image in images),
        tuple(checked.notes),
    )


def _content(key: SourceKey, known: dict[str, str] | None = None) -> str:
    return content_hash(open_source(key.path), known or {}, workers=default_workers())


def _read(study: StudyDir) -> dict[SourceKey, SourceFacts]:
    """Return what sources.json says, {} where it is absent, damaged or of another version: other checks found that."""
    try:
        record = read_json(study.sources, _MAX_BYTES)
        rows: list[dict[str, Any]] = record["sources"] if record["smallgan"] == __version__ else []
        return {
            SourceKey(row["source"], row["skip_bad"]): SourceFacts(
                str(row["content"]), tuple(map(str, row["hashes"])), int(row["num_originals"]), tuple(row["notes"])
            )
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return {}


@lru_cache(maxsize=1024)
def _divided(hashes: tuple[str, ...], holdout: float, limit: int | None, selection: bool) -> tuple[int, int, int]:
    parts = split(hashes, holdout, limit, selection=selection)
    return len(parts.train), len(parts.held), len(parts.selection)
