"""What a user deserves to hear of a plan: what becomes content, what swamps the originals, what is nearly a copy."""

from collections import Counter

import cv2

from augment.build.plan import Plan
from augment.imaging.codec import Pixels
from augment.sources.mixed_dataset import MixedDataset

NEAR_COPY_LEVELS = 1.0
"""Mean difference of an added image from its parent, in levels of 255, below which nobody would tell them apart."""
MAX_ADDED_SHARE = 0.75
MAX_SYNTHETIC_SHARE = 0.5
MAX_USES = 10

_HARMLESS_IF_SYMMETRIC = "mirrored"


def mean_difference(pixels: Pixels, other: Pixels) -> float:
    """Return the mean absolute difference of two images of one shape, in levels of 255."""
    return float(cv2.norm(pixels, other, cv2.NORM_L1)) / pixels.size


def is_near_copy(pixels: Pixels, parent: Pixels) -> bool:
    """Tell whether nobody would tell an added image from its parent."""
    return pixels.shape == parent.shape and mean_difference(pixels, parent) < NEAR_COPY_LEVELS


def advice(plan: Plan) -> list[str]:
    """Return what to know about a plan before it is carried out: a line each, with what to do instead."""
    return [*_becomes_content(plan), *_swamps(plan)]


def advice_on_result(dataset: MixedDataset) -> list[str]:
    """Return what was seen of a set while it was built: copies and near-copies among what was added."""
    lines = []
    if dataset.num_copies:
        lines.append(
            f"{_images(dataset.num_copies)} the same as another of the set, byte for byte, and only repeat it: add "
            "fewer, or mix in a transform that varies more"
        )
    if dataset.num_near_copies:
        lines.append(
            f"{_images(dataset.num_near_copies)} less than {NEAR_COPY_LEVELS:.0f} level of 255 away from the original, "
            "on average over the pixels: near-copies; strengthen the parameters, or leave that transform out"
        )
    return lines


def _images(number: int) -> str:
    return f"{number:,} added image{' is' if number == 1 else 's are'}"


def _becomes_content(plan: Plan) -> list[str]:
    """An image in the set is taken for an example of what to make, however it came there."""
    counts: Counter[str] = Counter()
    for component in plan.policy.components:
        number = plan.counts[component.name]
        counts.update({content: number for t in component.transforms for content in t.becomes_content if number})
    if not counts:
        return []
    percents = [f"{100 * number / len(plan.entries):.0f} % {content}" for content, number in counts.items()]
    shown = ", ".join(percents).replace(" % ", " % of the training set is ", 1)
    harmless = ", which is right where left and right do not matter" if [*counts] == [_HARMLESS_IF_SYMMETRIC] else ""
    return [
        f"{shown}, so generated images will be {' or '.join(counts)} too{harmless}. If that is not wanted, leave the "
        "transform out and vary the images inside the discriminator instead, where it does not leak into what is "
        "generated: smallgan train --diffaugment (method.diffaugment in a recipe)"
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
