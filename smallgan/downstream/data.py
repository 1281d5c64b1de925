"""The images of a downstream study: read and checked once, divided once, and mixed anew for each variant and seed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.build.build import mix
from augment.build.plan import make_plan, num_added
from augment.checks.inspect import ImageRecord, check, look_alikes, valid_subset
from augment.core.files import sha256_bytes
from augment.core.parallel import default_workers
from augment.core.suggest import instead
from augment.errors import UsageError
from augment.policy.transforms import NONE
from augment.sources.image_set import ImageSet, ImageSource, fingerprint
from augment.sources.readers import open_source
from smallgan.data.class_split import ClassSplit, class_split, per_class_subset, together
from smallgan.data.images import Pixels
from smallgan.data.run_source import source_path
from smallgan.downstream.arms import Arm
from smallgan.tables.recipe import Recipe


@dataclass(frozen=True)
class LabelledSet:
    """Real images with classes, all of them readable, and which of them test."""

    source: ImageSet
    records: list[ImageRecord]  # Of its images, with hashes and signatures
    alike: list[list[int]]  # Groups of places of images that look the same
    split: ClassSplit
    notes: tuple[str, ...] = ()

    @cached_property
    def hashes(self) -> list[str]:
        """SHA-256 of each file."""
        return [str(record.sha256) for record in self.records]

    @cached_property
    def labels(self) -> list[str]:
        """Class of each image."""
        return [str(image.label) for image in self.source.images]

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(set(self.labels))

    def codes(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return classes as places in `classes`."""
        places = {name: place for place, name in enumerate(self.classes)}
        return np.array([places[label] for label in labels], np.int64)

    @property
    def test_codes(self) -> NDArray[np.int64]:
        """Classes of the test images."""
        return self.codes([self.labels[at] for at in self.split.test])

    def subset(self, number: int | None, seed: int) -> list[int]:
        """Return the places of the real training images: so many in each class, drawn by `seed`; None: all."""
        if number is None:
            return self.split.train
        return per_class_subset(self.hashes, self.labels, self.split.train, number, seed)

    def divided(self, number: int | None, seed: int, share: float) -> tuple[list[int], list[int]]:
        """Return `subset` in two: what is trained on, and a share of each class that chooses the step; 0: no image.

        Raises UsageError naming the classes that have too few images.
        """
        places = self.subset(number, seed)
        if not share:
            return places, []
        at_place = {place: at for at, place in enumerate(places)}
        alike = [[at_place[place] for place in group if place in at_place] for group in self.alike]
        hashes, labels = [self.hashes[place] for place in places], [self.labels[place] for place in places]
        parts = class_split(hashes, labels, share, [group for group in alike if group], part="validation")
        return [places[at] for at in parts.train], [places[at] for at in parts.test]

    @cached_property
    def record(self) -> dict[str, Any]:
        """split.json: what tests and what may train, by name and hash."""
        names = [image.name for image in self.source.images]
        parts = {"train": self.split.train, "test": self.split.test}
        return {
            "fingerprint": fingerprint(self.hashes),
            "classes": self.classes,
            "num_alike": self.split.num_alike,
            **{f"num_{part}": dict(Counter(self.labels[at] for at in places)) for part, places in parts.items()},
            **{part: {names[at]: self.hashes[at] for at in places} for part, places in parts.items()},
        }

    @cached_property
    def digest(self) -> str:
        """Hash of what tests and what may train, by name and hash."""
        return sha256_bytes(json.dumps({part: self.record[part] for part in ("train", "test")}).encode())


@dataclass(frozen=True)
class TrainingImages:
    """What one classifier is trained on."""

    pixels: Pixels  # N x S x S x 3
    labels: NDArray[np.int64]
    origins: dict[str, int]  # Number of images by origin


@dataclass(frozen=True)
class Audit:
    """What was found in a folder of images from elsewhere."""

    folder: str
    num_images: int
    like_test: dict[str, str] = field(default_factory=dict)
    """Those left out: equal to a test image, or looking like one -> the test image."""
    like_train: int = 0
    """Number of those that equal or look like a training image; they stay, and are told."""


@dataclass(frozen=True)
class Synthetic:
    """Images from elsewhere that passed the audit."""

    source: ImageSet
    hashes: list[str]
    audit: Audit


def read_labelled(recipe: Recipe) -> LabelledSet:
    """Read, check and divide the images of a recipe.

    Raises InputError for files that cannot be used, and UsageError where there are no classes or too few images.
    """
    assert recipe.downstream is not None
    path = source_path(recipe.data.source)
    whole = open_source(path)
    source = whole.originals()
    notes = list(whole.notes)
    if len(source) < len(whole):
        notes.append(f"{path} is a mixed dataset: only its {len(source)} originals are used")
    source = _of_classes(source, recipe.downstream.classes)
    source, records = _checked(source, skip_bad=recipe.data.skip_bad)
    without = sum(image.label is None for image in source.images)
    names = {image.label for image in source.images} - {None}
    if without or len(names) < 2:
        raise UsageError(
            f"{path}: found {len(names)} classes and {without} images outside of them; expected a sub-folder for each "
            "class, two at least, with its images in it"
        )
    alike = look_alikes(records)
    labels = [str(image.label) for image in source.images]
    divided = class_split([str(record.sha256) for record in records], labels, recipe.downstream.test, alike)
    return LabelledSet(source, records, alike, divided, tuple(notes))


def plain_pixels(images: LabelledSet, places: Sequence[int], recipe: Recipe) -> Pixels:
    """Return images, N x S x S x 3, as they are but for their size: for tests, and to choose a step."""
    return _plain(images.source.subset(places), recipe)


