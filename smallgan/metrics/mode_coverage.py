"""Mode coverage: which parts of a distribution whose parts are known were found, and how evenly.

The network tells the modes: its logits are minus half the squared distance to each Gaussian's center in standard
deviations, or those of a classifier, less the largest. Protocol of PacGAN (Lin et al. 2018, arXiv:1712.04086).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from augment.core.shares import wilson
from augment.errors import UsageError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.intervals import Interval
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult

Z_95 = 1.959963984540054
GOOD_STDS = 3.0  # A sample this near to its nearest center is good


def is_good(logits: Vectors) -> NDArray[np.bool_]:
    """Return whether each sample N x K is within GOOD_STDS of its nearest center; N. Of a classifier all are."""
    found: NDArray[np.bool_] = logits.max(axis=1) >= -(GOOD_STDS**2) / 2
    return found


def num_modes(logits: Vectors) -> float:
    """Return the number of modes that are nearest to at least one good sample.

    Two samples at the first of two centers, and one 4 standard deviations from the second:

        >>> num_modes(np.array([[0.0, -50.0], [0.0, -50.0], [-50.0, -8.0]]))
        1.0
    """
    return float(len(np.unique(logits[is_good(logits)].argmax(axis=1))))


def good_share(logits: Vectors) -> float:
    """Return the share of good samples."""
    return float(is_good(logits).mean())


def reverse_kl(logits: Vectors) -> float:
    """Return sum p log(p K), p the shares of samples at each of K modes by the nearest: their divergence from equal.

    All samples at one of two modes is log 2:

        >>> round(reverse_kl(np.array([[0.0, -1.0], [0.0, -2.0]])), 4)
        0.6931
    """
    shares = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)
    found = shares[shares > 0]
    return float((found * np.log(found * logits.shape[1])).sum())


def modes_interval(logits: Vectors) -> Interval:
    """Return the 95 % interval of `num_modes` for other samples, as many, of the same generator.

    The variance is the jackknife's, the number of modes with one good sample, which is too large on average rather
    than too small (Efron and Stein 1981, Annals of Statistics 9); where modes lack, one more or less is always allowed.
    """
    counts = np.bincount(logits[is_good(logits)].argmax(axis=1), minlength=logits.shape[1])
    seen, possible = float((counts > 0).sum()), float(len(counts))
    half = max(Z_95 * float((counts == 1).sum()) ** 0.5, float(seen < possible))
    return max(seen - half, 0.0), min(seen + half, possible)


def kl_interval(logits: Vectors) -> Interval:
    """Return the 95 % interval of `reverse_kl`: the delta method's variance, and that of equal shares' chi square."""
    count, value = len(logits), reverse_kl(logits)
    shares = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / count
    found = shares[shares > 0]
    second = float((found * np.log(found * len(shares)) ** 2).sum())
    half = Z_95 * (max(second - value**2, 0.0) / count + (len(shares) - 1) / (2 * count**2)) ** 0.5
    return max(value - half, 0.0), value + half


def measure_modes(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Number of modes with a sample within 3 standard deviations of their center; of a classifier with any."""
    logits = inputs.fake.logits
    possible = {"possible": float(logits.shape[1])}
    return MetricResult(num_modes(logits), "modes-1-good-3std", parts=possible, interval=modes_interval(logits))


def measure_good(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Share of samples within 3 standard deviations of the nearest center."""
    logits = inputs.fake.logits
    if not logits.max(axis=1).any():
        raise UsageError("--metrics good: needs distances to the modes, which no classifier gives; leave it out")
    value = good_share(logits)
    return MetricResult(value, "good-share-3std", interval=wilson(value, len(logits)))


def measure_kl(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Divergence of the samples' shares of the modes, each by the nearest, from equal ones: 0 to log(modes)."""
    logits = inputs.fake.logits
    return MetricResult(reverse_kl(logits), "reverse-kl-to-uniform", interval=kl_interval(logits))


def _at_modes(counts: list[int]) -> NDArray[np.float64]:
    """Return logits of so many samples at each mode, all at the very center."""
    return np.log(np.eye(len(counts)).repeat(counts, axis=0) + 1e-30)


def checks_modes() -> list[Case]:
    """Samples at 3 of 5 modes."""
    return [Case("5, 0, 9, 0 and 1 samples at five modes", 3.0, lambda: num_modes(_at_modes([5, 0, 9, 0, 1])))]


def checks_good() -> list[Case]:
    """One of four samples is 3.1 standard deviations away."""
    away = -(np.array([[0.0], [1.0], [2.9], [3.1]]) ** 2) / 2
    return [Case("distances 0, 1, 2.9 and 3.1 standard deviations", 0.75, lambda: good_share(away))]


def checks_kl() -> list[Case]:
    """All samples at 2 of 8 modes."""
    return [Case("6 samples at each of 2 of 8 modes", np.log(4), lambda: reverse_kl(_at_modes([6, 6, *[0] * 6])))]
