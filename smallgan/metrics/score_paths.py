"""A folder, a mixed dataset or a run against real images: from paths to scores."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augment.core.files import write_bytes, write_text
from augment.errors import InputError, UsageError
from augment.imaging.codec import Pixels, encode_png
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from smallgan.core.checkpoint import STATE
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.core.resources import sample_set
from smallgan.core.run_dir import RunDir, append_jsonl, numbered_runs
from smallgan.metrics import METRICS, check_metrics, evaluate
from smallgan.metrics.features.extract import FeatureNet, Features, feature_net
from smallgan.metrics.features.image_sets import Fitted, readable, sample_features, set_features
from smallgan.metrics.features.precomputed import given_net, is_given, read_given
from smallgan.metrics.memorisation.per_image import Pictures, as_csv, rows_of, worst_sheet
from smallgan.metrics.permutation import SetsTest, sets_differ
from smallgan.metrics.score import Score, compare
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model, load_model

DEFAULT_METRICS = ("is", "kmmd")
COPY_METRICS = ("nn", "copies", "repeats")
"""Metrics that compare a run with the originals it was trained on, also where others are held out."""
FEWEST_SAMPLES, MOST_SAMPLES = 100, 1000


@dataclass(frozen=True)
class Settings:
    """How to score; the fields are the options of `smallgan score`."""

    metrics: tuple[str, ...] | None = None
    """None: Inception Score, and KMMD where there are reals."""
    features: str | None = None
    num_fake: int | None = None
    """None: all images of a folder; as many samples of a run as it has reals, within 100 to 1,000."""
    splits: int | None = None
    seed: int = 0
    device: str = "auto"
    checkpoint: str = "last"
    resize_mode: str = "crop"
    """How reals of another size are brought to that of square fakes; a run has its own."""
    precision: str = "fp32"
    """Of the feature network: fp32 or bf16."""
    skip_bad: bool = False
    """Leave unreadable files out and list them, instead of stopping."""
    augmented: Path | None = None
    """Augmented images, for the metric "leak"; of a mixed dataset its added images count."""
    target: tuple[int, ...] | None = None
    """Class and neighbours for the metric "target"; None takes them from the reals."""
    baselines: bool = False
    """Also score reals against reals."""
    intervals: bool = True
    per_image: Path | None = None
    """Write what is known of each fake to this CSV file."""
    worst: Path | None = None
    """Write a picture of the fakes nearest to a real, beside it, to this PNG file."""


def score(fake: Path, real: Path | None, settings: Settings) -> list[Score]:
    """Return the scores of `fake`: a run or checkpoint (its samples), a mixed dataset (its added images), or images.

    An .npz of features (`smallgan.metrics.features.precomputed`) is scored as it stands, against another one.

    `real` is the set to compare with. None means the originals of a run or of a mixed dataset; other images are then
    scored without reals. The scores of a run are also added to its scores.jsonl.

    Raises the errors of the parts: UsageError, InputError, MissingError.
    """
    return score_with_features(fake, real, settings)[0]


@dataclass(frozen=True)
class Versus:
    """Two sets, scored alike."""

    one: list[Score]
    other: list[Score]
    differences: dict[str, float]
    """By metric: the other's value less the one's."""
    test: SetsTest


def versus(one: Path, other: Path, real: Path | None, settings: Settings) -> Versus:
    """Return the scores of two sets side by side, and whether the sets differ by more than chance.

    Raises:
        UsageError: the scores are not of one identity: other reals, another number of images, say.
        InputError: a set has one image.
    """
    scores, features = score_with_features(one, real, settings)
    other_scores, other_features = score_with_features(other, real, settings)
    differences = {a.metric: compare(a, b) for a, b in zip(scores, other_scores, strict=True)}
    test = sets_differ(features.features, other_features.features, seed=settings.seed)
    return Versus(scores, other_scores, differences, test)


def score_with_features(fake: Path, real: Path | None, settings: Settings) -> tuple[list[Score], Features]:
    """Return what `score` does, and the features of the fakes."""
    if settings.metrics is not None:
        check_metrics(settings.metrics)
    if settings.num_fake is not None and settings.num_fake < 1:
        raise UsageError(f"--num-fake {settings.num_fake}: needed at least 1")
    if is_given(fake):
        return _score_given(fake, real, settings)
    if real is not None and is_given(real):
        raise UsageError(f"--real {real} holds features, so {fake} must too (.npz), or name real images")
    # the network's note stands in every score
    net, why = feature_net(settings.features, choose_device(settings.device), settings.precision)
    if why and net.note is None:
        say(why)
    if RunDir(fake).exists() or (fake / STATE).is_file():
        return _score_run(fake, real, settings, net)
    return _score_images(fake, real, settings, net)


def default_num_fake(num_real: int) -> int:
    """Return how many samples of a run are scored: as many as it has reals, within 100 to 1,000."""
    return min(max(num_real, FEWEST_SAMPLES), MOST_SAMPLES)


def newest_run(root: Path) -> Path:
    """Return the newest run below `root`. Raises UsageError when there is none."""
    runs = [run for _, run in numbered_runs(root) if run.exists()]
    if not runs:
        raise UsageError(f"FAKE is missing and there is no run in {root}; name a folder of images, a zip or a run")
    return runs[-1].path


def prepared(size: int, resize_mode: str) -> str:
    """Return how reals reached the size of the fakes, as an identity states it."""
    return f"reals {resize_mode} to {size} px"


def _score_run(path: Path, real: Path | None, settings: Settings, net: FeatureNet) -> tuple[list[Score], Features]:
    model = load_model(path, choose_device(settings.device), settings.checkpoint)
    sides = _sides_of_run(model, real, settings, net)
    reals = sides[0].reals
    num_real = len(reals) if reals else MOST_SAMPLES
    num_fake = settings.num_fake or default_num_fake(num_real)
    against = f", against {len(reals)} {sides[0].what}" if reals else ""
    say(f"{path}: {num_fake} samples of step {model.step}, seed {settings.seed}{against}")
    samples = sample_pixels(model, num_fake, settings.seed)
    fake_features = sample_features(samples, net, "features of samples")
    pictures = Pictures([f"sample {k}" for k in range(num_fake)], lambda k: samples[k])
    scores = [
        score
        for side in sides
        for score in _compare(
            fake_features, pictures, side.reals, (model.size, side.resize_mode), side.fingerprint, side.settings, net
        )
    ]
    if model.run is None:
        return [replace(score, step=model.step) for score in scores], fake_features
    scores = [replace(score, step=model.step, run=model.run.name) for score in scores]
    for each in scores:
        append_jsonl(model.run.scores, each.to_json())
    return scores, fake_features


@dataclass(frozen=True)
class _Side:
    """Reals to score a run against, and what of it."""

    reals: ImageSet | None
    resize_mode: str
    fingerprint: str | None
    """What the reals must have; None: any will do."""
    settings: Settings
    what: str = "reals"


def _sides_of_run(model: Model, real: Path | None, settings: Settings, net: FeatureNet) -> list[_Side]:
    """Return what a run is scored against: its originals, or those held out and, for copies, those trained on."""
    if real is not None:
        return [_Side(_originals(real), settings.resize_mode, None, settings)]
    if model.run is None or not model.run.data.is_file():
        return [_Side(None, settings.resize_mode, None, settings)]
    summary: dict[str, Any] = json.loads(model.run.data.read_text(encoding="utf-8"))
    source = open_source(Path(summary["source"]) if summary["source"] else sample_set())
    trained_on = _named(source, summary["names"], model.run)
    held = summary.get("holdout")
    if not held:
        return [_Side(trained_on, summary["resize_mode"], summary["fingerprint"], settings)]
    metrics = _metrics(settings, net, has_real=True)
    copies = tuple(name for name in metrics if name in COPY_METRICS)
    rest = replace(settings, metrics=tuple(name for name in metrics if name not in copies), worst=None, per_image=None)
    held_out = _named(source, held["names"], model.run)
    sides = [_Side(held_out, summary["resize_mode"], held["fingerprint"], rest, "originals that were held out")]
    if copies or _looks_closer(settings):
        own = replace(settings, metrics=copies)
        sides.append(_Side(trained_on, summary["resize_mode"], summary["fingerprint"], own))
    return sides


def _named(source: ImageSet, names: list[str], run: RunDir) -> ImageSet:
    """Return the images of a run by their names. Raises InputError when some are gone."""
    places = {image.name: index for index, image in enumerate(source.images)}
    absent = [name for name in names if name not in places]
    if absent:
        raise InputError(
            f"{source.path}: {len(absent)} of the {len(names)} images that {run.path} was trained on "
            f"are gone, {absent[0]} first; put them back, or name reals with --real"
        )
    return source.subset([places[name] for name in names])


def _score_images(path: Path, real: Path | None, settings: Settings, net: FeatureNet) -> tuple[list[Score], Features]:
    fakes, reals = _fakes_and_reals(path, real)
    if settings.skip_bad and (settings.num_fake is not None or _looks_closer(settings)):
        # else the draw would fall short of the number, and rows would not be those of the names
        fakes = readable(fakes, skip_bad=True)
    if settings.num_fake is not None:
        fakes = fakes.subset(_drawn(len(fakes), settings, fakes.path))
    found = set_features(fakes, net, "features of fakes", skip_bad=settings.skip_bad)
    fitted = None if found.side is None else (found.side, settings.resize_mode)
    return _compare(found.features, _pictures(fakes), reals, fitted, None, settings, net), found.features


def _score_given(path: Path, real: Path | None, settings: Settings) -> tuple[list[Score], Features]:
    """Score features that were given, against others that were given."""
    if settings.features is not None:
        raise UsageError(f"--features {settings.features}: {path} holds features already; leave the option out")
    if settings.augmented is not None:
        raise UsageError(f"--augmented {settings.augmented}: {path} holds features, and has no network for images")
    if settings.worst is not None:
        raise UsageError(f"--worst {settings.worst}: {path} holds features, and no images to show")
    if real is not None and not is_given(real):
        raise UsageError(f"--real {real}: {path} holds features, so the reals must be features too (.npz)")
    fakes, reals = read_given(path), read_given(real) if real else None
    net, features = given_net(fakes, reals), fakes.features
    if settings.num_fake is not None:
        rows = _drawn(len(features), settings, path)
        features = Features(features.features[rows], features.logits[rows])
    scores = evaluate(
        features,
        reals.features if reals else None,
        net,
        reals_fingerprint=reals.fingerprint if reals else None,
        metrics=_metrics(settings, net, has_real=reals is not None),
        **_options(settings),
    )
    real_features = reals.features if reals else None
    _look_closer(settings, features, _numbered(features), real_features, _numbered(real_features))
    return scores, features


def _numbered(features: Features | None) -> Pictures:
    """Return names for features without images. Its pixels are never asked for, as --worst was refused."""

    def none(_index: int) -> Pixels:
        raise UsageError("features have no images to show")

    return Pictures([f"row {row}" for row in range(len(features) if features else 0)], none)


def _fakes_and_reals(path: Path, real: Path | None) -> tuple[ImageSet, ImageSet | None]:
    """Return what to score and what to compare with: of a mixed dataset, its added images and its originals."""
    source = open_source(path)
    originals = source.originals()
    reals = _originals(real) if real else None
    if len(originals) == len(source):
        return source, reals
    if reals is None and len(originals):
        reals = originals
    added = source.subset([index for index, image in enumerate(source.images) if image.origin != "original"])
    against = f" against {len(reals)} originals" if reals is originals else ""
    say(f"{path} is a mixed dataset: its {len(added)} added images are scored{against}")
    return added, reals


def _compare(
    fake: Features,
    pictures: Pictures,
    reals: ImageSet | None,
    fitted: Fitted | None,
    expected: str | None,
    settings: Settings,
    net: FeatureNet,
) -> list[Score]:
    """Extract the reals, brought to the fakes' size where that is one square, and evaluate."""
    metrics = _metrics(settings, net, has_real=reals is not None)
    options = _options(settings)
    if settings.augmented is not None:
        augmented = set_features(
            _added(settings.augmented), net, "features of augmented images", fitted=fitted, skip_bad=settings.skip_bad
        )
        options["augmented"] = augmented.features
    wanted = settings.baselines or _looks_closer(settings) or any(METRICS[name].uses_real for name in metrics)
    if reals is None or not wanted:
        _look_closer(settings, fake, pictures, None, None)
        return evaluate(fake, None, net, metrics=metrics, **options) if metrics else []
    if settings.skip_bad and _looks_closer(settings):
        reals = readable(reals, skip_bad=True)
    found = set_features(reals, net, "features of reals", fitted=fitted, expected=expected, skip_bad=settings.skip_bad)
    conditions: dict[str, Any] = {
        "reals_fingerprint": found.fingerprint,
        "reals_prepared": prepared(*fitted) if fitted else None,
    }
    scores = evaluate(fake, found.features, net, metrics=metrics, **conditions, **options) if metrics else []
    _look_closer(settings, fake, pictures, found.features, _pictures(reals))
    return scores


