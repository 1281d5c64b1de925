"""Sums of a kernel over all pairs of two sets, group by group: what every kernel metric and its jackknife are made of.

The squared maximum mean discrepancy needs three sums only: over pairs of fakes, of reals, and of one each (Gretton et
al. 2012, JMLR 13, equations 3 and 5). Kept apart by groups of images, the same single pass gives the value without any
one group too, and so the block jackknife of `smallgan.metrics.intervals` for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallgan.metrics.distances import Vectors, mean_vector, row_blocks, squares_between
from smallgan.metrics.intervals import LEAST_IMAGES, Interval, Matrix, group_labels, jackknife
from smallgan.metrics.real_facts import RealFacts

Kernel = Callable[[Matrix, Matrix], Matrix]
"""n x F and m x F in float64 to the n x m values of a kernel, which the caller may overwrite."""
LEAST_SPREAD = 1e-10
"""Mean squared distance over mean squared length below which images count as one: float32 noise is near 1e-13."""
_SLOPE_IMAGES = 300
_STEP = 0.01


@dataclass(frozen=True)
class SetSums:
    """Sums of k over pairs of the G groups of one set."""

    pairs: Matrix  # G x G, pairs of an image with itself included
    itself: Matrix  # G: the sum of k(x, x) over a group
    counts: Matrix  # G: images in each group

    def total(self, *, unbiased: bool) -> Matrix:
        """Return the sum over all pairs; unbiased leaves out those of an image with itself."""
        return np.asarray(self.pairs.sum() - (self.itself.sum() if unbiased else 0))


@dataclass(frozen=True)
class PairSums:
    """Sums of k over pairs of two sets."""

    fakes: SetSums
    reals: SetSums
    between: Matrix  # G x H, pairs of a fake and a real

    def mmd2(self, *, unbiased: bool) -> float:
        """Return the squared discrepancy of the whole sets; unbiased leaves out the pairs of an image with itself."""
        sums = self.fakes.total(unbiased=unbiased), self.reals.total(unbiased=unbiased), self.between.sum()
        return float(_mmd2(self.fakes.counts.sum(), self.reals.counts.sum(), *sums, unbiased))

    def without_fakes(self, *, unbiased: bool) -> Matrix:
        """Return G values: the squared discrepancy without one group of fakes each."""
        fakes = self.fakes
        left = fakes.pairs.sum() - 2 * fakes.pairs.sum(axis=1) + np.diagonal(fakes.pairs)
        if unbiased:
            left = left - (fakes.itself.sum() - fakes.itself)
        between = self.between.sum() - self.between.sum(axis=1)
        reals = self.reals.total(unbiased=unbiased)
        return _mmd2(fakes.counts.sum() - fakes.counts, self.reals.counts.sum(), left, reals, between, unbiased)

    def without_reals(self, *, unbiased: bool) -> Matrix:
        """Return H values: the squared discrepancy without one group of reals each."""
        return PairSums(self.reals, self.fakes, self.between.T).without_fakes(unbiased=unbiased)


def pair_sums(
    fake: Vectors, real: Vectors, kernel: Kernel, center: Matrix | None = None, reals: SetSums | None = None
) -> PairSums:
    """Return the sums of a kernel over all pairs, in blocks: memory does not grow with the number of images.

    Args:
        fake, real: n x F and m x F of any float type; each block is cast to float64 when its turn comes.
        kernel: of two blocks; symmetric.
        center: F, subtracted from both first; for kernels of differences only.
        reals: the sums over pairs of reals, where they are known.
    """
    groups_f, groups_r = group_labels(len(fake)), group_labels(len(real))
    fakes = _sums_within(fake, kernel, center)
    reals = _sums_within(real, kernel, center) if reals is None else reals
    between = np.zeros((len(fakes.counts), len(reals.counts)))
    for rows in row_blocks(len(fake)):
        x, of_x = _block(fake, rows, center), _members(groups_f, rows)
        for columns in row_blocks(len(real)):
            between += of_x @ kernel(x, _block(real, columns, center)) @ _members(groups_r, columns).T
    return PairSums(fakes, reals, between)


def sums_of_reals(
    real: Vectors, kernel: Kernel, center: Matrix | None = None, *, facts: RealFacts, name: str
) -> SetSums:
    """Return the sums over pairs of reals, a fact called `name`: kernel and center must follow from the reals alone."""
    return SetSums(**facts.get(name, lambda: vars(_sums_within(real, kernel, center))))


def mmd2_with_interval(
    fake: Vectors,
    real: Vectors,
    kernel_of: Callable[[float], Kernel],
    width: float,
    center: Matrix | None = None,
    widths_without: tuple[Matrix | float, Matrix | float] | None = None,
    *,
    unbiased: bool,
    reals: SetSums | None = None,
) -> tuple[float, Interval | None]:
    """Return a squared discrepancy and the block jackknife's interval, for which both sides leave out their groups.

    Args:
        fake, real, center, reals: as of `pair_sums`.
        kernel_of: gives the kernel of a width.
        width: of the kernel.
        widths_without: the width without one group of fakes each, and of reals; None where images do not move it.
        unbiased: leave out the pairs of an image with itself.
    """
    sums = pair_sums(fake, real, kernel_of(width), center, reals)
    value = sums.mmd2(unbiased=unbiased)
    if min(len(fake), len(real)) < LEAST_IMAGES:
        return value, None
    without = sums.without_fakes(unbiased=unbiased), sums.without_reals(unbiased=unbiased)
    if widths_without:
        slope = _slope_of_width(fake, real, kernel_of, width)
        without = without[0] + slope * (widths_without[0] - width), without[1] + slope * (widths_without[1] - width)
    spread = jackknife(value, without[0], sums.fakes.counts) + jackknife(value, without[1], sums.reals.counts)
    return value, spread.around(value)


def _slope_of_width(fake: Vectors, real: Vectors, kernel_of: Callable[[float], Kernel], width: float) -> float:
    """Return how fast the squared discrepancy changes with the kernel's width, from at most 300 images per set.

    It only serves the interval, so a difference quotient over some images is near enough.
    """
    some_fake, some_real = (side[group_labels(len(side), len(side)) < _SLOPE_IMAGES] for side in (fake, real))
    center = mean_vector(some_real)
    wide, narrow = (
        pair_sums(some_fake, some_real, kernel_of(width * factor), center).mmd2(unbiased=True)
        for factor in (1 + _STEP, 1 - _STEP)
    )
    return (wide - narrow) / (2 * _STEP * width)


def group_spreads(x: Vectors, center: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return, for each group of images, their number, the sum of |x - center|^2, and |sum of (x - center)|^2."""
    groups = group_labels(len(x))
    num_groups = int(groups.max()) + 1
    squares, shifts = np.zeros(num_groups), np.zeros((num_groups, len(center)))
    for rows in row_blocks(len(x)):
        block, members = _block(x, rows, center), _members(groups, rows)
        squares += members @ np.square(block).sum(axis=1)
        shifts += members @ block
    return np.bincount(groups).astype(np.float64), squares, np.square(shifts).sum(axis=1)


