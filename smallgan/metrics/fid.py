"""Frechet Inception Distance (Heusel et al. 2017, arXiv:1706.08500): between Gaussians fitted to two sets of features.

    FID = |mu_f - mu_r|^2 + tr(S_f + S_r - 2 (S_f S_r)^(1/2))

with sample covariances S (divisor n - 1). The trace of the root is the sum of the singular values of A_f' A_r for any
A with S = A A', so the two roots are never multiplied out and nothing imaginary has to be thrown away: A is the
centred features themselves where there are fewer images than features, else the symmetric root of S by eigenvalues.

FID falls as sets grow (a covariance of F x F numbers needs many images): compare at equal numbers only.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector, row_blocks
from smallgan.metrics.intervals import Matrix, Spread, group_labels, jackknife
from smallgan.metrics.measure import CHECK_WIDTH, Case, MetricInputs, MetricOptions, MetricResult
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

_GROUPS = 10  # Of the jackknife: each needs the eigenvalues of an F x F matrix


@dataclass(frozen=True)
class Moments:
    """What FID needs of a set, in float64."""

    mean: Matrix  # F
    covariance: Matrix | None  # F x F; None where there are at most F images and `factor` says it shorter
    factor: Matrix  # F x F or n x F: its transpose times itself is the covariance
    trace: float


def fid(fake: Vectors, real: Vectors, facts: RealFacts = NONE_KEPT, *, interval: bool = True) -> MetricResult:
    """Return the distance between n x F and m x F features, in float64; n and m from 2 up.

    The covariances mean something from twice the width on, at least 20 images per set; fewer get a note, no interval.

    Args:
        fake, real: features of any float type; blocks are cast, never the whole.
        facts: of the reals.
        interval: also find the interval, which costs 20 more eigenvalue problems.

    Raises:
        InputError: a set has one image.

    Fakes at 0 and 2 (mean 1, variance 2), reals at 3 and 7 (mean 5, variance 8): 16 + 2 + 8 - 2 * 4:

        >>> round(fid(np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])).value, 9)
        18.0
    """
    of_fake, of_real = moments(fake, "fake"), _moments_of_reals(real, facts)
    value, means = frechet(of_fake, of_real)
    needed, fewest = max(2 * fake.shape[1], 2 * _GROUPS), min(len(fake), len(real))
    found = MetricResult(value, "Gaussians, sample covariances", parts={"means": means, "covariances": value - means})
    if fewest < needed:
        note = (
            f"TOO FEW IMAGES FOR FID: {fewest} where features of width {fake.shape[1]} need {needed} per set; it is "
            "too high and its order may be chance, so no interval; use KID at this size"
        )
        return replace(found, notes=(note,), needed=needed)
    if not interval:
        return found
    low, high = (_spread(fake, of_fake, of_real, value) + _spread(real, of_real, of_fake, value)).around(value)
    return replace(found, interval=(max(0.0, low), high))


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Heusel et al. 2017, sample covariances."""
    return fid(*inputs.pair, inputs.facts, interval=options.intervals)


def checks() -> list[Case]:
    """Return Gaussians of given moments, along the axes and turned, also with fewer images than features."""
    spreads, others = np.arange(1.0, CHECK_WIDTH + 1), np.arange(1.0, CHECK_WIDTH + 1)[::-1] / 2
    fake = _with_covariance(np.diag(spreads), np.zeros(CHECK_WIDTH))
    real = _with_covariance(np.diag(others), np.full(CHECK_WIDTH, 0.5))
    along_axes = CHECK_WIDTH * 0.25 + float(((spreads - others) ** 2).sum())
    one, other = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 2.0], [0.0, 3.0]])
    first, second = one @ one.T, other @ other.T
    # In two dimensions the trace of the root of M is sqrt(tr M + 2 sqrt(det M)).
    det = float(np.linalg.det(one) * np.linalg.det(other)) ** 2
    turned = float(np.trace(first + second)) - 2 * math.sqrt(float(np.trace(first @ second)) + 2 * math.sqrt(det))
    fakes, reals = (_with_covariance(root, np.zeros(2)) for root in (one, other))
    wide = [np.concatenate([each, np.zeros((4, CHECK_WIDTH))], axis=1) for each in (fakes, reals)]
    return [
        Case("spreads along the axes, means apart", along_axes, lambda: fid(fake, real).value),
        Case("covariances that do not commute", turned, lambda: fid(fakes, reals).value),
        Case("the same, fewer images than features", turned, lambda: fid(wide[0], wide[1]).value),
    ]


