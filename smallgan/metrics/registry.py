"""The table of metrics: what each is called, what it needs, and how its function becomes a value with an interval."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UsageError
from smallgan.metrics import fid, inception_score, kid, kmmd, rbf_multi, target_class
from smallgan.metrics.distances import Vectors
from smallgan.metrics.intervals import Rows, subsampled, wilson
from smallgan.metrics.memorisation import rates
from smallgan.metrics.memorisation.nearest import nearest_distance
from smallgan.metrics.precision_recall import NEIGHBOURS, precision

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import Features

MANY_IMAGES = 1000
"""From here on the Inception Score is split in ten as published, and few-image notes fall silent."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class MetricResult:
    """What a metric found, before its conditions are written beside it."""

    value: float
    std: float | None = None
    splits: int | None = None
    parts: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    interval: Interval | None = None
    """95 %."""
    needed: int | None = None
    """Images a side that would do, where there are too few for this metric."""
    estimator: str | None = None
    """Names the definition where the images or the options had a say in it; None leaves it to the table."""


@dataclass(frozen=True)
class MetricInputs:
    """The features that a metric may look at."""

    fake: Features
    real: Features | None = None
    augmented: Features | None = None

    @property
    def pair(self) -> tuple[Vectors, Vectors]:
        """The features of fakes and reals, for a metric that needs both."""
        assert self.real is not None
        return self.fake.features, self.real.features


@dataclass(frozen=True)
class MetricOptions:
    """How to measure."""

    splits: int | None = None
    """Of the Inception Score; None for the default."""
    seed: int = 0
    target: tuple[int, ...] | None = None
    """Class and neighbours for the target-class concentration; None takes them from the reals."""
    intervals: bool = True


@dataclass(frozen=True)
class Metric:
    """A row of the table of metrics."""

    title: str
    estimator: str
    """Names the definition in a score's identity."""
    needs_real: bool
    compute: Callable[[MetricInputs, MetricOptions], MetricResult]
    needs_augmented: bool = False
    needs_logits: bool = False
    asks_real: bool = False
    """Whether reals have a say where there are any, though it can do without."""
    has_baseline: bool = True
    """Whether reals scored against other reals say what the best value is."""

    @property
    def uses_real(self) -> bool:
        """Whether reals must be extracted for it."""
        return self.needs_real or self.asks_real


