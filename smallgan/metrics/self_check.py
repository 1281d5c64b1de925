"""Every metric on made-up features whose right answer can be worked out on paper: does this machine get it right?

No answer here was computed by the code under test: each is a formula in a few numbers. Sets reach over the borders of
blocks, so that what is added up in parts is checked too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallgan.metrics import fid, inception_score, kid, kmmd, rbf_multi, target_class
from smallgan.metrics.distances import BLOCK
from smallgan.metrics.memorisation import nearest, rates
from smallgan.metrics.precision_recall import precision

_MANY = BLOCK + 6
_WIDTH = 8
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One metric on one made-up case."""

    metric: str
    case: str
    expected: float
    found: float
    tolerance: float
    """Absolute."""

    @property
    def passed(self) -> bool:
        """Whether the answer is right; NaN never is."""
        return abs(self.found - self.expected) <= self.tolerance

    def line(self) -> str:
        """Return the check as a line of `smallgan score --check`."""
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.metric:16}  found {self.found:.9f}  expected {self.expected:.9f}  {self.case}"


def run_checks() -> list[Check]:
    """Return all checks, in the order of the table of metrics. A case that raises counts as NaN."""
    return [
        Check(metric, case, expected, _value(compute), 1e-9 * max(1.0, abs(expected)))
        for metric, case, expected, compute in [*_inception_score(), *_kernels(), *_fid(), *_neighbours()]
    ]


_Case = tuple[str, str, float, Callable[[], float]]


def _value(compute: Callable[[], float]) -> float:
    try:
        return float(compute())
    except Exception:  # whatever a broken library raises, the check has failed and the others still matter
        return math.nan


