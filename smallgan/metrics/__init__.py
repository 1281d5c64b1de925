"""Metrics: pure functions of features, a table of them, and `evaluate`, which makes scores with their conditions.

Torch-free, as `smallgan.metrics.score` must be; only `smallgan.metrics.features.extract` and the networks need torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from augment.errors import FailedError, InputError, UsageError
from smallgan.metrics.registry import METRICS, Metric, MetricInputs, MetricOptions, MetricResult
from smallgan.metrics.score import Identity, Score

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import FeatureNet, Features

__all__ = ["METRICS", "Metric", "MetricInputs", "MetricOptions", "MetricResult", "check_metrics", "evaluate"]


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
    augmented: Features | None = None,
    target: tuple[int, ...] | None = None,
    baselines: bool = False,
    intervals: bool = True,
) -> list[Score]:
    """Return one score for each metric, with its identity, in the order asked for.

    Args:
        fake, real: features of both sides from the same network; real may be None for metrics that need none.
        net: the network that made them.
        reals_fingerprint: `augment.sources.image_set.fingerprint` of the real files.
        reals_prepared: how reals reached the size of the fakes, "crop to 64 px"; None when they were taken as they are.
        metrics: names from METRICS.
        splits: parts of the Inception Score; None means ten from 1,000 images on, else one, which a note says.
        seed: shuffles the images before they are split, and draws halves for baselines and intervals.
        augmented: features of the augmented images, for "leak".
        target: class and neighbours for "target"; None takes them from the reals.
        baselines: also score reals against other reals, and the Inception Score of reals: about twice the time.
        intervals: also find intervals; without them FID and the metrics of nearest neighbours are several times faster.

    Raises:
        UsageError: an unknown metric, one that needs images that were not given, or more splits than images.
        InputError: the images cannot serve the metric.
        FailedError: a value is not finite.
    """
    check_metrics(metrics)
    sets, ask = MetricInputs(fake, real, augmented), MetricOptions(splits, seed, target, intervals)
    conditions = _Conditions(net, reals_fingerprint, reals_prepared, baselines)
    return [_evaluate_one(name, sets, ask, conditions) for name in dict.fromkeys(metrics)]


def check_metrics(names: Sequence[str]) -> None:
    """Raise UsageError unless every name is in METRICS and there is one."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise UsageError(
            f"--metrics: found {found}, needed some of {', '.join(METRICS)}; for example --metrics is,kmmd"
        )


@dataclass(frozen=True)
class _Conditions:
    net: FeatureNet
    reals_fingerprint: str | None
    reals_prepared: str | None
    baselines: bool


def _evaluate_one(name: str, sets: MetricInputs, ask: MetricOptions, conditions: _Conditions) -> Score:
    metric, net = METRICS[name], conditions.net
    if metric.needs_real and sets.real is None:
        raise UsageError(f"--metrics {name}: needs real images to compare with; name them with --real")
    if metric.needs_augmented and sets.augmented is None:
        raise UsageError(f"--metrics {name}: needs augmented images beside the originals; name them with --augmented")
    if metric.needs_logits and not sets.fake.logits.shape[1]:
        raise UsageError(f"--metrics {name}: needs class predictions, and {net.name} has none; name another --features")
    began = time.perf_counter()
    measured = metric.compute(sets, ask)
    if not math.isfinite(measured.value):
        raise FailedError(f"--metrics {name}: came out as {measured.value}; look for features of {net.name} near 1e100")
    used = sets.real if metric.needs_real else None
    prepared = conditions.reals_prepared
    resize = f"{prepared}, then {net.resize}" if used is not None and prepared else net.resize
    identity: Identity = {
        "metric": name,
        "estimator": measured.estimator or metric.estimator,
        "features": net.name,
        "weights_sha256": net.sha256,
        "resize": resize,
        "precision": net.precision,
        "reals": conditions.reals_fingerprint if used is not None else None,
        "num_real": len(used) if used is not None else None,
        "num_fake": len(sets.fake),
        "splits": measured.splits,
    }
    baseline = _baseline(metric, sets, ask) if conditions.baselines else {}
    return Score(
        metric=name,
        label=_label(name, net),
        value=measured.value,
        identity=identity,
        std=measured.std,
        interval=measured.interval if ask.intervals else None,
        parts=measured.parts,
        notes=measured.notes + ((net.note,) if net.note else ()),
        needed=measured.needed,
        seed=ask.seed,
        seconds=round(time.perf_counter() - began, 3),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        **baseline,
    )


def _baseline(metric: Metric, sets: MetricInputs, ask: MetricOptions) -> dict[str, Any]:
    """Return what reals score in the place of the fakes: as many as there are fakes, or half of the reals if fewer.

    A metric without reals scores them alone. Empty where the reals are too few for the metric.
    """
    if sets.real is None or not metric.has_baseline:
        return {}
    num_real = len(sets.real)
    count = min(len(sets.fake), num_real // 2 if metric.needs_real else num_real)
    order = np.random.default_rng(np.random.SeedSequence([abs(ask.seed), num_real])).permutation(num_real)
    if not count:
        return {}
    drawn, rest = _some(sets.real, order[:count]), _some(sets.real, order[count:])
    try:
        ask = MetricOptions(ask.splits, ask.seed, intervals=False)
        if not metric.needs_real:
            return {"baseline": metric.compute(MetricInputs(drawn), ask).value, "baseline_counts": (count, None)}
        return {
            "baseline": metric.compute(MetricInputs(drawn, rest), ask).value,
            "baseline_counts": (count, num_real - count),
        }
    except (InputError, UsageError):  # one real a side, say
        return {}


def _some(features: Features, rows: np.ndarray[Any, Any]) -> Features:
    return type(features)(features.features[rows], features.logits[rows])


def _label(name: str, net: FeatureNet) -> str:
    """Name a score; only the published network's Inception Score goes without its network's name."""
    if name == "is":
        return "Inception Score" if net.name == "inception-v3-tf2015" else f"IS ({net.label})"
    return f"{METRICS[name].title} ({net.label})"
