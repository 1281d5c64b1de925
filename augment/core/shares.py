"""How sure a share is that was counted: Wilson 1927 (JASA 22)."""

import math

_Z = 1.959963984540054  # the two-sided 95 % point of the normal distribution


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share found among `count` independent images.

    None of ten is a share of at most 3.84 / 13.84:

        >>> [round(end, 3) for end in wilson(0.0, 10)]
        [0.0, 0.278]
    """
    square = _Z**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
