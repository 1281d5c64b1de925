"""How many real images a variant is worth: read off the learning curve of the reference. Plain numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def worth(numbers: Sequence[float], accuracy: Mapping[str, Sequence[float]], reference: str) -> list[dict[str, Any]]:
    """Return for each variant and number how many times the real images would do the same without it.

    The curve of the reference is made rising (`rising`) and joined by lines over the logarithm of the number. Where a
    variant is above its last point the factor is a least one ("more than"), below its first a most one ("less than").
    It is 1 where a variant is as accurate as the reference at the same number.

    Args:
        numbers: real images a class, ascending, at least two.
        accuracy: of each variant the mean accuracy at each number.
        reference: the variant whose curve is read.
    """
    plain, base = accuracy[reference], rising(accuracy[reference])
    rows = []
    for name in (name for name in accuracy if name != reference):
        for number, value, same in zip(numbers, accuracy[name], plain, strict=True):
            equal, bound = (number, "") if value == same else _number_at(numbers, base, value)
            rows.append({"variant": name, "per_class": number, "factor": equal / number, "bound": bound})
    return rows


def rising(values: Sequence[float]) -> list[float]:
    """Return the nearest values, in least squares, that never fall: neighbours that do are averaged.

    >>> rising([1, 3, 2, 4])
    [1, 2.5, 2.5, 4]
    """
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, count), (other, more) = blocks[-2:]
            blocks[-2:] = [((one * count + other * more) / (count + more), count + more)]
    return [value for value, count in blocks for _ in range(count)]


def _number_at(numbers: Sequence[float], base: Sequence[float], value: float) -> tuple[float, str]:
    """Return the number of images at which the reference reaches a value, and "", "more than" or "less than"."""
    if value > base[-1]:
        return numbers[-1], "more than"
    if value < base[0]:
        return numbers[0], "less than"
    for at in range(len(numbers) - 1):
        low, high = base[at], base[at + 1]
        if low <= value <= high:
            share = (value - low) / (high - low) if high > low else 0.0
            return math.exp(math.log(numbers[at]) * (1 - share) + math.log(numbers[at + 1]) * share), ""
    return numbers[-1], ""