def gaussian(width: float) -> Kernel:
    """Return k(x, y) = exp(-|x - y|^2 / (2 width))."""

    def kernel(x: Matrix, y: Matrix) -> Matrix:
        squares = squares_between(x, y)
        squares *= -1 / (2 * width)
        return np.exp(squares, out=squares)

    return kernel


def _sums_within(x: Vectors, kernel: Kernel, center: Matrix | None) -> SetSums:
    groups = group_labels(len(x))
    num_groups = int(groups.max()) + 1
    table, itself = np.zeros((num_groups, num_groups)), np.zeros(num_groups)
    for rows in row_blocks(len(x)):
        block, members = _block(x, rows, center), _members(groups, rows)
        values = kernel(block, block)
        itself += members @ np.diagonal(values)
        table += members @ values @ members.T
        for columns in row_blocks(len(x)):
            if columns.start > rows.start:
                part = members @ kernel(block, _block(x, columns, center)) @ _members(groups, columns).T
                table += part + part.T
    return SetSums(table, itself, np.bincount(groups).astype(np.float64))


def _block(x: Vectors, rows: slice, center: Matrix | None) -> Matrix:
    block = np.asarray(x[rows], np.float64)
    return block if center is None else block - center


def _members(groups: NDArray[np.intp], rows: slice) -> Matrix:
    return np.asarray(groups[rows] == np.arange(groups.max() + 1)[:, None], np.float64)


def _mmd2(n: Matrix, m: Matrix, fakes: Matrix, reals: Matrix, between: Matrix, unbiased: bool) -> Matrix:
    """Means of three sums, put together; without pairs of an image with itself there are n (n - 1) of them."""
    less = 1 if unbiased else 0
    with np.errstate(divide="ignore", invalid="ignore"):  # one image less than two is for the caller to refuse
        return np.asarray(fakes / (n * (n - less)) + reals / (m * (m - less)) - 2 * between / n / m)
