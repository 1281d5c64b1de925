"""What a user deserves to hear of a plan: what becomes content, what swamps the originals, what is nearly a copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import cv2

from augment.build.plan import Plan
from augment.imaging.codec import Pixels
from augment.policy.albumentations_adapter import CLASS
from augment.sources.mixed_dataset import MixedDataset

NEAR_COPY_LEVELS = 1.0
"""Mean difference of an added image from its parent, in levels of 255, below which nobody would tell them apart."""
MAX_ADDED_SHARE = 0.75
MAX_SYNTHETIC_SHARE = 0.5
MAX_USES = 10

_BLACK_EDGES = "with edges of one colour (border_mode: 4 mirrors the image there instead)"
_CONTENT = {
    "mirrored left to right": ("hflip", "HorizontalFlip", "TimeReverse"),
    "upside down": ("vflip", "VerticalFlip"),
    "negative": ("negative", "InvertImg", "Solarize"),
    "turned": ("RandomRotate90", "D4", "SquareSymmetry", "Transpose"),
    _BLACK_EDGES: (),
    "with parts missing": ("CoarseDropout", "Erasing", "GridDropout", "XYMasking", "PixelDropout"),
}
_FITTING = ("CenterCrop", "Pad", "PadIfNeeded", "RandomCrop")  # they pad only where an image is too small, or on demand
_HARMLESS_IF_SYMMETRIC = "mirrored left to right"


def mean_difference(pixels: Pixels, other: Pixels) -> float:
    """Return the mean absolute difference of two images of one shape, in levels of 255."""
    return float(cv2.norm(pixels, other, cv2.NORM_L1)) / pixels.size


def advice(plan: Plan) -> list[str]:
    """Return what to know about a plan before it is carried out: a line each, with what to do instead."""
    return [*_becomes_content(plan), *_swamps(plan)]


def advice_on_result(dataset: MixedDataset) -> list[str]:
    """Return what was seen of a set while it was built: copies and near-copies among what was added."""
    lines = []
    if dataset.num_copies:
        lines.append(
            f"{_images(dataset.num_copies)} the same as another of the set, byte for byte, and only repeat it: add "
            "fewer, or mix in a kind that varies more"
        )
    if dataset.num_near_copies:
        lines.append(
            f"{_images(dataset.num_near_copies)} less than {NEAR_COPY_LEVELS:.0f} level of 255 away from the original, "
            "on average over the pixels: near-copies; strengthen the parameters, or leave that kind out"
        )
    return lines


def _images(number: int) -> str:
    return f"{number:,} added image{' is' if number == 1 else 's are'}"


def _becomes_content(plan: Plan) -> list[str]:
    """An image in the set is taken for an example of what to make, however it came there."""
    found: Counter[str] = Counter()
    for share in plan.policy.shares:
        number = plan.counts.get(share.name, 0)
        parts = [part for step in share.steps for part in _parts(step.name, step.settings.get("transform"))]
        names = {name for name, _ in parts}
        has_edges = any(config.get("border_mode") == 0 and name not in _FITTING for name, config in parts)
        for look, kinds in _CONTENT.items():
            if (names.intersection(kinds) or (has_edges and look == _BLACK_EDGES)) and number:
                found[look] += number
    if not found:
        return []
    total = len(plan.entries)
    listed = ", ".join(f"{number / total:.0%} of the set {look}" for look, number in found.items())
    doubt = "; where left and right do not matter that is right" if [*found] == [_HARMLESS_IF_SYMMETRIC] else ""
    return [
        f"a generator takes what it is shown for content: {listed}, and its images will be so too{doubt}. If that is "
        "not wanted, leave the kind out, and let the training vary its images instead, inside the discriminator "
        "(biggan.diffaugment in a recipe), where it does not leak into what is made"
    ]


def _swamps(plan: Plan) -> list[str]:
    originals, added = plan.settings["num_original"], plan.settings["num_added"]
    synthetic = sum(entry.origin == "synthetic" for entry in plan.entries)
    lines = []
    if synthetic > MAX_SYNTHETIC_SHARE * len(plan.entries):
        lines.append(
            f"{synthetic:,} of {len(plan.entries):,} images come from a generator: a set that is mostly made by one "
            "repeats its faults; stay at or below the number of originals (--ratio 1:1)"
        )
    elif added > MAX_ADDED_SHARE * len(plan.entries):
        lines.append(
            f"{added:,} added images beside {originals:,} originals: {added / len(plan.entries):.0%} of the set is "
            "added, and the originals are swamped; stay at or below --ratio 1:3"
        )
    uses = Counter(entry.source for entry in plan.entries if entry.k is not None and entry.source is not None)
    if uses and max(uses.values()) > MAX_USES:
        lines.append(
            f"each original is used up to {max(uses.values()):,} times: its variants share what it shows, so the set "
            "is hardly more diverse than its originals; more originals help more"
        )
    return lines


def _parts(name: str, config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a step and, of a pipeline, its parts: names and configurations."""
    config = config or {}
    yield name, config
    for part in config.get("transforms", []):
        yield from _parts(str(part.get(CLASS)), part)
