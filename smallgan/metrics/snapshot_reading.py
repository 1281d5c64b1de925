"""A reading at a snapshot: what the features of the scored samples say beside the scores, in a few numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from augment.errors import InputError
from smallgan.data.images import PixelRows
from smallgan.metrics.distances import Vectors
from smallgan.metrics.features.extract import FeatureNet, Features
from smallgan.metrics.features.image_sets import sample_features
from smallgan.metrics.measure import MetricInputs, MetricOptions, MetricResult, RealSet
from smallgan.metrics.memorisation.rates import copy_rate, near_threshold
from smallgan.metrics.precision_recall import precision
from smallgan.metrics.run_scorer import RunScorer
from smallgan.metrics.score import STRUCK
from smallgan.tables.dotted import load
from smallgan.tables.metrics import selection_metric

MOST_TRAINING = 5000  # Training images that are looked at; of more so many are drawn, and each snapshot stays quick
_T = TypeVar("_T")
_PAIRS = 2000  # Random pairs whose median distance tells how varied a set is: it is then known within 2 %


@dataclass(frozen=True)
class SnapshotReader:
    """Reads the features of samples by one network: the first of a scorer's judges that is not struck."""

    judge: int
    """Its place among the judges of the scorer."""
    net: FeatureNet
    training: RealSet
    """The originals trained on."""
    reals: RealSet
    """The originals held out for scores, else `training`."""
    selection: RealSet | None
    """The originals that select the best checkpoint, and do nothing else."""
    spread_of_reals: float
    seed: int

    @classmethod
    def of_pixels(
        cls, scorer: RunScorer, originals: PixelRows, reals: PixelRows, selection: PixelRows | None
    ) -> SnapshotReader | None:
        """Return the reader beside a scorer, None where no judge is left to read by.

        Args:
            scorer: the features of reals that it has are not made again.
            originals: trained on, N x S x S x 3.
            reals: that samples are compared with; `originals` themselves where none are held out.
            selection: that select the best checkpoint.
        """
        free = [place for place, one in enumerate(scorer.judges) if one.standing.mark != STRUCK and one.metrics]
        if not free:
            return None
        judge, seed = scorer.judges[free[0]], scorer.seed

        def extracted(images: PixelRows) -> RealSet:
            return RealSet(sample_features(images, [judge.net], "features of reals")[0], None)

        against = None if reals is originals else judge.reals or extracted(reals)
        training = judge.training_set if against else judge.reals
        drawn = np.arange(len(originals))
        if len(drawn) > MOST_TRAINING:
            order = np.random.default_rng(np.random.SeedSequence([abs(seed), len(drawn)])).permutation(drawn)
            drawn = np.sort(order[:MOST_TRAINING])
            training = RealSet(training.features.rows(drawn), None) if training else None
        training = training or extracted(originals.rows(drawn))
        against = against or training
        own = extracted(selection) if selection is not None else None
        spread = median_distance(against.features.features, seed) if len(against.features) > 1 else 0.0
        return cls(free[0], judge.net, training, against, own, spread, seed)

    @property
    def meaning(self) -> str:
        """What `merit` is, in words that follow "the one with the"; "" where nothing selects."""
        if self.selection is None:
            return ""
        return (
            f"lowest {selection_metric().title} ({self.net.label}) of samples at snapshots against "
            f"{len(self.selection.features)} held-out images, which do nothing else: scores compare with others"
        )

    def read(self, fakes: Features) -> dict[str, float]:
        """Return what there is of a reading; what these images are too few for is left out.

        `merit` (lower is better) with the ends `merit_low` and `merit_high` of its 95 % interval, where images select;
        `copies`, the copy rate against the training images, with `copies_expected`, that of new images; `recall`;
        `alike`, the median distance of random pairs of samples over that of reals; `num_fake`.

        Args:
            fakes: features by `net`.
        """
        found: dict[str, float] = {"num_fake": len(fakes)}
        if self.selection is not None and (merit := _where_possible(lambda: self._merit(fakes))):
            found["merit"] = merit.value
            if merit.interval:
                found["merit_low"], found["merit_high"] = merit.interval
        samples, training = fakes.features, self.training
        limit = _where_possible(lambda: near_threshold(training.features.features, training.facts))
        if limit:
            found["copies"] = copy_rate(samples, training.features.features, training.facts)
            found["copies_expected"] = limit.expected
        recall = _where_possible(lambda: precision(self.reals.features.features, samples))
        found |= {} if recall is None else {"recall": recall}
        if self.spread_of_reals and len(samples) > 1:
            found["alike"] = median_distance(samples, self.seed) / self.spread_of_reals
        return {name: round(value, 6) for name, value in found.items()}

    def _merit(self, fakes: Features) -> MetricResult:
        assert self.selection is not None
        inputs = MetricInputs(fakes, self.selection.features, facts=self.selection.facts)
        measured: MetricResult = load(selection_metric().compute)(inputs, MetricOptions(seed=self.seed))
        return measured


def median_distance(x: Vectors, seed: int) -> float:
    """Return the median Euclidean distance of random pairs of two different rows of n x F, n from 2 up.

    >>> median_distance(np.array([[0.0, 0.0], [3.0, 4.0]]), 0)
    5.0
    """
    draws = np.random.default_rng(np.random.SeedSequence([abs(seed), len(x)]))
    one = draws.integers(len(x), size=_PAIRS)
    other = (one + draws.integers(1, len(x), size=_PAIRS)) % len(x)
    differences = np.asarray(x[one], np.float64) - x[other]
    return float(np.median(np.sqrt(np.square(differences).sum(axis=1))))


def _where_possible(find: Callable[[], _T]) -> _T | None:
    try:
        return find()
    except InputError:  # too few images, or all alike
        return None