def _with_covariance(root: Matrix, mean: Matrix) -> Matrix:
    """Return 2 F images of exactly that mean, whose sample covariance is exactly root times its transpose."""
    axes = np.concatenate([np.eye(len(root)), -np.eye(len(root))]) * math.sqrt((2 * len(root) - 1) / 2)
    return np.asarray(axes @ root.T + mean)


def moments(x: Vectors, what: str = "") -> Moments:
    """Return mean and covariance of n x F features. Raises InputError for one image, naming its set by `what`."""
    if len(x) < 2:
        raise InputError(f"FID needs at least two {what} images to have a covariance, and found {len(x)}")
    mean = mean_vector(x)
    if len(x) <= x.shape[1]:
        factor = (np.asarray(x, np.float64) - mean) / np.sqrt(len(x) - 1)
        return Moments(mean, None, factor, float(np.square(factor).sum()))
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for rows in row_blocks(len(x)):
        block = np.asarray(x[rows], np.float64) - mean
        covariance += block.T @ block
    covariance /= len(x) - 1
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # what rounding left below 0 becomes 0
    return Moments(mean, covariance, root, float(np.trace(covariance)))


def _moments_of_reals(real: Vectors, facts: RealFacts) -> Moments:
    if len(real) <= real.shape[1]:  # one look at each image, and nothing shorter to keep than the images
        return moments(real, "real")
    found = facts.get("moments", lambda: {name: np.asarray(value) for name, value in vars(moments(real)).items()})
    return Moments(found["mean"], found["covariance"], found["factor"], float(found["trace"]))


def frechet(one: Moments, other: Moments) -> tuple[float, float]:
    """Return the distance between two Gaussians, and the part of it that their means make."""
    means = float(np.square(one.mean - other.mean).sum())
    root_trace = float(np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum())
    return max(0.0, means + one.trace + other.trace - 2 * root_trace), means


def _spread(x: Vectors, moments_of_x: Moments, other: Moments, value: float) -> Spread:
    """Return the jackknife's spread over one set, leaving out groups of its images."""
    groups = group_labels(len(x), _GROUPS)
    without = [_without(x, groups == group, moments_of_x, other) for group in range(_GROUPS)]
    return jackknife(value, np.array(without), np.bincount(groups).astype(np.float64))


def _without(x: Vectors, left_out: NDArray[np.bool_], whole: Moments, other: Moments) -> float:
    """Return the distance when some rows of x are left out, by taking them off the moments of the whole."""
    assert whole.covariance is not None
    shift, scatter = np.zeros_like(whole.mean), np.zeros_like(whole.covariance)
    for rows in row_blocks(len(x)):
        block = np.asarray(x[rows][left_out[rows]], np.float64) - whole.mean
        shift += block.sum(axis=0)
        scatter += block.T @ block
    rest = len(x) - int(left_out.sum())
    mean = whole.mean - shift / rest
    covariance = (whole.covariance * (len(x) - 1) - scatter - np.outer(shift, shift) / rest) / (rest - 1)
    squares = np.linalg.eigvalsh(other.factor @ covariance @ other.factor.T)
    root_trace = float(np.sqrt(np.maximum(squares, 0)).sum())
    means = float(np.square(mean - other.mean).sum())
    return means + float(np.trace(covariance)) + other.trace - 2 * root_trace
