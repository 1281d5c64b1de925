"""A folder, a mixed dataset or a run against real images: from paths to scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.core.files import write_bytes, write_text
from augment.errors import InputError, UsageError
from augment.imaging.codec import Pixels, encode_png
from augment.imaging.geometry import RESIZE_MODES
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from smallgan.core.checkpoint import STATE
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.core.run_dir import RunDir, numbered_runs
from smallgan.data.run_source import open_run_source, read_summary
from smallgan.metrics import RealSet
from smallgan.metrics.features.extract import FeatureNet, Features, feature_net
from smallgan.metrics.features.image_sets import Resize, readable, sample_features, set_features
from smallgan.metrics.features.precomputed import is_precomputed, precomputed_net, read_precomputed
from smallgan.metrics.memorisation.per_image import Pictures, as_csv, rows_of, worst_sheet
from smallgan.metrics.permutation import SetsTest, sets_differ
from smallgan.metrics.run_scorer import MOST_SAMPLES, RunScorer, default_num_fake, prepared
from smallgan.metrics.score import Score, compare
from smallgan.sampling.loading import Model, load_model
from smallgan.tables.metrics import METRICS, Need, check_metrics, default_metrics, readers_of


@dataclass(frozen=True)
class ScoreOptions:
    """How to score; the fields are the options of `smallgan score`."""

    metrics: tuple[str, ...] | None = None
    """None: those that are on by default, where there is what they need."""
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

    def __post_init__(self) -> None:
        """Raise UsageError for what no scoring can make sense of."""
        if self.metrics is not None:
            check_metrics(self.metrics)
        if self.num_fake is not None and self.num_fake < 1:
            raise UsageError(f"--num-fake {self.num_fake}: needed at least 1")
        if self.resize_mode not in RESIZE_MODES:
            raise UsageError(f"--resize-mode {self.resize_mode}: needed {', '.join(RESIZE_MODES)}")
        metrics = default_metrics() if self.metrics is None else self.metrics
        for option in ("splits", "augmented", "target"):
            readers = readers_of(option)
            read = set(readers) & set(metrics) or (option == "target" and self.per_image)
            if getattr(self, option) is not None and not read:
                raise UsageError(f"--{option}: read by the metric {', '.join(readers)} only; add it to --metrics")

    @property
    def wants_details(self) -> bool:
        """Whether each fake is to be compared with its nearest real."""
        return self.per_image is not None or self.worst is not None


def score(fake: Path, real: Path | None, options: ScoreOptions) -> list[Score]:
    """Return the scores of `fake`: a run or checkpoint (its samples), a mixed dataset (its added images), or images.

    An .npz of features (`smallgan.metrics.features.precomputed`) is scored as it stands, against another one.

    `real` is the set to compare with. None means the originals of a run or of a mixed dataset; other images are then
    scored without reals. The scores of a run are also added to its scores.jsonl.

    Raises the errors of the parts: UsageError, InputError, MissingError.
    """
    return score_with_features(fake, real, options)[0]


@dataclass(frozen=True)
class Versus:
    """Two sets, scored alike."""

    one: list[Score]
    other: list[Score]
    differences: dict[str, float]
    """By metric: the other's value less the one's."""
    test: SetsTest


def versus(one: Path, other: Path, real: Path | None, options: ScoreOptions) -> Versus:
    """Return the scores of two sets side by side, and whether the sets differ by more than chance.

    Raises:
        UsageError: the scores are not of one identity: other reals, another number of images, say.
        InputError: a set has one image.
    """
    scores, features = score_with_features(one, real, options)
    other_scores, other_features = score_with_features(other, real, options)
    differences = {a.metric: compare(a, b) for a, b in zip(scores, other_scores, strict=True)}
    test = sets_differ(features.features, other_features.features, seed=options.seed)
    return Versus(scores, other_scores, differences, test)


def score_with_features(fake: Path, real: Path | None, options: ScoreOptions) -> tuple[list[Score], Features]:
    """Return what `score` does, and the features of the fakes."""
    if is_precomputed(fake):
        return _score_precomputed(fake, real, options)
    if real is not None and is_precomputed(real):
        raise UsageError(f"--real {real} holds features, so {fake} must too (.npz), or name real images")
    # the network's note stands in every score
    net, why = feature_net(options.features, choose_device(options.device), options.precision)
    if why and net.note is None:
        say(why)
    if RunDir(fake).exists() or (fake / STATE).is_file():
        return _score_run(fake, real, options, net)
    return _score_images(fake, real, options, net)


def newest_run(root: Path) -> Path:
    """Return the newest run below `root`. Raises UsageError when there is none."""
    runs = [run for run in numbered_runs(root) if run.exists()]
    if not runs:
        raise UsageError(f"FAKE is missing and there is no run in {root}; name a folder of images, a zip or a run")
    return runs[-1].path


@dataclass(frozen=True)
class _ComparisonSet:
    """Real images that fakes are compared with."""

    images: ImageSet
    fingerprint: str | None = None
    """What they must have; None: any will do."""


def _score_run(path: Path, real: Path | None, options: ScoreOptions, net: FeatureNet) -> tuple[list[Score], Features]:
    model = load_model(path, choose_device(options.device), options.checkpoint)
    for note in model.notes:
        say(note)
    reals, trained_on, resize_mode = _reals_of_run(model, real, options)
    num_fake = options.num_fake or default_num_fake(len(reals.images) if reals else MOST_SAMPLES)
    what = "originals that were held out" if trained_on else "reals"
    against = f", against {len(reals.images)} {what}" if reals else ""
    say(f"{path}: {num_fake} samples of step {model.step}, seed {options.seed}{against}")
    metrics = _metrics(options, net, has_real=reals is not None)
    resize = (model.size, resize_mode)
    sets = _extract_reals(reals, trained_on, metrics, resize, options, net)
    scorer = _scorer(net, metrics, sets, resize, num_fake, options)
    samples = scorer.samples(model)
    fake = sample_features(samples, net, "features of samples")
    scores = scorer.score(model, fake, baselines=options.baselines)
    _write_details(options, fake, Pictures([f"sample {k}" for k in range(num_fake)], lambda k: samples[k]), sets)
    return scores, fake


def _reals_of_run(
    model: Model, real: Path | None, options: ScoreOptions
) -> tuple[_ComparisonSet | None, _ComparisonSet | None, str]:
    """Return what a run is compared with, the originals trained on where those are others, and their resize mode."""
    if real is not None:
        return _ComparisonSet(_originals(real)), None, options.resize_mode
    summary = read_summary(model.run) if model.run else None
    if model.run is None or summary is None:
        return None, None, options.resize_mode
    source = open_run_source(model.run, summary)
    trained_on = _ComparisonSet(_named(source, summary["names"], model.run), summary["fingerprint"])
    held = summary.get("holdout")
    if not held:
        return trained_on, None, summary["resize_mode"]
    held_out = _ComparisonSet(_named(source, held["names"], model.run), held["fingerprint"])
    return held_out, trained_on, summary["resize_mode"]


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


def _score_images(
    path: Path, real: Path | None, options: ScoreOptions, net: FeatureNet
) -> tuple[list[Score], Features]:
    fakes, reals = _fakes_and_reals(path, real)
    if options.skip_bad and (options.num_fake is not None or options.wants_details):
        # else the draw would fall short of the number, and rows would not be those of the names
        fakes = readable(fakes, skip_bad=True)
    if options.num_fake is not None:
        fakes = fakes.subset(_drawn(len(fakes), options, fakes.path))
    found = set_features(fakes, net, "features of fakes", skip_bad=options.skip_bad)
    resize = None if found.side is None else (found.side, options.resize_mode)
    metrics = _metrics(options, net, has_real=reals is not None)
    sets = _extract_reals(_ComparisonSet(reals) if reals else None, None, metrics, resize, options, net)
    scorer = _scorer(net, metrics, sets, resize, len(fakes), options)
    scores = scorer.evaluate(found.features, baselines=options.baselines)
    _write_details(options, found.features, _pictures(fakes), sets)
    return scores, found.features


def _score_precomputed(path: Path, real: Path | None, options: ScoreOptions) -> tuple[list[Score], Features]:
    """Score precomputed features against others."""
    if options.features is not None:
        raise UsageError(f"--features {options.features}: {path} holds features already; leave the option out")
    if options.augmented is not None:
        raise UsageError(f"--augmented {options.augmented}: {path} holds features, and has no network for images")
    if options.worst is not None:
        raise UsageError(f"--worst {options.worst}: {path} holds features, and no images to show")
    if real is not None and not is_precomputed(real):
        raise UsageError(f"--real {real}: {path} holds features, so the reals must be features too (.npz)")
    fakes, reals = read_precomputed(path), read_precomputed(real) if real else None
    net, features = precomputed_net(fakes, reals), fakes.features
    if options.num_fake is not None:
        rows = _drawn(len(features), options, path)
        features = Features(features.features[rows], features.logits[rows])
    real_set = RealSet(reals.features, reals.fingerprint) if reals else None
    sets = _RealSets(real_set, None, _numbered(reals.features if reals else None))
    metrics = _metrics(options, net, has_real=reals is not None)
    scores = _scorer(net, metrics, sets, None, len(features), options).evaluate(features, baselines=options.baselines)
    _write_details(options, features, _numbered(features), sets)
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
    added = _added(source)
    against = f" against {len(reals)} originals" if reals is originals else ""
    say(f"{path} is a mixed dataset: its {len(added)} added images are scored{against}")
    return added, reals


@dataclass(frozen=True)
class _RealSets:
    """Features of real images, as far as something asks for them."""

    reals: RealSet | None
    training_set: RealSet | None
    """Where it is another than `reals`."""
    pictures: Pictures | None
    """Of the training set, else of the reals, where details are asked for."""


def _extract_reals(
    reals: _ComparisonSet | None,
    trained_on: _ComparisonSet | None,
    metrics: tuple[str, ...],
    resize: Resize | None,
    options: ScoreOptions,
    net: FeatureNet,
) -> _RealSets:
    """Return the features of reals, brought to the fakes' size where that is one square (`resize`)."""
    specs = [METRICS[name] for name in metrics]
    of_copies = options.wants_details or any(spec.compares_with_training_set for spec in specs)
    others = any(not spec.compares_with_training_set and (options.baselines or spec.uses_real) for spec in specs)

    def extracted(chosen: _ComparisonSet | None, *, wanted: bool) -> tuple[RealSet | None, ImageSet | None]:
        if chosen is None or not wanted:
            return None, None
        images = chosen.images
        if options.skip_bad and options.wants_details:
            images = readable(images, skip_bad=True)
        found = set_features(
            images, net, "features of reals", resize=resize, expected=chosen.fingerprint, skip_bad=options.skip_bad
        )
        return RealSet(found.features, found.fingerprint), images

    real_set, images = extracted(reals, wanted=others or (of_copies and trained_on is None))
    training_set, trained_images = extracted(trained_on, wanted=of_copies)
    images = trained_images or images
    return _RealSets(real_set, training_set, _pictures(images) if images else None)


