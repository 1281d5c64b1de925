"""A plan: exactly which output comes from which parent by which operation, decided before anything is written."""

import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from posixpath import basename, splitext
from typing import Any, TypedDict

import cv2
import numpy as np
import PIL
import simplejpeg

from augment.core.file_names import Namer
from augment.core.rng import image_generators
from augment.errors import InputError, UsageError
from augment.imaging.codec import MAX_PIXELS, RULES, Rules, background_name
from augment.imaging.geometry import RESIZE_MODES
from augment.policy.dry_run import dry_run
from augment.policy.expression import MixtureComponent, Policy
from augment.policy.policy_file import load_policy
from augment.policy.transforms import GAN
from augment.sources.classes import ClassTarget, class_targets
from augment.sources.dataset_format import PLAN_FORMAT, Origin
from augment.sources.image_set import ImageInfo, ImageSet, ImageSource, labels_fingerprint

FORMATS = {"png": ".png", "jpeg": ".jpg"}
MAX_ADDED = 10_000_000
DEFAULT_RATIO = "1:1"

_ORDER = 0  # the stream of a seed for the order of the parents


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing done to an image, with the parameters drawn for it."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, str]:
        """Return it as it stands in metadata.jsonl: the parameters as one JSON text."""
        return {"name": self.name, "params": json.dumps(self.params)}


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One image of the mixed set."""

    file_name: str
    origin: Origin
    label: str | None
    source: int | None  # Index of the source image it is, or is made from; None: a generator makes it
    k: int | None = None  # Its number among the added images: what its draws depend on, beside the seed
    component: MixtureComponent | None = None  # How it is made, where it is added
    copied: bool = False  # An original whose bytes are taken as they are


@dataclass(frozen=True)
class Plan:
    """What will be made. Two plans with the same `settings` make the same bytes."""

    entries: tuple[PlanEntry, ...]  # Originals first, in the order of the source; then the added images by k
    image_infos: tuple[ImageInfo, ...]  # Hash and size of every source image
    policy: Policy
    size: int | None
    resize_mode: str
    format: str
    seed: int
    settings: dict[str, Any]  # plan.json
    rules: Rules = RULES  # What transparent and gray images become

    @property
    def counts(self) -> dict[str, int]:
        """Number of images by what they are: originals, then each component of the policy."""
        counts = {component["pipeline"]: component["num"] for component in self.settings["components"]}
        return {"original": self.settings["num_original"], **counts}

    @property
    def generator_positions(self) -> list[int]:
        """Positions of what a generator makes."""
        return [at for at, entry in enumerate(self.entries) if entry.source is None]

    def operations(self, entries: Sequence[PlanEntry]) -> list[tuple[Operation, ...]]:
        """Return what is done, in order, to make each of some images; to an original nothing.

        It is drawn anew, and the same, each time, as 100,000 of them would fill memory; for many together it is faster.
        """
        generators = image_generators(self.seed, [entry.k or 0 for entry in entries if entry.component])
        return [_operations(entry.component, next(generators)) if entry.component else () for entry in entries]


class LookOptions(TypedDict, total=False):
    """The keywords of `make_plan` that say what its images look like."""

    size: int | None
    resize_mode: str
    seed: int
    generator: ImageSource | None


class PlanOptions(LookOptions, total=False):
    """The keywords of `make_plan`."""

    ratio: str | None
    count: int | None
    format: str
    per_class: str | None
    balance: str | None


def make_plan(
    source: ImageSet,
    policy: Policy | str,
    *,
    ratio: str | None = None,
    count: int | None = None,
    size: int | None = None,
    resize_mode: str = "crop",
    format: str = "png",
    seed: int = 0,
    generator: ImageSource | None = None,
    per_class: str | None = None,
    balance: str | None = None,
) -> Plan:
    """Decide what is made of the images of `source`, all of which must be valid.

    The images of each component are counted by largest remainder. One permutation of the originals, drawn from `seed`,
    is walked through all components, so the numbers of uses differ by at most one. Images of `source` that are no
    originals (a mixed dataset) are taken over and are nobody's parent.

    Args:
        source: the images.
        policy: what is added: a policy, an expression or the path of a policy file.
        ratio: originals to added images, A:B; 1:1 where no other amount is given.
        count: number of added images.
        size: side of the squares that all images become, in pixels; None: as they are.
        resize_mode: crop, pad or stretch.
        format: png or jpeg, of the images made.
        seed: of the order of parents and of all draws, 0 or more.
        generator: makes the images of the transform gan.
        per_class: counts by class instead, as in `augment.sources.classes`; each class then has a walk of its own.
        balance: "top-up", or None.

    Raises:
        UsageError: an option is wrong.
        InputError: a file cannot be read.
    """
    policy = load_policy(policy) if isinstance(policy, str) else policy
    check_settings(size, resize_mode, format, seed)
    image_infos = tuple(source.info(index) for index in range(len(source)))
    targets = _targets(source, policy, ratio, count, per_class, balance, seed)
    amounts = [policy.counts(target.num_added) for target in targets]
    policy.check_generator(generator)
    for target, numbers in zip(targets, amounts, strict=True):
        _check_components(policy, numbers, target)
    dry_run(policy, [(size, size)] if size else [(info.width, info.height) for info in image_infos])
    namer = Namer()
    taken = sorted(index for target in targets for index in target.taken)
    entries = [_taken_over(source, index, image_infos[index], size, format, namer) for index in taken]
    num_original = sum(entry.origin == "original" for entry in entries)
    entries += _added(source, policy, targets, seed, FORMATS[format], namer, getattr(generator, "labels", None))
    names = zip(entries, [source.images[index].name for index in taken], strict=False)  # the originals come first
    custom, background = policy.custom_transforms, source.rules.background
    totals = [sum(numbers) for numbers in zip(*amounts, strict=True)]
    by_class = {
        str(target.label): {"taken": len(target.taken), "added": target.num_added, "left_out": target.num_left_out}
        for target in targets
    }
    settings = {
        "format": PLAN_FORMAT,
        "sources": source.describe(image_infos),
        **({"labels_sha256": labels} if (labels := labels_fingerprint(source.images)) else {}),
        "policy": str(policy),
        **({"custom_transforms": custom} if custom else {}),
        "ratio": None if count is not None or per_class or balance else (ratio or DEFAULT_RATIO).strip(),
        **({"per_class": per_class, "balance": balance, "classes": by_class} if per_class or balance else {}),
        "num_original": num_original,
        "num_added": sum(totals),
        "components": [{"pipeline": c.name, "num": n} for c, n in zip(policy.components, totals, strict=True)],
        "size": size,
        "resize_mode": resize_mode if size else None,
        **({"background": background_name(background)} if background != RULES.background else {}),
        **({"mode": "gray"} if source.rules.gray else {}),
        "image_format": format,
        "seed": seed,
        "generator": {"name": generator.name, **generator.describe()} if generator and policy.needs_generator else None,
        "renamed": {e.file_name: name for e, name in names if _stem(e.file_name) != _stem(name)},
        "versions": {name: now for name, now in versions().items() if custom or name != "albumentations"},
    }
    return Plan(tuple(entries), image_infos, policy, size, resize_mode, format, seed, settings, source.rules)


def _operations(component: MixtureComponent, generator: np.random.Generator) -> tuple[Operation, ...]:
    sampled = [Operation(GAN)] if component.is_synthetic else []
    return (*sampled, *(Operation(transform.name, transform.draw(generator)) for transform in component.transforms))


def versions() -> dict[str, str]:
    """Return the versions of the packages that pixels depend on, by the names that plan.json has for them."""
    ours = {"numpy": np, "opencv": cv2, "pillow": PIL, "simplejpeg": simplejpeg}
    known = {name: str(package.__version__) for name, package in ours.items()}
    return {**known, "albumentations": version("albumentations")}


def num_added(num_originals: int, ratio: str | None, count: int | None) -> int:
    """Return how many images are added: `count`, or floor(num_originals * B / A) for the ratio A:B (default 1:1).

    >>> num_added(50, "2:3", None)
    75
    """
    if ratio is not None and count is not None:
        raise UsageError(f"--ratio {ratio} and --count {count} both say how many images are added; give one of them")
    if count is None:
        match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", (DEFAULT_RATIO if ratio is None else ratio).strip())
        if not match or int(match[1]) < 1:
            needed = "originals:added as whole numbers, the first at least 1, such as 1:1"
            raise UsageError(f"--ratio {ratio!r}: expected {needed}")
        count = num_originals * int(match[2]) // int(match[1])
    if not 0 <= count <= MAX_ADDED:
        raise UsageError(f"{count} images to add; expected a number from 0 to {MAX_ADDED:,}")
    return count


def parent_order(seed: int, num_parents: int) -> list[int]:
    """Return the permutation of the parents that all components walk through."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER,)))
    return [int(index) for index in generator.permutation(num_parents)]