def _looks_closer(settings: Settings) -> bool:
    return settings.per_image is not None or settings.worst is not None


def _look_closer(
    settings: Settings, fake: Features, fakes: Pictures, real: Features | None, reals: Pictures | None
) -> None:
    """Write the table of all fakes and the picture of the most copied, where they are asked for."""
    if settings.worst is not None:
        write_bytes(settings.worst, encode_png(worst_sheet(fake, fakes, real, reals)))
    if settings.per_image is not None:
        rows = rows_of(fake, fakes.names, real, reals.names if reals else (), settings.target)
        write_text(settings.per_image, as_csv(rows))


def _pictures(images: ImageSet) -> Pictures:
    return Pictures([image.name for image in images.images], lambda index: images.load(index).image.pixels)


def _metrics(settings: Settings, net: FeatureNet, *, has_real: bool) -> tuple[str, ...]:
    """Return the metrics asked for, or those of the defaults that can be had, and say which cannot."""
    if settings.metrics is not None:
        return settings.metrics
    chosen = [name for name in DEFAULT_METRICS if has_real or not METRICS[name].needs_real]
    if not has_real:
        say("no reals to compare with, so no KMMD; name some with --real")
    if not net.num_logits:
        say(f"{net.name} has no class predictions, so no Inception Score")
        chosen = [name for name in chosen if not METRICS[name].needs_logits]
    if not chosen:
        raise UsageError(f"{net.name} has no class predictions and there are no reals: nothing to score; name --real")
    return tuple(chosen)


def _options(settings: Settings) -> dict[str, Any]:
    names = ("splits", "seed", "target", "baselines", "intervals")
    return {name: getattr(settings, name) for name in names}


def _added(path: Path) -> ImageSet:
    """Return the added images of a mixed dataset, or all images of another set."""
    source = open_source(path)
    if len(source.originals()) == len(source):
        return source
    return source.subset([index for index, image in enumerate(source.images) if image.origin != "original"])


def _originals(path: Path) -> ImageSet:
    originals = open_source(path).originals()
    if not len(originals):
        raise InputError(f"--real {path}: no original image in it; name a set that has some")
    return originals


def _drawn(there: int, settings: Settings, path: Path) -> list[int]:
    """Return `num_fake` of the positions 0 .. there - 1, drawn without replacement by the seed, ascending."""
    count = settings.num_fake or there
    if count > there:
        raise UsageError(f"--num-fake {count}: {path} has {there} to score; ask for at most that many")
    order = np.random.default_rng(np.random.SeedSequence(abs(settings.seed))).permutation(there)
    return sorted(int(index) for index in order[:count])
