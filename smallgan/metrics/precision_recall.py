"""Precision and recall of generated images (Kynkaanniemi et al. 2019, arXiv:1904.06991, section 2).

Around every image of a set lies a ball that reaches to its k-th nearest other image of that set; their union stands
for the region that the set covers. Precision is the share of fakes in the reals' region, recall that of reals in the
fakes'.

The steps are 1 / n, and balls grow as sets shrink: few images give high values. Repeated images have balls of radius 0.
"""

import numpy as np

from augment.errors import InputError
from smallgan.metrics.distances import Vectors, square_blocks
from smallgan.metrics.measure import Case, MetricInputs, MetricOptions, MetricResult, note_bias, share_interval
from smallgan.metrics.memorisation.nearest import kth_square_within
from smallgan.metrics.real_facts import NONE_KEPT, RealFacts

NEIGHBOURS = 3  # k, as published; the rows of the table name it


def precision(fake: Vectors, real: Vectors, *, neighbours: int = NEIGHBOURS, facts: RealFacts = NONE_KEPT) -> float:
    """Return the share of fakes that lie in the ball of at least one real; recall is the same with the sets swapped.

    Args:
        fake: n x F features.
        real: m x F features; m from `neighbours` + 1 up.
        neighbours: k, from 1 up.
        facts: of the reals.

    Raises:
        InputError: there are too few images for a k-th neighbour.

    With k = 1 the reals 0, 1 and 5 have radii 1, 1 and 4 and cover -1 to 9; of the fakes 8 and 10 one is there:

        >>> precision(np.array([[8.0], [10.0]]), np.array([[0.0], [1.0], [5.0]]), neighbours=1)
        0.5
    """
    if len(real) <= neighbours:
        raise InputError(
            f"precision and recall look at the {neighbours} nearest of the other images and need {neighbours + 1} or "
            f"more in each set, found {len(real)}; give more images"
        )
    name = f"squared distances to neighbour {neighbours}"
    radii = facts.get(name, lambda: {"squares": kth_square_within(real, neighbours)})["squares"]
    inside = np.zeros(len(fake), np.bool_)
    for rows, columns, squares in square_blocks(fake, real):
        inside[rows] |= (squares <= radii[columns]).any(axis=1)
    return float(inside.mean())


def measure_precision(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Kynkaanniemi et al. 2019, k = 3: share of fakes that lie among the reals; 1,000 images to mean much."""
    value = precision(*inputs.pair, facts=inputs.facts)
    interval = share_interval(value, precision, inputs.pair, options, NEIGHBOURS + 1, inputs.facts)
    return note_bias(MetricResult(value, "k = 3 nearest reals", interval=interval), inputs, "precision")


def measure_recall(inputs: MetricInputs, options: MetricOptions) -> MetricResult:
    """Share of reals that lie among the fakes, likewise; 1,000 images to mean much."""
    swapped = inputs.pair[::-1]
    value = precision(*swapped)
    interval = share_interval(value, precision, swapped, options, NEIGHBOURS + 1)
    return note_bias(MetricResult(value, "k = 3 nearest fakes", interval=interval), inputs, "recall")


def checks_precision() -> list[Case]:
    """Return reals at 0 to 9: their third nearest others are 3 away at the ends, else 2."""
    fakes, line = np.array([[-3.0], [-3.5], [4.5], [13.0]]), np.arange(10.0)[:, None]
    return [Case("points on a line", 0.5, lambda: precision(fakes, line))]


def checks_recall() -> list[Case]:
    """Return fakes that cover one of ten reals."""
    return [Case("fakes all at one place", 0.1, lambda: precision(np.arange(10.0)[:, None], np.zeros((4, 1))))]