def _write_details(options: ScoreOptions, fake: Features, fakes: Pictures, sets: _RealSets) -> None:
    """Write the table of all fakes and the picture of those nearest to a real, where they are asked for."""
    reals = sets.training_set or sets.reals
    real = reals.features if reals else None
    if options.worst is not None:
        write_bytes(options.worst, encode_png(worst_sheet(fake, fakes, real, sets.pictures)))
    if options.per_image is not None:
        names = sets.pictures.names if sets.pictures else ()
        write_text(options.per_image, as_csv(rows_of(fake, fakes.names, real, names, options.target)))


def _pictures(images: ImageSet) -> Pictures:
    return Pictures([image.name for image in images.images], lambda index: images.load(index).image.pixels)


def _metrics(options: ScoreOptions, net: FeatureNet, *, has_real: bool) -> tuple[str, ...]:
    """Return the metrics asked for, or those of the defaults that can be had, and say which cannot."""
    if options.metrics is not None:
        return options.metrics
    lacking: dict[Need, str] = {}
    if not has_real:
        lacking["real"] = "no reals to compare with, so no {}; name some with --real"
    if not net.num_logits:
        lacking["logits"] = f"{net.name} has no class predictions, so no {{}}"
    for need, sentence in lacking.items():
        titles = [METRICS[name].title for name in default_metrics() if need in METRICS[name].needs]
        say(sentence.format(" and no ".join(titles)))
    chosen = tuple(name for name in default_metrics() if not set(METRICS[name].needs) & set(lacking))
    if not chosen:
        raise UsageError(f"{net.name} has no class predictions and there are no reals: nothing to score; name --real")
    return chosen


