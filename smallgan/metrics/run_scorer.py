"""Scores of a run: the one rule of which images its samples are compared with, while it trains and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from augment.errors import UsageError
from smallgan.core.console import say
from smallgan.core.run_dir import append_jsonl
from smallgan.data.images import PixelRows
from smallgan.metrics import evaluate
from smallgan.metrics.features.extract import FeatureNet, Features, extract_all
from smallgan.metrics.features.image_sets import sample_features
from smallgan.metrics.measure import RealSet
from smallgan.metrics.score import Score
from smallgan.metrics.standing import FREE, Standing, standing_of
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.tables.feature_networks import FEATURE_NETWORKS
from smallgan.tables.metrics import METRICS, MetricSpec
from smallgan.tables.recipe_schema import ScoreSection

FEWEST_SAMPLES, MOST_SAMPLES = 100, 1000


def default_num_fake(num_real: int) -> int:
    """Return how many samples of a run are scored: as many as it has reals, within 100 to 1,000."""
    return min(max(num_real, FEWEST_SAMPLES), MOST_SAMPLES)


def prepared(size: int, resize_mode: str) -> str:
    """Return how reals reached the size of the fakes, as an identity states it."""
    return f"reals {resize_mode} to {size} px"


@dataclass(frozen=True)
class Judge:
    """A feature network, what it is asked, and the real images in its features."""

    net: FeatureNet
    metrics: tuple[str, ...]
    reals: RealSet | None = None
    """What samples are compared with: the originals held out, else those trained on; None: nothing."""
    training_set: RealSet | None = None
    """The originals trained on, for metrics of copies; None: `reals`."""
    augmented: Features | None = None
    """Of augmented images, for the metric "leak"."""
    source: Features | None = None
    """Of images of the domain that the model's generator comes from, for the metric "domain"."""
    standing: Standing = FREE
    """What the network is to the model that is scored."""


def judges_of(nets: Sequence[FeatureNet], metrics: tuple[str, ...]) -> list[Judge]:
    """Return each network with the metrics that are asked of it, and say which network is left without any.

    One network is asked all. Of several, those without class predictions are not asked for what needs them, and what is
    of pixels alone comes once, with the first.

    Raises UsageError for a metric that none of the networks can give.
    """
    of_modes = [name for name in metrics if "modes" in METRICS[name].needs]
    if of_modes and not any(net.reads_modes for net in nets):
        able = ", ".join(row.name for row in FEATURE_NETWORKS if row.reads_modes)
        raise UsageError(f"--metrics {of_modes[0]}: needs a network that tells modes ({able}), as --features names it")
    of_pixels = [name for name in metrics if METRICS[name].of_pixels]
    if len(nets) == 1 or len(of_pixels) == len(metrics):
        return [Judge(nets[0], metrics)]
    judges: list[Judge] = []
    for net in nets:
        own = [name for name in metrics if name not in of_pixels]
        own = [name for name in own if net.num_logits or "logits" not in METRICS[name].needs]
        own = [name for name in own if net.reads_modes or name not in of_modes]
        if own:
            first = () if judges else of_pixels
            judges.append(Judge(net, tuple(name for name in metrics if name in (*own, *first))))
        else:
            say(f"{net.name} has no class predictions, so it scores nothing here")
    for name in metrics:
        if all(name not in judge.metrics for judge in judges):
            networks = ", ".join(net.name for net in nets)
            raise UsageError(f"--metrics {name}: needs class predictions, which none of {networks} has; name another")
    return judges