def _inception_score() -> list[_Case]:
    sure = np.tile(np.eye(10) * 1000, (_MANY // 10 + 1, 1))
    halves = np.tile([[math.log(3), 0.0], [0.0, math.log(3)]], (_MANY // 2, 1))
    # H(y) = ln 2, and each prediction is (3/4, 1/4) with entropy ln 4 - 3/4 ln 3.
    expected = math.exp(math.log(2) - math.log(4) + 0.75 * math.log(3))
    return [
        ("is", "ten classes, sure and equally often", 10.0, lambda: inception_score.inception_score(sure).mean),
        ("is", "two classes, three to one", expected, lambda: inception_score.inception_score(halves).mean),
        ("is", "all classes alike", 1.0, lambda: inception_score.inception_score(sure * 0, splits=10).mean),
    ]


def _kernels() -> list[_Case]:
    """Sets that sit at one or two places have as many different kernel values."""
    here, there = np.zeros((_MANY, _WIDTH)), np.zeros((_MANY, _WIDTH))
    there[:, 0] = 2
    split = np.concatenate([here, there])
    rooted = math.sqrt(0.5 - 0.5 / math.e)  # m = 4 / 2 and k(here, there) = 1 / e
    pairs_here = (_MANY - 1) / (2 * _MANY - 1)  # of the pairs of different images of `split`, those at one place
    unbiased = 1 + pairs_here + (1 - pairs_here) / math.e - (1 + 1 / math.e)
    # Pooled, the pairs of different places are _MANY / (2 _MANY - 1) of all, so D2 / w is this much:
    ratio = (2 * _MANY - 1) / _MANY
    multi = 10 - 2 * sum(math.exp(-ratio / factor) for factor in (0.25, 0.5, 1, 2, 4))
    cubic = (4 / _WIDTH + 1) ** 3 + 1 - 2  # k(there, there) + k(here, here) - 2 k(here, there)
    plus_minus = np.array([[1.0], [-1.0]])
    two = "fakes at one place, reals half there"
    return [
        ("kmmd", two, rooted, lambda: kmmd.kmmd(here, split).value),
        ("kmmd_u", two, unbiased, lambda: kmmd.mmd2_rbf_unbiased(here, split).value),
        ("mmd2_rbf_multi", "two places", multi, lambda: rbf_multi.mmd2_rbf_multi(here, there).value),
        ("mmd2_rbf_multi_u", "two places", multi, lambda: rbf_multi.mmd2_rbf_multi(here, there, unbiased=True).value),
        ("kid", "two places", cubic, lambda: kid.kid(here, there).value),
        ("kid", "fakes at 1 and -1, reals at 0", -1.0, lambda: kid.kid(plus_minus, np.zeros((2, 1))).value),
    ]


def _with_covariance(root: Array, mean: Array) -> Array:
    """Return 2 F images of exactly that mean, whose sample covariance is exactly root times its transpose."""
    axes = np.concatenate([np.eye(len(root)), -np.eye(len(root))]) * math.sqrt((2 * len(root) - 1) / 2)
    rows: Array = axes @ root.T + mean
    return rows


def _fid() -> list[_Case]:
    spreads, others = np.arange(1.0, _WIDTH + 1), np.arange(1.0, _WIDTH + 1)[::-1] / 2
    fake = _with_covariance(np.diag(spreads), np.zeros(_WIDTH))
    real = _with_covariance(np.diag(others), np.full(_WIDTH, 0.5))
    along_axes = _WIDTH * 0.25 + float(((spreads - others) ** 2).sum())
    one, other = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 2.0], [0.0, 3.0]])
    first, second = one @ one.T, other @ other.T
    # In two dimensions the trace of the root of M is sqrt(tr M + 2 sqrt(det M)).
    det = float(np.linalg.det(one) * np.linalg.det(other)) ** 2
    turned = float(np.trace(first + second)) - 2 * math.sqrt(float(np.trace(first @ second)) + 2 * math.sqrt(det))
    fakes, reals = (_with_covariance(root, np.zeros(2)) for root in (one, other))
    padding = np.zeros((4, _WIDTH))
    wide = [np.concatenate([side, padding], axis=1) for side in (fakes, reals)]
    return [
        ("fid", "spreads along the axes, means apart", along_axes, lambda: fid.fid(fake, real).value),
        ("fid", "covariances that do not commute", turned, lambda: fid.fid(fakes, reals).value),
        ("fid", "the same, fewer images than features", turned, lambda: fid.fid(wide[0], wide[1]).value),
    ]


def _neighbours() -> list[_Case]:
    """Reals at 0 to 9 on a line: their third nearest others lie 3 away at the ends, else 2."""
    line = np.arange(10.0)[:, None]
    some = np.array([[-3.0], [-3.5], [4.5], [13.0]])
    stacked = np.zeros((4, 1))
    grid = np.repeat(np.arange(_MANY, dtype=np.float64), 2)[:, None]
    grid[1::2] += 0.25  # pairs of reals a quarter apart, one apart from the next pair
    copied = np.array([[7.1], [7.6], [90.125], [300.5], [301.0]])
    logits = np.eye(4)[[0, 0, 1, 2, 3]] * 9
    return [
        ("precision", "points on a line", 0.5, lambda: precision(some, line)),
        ("recall", "fakes all at one place", 0.1, lambda: precision(line, stacked)),
        ("nn", "3, 4, 5", 5.0, lambda: nearest.nearest_distance(np.array([[3.0, 4.0]]), np.zeros((1, 2)))[0]),
        ("copies", "pairs on a line", 0.6, lambda: rates.copy_rate(copied, grid)),
        (
            "repeats",
            "two of five fakes alike",
            0.4,
            lambda: rates.repeat_rate(np.array([[1.0], [1.1], [5.0], [9.0], [20.0]]), rates.near_threshold(grid)),
        ),
        ("leak", "originals at 0, augmented at 5", 0.5, lambda: rates.leak_rate(some + 2, stacked, stacked + 5)),
        ("target", "class 0 and its neighbour 2", 0.6, lambda: target_class.concentration(logits, (0, 2)).share),
    ]
