"""Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4), and the two entropies that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from augment.errors import UsageError


@dataclass(frozen=True)
class InceptionScore:
    """The score over splits, and its parts over the whole set."""

    mean: float
    """Mean over the splits."""
    std: float | None
    """Population standard deviation over the splits (ddof 0, as the usual codes have it), None for a single split."""
    h_y: float
    """H(y) in nats, the entropy of the mean prediction over the whole set: diversity."""
    h_y_given_x: float
    """Mean H(y|x) in nats, the entropy of each single prediction: low where the network is confident."""


def inception_score(
    logits: NDArray[np.floating], *, splits: int = 1, shuffle_seed: int | None = None
) -> InceptionScore:
    """Return IS = exp(mean_x KL(p(y|x) || p(y))) = exp(H(y) - mean H(y|x)), as mean over splits.

    Split i holds rows i*N//splits to (i+1)*N//splits, as in torch-fidelity, whose value this equals on the same order
    of rows. Computed in float64 from log-probabilities, so that a class of probability 0 adds 0 and never NaN.

    Args:
        logits: N x K, before the softmax, any real numbers.
        splits: number of parts, 1 to N; each gives a score between 1 and min(K, images in it).
        shuffle_seed: the rows are permuted by this seed first, so that a set ordered by class is not split by class.
            None keeps their order.

    Raises:
        UsageError: fewer images than splits.

    Two classes, told apart with certainty and equally often, score 2:

        >>> round(inception_score(np.array([[99.0, 0.0], [0.0, 99.0]])).mean, 6)
        2.0
    """
    num_images = len(logits)
    if not 1 <= splits <= num_images:
        raise UsageError(f"--splits {splits}: needed 1 to {num_images}, the number of images scored")
    log_p = log_softmax(np.asarray(logits, np.float64), axis=1)
    h_y, h_y_given_x = _entropies(log_p)
    if shuffle_seed is not None:
        log_p = log_p[np.random.default_rng(np.random.SeedSequence(abs(shuffle_seed))).permutation(num_images)]
    edges = [part * num_images // splits for part in range(splits + 1)]
    scores = []
    for first, last in pairwise(edges):
        h, h_given_x = _entropies(log_p[first:last])
        scores.append(np.exp(h - h_given_x))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)) if splits > 1 else None, h_y, h_y_given_x)


def _entropies(log_p: NDArray[np.float64]) -> tuple[float, float]:
    """Return H(y) and mean H(y|x) of log-probabilities N x K."""
    log_mean = logsumexp(log_p, axis=0) - np.log(len(log_p))
    h_y = -float(np.sum(np.exp(log_mean) * log_mean))
    h_y_given_x = -float(np.sum(np.exp(log_p) * log_p)) / len(log_p)
    return h_y, h_y_given_x
