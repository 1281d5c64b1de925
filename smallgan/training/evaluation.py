"""What happens at a snapshot beside the loop: scores, a reading, warnings, and the merit that selects a checkpoint.

And before a transfer: which classes of its source are nearest to the images.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from augment.errors import InputError, UsageError
from smallgan.core import distributed
from smallgan.core.console import Log
from smallgan.core.run_dir import RunDir, append_jsonl, read_jsonl
from smallgan.metrics.accuracy import score_of
from smallgan.metrics.class_search import ClassSearch, search_classes
from smallgan.metrics.diagnostics import Reading, newest, summary
from smallgan.metrics.features.extract import FeatureNet, Features, extract_all, feature_nets, joined
from smallgan.metrics.run_scorer import RunScorer, add_to_run, default_num_fake, prepared
from smallgan.metrics.score import STRUCK
from smallgan.metrics.snapshot_reading import SnapshotReader
from smallgan.models.base import Generator
from smallgan.sampling.latents import BATCH_SIZE, sample_pixels
from smallgan.sampling.loading import Model
from smallgan.sampling.pretrained import PretrainedSource
from smallgan.tables.methods import TransferOptions
from smallgan.tables.recipe import Recipe
from smallgan.training.data import TrainingData
from smallgan.training.ema import STATISTICS_BATCH, STATISTICS_BATCHES, batch_norms
from smallgan.training.loop import Merit, Trainer

_NUM_TIMED = 32
SEARCHED = 500  # Most images of the user's that a class search looks at


def scoring_networks(
    recipe: Recipe, num_reals: int, device: torch.device, log: Callable[[str], None]
) -> list[FeatureNet]:
    """Return the feature networks that score, [] where nothing is scored.

    Raises as `feature_nets` does, and UsageError for more splits than samples are scored against `num_reals` reals.
    """
    count, splits = num_scored(recipe, num_reals), recipe.score.splits or 1
    if not count:
        return []
    if splits > count and "is" in recipe.score.metrics:
        raise UsageError(
            f"score.splits {splits}: must be from 1 to {count}, the number of samples scored; score.num_fake sets it"
        )
    nets, notes = feature_nets(recipe.score.features, device)
    for note in notes:
        log(note)
    return nets


def evaluator(
    recipe: Recipe,
    run: RunDir,
    data: TrainingData,
    trainer: Trainer,
    device: torch.device,
    nets: Sequence[FeatureNet],
    log: Log,
) -> Callable[[Trainer, int], Merit | None]:
    """Return the loop's `evaluate`: scores and a reading of the averaged generator, all against the same originals.

    `nets` are `scoring_networks`. Without metrics it does nothing.
    """
    settings = recipe.score
    if not recipe.method_row.makes_images:
        return _of_classifier(recipe, run, data, log)
    if not settings.metrics:
        return lambda _trainer, _step: None
    if not distributed.is_main():
        return _helper(run, nets, device)
    scorer = RunScorer.of_pixels(
        nets,
        settings,
        (data.reals, data.reals_fingerprint),
        (data.originals, data.summary["fingerprint"]),
        recipe.data.resize_mode,
        recipe.seed,
        trainer.description.get("perceptual"),
    )
    struck = [judge for judge in scorer.judges if judge.standing.mark == STRUCK]
    for judge in struck:
        log(f"note: {judge.standing.why}")
    if struck and len(struck) == len(scorer.judges):
        log("note: every scoring network was also used in training; --set score.features=panel adds others")
    if "holdout" not in data.summary:
        log(
            "note: every image is trained on, so scores compare with the training images, and a copy would score as "
            "well; --set data.holdout=0.2 holds a fifth out"
        )
    reader = SnapshotReader.of_pixels(scorer, data.originals, data.reals, data.selection)
    to_probe = data.to_probe(trainer.description.get("classes", ()))
    asked = [judge.net.name for judge in scorer.judges], scorer.num_fake, scorer.seed
    if distributed.count() > 1:
        distributed.from_main(lambda: asked)

    def evaluate(trainer: Trainer, step: int) -> Merit | None:
        model = _model_of(trainer, step, run, device)
        if distributed.count() == 1:
            return judged(trainer, step, model, scorer.fakes_of(model))
        fakes = _extracted_by_all(model, [judge.net for judge in scorer.judges], *asked[1:])
        with distributed.alone():
            return judged(trainer, step, model, fakes)

    def judged(trainer: Trainer, step: int, model: Model, fakes: list[Features]) -> Merit | None:
        try:  # the baseline is the same at every step: the last one tells it
            scores = scorer.scores_of(model, fakes, baselines=step >= recipe.train.steps)
            add_to_run(model, scores)
            log(f"scores at step {step}: {', '.join(f'{each.shown_label} {each.value:.4g}' for each in scores)}")
        except InputError as error:  # one real, for example: no reason not to train
            log(f"not scored: {error}")
        reading = reader.read(fakes[reader.judge]) if reader else {}
        reading |= {name: round(value, 6) for name, value in trainer.probe(*to_probe).items()}
        append_jsonl(run.diagnostics, {"step": step, **reading})
        for warning in newest(_readings(run)):
            log(f"warning: {warning.text}")
        if reader is None or "merit" not in reading:
            return None
        ends = reading.get("merit_low"), reading.get("merit_high")
        interval = None if ends[0] is None or ends[1] is None else (ends[0], ends[1])
        return Merit(reading["merit"], reader.meaning, interval)

    return evaluate


def _of_classifier(recipe: Recipe, run: RunDir, data: TrainingData, log: Log) -> Callable[[Trainer, int], Merit | None]:
    """Return the loop's `evaluate` of a method that makes no images: accuracy on the target, which selects nothing."""
    own = data.others.get("target_test")
    fingerprint = str(own.summary["fingerprint"]) if own else data.others["target"].reals_fingerprint
    how = prepared(recipe.data.size, recipe.data.resize_mode)

    def evaluate(trainer: Trainer, step: int) -> Merit | None:
        score = replace(score_of(trainer.confusion(step), fingerprint, how, recipe.seed), step=step, run=run.name)
        append_jsonl(run.scores, score.to_json())
        assert score.interval is not None
        low, high = score.interval
        log(
            f"scores at step {step}: {score.label} {score.value:.4g} [{low:.4g}, {high:.4g}], "
            f"source only {score.parts['source_only']:.4g}"
        )
        return None

    return evaluate


