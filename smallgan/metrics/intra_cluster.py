"""How varied are the fakes around each training image (Ojha et al. 2021, section 4; "intra-LPIPS" there)?

Each fake belongs to the training image that it is nearest to. The mean distance of pairs of fakes of one cluster, over
all clusters, is 0 for copies, however evenly they are spread. The papers take LPIPS with VGG16, 1,000 fakes of 256 px
and ten training images; here the distance is that of a feature network, as in all our scores, and its unit the mean
distance of two training images. So values compare with each other and not with published ones.
"""

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, mean_vector, squares_between
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, subsample_interval
from smallgan.metrics.memorisation.nearest import nearest

MOST_OF_CLUSTER = 1000
"""Fakes of a cluster; of more so many are drawn. The published code takes 50: the same mean, with more noise."""


def mean_distance(x: Vectors) -> float:
    """Return the mean Euclidean distance of two different rows of n x F, n from 2 up.

    >>> mean_distance(np.array([[0.0], [0.0], [3.0]]))
    2.0
    """
    points = np.asarray(x, np.float64) - mean_vector(x)
    distances = np.sqrt(np.maximum(squares_between(points, points), 0))
    np.fill_diagonal(distances, 0)
    return float(distances.sum() / (len(x) * (len(x) - 1)))


def intra_cluster(fake: Vectors, training: Vectors, seed: int = 0) -> tuple[float, int]:
    """Return the mean distance of pairs of fakes within clusters, and how many clusters that is the mean over.

    Args:
        fake: n x F features.
        training: m x F features of the training images, the centres of the clusters.
        seed: draws MOST_OF_CLUSTER fakes of a larger cluster.

    Returns:
        NaN and 0 where no training image has two fakes.

    Two fakes at 1 and 3 are nearest to 0, one at 9 to 10, which says nothing of pairs:

        >>> intra_cluster(np.array([[1.0], [3.0], [9.0]]), np.array([[0.0], [10.0]]))
        (2.0, 1)
    """
    cluster, found = nearest(fake, training)[1], []
    for number in range(len(training)):
        members = np.flatnonzero(cluster == number)
        if len(members) > MOST_OF_CLUSTER:
            draws = np.random.default_rng(np.random.SeedSequence([abs(seed), number]))
            members = draws.permutation(members)[:MOST_OF_CLUSTER]
        if len(members) > 1:
            found.append(mean_distance(fake[members]))
    return (float(np.mean(found)), len(found)) if found else (float("nan"), 0)


def measure(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Mean distance of fakes around one training image, over that of training images."""
    fake, training = inputs.pair
    unit = mean_distance(training) if len(training) > 1 else 0.0
    if not unit:
        raise InputError(
            "--metrics intra: its unit is the distance of training images, and these are all alike; give more reals"
        )
    distance, clusters = intra_cluster(fake, training, options.seed)
    if not clusters:
        raise InputError(f"--metrics intra: no two of {len(fake)} fakes are nearest to one original; give more fakes")

    def of_part(part: Vectors) -> float:
        return intra_cluster(part, training, options.seed)[0] / unit

    value = distance / unit
    interval = subsample_interval(value, of_part, (fake,), options, 2)
    if interval is not None and not np.isfinite(interval).all():  # a half of the fakes without a pair
        interval = None
    return MetricResult(
        value,
        f"mean distance within clusters of at most {MOST_OF_CLUSTER} around training images, over that of these",
        parts={"distance": distance, "clusters": float(clusters)},
        interval=interval and (max(0.0, interval[0]), interval[1]),
    )


def checks() -> list[Case]:
    """Return two clusters, whose pairs are 2 and 4 apart, around training images that are 20 apart."""
    fakes, training = np.array([[-1.0], [1.0], [18.0], [22.0]]), np.array([[0.0], [20.0]])
    return [Case("pairs 2 and 4 apart", 3.0, lambda: intra_cluster(fakes, training)[0])]
