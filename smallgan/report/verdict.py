"""Significance of differences between policies, from one score for each policy and seed.

Runs with different seeds are the replicates: the interval of one trained model over its images says nothing about the
variance between runs. Each policy is compared with the reference in pairs of equal seed (same first weights and
latents) by Student's t interval and test. Holm's correction over the policies keeps the family-wise error rate at 5 %,
whatever their number and dependence.

Sources: Student 1908 (Biometrika 6); Holm 1979 (Scandinavian Journal of Statistics 6); Bloom 1995 (Evaluation Review
19) for the minimal detectable difference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from scipy.special import stdtr, stdtrit

ALPHA = 0.05  # Family-wise error rate, and one minus the confidence of the intervals
POWER = 0.8
FEW_SEEDS = 5  # With fewer seeds than this a result is called preliminary
_ROUNDING = 1e-12  # A standard deviation below this share of the scores is rounding

Conclusion = Literal["lower", "higher", "not significant", "not tested"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """One policy against the reference; differences are policy minus reference, in units of the score."""

    policy: str
    seeds: tuple[int, ...]
    """Those that both have, ascending."""
    mean: float | None
    """None without a common seed."""
    interval: Interval | None = None
    """95 %, of this comparison by itself."""
    p: float | None = None
    """Two-sided."""
    p_holm: float | None = None
    """Corrected for the number of policies."""
    min_detectable: float | None = None
    """True difference that this many seeds with this standard deviation detect with 80 % power."""
    conclusion: Conclusion = "not tested"
    why: str = ""
    """Why it was not tested, as a clause."""
    copies_rise: bool = False
    """Whether copies of training images rise with the policy: then it is never called better."""

    @property
    def has_few_seeds(self) -> bool:
        """Tell whether the result is preliminary."""
        return len(self.seeds) < FEW_SEEDS

    @property
    def is_significant(self) -> bool:
        """Tell whether the difference is significant after Holm's correction."""
        return self.conclusion in ("lower", "higher")


def compare_to_reference(scores: Mapping[str, Mapping[int, float]], reference: str) -> list[Difference]:
    """Return the difference of each policy to the reference, in their order.

    Args:
        scores: for each policy its finite scores by seed.
        reference: the policy that the others are compared with.

    Raises:
        KeyError: there is no such reference.
    """
    base = scores[reference]
    differences = [_compare(policy, of_policy, base) for policy, of_policy in scores.items() if policy != reference]
    tested = [index for index, one in enumerate(differences) if one.p is not None]
    corrected = holm([differences[index].p or 0.0 for index in tested])
    for index, p_holm in zip(tested, corrected, strict=True):
        one = differences[index]
        assert one.mean is not None
        conclusion: Conclusion = "not significant" if p_holm > ALPHA else "lower" if one.mean < 0 else "higher"
        spread = _std([scores[one.policy][seed] - base[seed] for seed in one.seeds])
        min_detectable = min_detectable_difference(spread, len(one.seeds), len(tested))
        differences[index] = replace(one, p_holm=p_holm, min_detectable=min_detectable, conclusion=conclusion)
    return differences


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return Student's 95 % interval of the mean over seeds, None for fewer than two values.

    >>> low, high = mean_interval([1, 2, 3, 4, 5])
    >>> round(low, 4), round(high, 4)
    (1.0368, 4.9632)
    """
    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, 1 - ALPHA / 2)) * _std(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def min_detectable_difference(std: float, num_seeds: int, num_policies: int = 1) -> float:
    """Return the true difference that is detected with 80 % power (Bloom 1995).

    Args:
        std: standard deviation over the seeds of the paired differences.
        num_seeds: two or more.
        num_policies: how many are tested at once; the strictest step of Holm's correction is taken.
    """
    freedom = num_seeds - 1
    multiple = float(stdtrit(freedom, 1 - ALPHA / 2 / num_policies) + stdtrit(freedom, POWER))
    return multiple * std / math.sqrt(num_seeds)


def _compare(policy: str, scores: Mapping[int, float], base: Mapping[int, float]) -> Difference:
    seeds = tuple(sorted(scores.keys() & base.keys()))
    if not seeds:
        return Difference(policy, seeds, None, why="it shares no scored seed with the reference")
    differences = [scores[seed] - base[seed] for seed in seeds]
    mean = fmean(differences)
    if len(seeds) == 1:
        return Difference(policy, seeds, mean, why="with one seed the variance cannot be estimated")
    spread = _std(differences)
    if spread <= _ROUNDING * max(abs(value) for seed in seeds for value in (scores[seed], base[seed])):
        why = "the differences are the same under every seed, so the variance cannot be estimated"
        return Difference(policy, seeds, mean, why=why)
    p = 2 * float(stdtr(len(seeds) - 1, -abs(mean) / (spread / math.sqrt(len(seeds)))))
    return Difference(policy, seeds, mean, interval=mean_interval(differences), p=p)


def _std(values: Sequence[float]) -> float:
    return math.dist(values, [fmean(values)] * len(values)) / math.sqrt(len(values) - 1)