def _model_of(trainer: Trainer, step: int, run: RunDir, device: torch.device) -> Model:
    generator = cast(Generator, trainer.generator_ema)
    return Model(generator, device, run.checkpoint(step), run, step, sha256="", prior=trainer.prior)


def _helper(run: RunDir, nets: Sequence[FeatureNet], device: torch.device) -> Callable[[Trainer, int], None]:
    """Return what other ranks than the first do in `evaluate`: their part of the samples and of their features."""
    asked: tuple[list[str], int, int] = distributed.from_main(lambda: ([], 0, 0))
    used = [net for name in asked[0] for net in nets if net.name == name]

    def help_with(trainer: Trainer, step: int) -> None:
        _extracted_by_all(_model_of(trainer, step, run, device), used, *asked[1:])

    return help_with


def _extracted_by_all(model: Model, nets: Sequence[FeatureNet], count: int, seed: int) -> list[Features]:
    """Return the features of `count` samples by each network, in rank 0; each rank has made some of the batches."""
    batches, ranks = -(-count // BATCH_SIZE), distributed.count()
    ends = [min(rank * batches // ranks * BATCH_SIZE, count) for rank in range(ranks + 1)]
    part = slice(*distributed.own(np.stack([ends[:-1], ends[1:]], axis=1))[0].tolist())
    made = extract_all(sample_pixels(model, count, seed, part), nets) if part.start < part.stop else None
    parts = [each for each in distributed.to_main(made) if each is not None]
    return [joined(each) for each in zip(*parts, strict=True)]


def nearest_classes(
    recipe: Recipe, source: PretrainedSource, data: TrainingData, device: torch.device
) -> tuple[Recipe, ClassSearch]:
    """Return the recipe with the classes that `method.class_search` finds as the class vector, and what was found.

    Raises UsageError for a generator without classes.
    """
    options = recipe.method
    assert isinstance(options, TransferOptions)
    nets, _ = feature_nets(recipe.score.features, device)
    images = data.originals[:SEARCHED]
    found = search_classes(source, images, nets[0], device, recipe.seed, options.class_search or 1)
    method = options.model_copy(update={"class_vector": found.class_vector, "class_search": None})
    return recipe.model_copy(update={"method": method}), found


def outcome(run: RunDir) -> str | None:
    """Return a line about a trained run's best and last checkpoints, None where nothing selected one."""
    best = run.best_step()
    return None if best is None else summary(_readings(run), best, str(run.path))


def num_scored(recipe: Recipe, num_reals: int) -> int:
    """Return how many samples are scored at a snapshot, 0 without metrics."""
    is_scored = recipe.score.metrics and recipe.method_row.makes_images
    return (recipe.score.num_fake or default_num_fake(num_reals)) if is_scored else 0


def seconds_per_scored(recipe: Recipe, trainer: Trainer, device: torch.device) -> float:
    """Return the seconds that a sample and its features take, timed on 32 samples; 0 without metrics.

    What batch norm is measured on at each snapshot is in it, as if 1,000 originals were held out.
    """
    if not num_scored(recipe, 1):
        return 0.0
    nets, _ = feature_nets(recipe.score.features, device)
    generator = cast(Generator, trainer.generator_ema)
    started = time.perf_counter()
    samples = sample_pixels(Model(generator, device, Path("timed"), None, 0, sha256=""), _NUM_TIMED, recipe.seed)
    drawn = time.perf_counter()
    extract_all(samples, nets)
    measured = STATISTICS_BATCHES * STATISTICS_BATCH if batch_norms(trainer.generator_ema) else 0
    share = 1 + measured / num_scored(recipe, 1000)
    return ((drawn - started) * share + time.perf_counter() - drawn) / _NUM_TIMED


def _readings(run: RunDir) -> list[Reading]:
    return list(read_jsonl(run.diagnostics)) if run.diagnostics.is_file() else []
