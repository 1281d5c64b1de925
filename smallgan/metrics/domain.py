"""Of which of two domains are fakes: the one that a generator was adapted to, or the one that it comes from?

Zhao et al. 2022 (section 3) follow an adaptation by the probability that a classifier of the two gives the target: it
rises alike for most methods, and what tells them apart is how varied the images stay meanwhile. The classifier here is
a logistic regression on the features of a network.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError
from smallgan.metrics.distances import Vectors
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, share_interval

_LEAST, _FOLDS = 4, 5  # Images of each domain; parts of the cross-validation
_MOST_ITERATIONS = 1000


def target_probability(fake: Vectors, target: Vectors, source: Vectors) -> NDArray[np.float64]:
    """Return the probability n that each fake is of the target.

    Args:
        fake: n x F features.
        target, source: m x F and s x F features; both domains count alike, however many images they have.

    Half way between the two it is a half:

        >>> ends = np.array([[1.0], [2.0]])
        >>> [round(each, 3) for each in target_probability(np.array([[0.0]]), ends, -ends).tolist()]
        [0.5]
    """
    found: NDArray[np.float64] = _classifier().fit(*_labelled(target, source)).predict_proba(fake)[:, 1]
    return found


def accuracy(target: Vectors, source: Vectors) -> float:
    """Return the mean share of both domains that the classifier gets right, of images that it was not fitted to."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(min(_FOLDS, len(target), len(source)), shuffle=True, random_state=0)
    return float(
        cross_val_score(_classifier(), *_labelled(target, source), scoring="balanced_accuracy", cv=folds).mean()
    )


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Mean probability that fakes are of the reals, not of the source (`--source SET`)."""
    assert inputs.source is not None
    fake, target = inputs.pair
    source = inputs.source.features
    if min(len(target), len(source)) < _LEAST:
        raise InputError(
            f"--metrics domain: {len(target)} real(s) and {len(source)} image(s) of the source; a classifier needs "
            f"{_LEAST} of each"
        )
    each = target_probability(fake, target, source)
    value = float(each.mean())

    def of_halves(*parts: Vectors) -> float:
        return float(target_probability(*parts).mean())

    # Over all three sets: the reals and the source, often few, decide the classifier
    interval = share_interval(value, of_halves, (fake, target, source), options, 2 * _LEAST)
    # A name for the images of the source, which stand in no other place of a score's identity.
    digest = hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()[:12]
    return MetricResult(
        value,
        f"mean probability of the reals against {len(source)} images of the source ({digest}), logistic regression",
        parts={"accuracy": accuracy(target, source)},
        interval=interval,
    )


def checks() -> list[Case]:
    """Return fakes half way between two domains that mirror each other."""
    target = np.random.default_rng(0).normal(3, 1, (20, 3))
    return [Case("half way", 0.5, lambda: float(target_probability(np.zeros((2, 3)), target, -target).mean()))]


def _classifier() -> Any:  # scikit-learn has no types, and takes a second to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=_MOST_ITERATIONS))


def _labelled(target: Vectors, source: Vectors) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    labels = np.repeat([1, 0], [len(target), len(source)])
    return np.concatenate([np.asarray(target, np.float64), np.asarray(source, np.float64)]), labels
