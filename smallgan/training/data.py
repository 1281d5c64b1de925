"""The images of a recipe: read, checked, made square, mixed, held once, and told of in data.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augment.build.build import InMemoryDataset
from augment.build.plan import Plan, make_plan
from augment.checks.advice import by_enlargement
from augment.checks.open_checked import CheckedSource, open_checked
from augment.core.limits import MAX_FILE_BYTES, read_within
from augment.core.parallel import default_workers
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode
from augment.policy.transforms import NONE
from augment.sources.dataset_format import holds_plan
from augment.sources.image_set import ImageSet, SourceImage, fingerprint, labels_fingerprint
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.remote import absolute
from smallgan.data.images import LabelledRows, PixelRows, Pixels
from smallgan.data.pixel_store import hold
from smallgan.data.points import NUM_SHOWN, Points, draw_sets, scatter
from smallgan.data.run_source import read_summary, source_path
from smallgan.data.split import HOLD_NONE, split
from smallgan.sampling.latents import GeneratorSource
from smallgan.sampling.loading import load_and_say_notes
from smallgan.tables.data_sources import DATA_SOURCES, Mixture, find_source
from smallgan.tables.options import marked
from smallgan.tables.recipe import Recipe, with_values


@dataclass(frozen=True)
class DrawnPoints:
    """Points in the place of an `InMemoryDataset`: nothing is known of each by itself."""

    pixels: Points
    images: tuple[SourceImage, ...] = ()


@dataclass(frozen=True)
class TrainingData:
    """The set in memory, or memory-mapped, and what is known of it."""

    mixture: InMemoryDataset | DrawnPoints
    preview: Pixels  # Contact sheet of what was mixed, H x W x 3
    originals: PixelRows  # Those of the mixture that are originals, num_real x S x S x 3
    reals: PixelRows  # What scores compare with, R x S x S x 3: the originals held out, or `originals` where none is
    selection: PixelRows | None  # Held out too, and only to select the best checkpoint; None: nothing does
    summary: dict[str, Any]  # data.json
    notes: tuple[str, ...] = ()  # What to know of the set, a line each, as `smallgan inspect` says it
    held_labels: tuple[str | None, ...] = ()  # Names of the classes of the originals held out, in the order of `reals`
    may_mirror: bool = False  # Whether mirrored images look like the set, as `smallgan inspect` finds
    others: Mapping[str, "TrainingData"] = field(default_factory=dict)  # Further sets, by the key of the method

    @property
    def reals_fingerprint(self) -> str:
        """Of the files of `reals`."""
        held = self.summary.get("holdout")
        return str(held["fingerprint"] if held else self.summary["fingerprint"])

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted; [] where the source has none."""
        return sorted({image.label for image in self.mixture.images if image.label is not None})

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image of the mixture as a place in `classes`. Raises UsageError when one has no class."""
        if without := Counter(image.origin for image in self.mixture.images if image.label is None):
            listed = " and ".join(f"{number} {origin}" for origin, number in without.items())
            raise UsageError(
                f"{listed} images have no class, beside {len(self.classes)} classes: put originals in class folders, "
                "make synthetic ones by a generator of named classes, or set method.conditional to false"
            )
        places = {name: place for place, name in enumerate(self.classes)}
        return np.array([places[str(image.label)] for image in self.mixture.images], np.int64)

    def to_probe(self, classes: Sequence[str]) -> tuple[LabelledRows, LabelledRows | None]:
        """Return the originals trained on and those held out, None where none is, as a discriminator takes them.

        Args:
            classes: names of those that the model learns, () for one; a held-out image of no such class is left out.
        """
        own = [image.label for image in self.mixture.images if image.origin == "original"]
        training = _labelled(self.originals, own, classes)
        held_out = _labelled(self.reals, self.held_labels, classes) if self.held_labels else None
        return training, held_out


def _labelled(pixels: PixelRows, labels: Sequence[str | None], classes: Sequence[str]) -> LabelledRows:
    if not classes:
        return LabelledRows(pixels, np.zeros(len(pixels), np.int64))
    places = {name: place for place, name in enumerate(classes)}
    known = [row for row, label in enumerate(labels) if label in places]
    return LabelledRows(pixels.rows(known), np.array([places[str(labels[row])] for row in known], np.int64))


def load_data(recipe: Recipe, device: torch.device, workers: int | None = None) -> TrainingData:
    """Read, check, hold out, fit to squares and mix the images of a recipe; `pixel_store.hold` says where they lie.

    Further sets that keys of its method name are read too, and told of in data.json under these keys.

    `workers` threads read them; None: one a core, at most 8. Points in the plane are drawn. Raises InputError,
    UsageError and OutputError.
    """
    data, others = _load_one(recipe, device, workers), dict[str, TrainingData]()
    for key in marked(type(recipe.method), "is_source"):
        source = getattr(recipe.method, key)
        if source is not None:
            others[key] = _other(recipe, key, source, device, workers)
    told = {key: other.summary | {"fingerprint": _fingerprint_of_all(other)} for key, other in others.items()}
    notes = [f"{key}: {note}" for key, other in others.items() for note in other.notes]
    return replace(data, others=others, summary=data.summary | told, notes=(*data.notes, *notes))


def _other(recipe: Recipe, key: str, source: str, device: torch.device, workers: int | None) -> TrainingData:
    """Return a further set, of which the method's key_holdout is held out, and key_limit limits what is trained on."""
    if find_source(source) is not None:
        raise UsageError(f"method.{key} {source}: a set that is drawn; name images (a folder so called is ./{source})")
    holdout, limit = (getattr(recipe.method, f"{key}_{name}", None) for name in ("holdout", "limit"))
    if f"{key}_test" in type(recipe.method).model_fields and getattr(recipe.method, f"{key}_test") is not None:
        holdout = None  # another set tests
    data = {"source": source, "holdout": holdout, "limit": limit, "selection": False}
    own = {f"data.{name}": value for name, value in data.items()} | {"augment": {}}
    try:
        return _load_one(with_values(recipe, own), device, workers)
    except UsageError as error:
        told = str(error).replace(HOLD_NONE, f", or method.{key}_test, which names other images to test on")
        told = told.replace("data.", f"method.{key}_")  # data.limit is target_limit here
        raise UsageError(f"method.{key} {source}: {told}") from error


