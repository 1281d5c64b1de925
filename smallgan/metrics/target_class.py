"""Target-class share: the share of fakes that a classifier puts in the class that they are meant to show.

Suzuki and Suzuki 2022 read a low Inception Score as predictions that gather on one class, and leave open whether it is
the right class. This looks: with an ImageNet network (ResNet-50, say) and the class of the images, or without a class
named, the one that the network gives most reals. Classes that it confuses with that one count as neighbours: those it
gives to at least 5 % of the reals, or the ones that are named.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from augment.core.shares import wilson
from augment.errors import UsageError
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult

_NEIGHBOUR_SHARE = 0.05


@dataclass(frozen=True)
class TargetShare:
    """The share, and the table that it was counted from, a row for each image."""

    share: float  # Of images whose most probable class is among `classes`
    classes: tuple[int, ...]  # The target first, then its neighbours
    top: NDArray[np.intp]  # n: the most probable class
    top_probability: NDArray[np.float64]  # n: its probability
    probability: NDArray[np.float64]  # n: of all `classes` together


def target_share(logits: NDArray[np.floating], classes: tuple[int, ...]) -> TargetShare:
    """Return the share of images in the target class or its neighbours.

    Args:
        logits: n x K, before the softmax.
        classes: the target, then its neighbours, each from 0 to K - 1.

    Raises:
        UsageError: there is no class, or one is not the network's.

    Of three images two are surest of class 1:

    >>> round(target_share(np.array([[0.0, 5.0], [0.0, 5.0], [5.0, 0.0]]), (1,)).share, 3)
    0.667
    """
    last = logits.shape[1] - 1
    wrong = [each for each in classes if not 0 <= each <= last]
    if wrong or not classes:
        found = ", ".join(map(str, wrong)) or "none"
        raise UsageError(f"target class: found {found}, expected some from 0 to {last}, the network's classes")
    log_p = log_softmax(np.asarray(logits, np.float64), axis=1)
    top, each_once = log_p.argmax(axis=1), tuple(dict.fromkeys(classes))
    probability = np.minimum(1, np.exp(log_p[:, each_once]).sum(axis=1))
    return TargetShare(float(np.isin(top, each_once).mean()), each_once, top, np.exp(log_p.max(axis=1)), probability)


def classes_of_reals(logits: NDArray[np.floating]) -> tuple[int, ...]:
    """Return the class that most reals get, and after it, by falling share, those that at least 5 % of them get.

    >>> classes_of_reals(np.eye(3)[[2, 2, 2, 0]])
    (2, 0)
    """
    counts = np.bincount(np.argmax(logits, axis=1), minlength=logits.shape[1])
    ranked = np.argsort(-counts, kind="stable")
    return tuple(
        int(each) for place, each in enumerate(ranked) if not place or counts[each] >= _NEIGHBOUR_SHARE * len(logits)
    )


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Share of fakes whose most probable class is the target or a neighbour (`--target 207,208`)."""
    classes = options.target or (classes_of_reals(inputs.real.logits) if inputs.real else None)
    if not classes:
        raise UsageError("--metrics target: needs --target CLASS, or reals (--real) to take the class from")
    found = target_share(inputs.fake.logits, classes)
    parts = {"mean_probability": float(found.probability.mean())}
    if inputs.real is not None:
        logits = inputs.real.logits
        of_reals = inputs.facts.get(
            f"share of the classes {found.classes}", lambda: {"share": np.array(target_share(logits, classes).share)}
        )
        parts["of_reals"] = float(of_reals["share"])
    return MetricResult(
        found.share,
        f"share with the top class among {', '.join(map(str, found.classes))}",
        parts=parts,
        interval=wilson(found.share, len(inputs.fake)) if options.intervals else None,
    )


def checks() -> list[Case]:
    """Return five images, three of them in the class or its neighbour."""
    logits = np.eye(4)[[0, 0, 1, 2, 3]] * 9
    return [Case("class 0 and its neighbour 2", 0.6, lambda: target_share(logits, (0, 2)).share)]