def _inception_score(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    notes = []
    count, splits = len(sets.fake), ask.splits
    if splits is None:
        splits = 10 if count >= MANY_IMAGES else 1
    if count < MANY_IMAGES:
        notes.append(
            f"{count} image(s), {splits} split(s): an Inception Score of few images reads too low and "
            "grows with their number; compare at equal numbers only"
        )
    found = inception_score.inception_score(sets.fake.logits, splits=splits, shuffle_seed=ask.seed)
    return MetricResult(
        found.mean,
        found.std,
        splits,
        {"h_y": found.h_y, "h_y_given_x": found.h_y_given_x},
        tuple(notes),
        found.interval,
        MANY_IMAGES if count < MANY_IMAGES else None,
    )


def _kmmd(sets: MetricInputs, _ask: MetricOptions) -> MetricResult:
    found = kmmd.kmmd(*sets.pair)
    measured = MetricResult(found.value, parts={"bandwidth": found.bandwidth, "sigma": 1.0}, interval=found.interval)
    return _biased(measured, sets, "KMMD")


def _kmmd_unbiased(sets: MetricInputs, _ask: MetricOptions) -> MetricResult:
    found = kmmd.mmd2_rbf_unbiased(*sets.pair)
    return MetricResult(found.value, parts={"bandwidth": found.bandwidth, "sigma": 1.0}, interval=found.interval)


def _rbf_multi(sets: MetricInputs, _ask: MetricOptions) -> MetricResult:
    found = rbf_multi.mmd2_rbf_multi(*sets.pair)
    measured = MetricResult(found.value, parts={"bandwidth": found.bandwidth}, interval=found.interval)
    return _biased(measured, sets, "a biased MMD")


def _rbf_multi_unbiased(sets: MetricInputs, _ask: MetricOptions) -> MetricResult:
    found = rbf_multi.mmd2_rbf_multi(*sets.pair, unbiased=True)
    return MetricResult(found.value, parts={"bandwidth": found.bandwidth}, interval=found.interval)


def _kid(sets: MetricInputs, _ask: MetricOptions) -> MetricResult:
    found = kid.kid(*sets.pair)
    return MetricResult(found.value, interval=found.interval)


def _fid(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    found = fid.fid(*sets.pair, interval=ask.intervals)
    fewest, width = min(map(len, sets.pair)), sets.fake.features.shape[1]
    notes, needed = [], None
    if fewest < found.needed:
        needed = found.needed
        notes.append(
            f"TOO FEW IMAGES FOR FID: {fewest} where features of width {width} need {needed} a side; it reads too high "
            "and its order may be chance, so no interval; KID does at this size"
        )
    return MetricResult(
        found.value,
        parts={"means": found.means, "covariances": found.covariances},
        notes=tuple(notes),
        interval=found.interval,
        needed=needed,
    )


def _precision(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    return _covered("precision", *sets.pair, ask)


def _recall(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    fake, real = sets.pair
    return _covered("recall", real, fake, ask)


def _covered(what: str, points: Vectors, ground: Vectors, ask: MetricOptions) -> MetricResult:
    value = precision(points, ground)
    fewest = min(len(points), len(ground))
    few = fewest < MANY_IMAGES
    note = f"{fewest} image(s) on a side: {what} of few images reads too high; compare at equal numbers only"
    interval = _share_interval(value, precision, (points, ground), ask, NEIGHBOURS + 1)
    return MetricResult(value, notes=(note,) if few else (), interval=interval, needed=MANY_IMAGES if few else None)


def _nearest(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    distances = nearest_distance(*sets.pair)
    parts = {"median": float(np.median(distances)), "smallest": float(distances.min())}
    value = float(distances.mean())
    interval = _subsampled(value, lambda fake, real: float(nearest_distance(fake, real).mean()), sets.pair, ask, 1)
    return MetricResult(value, parts=parts, interval=interval and (max(0.0, interval[0]), interval[1]))


def _copies(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    found = rates.memorisation(*sets.pair)
    parts = {"expected": found.threshold.expected, "threshold": found.threshold.distance}
    interval = _share_interval(found.copy_rate, rates.copy_rate, sets.pair, ask, 6)
    return MetricResult(found.copy_rate, parts=parts, notes=_few_reals(sets), interval=interval)


def _repeats(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    def rate(fake: Vectors, real: Vectors) -> float:
        return rates.repeat_rate(fake, rates.near_threshold(real))

    threshold = rates.near_threshold(sets.pair[1])
    value = rates.repeat_rate(sets.pair[0], threshold)
    if math.isnan(value):
        raise UsageError("--metrics repeats: one image has no other to repeat; give at least two")
    parts = {"expected": threshold.expected, "threshold": threshold.distance}
    return MetricResult(
        value, parts=parts, notes=_few_reals(sets), interval=_share_interval(value, rate, sets.pair, ask, 6)
    )


def _leak(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    assert sets.augmented is not None
    fake, real = sets.pair
    augmented = sets.augmented.features
    value = rates.leak_rate(fake, real, augmented)
    notes = []
    if len(augmented) != len(real):
        notes.append(
            f"{len(augmented)} augmented image(s) against {len(real)} original(s): the larger set is nearer by its "
            "number alone; give as many of both"
        )
    return MetricResult(
        value,
        parts={"num_augmented": float(len(augmented))},
        notes=tuple(notes),
        interval=_share_interval(value, rates.leak_rate, (fake, real, augmented), ask, 1),
        estimator=f"nearer to one of {len(augmented)} augmented images ({_digest(augmented)}) than to any original",
    )


def _target(sets: MetricInputs, ask: MetricOptions) -> MetricResult:
    if ask.target is None and sets.real is None:
        raise UsageError("--metrics target: needs --target CLASS, or reals (--real) to take the class from")
    classes = ask.target or target_class.classes_of_reals(_reals(sets).logits)
    found = target_class.concentration(sets.fake.logits, classes)
    parts = {"mean_probability": float(found.probability.mean())}
    if sets.real is not None:
        parts["of_reals"] = target_class.concentration(sets.real.logits, classes).share
    return MetricResult(
        found.share,
        parts=parts,
        interval=wilson(found.share, len(sets.fake)) if ask.intervals else None,
        estimator=f"share with the top class among {', '.join(map(str, found.classes))}",
    )


def _digest(features: Vectors) -> str:
    """Return a name for a set of images that is in no other place of a score's identity."""
    return hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()[:12]


def _reals(sets: MetricInputs) -> Features:
    assert sets.real is not None
    return sets.real


def _biased(measured: MetricResult, sets: MetricInputs, name: str) -> MetricResult:
    """Return what was measured, with a note where a biased MMD has too few images."""
    fake, real = sets.pair
    if min(len(fake), len(real)) >= MANY_IMAGES:
        return measured
    note = (
        f"{len(fake)} fake(s), {len(real)} real(s): {name} of few images reads too high; compare at equal numbers only"
    )
    return replace(measured, notes=(note,), needed=MANY_IMAGES)


def _few_reals(sets: MetricInputs) -> tuple[str, ...]:
    num_real = len(sets.pair[1])
    if num_real >= 199:
        return ()
    return (
        f"{num_real} real(s): what counts as a copy is the distance of the two nearest of them, one number; from 199 "
        "reals on it is their 1 % point",
    )


def _subsampled(
    value: float, statistic: Callable[..., float], sides: Sequence[Vectors], ask: MetricOptions, least: int
) -> Interval | None:
    """Return the interval of a statistic of several sets, from halves of them."""
    if not ask.intervals:
        return None

    def of_rows(rows: Sequence[Rows]) -> float:
        return statistic(*(side[of_side] for side, of_side in zip(sides, rows, strict=True)))

    spread = subsampled(of_rows, [len(side) for side in sides], ask.seed, least)
    return spread.around(value) if spread else None


def _share_interval(
    value: float, statistic: Callable[..., float], sides: Sequence[Vectors], ask: MetricOptions, least: int
) -> Interval | None:
    """Return the wider of two at each end: that of halves, and Wilson's, as halves may all agree on 0 or 1.

    Args:
        value: a share of the images of the first side.
    """
    by_halves = _subsampled(value, statistic, sides, ask, least)
    if by_halves is None:
        return None
    low, high = wilson(value, len(sides[0]))
    return max(0.0, min(low, by_halves[0])), min(1.0, max(high, by_halves[1]))


METRICS: dict[str, Metric] = {
    "is": Metric("Inception Score", "exp(H(y) - H(y|x)), mean over splits", False, _inception_score, needs_logits=True),
    "kmmd": Metric("KMMD", "A: Gaussian, biased, root; width from reals", True, _kmmd),
    "kmmd_u": Metric("KMMD squared, unbiased", "A unbiased, no root; width from reals", True, _kmmd_unbiased),
    "mmd2_rbf_multi": Metric("MMD2 (5 kernels)", "D: 5 Gaussians, biased; widths from both sets", True, _rbf_multi),
    "mmd2_rbf_multi_u": Metric(
        "MMD2 (5 kernels), unbiased", "D unbiased: 5 Gaussians; widths from both sets", True, _rbf_multi_unbiased
    ),
    "kid": Metric("KID", "cubic kernel, unbiased, all pairs", True, _kid),
    "fid": Metric("FID", "Gaussians, sample covariances", True, _fid),
    "precision": Metric("precision", f"k = {NEIGHBOURS} nearest reals", True, _precision),
    "recall": Metric("recall", f"k = {NEIGHBOURS} nearest fakes", True, _recall),
    "nn": Metric("nearest-real distance", "mean Euclidean distance to the nearest real", True, _nearest),
    "copies": Metric("copy rate", "nearer to a real than 1 % of reals are to each other", True, _copies),
    "repeats": Metric("repeat rate", "nearer to a fake than 1 % of reals are to each other", True, _repeats),
    "leak": Metric(
        "leak rate",
        "nearer to an augmented image than to any original",
        True,
        _leak,
        needs_augmented=True,
        has_baseline=False,
    ),
    "target": Metric(
        "target-class share", "top class", False, _target, needs_logits=True, asks_real=True, has_baseline=False
    ),
}
"""All metrics by the name that `--metrics` takes."""