@dataclass(frozen=True)
class RunScorer:
    """Scores checkpoints of a run, all by the same identities."""

    judges: Sequence[Judge]
    reals_prepared: str | None
    """How reals reached the size of the samples, as `prepared` says it; None: they are taken as they are."""
    num_fake: int
    seed: int
    """Sample k is that of (seed, k); also seeds `evaluate`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `evaluate`: splits, target, intervals."""

    @classmethod
    def of_pixels(
        cls,
        nets: Sequence[FeatureNet],
        settings: ScoreSection,
        reals: tuple[PixelRows, str],
        originals: tuple[PixelRows, str],
        resize_mode: str,
        seed: int,
        perceptual: Mapping[str, Any] | None = None,
    ) -> RunScorer:
        """Return the scorer of a run whose images are in memory; features that no metric asks for are not extracted.

        Args:
            nets: from `feature_nets`.
            settings: of the recipe; its metrics need no augmented images, and `num_fake` None means as many samples as
                `reals`, within 100 to 1,000.
            reals: the originals held out, or those trained on where none is, R x S x S x 3, and their fingerprint.
            originals: those trained on, N x S x S x 3, and their fingerprint.
            resize_mode: how all of them became squares.
            seed: of the samples.
            perceptual: the network of the model's perceptual loss, as `standing_of` takes it.
        """
        metrics = settings.metrics
        if reals[1] == originals[1]:  # nothing is held out
            lacking = [name for name in metrics if "training" in METRICS[name].needs]
            metrics = tuple(name for name in metrics if name not in lacking)
            for name in lacking:
                say(f"{name} is not scored: it compares with images held out, and none is (data.holdout)")
        judges = judges_of(nets, metrics)

        def extracted(images: tuple[PixelRows, str], wanted_by: Callable[[MetricSpec], bool]) -> list[RealSet | None]:
            wants = [any(wanted_by(METRICS[name]) for name in judge.metrics) for judge in judges]
            asked = [judge.net for judge, wanted in zip(judges, wants, strict=True) if wanted]
            found = iter(sample_features(images[0], asked, "features of reals") if asked else ())
            return [RealSet(next(found), images[1]) if wanted else None for wanted in wants]

        against = extracted(reals, lambda metric: not metric.compares_with_training_set)
        training = extracted(originals, lambda metric: metric.uses_training_set)
        sets = zip(judges, against, training, strict=True)
        judges = [
            replace(judge, reals=real, training_set=trained_on, standing=standing_of(judge.net, perceptual))
            for judge, real, trained_on in sets
        ]
        how, count = prepared(reals[0].shape[1], resize_mode), settings.num_fake or default_num_fake(len(reals[0]))
        return cls(judges, how, count, seed, {"splits": settings.splits})

    def evaluate(self, fakes: Sequence[Features], *, baselines: bool = False) -> list[Score]:
        """Return the scores of fakes: those of the first judge in the order of its metrics, then those of the next.

        Args:
            fakes: features of the same images, by each judge's network.
            baselines: also score reals.
        """
        scores = []
        for judge, fake in zip(self.judges, fakes, strict=True):
            if not judge.metrics:
                continue
            scores += evaluate(
                fake,
                judge.reals.features if judge.reals else None,
                judge.net,
                reals_fingerprint=judge.reals.fingerprint if judge.reals else None,
                reals_prepared=self.reals_prepared,
                training_set=judge.training_set,
                augmented=judge.augmented,
                source=judge.source,
                standing=judge.standing,
                metrics=judge.metrics,
                seed=self.seed,
                baselines=baselines,
                **self.options,
            )
        return scores

    def fakes_of(self, model: Model) -> list[Features]:
        """Return the features of a checkpoint's samples by each judge."""
        samples = sample_pixels(model, self.num_fake, self.seed)
        return extract_all(samples, [judge.net for judge in self.judges])

    def scores_of(self, model: Model, fakes: Sequence[Features], *, baselines: bool = False) -> list[Score]:
        """Return the scores of a checkpoint from its samples' features by each judge, with its step and run.

        Writes nothing.
        """
        run = model.run.name if model.run else None
        return [replace(score, step=model.step, run=run) for score in self.evaluate(fakes, baselines=baselines)]


def add_to_run(model: Model, scores: Sequence[Score]) -> None:
    """Add scores of a checkpoint to its run's scores.jsonl; a pretrained file has none. Raises OutputError."""
    if model.run is not None:
        for score in scores:
            append_jsonl(model.run.scores, score.to_json())
