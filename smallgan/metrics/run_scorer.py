"""Scores of a run: the one rule of which images its samples are compared with, while it trains and afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smallgan.core.run_dir import append_jsonl
from smallgan.data.images import PixelRows
from smallgan.metrics import evaluate
from smallgan.metrics.features.extract import FeatureNet, Features, extract
from smallgan.metrics.features.image_sets import sample_features
from smallgan.metrics.measure import RealSet
from smallgan.metrics.score import Score
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.tables.metrics import METRICS
from smallgan.tables.recipe_schema import ScoreSection

FEWEST_SAMPLES, MOST_SAMPLES = 100, 1000


def default_num_fake(num_real: int) -> int:
    """Return how many samples of a run are scored: as many as it has reals, within 100 to 1,000."""
    return min(max(num_real, FEWEST_SAMPLES), MOST_SAMPLES)


def prepared(size: int, resize_mode: str) -> str:
    """Return how reals reached the size of the fakes, as an identity states it."""
    return f"reals {resize_mode} to {size} px"


@dataclass(frozen=True)
class RunScorer:
    """Scores checkpoints of a run, all by one identity."""

    net: FeatureNet
    metrics: tuple[str, ...]
    reals: RealSet | None
    """What samples are compared with: the originals held out, else those trained on; None: nothing."""
    training_set: RealSet | None
    """The originals trained on, for metrics of copies; None: `reals`."""
    reals_prepared: str | None
    """How reals reached the size of the samples, as `prepared` says it; None: they are taken as they are."""
    num_fake: int
    seed: int
    """Sample k is that of (seed, k); also seeds `evaluate`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `evaluate`: splits, target, augmented, intervals."""

    @classmethod
    def of_pixels(
        cls,
        net: FeatureNet,
        settings: ScoreSection,
        reals: tuple[PixelRows, str],
        originals: tuple[PixelRows, str],
        resize_mode: str,
        seed: int,
    ) -> RunScorer:
        """Return the scorer of a run whose images are in memory; features that no metric asks for are not extracted.

        Args:
            net: from `feature_net`.
            settings: of the recipe; its metrics need no augmented images, and `num_fake` None means as many samples as
                `reals`, within 100 to 1,000.
            reals: the originals held out, or those trained on where none is, R x S x S x 3, and their fingerprint.
            originals: those trained on, N x S x S x 3, and their fingerprint.
            resize_mode: how all of them became squares.
            seed: of the samples.
        """

        def extracted(images: tuple[PixelRows, str], *, of_copies: bool) -> RealSet | None:
            if all(METRICS[name].compares_with_training_set != of_copies for name in settings.metrics):
                return None
            return RealSet(sample_features(images[0], net, "features of reals"), images[1])

        sets = extracted(reals, of_copies=False), extracted(originals, of_copies=True)
        how, count = prepared(reals[0].shape[1], resize_mode), settings.num_fake or default_num_fake(len(reals[0]))
        return cls(net, settings.metrics, *sets, how, count, seed, {"splits": settings.splits})

    def evaluate(self, fake: Features, *, baselines: bool = False) -> list[Score]:
        """Return the scores of features of fakes, in the order of `metrics`; `baselines` also scores reals."""
        return evaluate(
            fake,
            self.reals.features if self.reals else None,
            self.net,
            reals_fingerprint=self.reals.fingerprint if self.reals else None,
            reals_prepared=self.reals_prepared,
            training_set=self.training_set,
            metrics=self.metrics,
            seed=self.seed,
            baselines=baselines,
            **self.options,
        )

    def score(self, model: Model, *, baselines: bool = False) -> list[Score]:
        """Return the scores of a checkpoint's samples, added to its run's scores.jsonl.

        Raises the errors of `evaluate`, and OutputError.
        """
        fake = extract(sample_pixels(model, self.num_fake, self.seed), self.net)
        scores = self.scores_of(model, fake, baselines=baselines)
        add_to_run(model, scores)
        return scores

    def scores_of(self, model: Model, fake: Features, *, baselines: bool = False) -> list[Score]:
        """Return the scores of a checkpoint from the features of its samples, with its step and run. Writes nothing."""
        run = model.run.name if model.run else None
        return [replace(score, step=model.step, run=run) for score in self.evaluate(fake, baselines=baselines)]


def add_to_run(model: Model, scores: Sequence[Score]) -> None:
    """Add scores of a checkpoint to its run's scores.jsonl; a pretrained file has none. Raises OutputError."""
    if model.run is not None:
        for score in scores:
            append_jsonl(model.run.scores, score.to_json())