def check_settings(size: int | None, resize_mode: str, format_: str, seed: int) -> None:
    """Raise UsageError for settings out of range."""
    if size is not None and not 1 <= size <= math.isqrt(MAX_PIXELS):
        raise UsageError(f"--size {size}: must be a number of pixels from 1 to {math.isqrt(MAX_PIXELS)}")
    if resize_mode not in RESIZE_MODES:
        raise UsageError(f"--resize-mode {resize_mode!r}: use one of {', '.join(RESIZE_MODES)}")
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_!r}: use one of {', '.join(FORMATS)}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be a whole number, 0 or more")


def _targets(
    source: ImageSet,
    policy: Policy,
    ratio: str | None,
    count: int | None,
    per_class: str | None,
    balance: str | None,
    seed: int,
) -> list[ClassTarget]:
    """Return the goals of the classes, or one of the whole set where they are not counted."""
    if not per_class and not balance:
        parents = tuple(index for index, image in enumerate(source.images) if image.origin == "original")
        added = num_added(len(parents), ratio, count) if policy.components else 0
        return [ClassTarget(None, tuple(range(len(source))), parents, added)]
    if ratio is not None or count is not None:
        raise UsageError("--per-class and --balance say how many images are added; leave --ratio and --count out")
    if policy.needs_generator:
        raise UsageError("'gan' makes images without a class, and so cannot fill one; leave it out of the policy here")
    targets = class_targets(source.images, per_class, balance, seed)
    short = [target for target in targets if target.num_added]
    if short and not policy.components:
        raise UsageError(
            f"policy 'none' adds nothing, and class {short[0].label!r} needs {short[0].num_added} more; "
            "name transforms, such as hflip.contrast"
        )
    return targets


