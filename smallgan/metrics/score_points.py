"""Scores of a run on points in the plane, against points of the same mixture that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from augment.errors import UsageError
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.core.run_dir import RunDir
from smallgan.data.points import draw_sets
from smallgan.data.run_source import read_summary
from smallgan.metrics import refuse_lacking
from smallgan.metrics.features.extract import FeatureNet
from smallgan.metrics.run_scorer import RunScorer
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.scored import Scored, add_scores
from smallgan.sampling.loading import load_and_say_notes
from smallgan.tables.data_sources import DataSource, Mixture, find_source
from smallgan.tables.metrics import METRICS
from smallgan.tables.recipe_schema import ScoreSection


def made_source_of(path: Path) -> DataSource | None:
    """Return the row of the set that a run, or the run of a checkpoint, was trained on; None for images of a path."""
    run = next((run for run in (RunDir(path), RunDir(path.parent.parent)) if run.exists()), None)
    summary = read_summary(run) if run else None
    return find_source(summary["source"]) if summary else None


def score_points(
    path: Path, mixture: Mixture, real: Path | None, nets: Sequence[FeatureNet], options: ScoreOptions
) -> Scored:
    """Return the scores of samples of a run or checkpoint; they are those that training gives. Raises UsageError."""
    metrics = options.metrics or ()
    asked = [(name.replace("_", "-"), getattr(options, name)) for name in ("per_image", "worst", "augmented", "source")]
    asked += [("metrics", name) for name in metrics if METRICS[name].of_pixels]
    for option, value in [("real", real), *asked]:
        if value is not None:
            raise UsageError(f"--{option} {value}: {path} makes points, not images; leave it out")
    refuse_lacking(metrics, {"augmented": False, "source": False})
    model = load_and_say_notes(path, choose_device(options.device), options.checkpoint)
    summary = (read_summary(model.run) if model.run else None) or {}
    trained_on, held_out = draw_sets(mixture, int(summary.get("num_real", mixture.num_points)))
    settings = ScoreSection(metrics=metrics, num_fake=options.num_fake, splits=options.splits)
    scorer = RunScorer.of_pixels(nets, settings, held_out, trained_on, "crop", options.seed)
    scorer = replace(scorer, options={**scorer.options, "intervals": options.intervals, "target": options.target})
    against = f"against {len(held_out[0])} others"
    say(f"{path}: {scorer.num_fake} points of step {model.step}, seed {options.seed}, {against}")
    fakes = scorer.fakes_of(model)
    scores = scorer.scores_of(model, fakes, baselines=options.baselines)
    return Scored(scores, fakes[0], (partial(add_scores, model, scores),))
