"""Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4), and the two entropies that it is made of."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, softmax

from augment.errors import UsageError
from smallgan.metrics.distances import row_blocks
from smallgan.metrics.intervals import LEAST_IMAGES, Matrix, group_labels, jackknife
from smallgan.metrics.measure import CHECK_IMAGES, MANY_IMAGES, Case, MetricInputs, MetricOptions, MetricResult

Logits = NDArray[np.floating]


def inception_score(logits: Logits, *, splits: int = 1, shuffle_seed: int | None = None) -> MetricResult:
    """Return IS = exp(mean_x KL(p(y|x) || p(y))) = exp(H(y) - mean H(y|x)), as mean over splits.

    Its std is the population standard deviation over the splits (ddof 0, as the usual codes have it), None for one. Its
    parts, in nats, are of the whole set: h_y is H(y), the entropy of the mean prediction (diversity), h_y_given_x the
    conditional entropy H(y|x) (lower = more confident). No interval below five images, or where a split has one or two.

    Split i holds rows i*N//splits to (i+1)*N//splits, as in torch-fidelity, whose value this equals on the same order
    of rows. Computed in float64 and in blocks of images; a class of probability 0 adds 0 and never NaN.

    Args:
        logits: N x K, before the softmax, any real numbers.
        splits: number of parts, 1 to N; each gives a score between 1 and min(K, images in it).
        shuffle_seed: the rows are permuted by this seed first, so that a set ordered by class is not split by class.
            None keeps their order.

    Raises:
        UsageError: fewer images than splits.

    Two classes, told apart with certainty and equally often, score 2:

        >>> round(inception_score(np.array([[99.0, 0.0], [0.0, 99.0]])).value, 6)
        2.0
    """
    num_images = len(logits)
    if not 1 <= splits <= num_images:
        raise UsageError(f"--splits {splits}: must be from 1 to {num_images}, the number of images scored")
    edges = [part * num_images // splits for part in range(splits + 1)]
    of_split = np.repeat(np.arange(splits), np.diff(edges))
    if shuffle_seed is not None:
        order = np.random.default_rng(np.random.SeedSequence(abs(shuffle_seed))).permutation(num_images)
        of_split[order] = of_split.copy()
    groups = group_labels(num_images)
    sums = _sums(logits, of_split * (groups.max() + 1) + groups, splits, int(groups.max()) + 1)
    scores = _scores(*(each.sum(axis=1) for each in sums))
    whole = [each.sum(axis=(0, 1)) for each in sums]
    mean = float(np.mean(scores))
    return MetricResult(
        mean,
        "exp(H(y) - H(y|x)), mean over splits",
        float(np.std(scores)) if splits > 1 else None,
        splits,
        {"h_y": float(entr(whole[1] / num_images).sum()), "h_y_given_x": float(whole[2] / num_images)},
        interval=_interval(mean, sums),
    )


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Inception Score, above; ten splits from 1,000 images on, else one, unless `--splits` says."""
    count = len(inputs.fake)
    few = count < MANY_IMAGES
    splits = options.splits if options.splits is not None else 1 if few else 10
    found = inception_score(inputs.fake.logits, splits=splits, shuffle_seed=options.seed)
    note = (
        f"{count} image(s), {splits} split(s): an Inception Score of few images is too low and grows with their "
        "number; compare at equal numbers only"
    )
    return replace(found, notes=(note,), needed=MANY_IMAGES) if few else found


def checks() -> list[Case]:
    """Return predictions whose entropies are formulas."""
    sure = np.tile(np.eye(10) * 1000, (CHECK_IMAGES // 10 + 1, 1))
    halves = np.tile([[math.log(3), 0.0], [0.0, math.log(3)]], (CHECK_IMAGES // 2, 1))
    # H(y) = ln 2, and each prediction is (3/4, 1/4) with entropy ln 4 - 3/4 ln 3.
    expected = math.exp(math.log(2) - math.log(4) + 0.75 * math.log(3))
    return [
        Case("ten classes, sure and equally often", 10.0, lambda: inception_score(sure).value),
        Case("two classes, three to one", expected, lambda: inception_score(halves).value),
        Case("all classes alike", 1.0, lambda: inception_score(sure * 0, splits=10).value),
    ]


def _sums(logits: Logits, cells: NDArray[np.intp], splits: int, num_groups: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return, for each split and group, the number of images, the sum of their predictions and of their entropies."""
    num_cells, num_classes = splits * num_groups, logits.shape[1]
    counts = np.bincount(cells, minlength=num_cells).astype(np.float64)
    predictions, entropies = np.zeros((num_cells, num_classes)), np.zeros(num_cells)
    for rows in row_blocks(len(logits)):
        p = softmax(np.asarray(logits[rows], np.float64), axis=1)
        np.add.at(predictions, cells[rows], p)
        np.add.at(entropies, cells[rows], entr(p).sum(axis=1))
    shape = (splits, num_groups)
    return counts.reshape(shape), predictions.reshape(*shape, num_classes), entropies.reshape(shape)


def _scores(counts: Matrix, predictions: Matrix, entropies: Matrix) -> Matrix:
    """Return exp(H(y) - H(y|x)) from numbers of images S, sums of predictions S x K and of entropies S."""
    return np.asarray(np.exp(entr(predictions / counts[:, None]).sum(axis=1) - entropies / counts))


def _interval(value: float, sums: tuple[Matrix, Matrix, Matrix]) -> tuple[float, float] | None:
    counts = sums[0]
    if counts.sum() < LEAST_IMAGES or (counts.sum(axis=1, keepdims=True) == counts).any():
        return None  # too few images, or a split that lies in one group whole and would be left empty
    totals = [each.sum(axis=1) for each in sums]
    without = [
        float(np.mean(_scores(*(total - each[:, group] for total, each in zip(totals, sums, strict=True)))))
        for group in range(counts.shape[1])
    ]
    low, high = jackknife(value, np.array(without), counts.sum(axis=0)).around(value)
    return max(1.0, low), high