def _scorer(
    net: FeatureNet,
    metrics: tuple[str, ...],
    sets: _RealSets,
    resize: Resize | None,
    num_fake: int,
    options: ScoreOptions,
) -> RunScorer:
    further: dict[str, Any] = {name: getattr(options, name) for name in ("splits", "target", "intervals")}
    if options.augmented is not None:
        images, what = _added(open_source(options.augmented)), "features of augmented images"
        further["augmented"] = set_features(images, net, what, resize=resize, skip_bad=options.skip_bad).features
    how = prepared(*resize) if resize else None
    return RunScorer(net, metrics, sets.reals, sets.training_set, how, num_fake, options.seed, further)


def _added(source: ImageSet) -> ImageSet:
    """Return the added images of a mixed dataset, or all images of another set."""
    added = [index for index, image in enumerate(source.images) if image.origin != "original"]
    return source.subset(added) if added else source


def _originals(path: Path) -> ImageSet:
    originals = open_source(path).originals()
    if not len(originals):
        raise InputError(f"--real {path}: no original image in it; name a set that has some")
    return originals


def _drawn(there: int, options: ScoreOptions, path: Path) -> list[int]:
    """Return `num_fake` of the positions 0 .. there - 1, drawn without replacement by the seed, ascending."""
    count = options.num_fake or there
    if count > there:
        raise UsageError(f"--num-fake {count}: {path} has {there} to score; ask for at most that many")
    order = np.random.default_rng(np.random.SeedSequence(abs(options.seed))).permutation(there)
    return sorted(int(index) for index in order[:count])
