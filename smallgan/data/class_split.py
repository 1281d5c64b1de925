"""Which labelled images test a classifier and which may train it: decided by the images' own hashes. Torch-free."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from augment.core.files import sha256_bytes
from augment.errors import UsageError


@dataclass(frozen=True)
class ClassSplit:
    """Places in the set, ascending."""

    train: list[int]
    test: list[int]
    num_alike: int  # Images that look like another one of the set, or are equal to it


def class_split(
    hashes: Sequence[str],
    labels: Sequence[str],
    share: float,
    alike: Iterable[Sequence[int]] = (),
    *,
    part: str = "test",
) -> ClassSplit:
    """Divide labelled images into a training part and a test part, the same share of every class.

    An image's address is its own hash, so names and order do not matter. Equal files, and images that look alike, are
    on one side; a group of these that does not fit into what is left of the test part goes to the training part.

    Args:
        hashes: sha256 of each file.
        labels: class of each.
        share: of each class for the test part, rounded, and at least one image.
        alike: groups of places of images that look the same.
        part: what the part called `test` here is for: it is drawn by this word, and named by it in messages.

    Raises UsageError naming the classes that have too few images.
    """
    groups = together(hashes, alike)
    left = {label: max(round(share * number), 1) for label, number in Counter(labels).items()}
    wanted = dict(left)
    test: list[int] = []
    for group in sorted(groups, key=lambda group: _address(part, min(hashes[at] for at in group))):
        of_class = Counter(labels[at] for at in group)
        if all(number <= left[label] for label, number in of_class.items()):
            left = {label: number - of_class[label] for label, number in left.items()}
            test += group
    kept = set(test)
    train = [at for at in range(len(hashes)) if at not in kept]
    in_train = Counter(labels[at] for at in train)
    lacking = [label for label in sorted(wanted) if left[label] == wanted[label] or not in_train[label]]
    if lacking:
        raise UsageError(
            f"{_listed(lacking)}: too few images that do not look alike for a training and a {part} part; expected "
            f"at least two in each class, and more for a {part} part that tells anything"
        )
    return ClassSplit(train, sorted(test), sum(len(group) for group in groups if len(group) > 1))


def per_class_subset(
    hashes: Sequence[str], labels: Sequence[str], train: Sequence[int], number: int, seed: int
) -> list[int]:
    """Return places of `number` images of each class out of `train`, drawn by `seed`: a smaller number is part of it.

    Raises UsageError naming the classes that have fewer.
    """
    available = Counter(labels[at] for at in train)
    short = [f"{label} {available[label]}" for label in sorted(available) if available[label] < number]
    if short:
        raise UsageError(
            f"{number} training images in each class: there are fewer in {_listed(short)}; ask for fewer, or set "
            "downstream.test lower"
        )
    order = sorted(train, key=lambda at: (_address(f"subset {seed}", hashes[at]), at))
    taken: Counter[str] = Counter()
    chosen = []
    for at in order:
        if taken[labels[at]] < number:
            taken[labels[at]] += 1
            chosen.append(at)
    return sorted(chosen)


def together(hashes: Sequence[str], alike: Iterable[Sequence[int]] = ()) -> list[list[int]]:
    """Return all places in groups that must stay together: equal files, and the members of each of `alike`."""
    group = list(range(len(hashes)))

    def root(at: int) -> int:
        while group[at] != at:
            group[at] = at = group[group[at]]
        return at

    first: dict[str, int] = {}
    pairs = [(at, first.setdefault(digest, at)) for at, digest in enumerate(hashes)]
    pairs += [(at, members[0]) for members in alike for at in members]
    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        group[high] = low
    found: dict[int, list[int]] = {}
    for at in range(len(hashes)):
        found.setdefault(root(at), []).append(at)
    return list(found.values())


def _address(what: str, digest: str) -> str:
    return sha256_bytes(f"downstream {what} {digest}".encode())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