def _check_components(policy: Policy, numbers: Sequence[int], target: ClassTarget) -> None:
    where, of_class, options = "the source", "", "--count or --ratio"
    if target.label is not None:
        where, of_class, options = f"class {target.label!r}", f" of class {target.label!r}", "--per-class"
    num_parents = len(target.parents)
    for component, number in zip(policy.components, numbers, strict=True):
        if number and not num_parents and not component.is_synthetic:
            raise InputError(f"no original image in {where}, and {component.name!r} has to be made from one")
        if number > num_parents and not component.is_random:
            raise UsageError(
                f"policy {str(policy)!r}: {number} images by {component.name!r} of {num_parents} originals{of_class}, "
                f"but a second one of the same would be a copy, so at most {num_parents} can be made; ask for fewer "
                f"with {options}, or use transforms that vary, such as contrast or hflip.contrast"
            )


def _taken_over(
    source: ImageSet, index: int, info: ImageInfo, size: int | None, format_: str, namer: Namer
) -> PlanEntry:
    image = source.images[index]
    stem, suffix = splitext(basename(image.name))
    copied = info.plain and (size is None or (info.width, info.height) == (size, size))
    file_name = namer.name(image.label, stem, suffix if copied else FORMATS[format_])
    return PlanEntry(file_name, image.origin, image.label, index, copied=copied)


def _added(
    source: ImageSet,
    policy: Policy,
    targets: Sequence[ClassTarget],
    seed: int,
    suffix: str,
    namer: Namer,
    labels_of: Callable[[Sequence[int], int], Sequence[str | None]] | None,
) -> list[PlanEntry]:
    """Return the added images by component, and in one class after class, each class with its own walk."""
    amounts = [policy.counts(target.num_added) for target in targets]
    orders = [[target.parents[at] for at in parent_order(seed, len(target.parents))] for target in targets]
    walks = [itertools.cycle(order) for order in orders]
    entries: list[PlanEntry] = []
    for place, component in enumerate(policy.components):
        called = component.name if len(component.name) <= 40 else f"{component.name[:39]}~"
        for walk, numbers in zip(walks, amounts, strict=True):
            numbered = range(len(entries), len(entries) + numbers[place])
            if component.is_synthetic:
                labels = labels_of(numbered, seed) if labels_of else [None] * len(numbered)
                for k, label in zip(numbered, labels, strict=True):
                    name = namer.name(label, f"{component.name}-{k:05d}", suffix, numbered=True)
                    entries.append(PlanEntry(name, "synthetic", label, None, k, component))
                continue
            for k in numbered:
                parent = next(walk)
                image = source.images[parent]
                tail = f"__{called}-{k:05d}{suffix}"  # the safe stem is short; the operation comes after it, whole
                name = namer.name(image.label, _stem(image.name), tail, numbered=True)
                entries.append(PlanEntry(name, "augmented", image.label, parent, k, component))
    return entries


@lru_cache(maxsize=4096)
def _stem(name: str) -> str:
    return splitext(basename(name))[0]
