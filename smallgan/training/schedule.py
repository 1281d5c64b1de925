"""Schedules: what changes over a run, by the step and the number of steps alone, so that it needs no state."""

import math


def cosine_decay(step: int, num_steps: int) -> float:
    """Return what is left at `step` (from 0) of a run of `num_steps`: half a cosine from 1 to 0 after the last.

    >>> [round(cosine_decay(step, 4), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return (1 + math.cos(math.pi * min(step / num_steps, 1.0))) / 2


def linear_decay(step: int, num_steps: int, start: float) -> float:
    """Return the factor of a learning rate at `step` (from 0) of a run of `num_steps`.

    It is 1 until the share `start` (0 <= start < 1) of the steps is done, then falls linearly, to 0 after the last.

    >>> [linear_decay(step, 8, 0.5) for step in range(9)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return min(1.0, (num_steps - step) / (num_steps - start * num_steps))
