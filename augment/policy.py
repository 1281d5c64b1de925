"""Policy expressions: `hflip+contrast`, `hflip:2+contrast:1`, `hflip.contrast`, `gan`, `none`.

`.` binds tightest (both applied to the same image, left to right), then `:` (a whole number of shares), then `+`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from augment.errors import UsageError
from augment.transforms import TRANSFORMS

GAN = "gan"
NONE = "none"
KINDS = (*TRANSFORMS, GAN, NONE)
MAX_WEIGHT = 1_000_000


@dataclass(frozen=True)
class Share:
    """A part of the added images: the chain of kinds that makes one, and its weight against the other shares."""

    chain: tuple[str, ...]
    weight: int = 1

    @property
    def name(self) -> str:
        """The chain as it is written: hflip.contrast."""
        return ".".join(self.chain)

    @property
    def is_synthetic(self) -> bool:
        """Whether the images come from a generator, and so have no parent."""
        return self.chain[0] == GAN

    @property
    def is_random(self) -> bool:
        """Whether the same parent gives another image each time."""
        return self.is_synthetic or any(TRANSFORMS[kind].draw for kind in self.chain)


@dataclass(frozen=True)
class Policy:
    """Which kinds of image are added, in which shares. No share is the policy `none`."""

    shares: tuple[Share, ...]

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


def parse_policy(text: str) -> Policy:
    """Read a policy expression. Raises UsageError saying what is wrong and what would be right."""
    stripped = text.strip()
    if not stripped:
        raise UsageError(f"the policy is empty; needed kinds such as hflip+contrast, of: {', '.join(KINDS)}")
    if stripped == NONE:
        return Policy(())
    shares = tuple(_parse_share(part, text) for part in stripped.split("+"))
    for earlier, later in _pairs(shares):
        if _effect(earlier) == _effect(later):
            again = f"{later.name!r}" if earlier.name == later.name else f"{earlier.name!r} and {later.name!r}"
            raise UsageError(
                f"policy {text!r}: {again} would make the same image twice; give weights instead, as in hflip:2"
            )
    return Policy(shares)


def _parse_share(part: str, text: str) -> Share:
    chain_text, colon, weight_text = (piece.strip() for piece in part.partition(":"))
    weight = _parse_weight(weight_text, text) if colon else 1
    chain = tuple(kind.strip() for kind in chain_text.split("."))
    for kind in chain:
        if not kind:
            raise UsageError(
                f"policy {text!r}: a kind is missing beside '+', '.' or ':'; write it as in hflip:2+contrast.vflip"
            )
        if kind not in KINDS:
            nearest = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"policy {text!r}: unknown kind {kind!r}; did you mean {nearest!r}? Kinds: {', '.join(KINDS)}"
            )
    if NONE in chain:
        raise UsageError(f"policy {text!r}: 'none' stands alone and adds nothing; leave it out, or write only 'none'")
    if GAN in chain[1:]:
        raise UsageError(
            f"policy {text!r}: 'gan' makes an image of its own, so it can only come first in a chain: gan.hflip"
        )
    for kind in chain:
        if chain.count(kind) > 1 and kind != GAN and not TRANSFORMS[kind].draw:
            raise UsageError(
                f"policy {text!r}: {kind!r} stands twice in {'.'.join(chain)!r}, which undoes it; write it once"
            )
    return Share(chain, weight)


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
