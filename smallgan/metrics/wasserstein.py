"""Wasserstein-1 distance of two sets: the mean distance of the best matching, found exactly."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from smallgan.metrics.distances import Vectors
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, subsample_interval, two_places

MOST = 1000  # Of each set; the matching takes the third power of it in time


def wasserstein_1(one: Vectors, other: Vectors, seed: int = 0) -> float:
    """Return the mean Euclidean distance of the matching of two sets n x F, m x F that makes it least.

    Of more than MOST rows, and of the larger set, so many are drawn: both sides have the same number.

        >>> wasserstein_1(np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[9.0, 1.0], [0.0, 3.0]]))
        2.0
    """
    costs = cdist(*_as_many(one, other, seed))
    return float(costs[linear_sum_assignment(costs)].mean())


def _as_many(one: Vectors, other: Vectors, seed: int) -> list[Vectors]:
    """Return as many rows of both, at most MOST."""
    count = min(len(one), len(other), MOST)
    draws = np.random.default_rng(np.random.SeedSequence([abs(seed), len(one), len(other)]))
    return [each if len(each) == count else each[draws.permutation(len(each))[:count]] for each in (one, other)]


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Mean distance of the exact best matching of up to 1,000 samples and reals; above 0 for one source too."""
    fake, real = _as_many(*inputs.pair, options.seed)  # the interval is that of the rows matched
    value = wasserstein_1(fake, real, options.seed)
    interval = subsample_interval(value, wasserstein_1, [fake, real], options, 2)
    if interval:
        interval = max(interval[0], 0.0), interval[1]
    return MetricResult(value, f"w1-exact-of-{len(fake)}", interval=interval)


def checks() -> list[Case]:
    """Two places at distance 2."""
    return [Case("all fakes at distance 2 from all reals", 2.0, lambda: wasserstein_1(*two_places()))]
