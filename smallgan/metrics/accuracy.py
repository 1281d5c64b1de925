"""Accuracy of a classifier that a run trained, on labelled images of the target: from a confusion matrix alone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.core.shares import wilson
from smallgan.data.confusion import confusion
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult
from smallgan.metrics.score import Score
from smallgan.tables.metrics import METRICS

NAME = "accuracy"
ESTIMATOR = "share of test images whose class has the highest logit, Wilson interval"


def accuracy(matrix: NDArray[np.int64]) -> MetricResult:
    """Return the share of right answers in a confusion matrix K x K, with Wilson's 95 % interval.

    >>> accuracy(np.array([[3, 1], [0, 4]])).value
    0.875
    """
    count = int(matrix.sum())
    share = int(np.trace(matrix)) / count
    return MetricResult(share, ESTIMATOR, interval=wilson(share, count))


def measure(inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    """Share of labelled target images that the classifier of an `adda` run gets right; without ADDA beside it."""
    assert inputs.labels is not None
    return accuracy(confusion(inputs.labels, inputs.fake.logits))


def checks() -> list[Case]:
    """Return a confusion matrix whose accuracy is a fraction."""
    labels = np.repeat(np.arange(3), 5)
    guesses = np.eye(3)[np.repeat([0, 0, 2], 5)]
    return [Case("two classes of three right", 2 / 3, lambda: accuracy(confusion(labels, guesses)).value)]


def score_of(found: Mapping[str, Any], fingerprint: str, prepared: str, seed: int) -> Score:
    """Return the score of a classifier.

    Args:
        found: `adapted` and `source_only`: confusion matrices K x K on the same images, as lists.
        fingerprint: of these images.
        prepared: how they reached their size, as an identity says it.
        seed: of the run.
    """
    now, before = (accuracy(np.array(found[name])) for name in ("adapted", "source_only"))
    count = int(np.sum(found["adapted"]))
    assert before.interval is not None
    low, high = before.interval
    return Score(
        metric=NAME,
        label=METRICS[NAME].title,
        value=now.value,
        identity={
            **{"metric": NAME, "estimator": now.estimator, "features": None, "weights_sha256": None},
            **{"resize": prepared, "precision": None, "reals": fingerprint, "num_real": count},
            **{"num_fake": None, "splits": None},
        },
        interval=now.interval,
        parts={"source_only": before.value, "source_only_low": low, "source_only_high": high},
        seed=seed,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
