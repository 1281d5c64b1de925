"""Which originals are trained on and which are held out: decided by the images themselves, and by nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from augment.core.files import sha256_bytes
from augment.errors import UsageError

STUDY_HOLDOUT_FROM, STUDY_HOLDOUT, LEAST_HELD_OUT = 125, 0.2, 25
"""From so many originals on a study holds out this share of them, and at least so many."""
HOLD_NONE = ", or data.holdout 0, which holds none out"
LEAST_TO_SELECT = 100  # Held-out images from which on half of them select the best checkpoint: of fewer, chance would


@dataclass(frozen=True)
class Split:
    """Places in the set, ascending."""

    train: list[int]
    held: list[int]  # What scores compare with
    selection: list[int] = field(default_factory=list)  # Held out too: they select the best checkpoint, nothing else


def study_holdout(number: int) -> float:
    """Return the share of `number` originals that a study holds out where its recipe does not say."""
    return max(STUDY_HOLDOUT, LEAST_HELD_OUT / number) if number >= STUDY_HOLDOUT_FROM else 0.0


def split(hashes: Sequence[str], holdout: float | None, limit: int | None, *, selection: bool = False) -> Split:
    """Divide originals known by the sha256 of their files.

    The address of an image is its own hash: it stays on its side when files are renamed, moved or added to others,
    equal files are on one side, and `limit` 25 takes some of those that `limit` 50 takes.

    Args:
        hashes: of each original, in the order of the set.
        holdout: share held out, rounded; None: 0.
        limit: number to train on; None: all that is not held out.
        selection: where at least LEAST_TO_SELECT are held out, half of them select the best checkpoint.

    Raises UsageError when too few are left to train on, or none can be held out.
    """
    number = len(hashes)
    share = holdout or 0.0
    order = _by_hash("holdout", hashes, range(number))
    num_held = _between_equals(hashes, order, round(share * number))
    if share and not num_held:
        raise UsageError(
            f"data.holdout {share:g} of {number} different images is less than one; expected a larger share{HOLD_NONE}"
        )
    left = order[num_held:]
    if number and not left:
        raise UsageError(
            f"data.holdout {share:g} of {number} originals leaves none to train on; expected a smaller share{HOLD_NONE}"
        )
    if limit is not None and limit > len(left):
        raise UsageError(
            f"data.limit {limit}: {len(left)} of {number} originals are left to train on when {num_held} are held out; "
            f"expected at most that many{HOLD_NONE if num_held else ''}"
        )
    held, num_selecting = _by_hash("selection", hashes, order[:num_held]), 0
    if selection and num_held >= LEAST_TO_SELECT:
        num_selecting = _between_equals(hashes, held, num_held // 2)
    return Split(sorted(left[:limit]), sorted(held[num_selecting:]), sorted(held[:num_selecting]))


def _by_hash(word: str, hashes: Sequence[str], places: Sequence[int]) -> list[int]:
    return sorted(places, key=lambda place: (sha256_bytes(f"{word} {hashes[place]}".encode()), place))


def _between_equals(hashes: Sequence[str], order: Sequence[int], count: int) -> int:
    """Return the largest number up to `count` at which `order` can be cut without parting equal files."""
    while 0 < count < len(order) and hashes[order[count - 1]] == hashes[order[count]]:
        count -= 1
    return count
