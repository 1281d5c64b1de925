"""Metrics: pure functions of features, each in a file of its own, and `evaluate`, which makes scores with conditions.

The table of metrics is `smallgan.tables.metrics`. Torch-free, as `smallgan.metrics.score` must be; only
`smallgan.metrics.features.extract` and the networks need torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from augment.errors import FailedError, InputError, UsageError
from smallgan.metrics.features.entries import Arrays
from smallgan.metrics.measure import MetricInputs, MetricOptions, MetricResult, RealSet
from smallgan.metrics.real_facts import NONE_KEPT
from smallgan.metrics.score import Identity, Score
from smallgan.metrics.standing import FREE, Standing
from smallgan.tables.dotted import load
from smallgan.tables.feature_networks import PUBLISHED
from smallgan.tables.metrics import METRICS, MetricSpec, Need, check_metrics

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import FeatureNet, Features

__all__ = [
    "METRICS",
    "MetricInputs",
    "MetricOptions",
    "MetricResult",
    "MetricSpec",
    "RealSet",
    "evaluate",
    "refuse_lacking",
]


def evaluate(
    fake: Features,
    real: Features | None,
    net: FeatureNet,
    *,
    reals_fingerprint: str | None = None,
    reals_prepared: str | None = None,
    training_set: RealSet | None = None,
    metrics: Sequence[str] = ("is", "kmmd"),
    splits: int | None = None,
    seed: int = 0,
    augmented: Features | None = None,
    source: Features | None = None,
    target: tuple[int, ...] | None = None,
    baselines: bool = False,
    intervals: bool = True,
    standing: Standing = FREE,
) -> list[Score]:
    """Return one score for each metric, with its identity, in the order asked for.

    Args:
        fake, real: features of both sets from the same network; real may be None for metrics that need none.
        net: the network that made them.
        reals_fingerprint: `augment.sources.image_set.fingerprint` of the real files.
        reals_prepared: how reals reached the size of the fakes, "crop to 64 px"; None when they were taken as they are.
        training_set: originals that the fakes' generator was trained on, where `real` are others: the metrics of copies
            compare with these, "nearest_ratio" with both.
        metrics: names from METRICS.
        splits: parts of the Inception Score; None means ten from 1,000 images on, else one, which a note says.
        seed: shuffles the images before they are split, and draws halves for baselines and intervals.
        augmented: features of the augmented images, for "leak".
        source: features of images of the domain that the generator comes from, for "domain".
        target: class and neighbours for "target"; None takes them from the reals.
        baselines: also score reals against other reals, and the Inception Score of reals: about twice the time, once.
        standing: what the network is to the model that made the fakes.
        intervals: also find intervals; without them FID and the metrics of nearest neighbours are several times faster.

    Raises:
        UsageError: an unknown metric, one that needs images that were not given, or more splits than images.
        InputError: the images cannot serve the metric.
        FailedError: a value is not finite.
    """
    check_metrics(metrics)
    options = MetricOptions(splits, seed, target, intervals)
    reals = RealSet(real, reals_fingerprint) if real is not None else None
    others = training_set if training_set and not _are_same(training_set, reals) else None
    scores = []
    for name in dict.fromkeys(metrics):
        metric = METRICS[name]
        against = training_set if training_set is not None and metric.compares_with_training_set else reals
        features, facts = (against.features, against.facts) if against else (None, NONE_KEPT)
        inputs = MetricInputs(fake, features, augmented, source, others, facts)
        used = against if "real" in metric.needs else None
        steps = [reals_prepared if used else None, None if metric.of_pixels else net.resize]
        resize = ", then ".join(step for step in steps if step) or None
        score = _evaluate_one(metric, inputs, options, net, used, resize)
        if standing.mark and not metric.of_pixels:
            score = replace(score, standing=standing.mark, notes=(standing.why, *score.notes))
        scores.append(replace(score, **_baseline(metric, inputs, options)) if baselines else score)
    return scores


def refuse_lacking(metrics: Iterable[str], has: Mapping[Need, bool]) -> None:
    """Raise UsageError for the first of `metrics` that needs images which are not there, as `has` tells."""
    for name in metrics:
        for need in METRICS[name].needs:
            if not has.get(need, need != "labels"):
                raise UsageError(f"--metrics {name}: {_LACKING[need]}")


_LACKING = {
    "real": "needs real images to compare with; name them with --real",
    "augmented": "needs augmented images beside the originals; name them with --augmented",
    "source": "needs images of the domain that the generator comes from; name them with --source",
    "training": "compares held-out images with those trained on; score a run that holds some out (data.holdout=0.2), "
    "with its own reals",
    "labels": "is of a classifier, not of images; a run that trains one, by the method adda, has it in its scores",
}


def _are_same(one: RealSet, other: RealSet | None) -> bool:
    return other is not None and (
        one.features is other.features or (one.fingerprint == other.fingerprint and one.fingerprint is not None)
    )


def _evaluate_one(
    metric: MetricSpec,
    inputs: MetricInputs,
    options: MetricOptions,
    net: FeatureNet,
    used: RealSet | None,
    resize: str | None,
) -> Score:
    name = metric.name
    has: dict[Need, bool] = {
        "real": used is not None,
        "augmented": inputs.augmented is not None,
        "source": inputs.source is not None,
        "training": inputs.training is not None,
    }
    refuse_lacking([name], has)
    if "logits" in metric.needs and not inputs.fake.logits.shape[1]:
        raise UsageError(f"--metrics {name}: needs class predictions, and {net.name} has none; name another --features")
    began = time.perf_counter()
    measured: MetricResult = load(metric.compute)(inputs, options)
    if not math.isfinite(measured.value):
        raise FailedError(f"--metrics {name}: came out as {measured.value}; look for features of {net.name} near 1e100")
    identity: Identity = {
        "metric": name,
        "estimator": measured.estimator,
        "features": None if metric.of_pixels else net.name,
        "weights_sha256": None if metric.of_pixels else net.sha256,
        "resize": resize,
        "precision": None if metric.of_pixels else net.precision,
        "reals": used.fingerprint if used else None,
        "num_real": len(used.features) if used else None,
        "num_fake": len(inputs.fake),
        "splits": measured.splits,
    }
    plain = metric.title_elsewhere and net.name == PUBLISHED  # only its Inception Score goes without a network's name
    return Score(
        metric=name,
        label=metric.title if plain or metric.of_pixels else f"{metric.title_elsewhere or metric.title} ({net.label})",
        value=measured.value,
        identity=identity,
        std=measured.std,
        interval=measured.interval if options.intervals else None,
        parts=measured.parts,
        notes=measured.notes + ((net.note,) if net.note and not metric.of_pixels else ()),
        needed=measured.needed,
        seed=options.seed,
        seconds=round(time.perf_counter() - began, 3),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _baseline(metric: MetricSpec, inputs: MetricInputs, options: MetricOptions) -> dict[str, Any]:
    """Return the score of reals in the place of the fakes: as many as there are fakes, or half of the reals if fewer.

    A metric without reals scores them alone. Empty where the reals are too few for the metric.
    """
    if inputs.real is None or not metric.has_baseline:
        return {}
    needs_real, num_real = "real" in metric.needs, len(inputs.real)
    count = min(len(inputs.fake), num_real // 2 if needs_real else num_real)
    if not count:
        return {}
    real, quick = inputs.real, replace(options, target=None, intervals=False)

    def found() -> Arrays:
        order = np.random.default_rng(np.random.SeedSequence([abs(options.seed), num_real])).permutation(num_real)
        drawn, rest = real.rows(order[:count]), real.rows(order[count:])
        return {"value": np.array(load(metric.compute)(MetricInputs(drawn, rest if needs_real else None), quick).value)}

    # What a metric of the user's own gives may be another tomorrow, under the same name.
    facts = inputs.facts if metric.compute.startswith(f"{__name__}.") else NONE_KEPT
    try:
        value = float(facts.get(f"{metric.compute} of {count} against the others, {quick}", found)["value"])
    except (InputError, UsageError):  # one real per set, say
        return {}
    return {"baseline": value, "baseline_counts": (count, num_real - count if needs_real else None)}