def side(recipe: Recipe) -> int:
    """Return the side in pixels at which images are classified."""
    assert recipe.downstream is not None
    return recipe.downstream.size or recipe.data.size


def training_images(
    images: LabelledSet,
    arm: Arm,
    places: Sequence[int],
    seed: int,
    *,
    generator: ImageSource | None = None,
    synthetic: Synthetic | None = None,
) -> TrainingImages:
    """Return what a classifier of a variant is trained on under one seed.

    Args:
        images: the real images.
        arm: the variant.
        places: of the real training images, none of the test part.
        seed: of what the policy draws.
        generator: makes the images of the transform gan.
        synthetic: audited images from elsewhere.

    Raises UsageError for an impossible policy or amount.
    """
    recipe = arm.recipe
    assert not set(places) & set(images.split.test)
    source = images.source.subset(places)
    amount: dict[str, Any] = {"ratio": recipe.augment.ratio, "count": recipe.augment.count}
    look: dict[str, Any] = {"size": side(recipe), "resize_mode": recipe.data.resize_mode}
    plan = make_plan(source, arm.policy, **amount, **look, seed=seed, generator=generator)
    pixels = mix(plan, source, generator=generator, workers=default_workers()).pixels
    origins = [entry.origin for entry in plan.entries]
    labels = [str(entry.label) for entry in plan.entries]
    if synthetic is not None:
        wanted = num_added(len(places), recipe.augment.ratio, recipe.augment.count)
        chosen = _chosen(synthetic, [images.labels[at] for at in places], wanted, seed)
        if chosen:
            pixels = np.concatenate([pixels, _plain(synthetic.source.subset(chosen), recipe)])
            origins += ["synthetic"] * len(chosen)
            labels += [str(synthetic.source.images[at].label) for at in chosen]
    kept = [at for at, origin in enumerate(origins) if arm.section.originals or origin != "original"]
    if not kept:
        raise UsageError(
            f"variant {arm.name}: no image to train on beside the originals; add some by augment.ratio or augment.count"
        )
    codes = images.codes([labels[at] for at in kept])
    return TrainingImages(pixels[kept], codes, dict(Counter(str(origins[at]) for at in kept)))


def audited(images: LabelledSet, folder: str, *, skip_bad: bool) -> Synthetic:
    """Read images from elsewhere and leave out those that equal or look like a test image.

    Raises InputError for files that cannot be used, and UsageError for classes that the real images do not have.
    """
    source, records = _checked(open_source(Path(folder)), skip_bad=skip_bad)
    unknown = sorted({str(image.label) for image in source.images} - set(images.classes))
    if unknown:
        raise UsageError(
            f"{folder}: its classes {', '.join(unknown[:5])} are not among those of the real images "
            f"({', '.join(images.classes[:12])}); give its sub-folders the same names"
        )
    number, test = len(images.records), set(images.split.test)
    like_test: dict[int, int] = {}
    like_train: set[int] = set()
    every = [*images.records, *records]
    for group in together([str(record.sha256) for record in every], look_alikes(every)):
        real, made = [at for at in group if at < number], [at - number for at in group if at >= number]
        tested = [at for at in real if at in test]
        like_test |= dict.fromkeys(made, tested[0]) if tested else {}
        like_train |= set(made) if real and not tested else set()
    kept = [at for at in range(len(source)) if at not in like_test]
    if not kept:
        raise UsageError(
            f"{folder}: all {len(source)} images equal or look like a test image, as {source.images[0].name} does; "
            "images that were made without the test part are needed"
        )
    found = {source.images[made].name: images.source.images[real].name for made, real in sorted(like_test.items())}
    audit = Audit(folder, len(source), found, len(like_train))
    return Synthetic(source.subset(kept), [str(records[at].sha256) for at in kept], audit)


def _of_classes(source: ImageSet, classes: Sequence[str] | None) -> ImageSet:
    """Return the images of some classes. Raises UsageError naming those that are not there."""
    if classes is None:
        return source
    known = sorted({str(image.label) for image in source.images if image.label is not None})
    for name in classes:
        if name not in known:
            raise UsageError(f"downstream.classes: {source.path} has no class {name!r}{instead(name, known)}")
    return source.subset([at for at, image in enumerate(source.images) if image.label in classes])


def _checked(source: ImageSet, *, skip_bad: bool) -> tuple[ImageSet, list[ImageRecord]]:
    records = check(source, workers=default_workers(), signatures=True)
    return valid_subset(source, records, skip_bad=skip_bad), [record for record in records if not record.problem]


def _chosen(synthetic: Synthetic, real_labels: Sequence[str], wanted: int, seed: int) -> list[int]:
    """Return places of at most `wanted` images, each class in the share that it has of the real ones."""
    share = Counter(real_labels)
    left = {label: wanted * number // len(real_labels) for label, number in share.items()}
    for label in sorted(share)[: wanted - sum(left.values())]:
        left[label] += 1
    order = range(len(synthetic.source))
    chosen = []
    for at in sorted(order, key=lambda at: (sha256_bytes(f"synthetic {seed} {synthetic.hashes[at]}".encode()), at)):
        label = str(synthetic.source.images[at].label)
        if left.get(label, 0):
            left[label] -= 1
            chosen.append(at)
    return sorted(chosen)


def _plain(source: ImageSet, recipe: Recipe) -> Pixels:
    plan = make_plan(source, NONE, size=side(recipe), resize_mode=recipe.data.resize_mode)
    pixels: Pixels = mix(plan, source, workers=default_workers()).pixels
    return pixels
