"""Metrics: pure functions of features, a table of them, and `evaluate`, which makes scores with their conditions.

Torch-free, as `smallgan.metrics.score` must be; only `smallgan.metrics.features` needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from augment.errors import UsageError
from smallgan.metrics import inception_score, kid, kmmd, nearest
from smallgan.metrics.score import Identity, Score

if TYPE_CHECKING:
    from smallgan.metrics.features import FeatureNet, Features

_MANY_IMAGES = 1000
"""From here on the Inception Score is split in ten as published, and few-image notes fall silent."""


@dataclass(frozen=True)
class Measured:
    """What a metric found, before its conditions are written beside it."""

    value: float
    std: float | None = None
    splits: int | None = None
    parts: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    interval: tuple[float, float] | None = None
    """95 %."""


@dataclass(frozen=True)
class Metric:
    """A row of the table of metrics."""

    title: str
    estimator: str
    """Names the definition in a score's identity."""
    needs_real: bool
    compute: Callable[[Features, Features | None, int | None, int], Measured]
    """(fake, real, splits or None for the default, seed) -> Measured."""


def evaluate(
    fake: Features,
    real: Features | None,
    net: FeatureNet,
    *,
    reals_fingerprint: str | None = None,
    reals_prepared: str | None = None,
    metrics: Sequence[str] = ("is", "kmmd"),
    splits: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return one score for each metric, with its identity, in the order asked for.

    Args:
        fake, real: features of both sides from the same network; real may be None for metrics that need none.
        net: the network that made them.
        reals_fingerprint: `augment.sources.fingerprint` of the real files.
        reals_prepared: how reals reached the size of the fakes, "crop to 64 px"; None when they were taken as they are.
        metrics: names from METRICS.
        splits: parts of the Inception Score; None means ten from 1,000 images on, else one, which a note says.
        seed: shuffles the images before they are split.

    Raises:
        UsageError: an unknown metric, one that needs reals without any, or more splits than images.
        InputError: the reals cannot serve the metric.
    """
    check_metrics(metrics)
    return [
        _evaluate_one(name, fake, real, net, reals_fingerprint, reals_prepared, splits, seed)
        for name in dict.fromkeys(metrics)
    ]


def check_metrics(names: Sequence[str]) -> None:
    """Raise UsageError unless every name is in METRICS and there is one."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise UsageError(
            f"--metrics: found {found}, needed some of {', '.join(METRICS)}; for example --metrics is,kmmd"
        )


def _evaluate_one(
    name: str,
    fake: Features,
    real: Features | None,
    net: FeatureNet,
    reals_fingerprint: str | None,
    reals_prepared: str | None,
    splits: int | None,
    seed: int,
) -> Score:
    metric = METRICS[name]
    if metric.needs_real and real is None:
        raise UsageError(f"--metrics {name}: needs real images to compare with; name them with --real")
    began = time.perf_counter()
    measured = metric.compute(fake, real, splits, seed)
    used = real if metric.needs_real else None
    resize = f"{reals_prepared}, then {net.resize}" if used is not None and reals_prepared else net.resize
    identity: Identity = {
        "metric": name,
        "estimator": metric.estimator,
        "features": net.name,
        "weights_sha256": net.sha256,
        "resize": resize,
        "precision": net.precision,
        "reals": reals_fingerprint if used is not None else None,
        "num_real": len(used) if used is not None else None,
        "num_fake": len(fake),
        "splits": measured.splits,
    }
    return Score(
        metric=name,
        label=_label(name, net),
        value=measured.value,
        identity=identity,
        std=measured.std,
        interval=measured.interval,
        parts=measured.parts,
        notes=measured.notes + ((net.note,) if net.note else ()),
        seed=seed,
        seconds=round(time.perf_counter() - began, 3),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _label(name: str, net: FeatureNet) -> str:
    """Name a score; only the published network's Inception Score goes without its network's name."""
    if name == "is":
        return "Inception Score" if net.name == "inception-v3-tf2015" else f"IS ({net.label})"
    return f"{METRICS[name].title} ({net.label})"


def _inception_score(fake: Features, _real: Features | None, splits: int | None, seed: int) -> Measured:
    notes = []
    count = len(fake)
    if splits is None:
        splits = 10 if count >= _MANY_IMAGES else 1
    if count < _MANY_IMAGES:
        notes.append(
            f"{count} image(s), {splits} split(s): an Inception Score of few images reads too low and "
            "grows with their number; compare at equal numbers only"
        )
    found = inception_score.inception_score(fake.logits, splits=splits, shuffle_seed=seed)
    parts = {"h_y": found.h_y, "h_y_given_x": found.h_y_given_x}
    return Measured(found.mean, found.std, splits, parts, tuple(notes))


def _kmmd(fake: Features, real: Features | None, _splits: int | None, _seed: int) -> Measured:
    assert real is not None
    found = kmmd.kmmd(fake.features, real.features)
    notes = []
    if min(len(fake), len(real)) < _MANY_IMAGES:
        notes.append(
            f"{len(fake)} fake(s), {len(real)} real(s): KMMD of few images reads too high; "
            "compare at equal numbers only"
        )
    return Measured(found.value, parts={"bandwidth": found.bandwidth, "sigma": 1.0}, notes=tuple(notes))


def _kid(fake: Features, real: Features | None, _splits: int | None, _seed: int) -> Measured:
    assert real is not None
    found = kid.kid(fake.features, real.features)
    return Measured(found.value, interval=found.interval)


def _nearest(fake: Features, real: Features | None, _splits: int | None, _seed: int) -> Measured:
    import numpy as np

    assert real is not None
    distances = nearest.nearest_distance(fake.features, real.features)
    parts = {"median": float(np.median(distances)), "smallest": float(distances.min())}
    return Measured(float(distances.mean()), parts=parts)


METRICS: dict[str, Metric] = {
    "is": Metric("Inception Score", "exp(H(y) - H(y|x)), mean over splits", False, _inception_score),
    "kmmd": Metric("KMMD", "A: Gaussian, biased, root; width from reals", True, _kmmd),
    "kid": Metric("KID", "cubic kernel, unbiased, all pairs", True, _kid),
    "nn": Metric("nearest-real distance", "mean Euclidean distance to the nearest real", True, _nearest),
}
"""All metrics by the name that `--metrics` takes."""