def _fingerprint_of_all(data: TrainingData) -> str:
    return fingerprint([str(data.summary["fingerprint"]), data.reals_fingerprint])


def _load_one(recipe: Recipe, device: torch.device, workers: int | None) -> TrainingData:
    made = recipe.made_source
    if made is not None and made.mixture is not None:
        return _drawn(made.name, made.mixture, recipe.data.limit)
    path = source_path(recipe.data.source)
    workers = workers or default_workers()
    entered = open_checked(path, skip_bad=recipe.data.skip_bad, workers=workers)
    hashes = {record.name: str(record.sha256) for record in entered.records}
    source, held, selecting = _divided(recipe, entered.source, hashes)
    settings = recipe.augment
    generator = GeneratorSource(load_and_say_notes(Path(settings.generator), device)) if settings.generator else None
    plan = make_plan(
        source,
        settings.policy,
        ratio=settings.ratio,
        count=settings.count,
        size=recipe.data.size,
        resize_mode=recipe.data.resize_mode,
        format="png",
        seed=recipe.seed,
        generator=generator,
    )
    original_rows = [at for at, entry in enumerate(plan.entries) if entry.origin == "original"]
    if not original_rows:
        raise InputError(f"{path}: no original image in it; scores need originals, name a set that has them")
    others = {name: images for name, images in (("holdout", held), ("selection", selecting)) if len(images)}
    parts = [(plan, source), *((_plain(images, recipe), images) for images in others.values())]
    mixture, *found = hold(parts, generator=generator, workers=workers)
    held_out = dict(zip(others, found, strict=True))
    policy, preview = _what_was_mixed(path, settings.policy, mixture)
    names = [image.name for image in source.images if image.origin == "original"]
    added = [image.name for image in source.images if image.origin != "original"]
    summary = {
        "source": recipe.data.source,
        "source_path": absolute(path) if recipe.data.source else None,
        "size": recipe.data.size,
        "resize_mode": recipe.data.resize_mode,
        "num_real": len(original_rows),
        "num_images": len(mixture.images),
        "origins": dict(Counter(image.origin for image in mixture.images)),
        "policy": policy,
        **({"custom_transforms": custom} if (custom := plan.policy.custom_transforms) else {}),
        "fingerprint": fingerprint([hashes[name] for name in names]),
        **({"added_fingerprint": fingerprint([hashes[name] for name in added])} if added else {}),
        **({"labels_fingerprint": labels} if (labels := labels_fingerprint(source.images)) else {}),
        "skipped": sorted(set(hashes) - {image.name for image in entered.source.images}),
        "names": names,
    }
    for name, images in others.items():
        own_names = [image.name for image in images.images]
        own = fingerprint([hashes[own_name] for own_name in own_names])
        summary[name] = {"num": len(images), "names": own_names, "fingerprint": own}
    originals = PixelRows(mixture.pixels, original_rows)
    reals = PixelRows(held_out["holdout"].pixels) if "holdout" in held_out else originals
    selection = PixelRows(held_out["selection"].pixels) if "selection" in held_out else None
    notes = (*_notes(recipe, entered, plan), *_known_to(generator, path, held, selecting))
    held_labels = tuple(image.label for image in held.images)
    may_mirror = entered.fits_symmetry("hflip")
    return TrainingData(mixture, preview, originals, reals, selection, summary, notes, held_labels, may_mirror)


