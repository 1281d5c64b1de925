"""Classes in exact numbers: which originals of each are taken, and how many images are added to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augment.core.suggest import instead
from augment.errors import UsageError
from augment.sources.image_set import SourceImage

TOP_UP = "top-up"
MAX_PER_CLASS = 1_000_000
IMBALANCE = 2.0  # How many times the smallest class the largest may hold before it is worth a word

_CLASS_ORDER = 3  # the stream of a seed that says which images of a class stay


@dataclass(frozen=True)
class ClassTarget:
    """What one class is to become, or the whole set where classes are not counted (`label` is then None)."""

    label: str | None
    taken: tuple[int, ...]  # Images of the source that are taken over, in its order
    parents: tuple[int, ...]  # The originals among them: what is added is made from these
    num_added: int
    num_left_out: int = 0


def parse_per_class(text: str) -> tuple[int | None, dict[str, int]]:
    """Return the number for every class, None where only some are named, and the numbers of those named.

    Raises UsageError.

    >>> parse_per_class("100,cats=500")
    (100, {'cats': 500})
    """
    default: int | None = None
    named: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        digits = number.strip()
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 20
        if not is_number or not 1 <= int(digits) <= MAX_PER_CLASS:
            raise UsageError(
                f"--per-class {text!r}: must be a whole number from 1 to {MAX_PER_CLASS:,}, or NAME=NUMBER for some "
                "classes, as in 100,cats=500"
            )
        if not equals and default is None:
            default = int(number)
        elif equals and name.strip() not in named:
            named[name.strip()] = int(number)
        else:
            raise UsageError(f"--per-class {text!r}: {part.strip()!r} comes on top of another number; give one a class")
    return default, named


def class_targets(
    images: Sequence[SourceImage], per_class: str | None, balance: str | None, seed: int
) -> list[ClassTarget]:
    """Return the targets of all classes, sorted by name.

    With a number each class gets exactly so many images: to a smaller one images are added, of a larger one so many
    stay, drawn by `seed`, originals before synthetic ones. `balance` "top-up" without a number takes that of the
    largest class, so that nothing is left out. Classes without a number stay as they are.
    Raises UsageError when there are no classes, or a named one is not there.
    """
    if balance not in (None, TOP_UP):
        raise UsageError(f"--balance {balance!r}: use {TOP_UP}")
    counts = Counter(image.label for image in images)
    outside = counts.pop(None, 0)
    if not counts or outside:
        problem = f"{outside} images stand outside of class folders" if counts else "there are no classes"
        advice = "put each image into the sub-folder of its class"
        raise UsageError(f"--per-class and --balance count by class, but {problem}; {advice}")
    default, named = parse_per_class(per_class) if per_class else (max(counts.values()), {})
    for name in named:
        if name not in counts:
            raise UsageError(f"--per-class: no class {name!r}{instead(name, sorted(map(str, counts)))}")
    members: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        members.setdefault(str(image.label), []).append(index)
    return [
        _target(images, label, its, named.get(label, default or len(its)), seed, number)
        for number, (label, its) in enumerate(sorted(members.items()))
    ]


def imbalance(counts: dict[str, int]) -> str | None:
    """Return in words how unequal classes are, None when they are about equal or fewer than two."""
    if len(counts) < 2 or max(counts.values()) < IMBALANCE * min(counts.values()):
        return None
    large, small = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    return (
        f"the classes are unequal: from {counts[small]:,} ({small}) to {counts[large]:,} ({large}), "
        f"{counts[large] / counts[small]:.1f} times as many; `smallgan augment --balance {TOP_UP}` makes them equal"
    )


def _target(
    images: Sequence[SourceImage], label: str, members: list[int], wanted: int, seed: int, number: int
) -> ClassTarget:
    taken = members
    if len(members) > wanted:
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_CLASS_ORDER, number)))
        order = [members[at] for at in generator.permutation(len(members))]
        originals_first = sorted(order, key=lambda index: images[index].origin != "original")
        taken = sorted(originals_first[:wanted])
    parents = tuple(index for index in taken if images[index].origin == "original")
    return ClassTarget(label, tuple(taken), parents, wanted - len(taken), len(members) - len(taken))
