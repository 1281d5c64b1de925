"""Policy expressions: `hflip+contrast`, `hflip:2+contrast:1`, `hflip.contrast`, `gan`, `none`.

`.` binds tightest (both applied to the same image, left to right), then `:` (a whole number as weight), then `+`.
A transform is a row of the table, one that a policy file defines (`policy_file`), or one of albumentations by its name.
"""

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from augment.core.suggest import near
from augment.errors import UsageError
from augment.policy.albumentations_adapter import CLASS, library_names, library_transform, refuse_unusable
from augment.policy.apply import PROBE, on_probe
from augment.policy.transforms import GAN, NONE, TRANSFORMS, Transform, policy_names

MAX_WEIGHT = 1_000_000
CustomTransforms = Mapping[str, tuple[Transform, ...]]
"""Names beside the table's, and what is done under each, one after the other."""


@dataclass(frozen=True)
class MixtureComponent:
    """One `+` part of a policy: the pipeline that makes an image, and its weight against the other components."""

    pipeline: tuple[str, ...]
    weight: int = 1
    custom_transforms: CustomTransforms = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The pipeline as it is written: hflip.contrast."""
        return ".".join(self.pipeline)

    @property
    def is_synthetic(self) -> bool:
        """Whether the images come from a generator, and so have no parent."""
        return self.pipeline[0] == GAN

    @cached_property
    def transforms(self) -> tuple[Transform, ...]:
        """What is done to an image, in order; of a synthetic one, after it was made."""
        named = (self.custom_transforms.get(name) or (TRANSFORMS[name],) for name in self.pipeline if name != GAN)
        return tuple(itertools.chain.from_iterable(named))

    @property
    def is_random(self) -> bool:
        """Whether the same parent gives another image each time."""
        return self.is_synthetic or any(transform.is_random for transform in self.transforms)


@dataclass(frozen=True)
class Policy:
    """What is added to a set, as a mixture of components. No component is the policy `none`."""

    components: tuple[MixtureComponent, ...]
    title: str | None = None  # What its file is called, for names of folders; None: it is an expression
    notes: tuple[str, ...] = ()  # What its user should know, beside what it does

    @property
    def custom_transforms(self) -> dict[str, Any]:
        """The transforms that are not the table's, as they stand in plan.json."""
        return {
            name: [{"name": transform.name, **transform.settings} for transform in component.custom_transforms[name]]
            for component in self.components
            for name in component.pipeline
            if name in component.custom_transforms
        }

    def __str__(self) -> str:
        weighted = any(component.weight != 1 for component in self.components)
        return "+".join(f"{c.name}:{c.weight}" if weighted else c.name for c in self.components) or NONE

    @property
    def needs_generator(self) -> bool:
        """Whether some of its images come from a generator."""
        return any(component.is_synthetic for component in self.components)

    def check_generator(self, generator: object) -> None:
        """Raise UsageError when `generator` is None and one is needed."""
        if self.needs_generator and generator is None:
            raise UsageError(f"policy {str(self)!r} needs a generator for 'gan': name a trained run with --generator")

    def refuse_unread_generator(self, generator: object) -> None:
        """Raise UsageError where a user named a generator for a policy that makes no images with one."""
        if generator is not None and not self.needs_generator:
            raise UsageError(
                f"--generator {generator}: only the transform gan uses it, and the policy {str(self)!r} has none; add "
                "gan, or leave --generator out"
            )

    def counts(self, num_added: int) -> tuple[int, ...]:
        """Return how many of `num_added` images each component gets, by largest remainder; ties go to the earlier.

        >>> parse_policy("hflip+contrast").counts(5)
        (3, 2)
        """
        total = sum(component.weight for component in self.components)
        if not total:
            return ()
        parts = [divmod(num_added * component.weight, total) for component in self.components]
        left = num_added - sum(whole for whole, _ in parts)
        first = sorted(range(len(parts)), key=lambda position: -parts[position][1])[:left]
        return tuple(whole + (position in first) for position, (whole, _) in enumerate(parts))