def _notes(recipe: Recipe, entered: CheckedSource, plan: Plan) -> list[str]:
    """Return what a user should know of the images, and of what the plan makes of them."""
    shorter = [min(each.width, each.height) for each in entered.records if each.width and each.height]
    may_change = not (recipe.method_row.is_transfer or recipe.train.init)
    enlarged = by_enlargement(shorter, recipe.data.size, may_change=may_change)
    return [*entered.notes, *enlarged, *entered.against_symmetry(plan.policy)]


def _known_to(generator: GeneratorSource | None, path: Path, *held: ImageSet) -> list[str]:
    """Return a note where the run behind the transform gan was trained on images of `path` that are held out here."""
    run = generator.model.run if generator else None
    summary = (read_summary(run) if run else None) or {}
    if run is None or summary.get("source_path") != absolute(path):
        return []
    known = {image.name for images in held for image in images.images} & set(summary.get("names", ()))
    if not known:
        return []
    return [
        f"{len(known)} of the held-out images trained {run.path}, which makes the gan images, so scores against them "
        "flatter this run; give that run the same data.holdout"
    ]


def _drawn(name: str, mixture: Mixture, limit: int | None) -> TrainingData:
    """Return points to train on, and others that scores compare with."""
    if limit is not None and limit > mixture.num_points:
        raise UsageError(f"data.limit {limit}: {name} has {mixture.num_points:,} points; expected at most that many")
    (points, mark), (held, held_mark) = draw_sets(mixture, limit or mixture.num_points)
    number = len(points)
    summary: dict[str, Any] = {
        "source": name,
        "source_path": None,
        "size": 1,
        "resize_mode": "crop",
        "num_real": number,
        "num_images": number,
        "origins": {"original": number},
        "policy": NONE,
        "fingerprint": mark,
        "skipped": [],
        "names": [],
        "holdout": {"num": len(held), "names": [], "fingerprint": held_mark},
    }
    return TrainingData(DrawnPoints(points[:]), scatter(points[:NUM_SHOWN]), points, held, None, summary)


def _divided(recipe: Recipe, source: ImageSet, hashes: Mapping[str, str]) -> tuple[ImageSet, ImageSet, ImageSet]:
    holdout, limit = recipe.data.holdout, recipe.data.limit
    if source.is_mixed:
        if holdout or limit:
            key, value = ("holdout", holdout) if holdout else ("limit", limit)
            raise UsageError(
                f"data.{key} {value}: {source.path} is a mixed dataset, whose added images are made from any of its "
                "originals; name the originals instead, and mix with augment.policy"
            )
        return source, source.subset([]), source.subset([])
    selection = recipe.data.selection is not False
    parts = split([hashes[image.name] for image in source.images], holdout, limit, selection=selection)
    return source.subset(parts.train), source.subset(parts.held), source.subset(parts.selection)


def _plain(images: ImageSet, recipe: Recipe) -> Plan:
    return make_plan(images, NONE, size=recipe.data.size, resize_mode=recipe.data.resize_mode, format="png")


def _what_was_mixed(path: Path, policy: str, mixture: InMemoryDataset) -> tuple[str, Pixels]:
    """Return policy and contact sheet: those of a mixed dataset on disk where nothing is added to it in memory."""
    if not holds_plan(path):
        return policy, mixture.preview()
    dataset = MixedDataset.open(path)
    if policy != NONE:
        return f"{dataset.policy}, then {policy}", mixture.preview()
    try:
        return dataset.policy, decode(read_within(dataset.preview, MAX_FILE_BYTES), dataset.preview.name)
    except OSError:
        return dataset.policy, mixture.preview()


def describe_data(summary: Mapping[str, Any]) -> str:
    """Return what the set is, in a phrase."""
    parts = ", ".join(f"{count} {origin}" for origin, count in summary["origins"].items())
    left_out = f", {len(summary['skipped'])} unreadable left out" if summary["skipped"] else ""
    origin = summary["source"] or "the sample set"
    if summary["size"] == 1:
        what = DATA_SOURCES[origin].title
        return f"{summary['num_real']:,} points of {origin} ({what}), {summary['holdout']['num']:,} others for scores"
    held = f", {summary['holdout']['num']} originals held out" if "holdout" in summary else ""
    if "selection" in summary:
        held += f" for scores, {summary['selection']['num']} to select the best checkpoint"
    return f"{summary['num_images']} images of {summary['size']} px ({parts}{left_out}{held}) from {origin}"
