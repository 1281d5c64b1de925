"""Several sources in one set, each with an amount of its own: more originals, or synthetic images from elsewhere."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augment.errors import UsageError
from augment.sources.dataset_format import Origin
from augment.sources.image_set import ImageSet

_CHOICE = 2  # the stream of a seed that says which images of a further source are taken


@dataclass(frozen=True)
class ExtraSource:
    """A source beside the first one."""

    path: Path
    origin: Origin  # original: they count as real and are augmented too. synthetic: they are taken as they are
    amount: str | None = None  # A number, or a percentage of the images of the first source; None: all


def parse_extra_source(text: str, origin: Origin) -> ExtraSource:
    """Read PATH, PATH=NUMBER or PATH=NUMBER%. Raises UsageError.

    >>> parse_extra_source("made=50%", "synthetic").amount
    '50%'
    """
    path, equals, amount = text.rpartition("=")
    if not equals or ("/" in amount or "\\" in amount):  # the = belongs to the path
        return ExtraSource(Path(text), origin)
    if not path or not re.fullmatch(r"[0-9]{1,9}%?", amount.strip()) or not int(amount.strip().rstrip("%")):
        option = "--synthetic" if origin == "synthetic" else "--also"
        raise UsageError(f"{option} {text!r}: expected PATH, PATH=NUMBER or PATH=NUMBER%, such as more=500 or more=50%")
    return ExtraSource(Path(path), origin, amount.strip())


def concat(first: ImageSet, extra: ExtraSource, images: ImageSet, seed: int) -> ImageSet:
    """Return `first` and after it the part of `images`, all of which are valid, that `extra` asks for.

    Which images are taken depends on `seed` and the number of the source. Raises UsageError when there are too few.
    """
    if extra.amount is not None:
        number = int(extra.amount.rstrip("%"))
        if extra.amount.endswith("%"):
            number = sum(image.part == 0 for image in first.images) * number // 100
        if number > len(images):
            raise UsageError(
                f"{extra.path}={extra.amount}: asked for {number:,} images, but {extra.path} has {len(images):,}; ask "
                "for fewer, or leave the number out to take all"
            )
        if number < 1:
            raise UsageError(f"{extra.path}: {extra.amount} of the first source is less than one image; ask for more")
        stream = np.random.SeedSequence(seed, spawn_key=(_CHOICE, len(first.parts)))
        chosen = np.random.default_rng(stream).permutation(len(images))[:number]
        images = images.subset(sorted(int(index) for index in chosen))
    return first.concat(images, extra.origin)
