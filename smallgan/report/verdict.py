"""Verdicts between policies, from numbers alone: one score for each policy and seed.

The seeds are the replicates. Two runs of one policy under two seeds differ as much as luck makes them differ, and only
what exceeds that is the policy's doing; the interval of one trained model over its images knows nothing of it. So a
policy is compared with the reference seed by seed (same seed, same first weights and latents), and the differences get
Student's t interval and test. Holm's correction over the policies keeps the chance that a study of useless policies
calls even one of them useful at 5 %, whatever their number and however they depend on each other.

Sources: Student 1908 (Biometrika 6); Holm 1979 (Scandinavian Journal of Statistics 6); Bloom 1995 (Evaluation Review
19) for the smallest detectable difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtr, stdtrit

ALPHA = 0.05
"""Chance of any false call in a study without effects, and one minus the confidence of the intervals."""
POWER = 0.8
FEW_SEEDS = 5
"""With fewer seeds than this, a verdict is worded as a suggestion."""
_ROUNDING = 1e-12
"""Spread below this share of the scores is rounding, not chance."""

Call = Literal["lower", "higher", "no evidence", "untested"]
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
    detectable: float | None = None
    """Smallest true difference that a study of this spread and this many seeds finds four times out of five."""
    call: Call = "untested"
    why: str = ""
    """Of an untested policy: what is missing."""

    @property
    def only_suggests(self) -> bool:
        """Tell whether there are too few seeds for more than a suggestion."""
        return len(self.seeds) < FEW_SEEDS

    @property
    def is_called(self) -> bool:
        """Tell whether a difference was found."""
        return self.call in ("lower", "higher")


def judge(scores: Mapping[str, Mapping[int, float]], reference: str) -> list[Difference]:
    """Return a verdict for each policy but the reference, in their order.

    Args:
        scores: for each policy its finite scores by seed.
        reference: the policy that the others are compared with.

    Raises:
        KeyError: there is no such reference.
    """
    base = scores[reference]
    found = [_compare(policy, of_policy, base) for policy, of_policy in scores.items() if policy != reference]
    tested = [place for place, one in enumerate(found) if one.p is not None]
    corrected = holm([found[place].p or 0.0 for place in tested])
    for place, p_holm in zip(tested, corrected, strict=True):
        one = found[place]
        assert one.mean is not None
        call: Call = "no evidence" if p_holm > ALPHA else "lower" if one.mean < 0 else "higher"
        spread = _std([scores[one.policy][seed] - base[seed] for seed in one.seeds])
        detectable = smallest_detectable(spread, len(one.seeds), len(tested))
        found[place] = replace(one, p_holm=p_holm, detectable=detectable, call=call)
    return found


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return Student's 95 % interval of the mean over seeds, None for fewer than two values.

    >>> low, high = mean_interval([1, 2, 3, 4, 5])
    >>> round(low, 4), round(high, 4)
    (1.0368, 4.9632)
    """
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    half = float(stdtrit(len(values) - 1, 1 - ALPHA / 2)) * _std(values) / math.sqrt(len(values))
    return mean - half, mean + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted


def smallest_detectable(std: float, num_seeds: int, num_policies: int = 1) -> float:
    """Return the true difference that would be called with a chance of 80 %, as Bloom puts it.

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
    mean = math.fsum(differences) / len(differences)
    if len(seeds) == 1:
        return Difference(policy, seeds, mean, why="one seed cannot be told from luck")
    spread = _std(differences)
    if spread <= _ROUNDING * max(abs(value) for seed in seeds for value in (scores[seed], base[seed])):
        why = "its differences are the same under every seed, so nothing tells what luck does"
        return Difference(policy, seeds, mean, why=why)
    t = mean / (spread / math.sqrt(len(seeds)))
    return Difference(
        policy, seeds, mean, interval=mean_interval(differences), p=2 * float(stdtr(len(seeds) - 1, -abs(t)))
    )


def _std(values: Sequence[float]) -> float:
    """Return the standard deviation with n - 1 in the denominator."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