def parse_policy(text: str, custom_transforms: CustomTransforms | None = None) -> Policy:
    """Read a policy expression, in which `custom_transforms` may stand beside the table's.

    Raises UsageError saying what is wrong and what would be right.
    """
    stripped = text.strip()
    if not stripped:
        names = ", ".join(policy_names())
        raise UsageError(f"the policy is empty; give transforms such as hflip+contrast; there are {names}")
    if stripped == NONE:
        return Policy(())
    notes: list[str] = []
    where = f"policy {text!r}"
    components = tuple(_component(part, where, custom_transforms or {}, notes) for part in stripped.split("+"))
    seen: dict[object, MixtureComponent] = {}
    for component in components:
        earlier = seen.setdefault(_effect(component, where), component)
        if earlier is not component:
            again = " and ".join(map(repr, dict.fromkeys([earlier.name, component.name])))
            raise UsageError(f"{where}: {again} would make the same image twice; give weights instead, as in hflip:2")
    return Policy(components, notes=tuple(dict.fromkeys(notes)))


def _component(part: str, where: str, custom: CustomTransforms, notes: list[str]) -> MixtureComponent:
    names, colon, weight_text = (piece.strip() for piece in part.partition(":"))
    weight_text = weight_text if colon else "1"
    if not re.fullmatch("[0-9]{1,7}", weight_text) or not 1 <= int(weight_text) <= MAX_WEIGHT:
        raise UsageError(f"{where}: weight {weight_text!r} after ':'; must be a whole number from 1 to {MAX_WEIGHT}")
    pipeline = tuple(name.strip() for name in names.split("."))
    used: dict[str, tuple[Transform, ...]] = {}
    for name in pipeline:
        if not name:
            raise UsageError(
                f"{where}: a transform is missing beside '+', '.' or ':'; write it as in hflip:2+contrast.vflip"
            )
        if name in custom:
            used[name] = custom[name]
        elif "," in name:
            mixed = "+".join(piece.strip() for piece in name.split(","))
            raise UsageError(f"{where}: found a comma in {name!r}; use + between the parts of a mixture: {mixed}")
        elif name not in policy_names():
            used[name] = _from_albumentations(name, where, custom, notes)
    if NONE in pipeline:
        raise UsageError(f"{where}: 'none' stands alone and adds nothing; leave it out, or write only 'none'")
    if GAN in pipeline[1:]:
        raise UsageError(
            f"{where}: 'gan' makes an image of its own, so it can only come first in a pipeline: gan.hflip"
        )
    return MixtureComponent(pipeline, int(weight_text), used)


def _from_albumentations(name: str, where: str, custom: CustomTransforms, notes: list[str]) -> tuple[Transform, ...]:
    """Return the transform of that name with its default parameters, if there is one. Raises UsageError."""
    ours = known = [*custom, *policy_names()]
    if name[:1].isupper():  # theirs begin so; ours do not, and shall not wait for the import
        if name in library_names():
            transform, remarks = library_transform({CLASS: name}, where)
            notes += remarks
            return (transform,)
        refuse_unusable(name, where)
        known = [*ours, *library_names()]
    meant = _meant(name, ours, known)
    raise UsageError(
        f"{where}: unknown transform {name!r}; {f'did you mean {meant}? There are' if meant else 'there are'} "
        f"{', '.join(ours)}, and those of albumentations; `smallgan augment --list-transforms` lists all"
    )


def _meant(name: str, ours: Sequence[str], known: Sequence[str]) -> str:
    """Return the names that an unknown one stands for: ours that it is part of (flip), one of albumentations in another
    case (rotate: Rotate), else the one of `known` that is spelled like it; "" where none is."""
    lower = name.lower()
    if len(lower) > 2 and (holders := [each for each in ours if lower in each.lower()]):
        return " or ".join(map(repr, holders))
    if not difflib.get_close_matches(lower, ours, n=1, cutoff=0.7):  # a slip of ours needs no import
        theirs = [each for each in library_names() if each.lower() == lower.replace("_", "")]
        if theirs:
            return repr(theirs[0])
    close = near(name, known)
    return repr(close) if close else ""


def _effect(component: MixtureComponent, where: str) -> object:
    """Return what tells a component from others: its result on the probe, or its pipeline where it is random.

    Raises UsageError for a pipeline that does nothing.
    """
    transforms = component.transforms
    is_fixed = transforms and not any(transform.is_random for transform in transforms)
    if not is_fixed or (result := on_probe(transforms)) is None:
        return component.pipeline
    if np.array_equal(result, PROBE):
        raise UsageError(
            f"{where}: {'.'.join(name for name in component.pipeline if name != GAN)!r} leaves every image as "
            "it is; leave it out"
        )
    return component.is_synthetic, result.shape, result.tobytes()
