"""Policy expressions: `hflip+contrast`, `hflip:2+contrast:1`, `hflip.contrast`, `gan`, `none`.

`.` binds tightest (both applied to the same image, left to right), then `:` (a whole number of shares), then `+`.
A kind is one of the table's, one that a policy file made (`policy_file`), or a transform of albumentations by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from augment.core.suggest import nearest
from augment.errors import UsageError
from augment.policy.albumentations_adapter import CLASS, kinds, transform_kind
from augment.policy.transforms import TRANSFORMS, Transform

GAN = "gan"
NONE = "none"
KINDS = (*TRANSFORMS, GAN, NONE)
MAX_WEIGHT = 1_000_000
Own = Mapping[str, tuple[Transform, ...]]
"""Kinds beside the table's: a name, and what is done one after the other."""


@dataclass(frozen=True)
class Share:
    """A part of the added images: the chain of kinds that makes one, and its weight against the other shares."""

    chain: tuple[str, ...]
    weight: int = 1
    own: Own = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The chain as it is written: hflip.contrast."""
        return ".".join(self.chain)

    @property
    def is_synthetic(self) -> bool:
        """Whether the images come from a generator, and so have no parent."""
        return self.chain[0] == GAN

    @property
    def steps(self) -> tuple[Transform, ...]:
        """What is done to an image, in order; of a synthetic one, after it was made."""
        return tuple(step for kind in self.chain if kind != GAN for step in _steps(kind, self.own))

    @property
    def is_random(self) -> bool:
        """Whether the same parent gives another image each time."""
        return self.is_synthetic or any(step.is_random for step in self.steps)


@dataclass(frozen=True)
class Policy:
    """Which kinds of image are added, in which shares. No share is the policy `none`."""

    shares: tuple[Share, ...]
    title: str | None = None
    """What its file is called, for names of folders; None: it is an expression."""
    notes: tuple[str, ...] = ()
    """What its user should know, beside what it does."""

    @property
    def own(self) -> dict[str, Any]:
        """The kinds that are not the table's, as they stand in plan.json: what each step of them is."""
        steps = {kind: _steps(kind, share.own) for share in self.shares for kind in share.chain if kind in share.own}
        return {kind: [{"name": step.name, **step.settings} for step in parts] for kind, parts in steps.items()}

    def __str__(self) -> str:
        weighted = any(share.weight != 1 for share in self.shares)
        return "+".join(f"{s.name}:{s.weight}" if weighted else s.name for s in self.shares) or NONE

    @property
    def needs_generator(self) -> bool:
        """Whether some of its images come from a generator."""
        return any(share.is_synthetic for share in self.shares)

    def counts(self, num_added: int) -> tuple[int, ...]:
        """Return how many of `num_added` images each share gets: counted by largest remainder, ties to the earlier.

        >>> parse_policy("hflip+contrast").counts(5)
        (3, 2)
        """
        total = sum(share.weight for share in self.shares)
        if not total:
            return ()
        whole = [num_added * share.weight // total for share in self.shares]
        remainders = [num_added * share.weight % total for share in self.shares]
        left = num_added - sum(whole)
        first = sorted(range(len(whole)), key=lambda position: -remainders[position])[:left]
        return tuple(count + (position in first) for position, count in enumerate(whole))


def parse_policy(text: str, own: Own | None = None) -> Policy:
    """Read a policy expression, in which the kinds `own` may stand beside the table's.

    Raises UsageError saying what is wrong and what would be right.
    """
    stripped = text.strip()
    if not stripped:
        raise UsageError(f"the policy is empty; needed kinds such as hflip+contrast, of: {', '.join(KINDS)}")
    if stripped == NONE:
        return Policy(())
    notes: list[str] = []
    shares = tuple(_parse_share(part, text, own or {}, notes) for part in stripped.split("+"))
    for earlier, later in _pairs(shares):
        if _effect(earlier) == _effect(later):
            again = f"{later.name!r}" if earlier.name == later.name else f"{earlier.name!r} and {later.name!r}"
            raise UsageError(
                f"policy {text!r}: {again} would make the same image twice; give weights instead, as in hflip:2"
            )
    return Policy(shares, notes=tuple(dict.fromkeys(notes)))


def _parse_share(part: str, text: str, own: Own, notes: list[str]) -> Share:
    chain_text, colon, weight_text = (piece.strip() for piece in part.partition(":"))
    weight = _parse_weight(weight_text, text) if colon else 1
    chain = tuple(kind.strip() for kind in chain_text.split("."))
    found: dict[str, tuple[Transform, ...]] = {}
    for kind in chain:
        if not kind:
            raise UsageError(
                f"policy {text!r}: a kind is missing beside '+', '.' or ':'; write it as in hflip:2+contrast.vflip"
            )
        if kind in own:
            found[kind] = own[kind]
        elif kind not in KINDS:
            found[kind] = _from_albumentations(kind, text, own, notes)
    if NONE in chain:
        raise UsageError(f"policy {text!r}: 'none' stands alone and adds nothing; leave it out, or write only 'none'")
    if GAN in chain[1:]:
        raise UsageError(
            f"policy {text!r}: 'gan' makes an image of its own, so it can only come first in a chain: gan.hflip"
        )
    for kind in chain:
        if chain.count(kind) > 1 and kind not in found and kind != GAN and not TRANSFORMS[kind].draw:
            raise UsageError(
                f"policy {text!r}: {kind!r} stands twice in {'.'.join(chain)!r}, which undoes it; write it once"
            )
    return Share(chain, weight, found)


def _from_albumentations(kind: str, text: str, own: Own, notes: list[str]) -> tuple[Transform, ...]:
    """Return the transform of that name with its default parameters, if there is one. Raises UsageError."""
    known = [*own, *KINDS]
    if kind[:1].isupper():  # theirs begin so; ours do not, and shall not wait for the import
        if kind in kinds():
            transform, remarks = transform_kind({CLASS: kind}, f"policy {text!r}")
            notes += remarks
            return (transform,)
        known += kinds()
    close = nearest(kind, known)
    raise UsageError(
        f"policy {text!r}: unknown kind {kind!r}; did you mean {close!r}? Kinds: {', '.join([*own, *KINDS])}, and "
        "the transforms of albumentations; `smallgan augment --kinds` lists all"
    )


def _steps(kind: str, own: Own) -> tuple[Transform, ...]:
    return own[kind] if kind in own else (TRANSFORMS[kind],)


def _parse_weight(weight: str, text: str) -> int:
    if (
        not (weight.isascii() and weight.isdigit())
        or len(weight) > len(str(MAX_WEIGHT))
        or not 1 <= int(weight) <= MAX_WEIGHT
    ):
        raise UsageError(f"policy {text!r}: weight {weight!r} after ':'; needed a whole number from 1 to {MAX_WEIGHT}")
    return int(weight)


def _effect(share: Share) -> tuple[str, ...]:
    """What a chain does, apart from the order where that changes nothing: mirrors and negative may change places."""
    return share.chain if share.is_random else tuple(sorted(share.chain))


def _pairs(shares: tuple[Share, ...]) -> Iterator[tuple[Share, Share]]:
    return ((earlier, later) for at, later in enumerate(shares) for earlier in shares[:at])
