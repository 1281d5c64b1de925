"""A folder, a mixed dataset or a run against real images: from paths to scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augment.core.files import write_bytes, write_text
from augment.errors import InputError, UsageError
from augment.imaging.codec import encode_png
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
from smallgan.metrics.scored import Scored, Write, add_scores, write_all
from smallgan.sampling.latents import sample_pixels
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

    Raises the errors of the parts: UsageError, InputError, MissingError, OutputError.
    """
    found = scored(fake, real, options)
    write_all(found.writes)
    return found.scores


@dataclass(frozen=True)
class Versus:
    """Two sets, scored alike."""

    one: list[Score]
    other: list[Score]
    differences: dict[str, float]  # By metric: the other's value less the one's
    test: SetsTest
    writes: tuple[Write, ...] = ()  # As those of `Scored`


def versus(one: Path, other: Path, real: Path | None, options: ScoreOptions) -> Versus:
    """Return the scores of two sets side by side, and whether the sets differ by more than chance. Writes nothing.

    Raises:
        UsageError: the scores are not of one identity: other reals, another number of images, say.
        InputError: a set has one image.
    """
    first, second = scored(one, real, options), scored(other, real, options)
    differences = {a.metric: compare(a, b) for a, b in zip(first.scores, second.scores, strict=True)}
    test = sets_differ(first.features.features, second.features.features, seed=options.seed)
    return Versus(first.scores, second.scores, differences, test, (*first.writes, *second.writes))


def scored(fake: Path, real: Path | None, options: ScoreOptions) -> Scored:
    """Return the scores as `score` does, and write nothing yet."""
    if is_precomputed(fake):
        return _score_precomputed(fake, real, options)
    if real is not None and is_precomputed(real):
        raise UsageError(f"--real {real} holds features, so {fake} must too (.npz), or name real images")
    # the network's note stands in every score
    net, why = feature_net(options.features, choose_device(options.device), options.precision)
    if why and net.note is None:
        say(why)
    is_run = RunDir(fake).exists() or (fake / STATE).is_file()
    scoring = _Scoring(options, net)
    return scoring.of_run(fake, real) if is_run else scoring.of_images(fake, real)


def newest_run(root: Path) -> Path:
    """Return the newest run below `root`. Raises UsageError when there is none."""
    if runs := [run for run in numbered_runs(root) if run.exists()]:
        return runs[-1].path
    raise UsageError(f"FAKE is missing and there is no run in {root}; name a folder of images, a zip or a run")


_Originals = tuple[ImageSet, str | None]
"""Real images that fakes are compared with, and the fingerprint that they must have; None: any will do."""


@dataclass(frozen=True)
class _RealSets:
    reals: RealSet | None = None
    training_set: RealSet | None = None  # Where it is another than `reals`
    pictures: Pictures | None = None  # Of the training set, else of the reals, where details are asked for


@dataclass(frozen=True)
class _Scoring:
    options: ScoreOptions
    net: FeatureNet

    def of_run(self, path: Path, real: Path | None) -> Scored:
        """Return the scores of samples of a run or checkpoint."""
        model = load_model(path, choose_device(self.options.device), self.options.checkpoint)
        for note in model.notes:
            say(note)
        reals, trained_on, resize_mode = _reals_of_run(model, real, self.options)
        num_fake = self.options.num_fake or default_num_fake(len(reals[0]) if reals else MOST_SAMPLES)
        what = "originals that were held out" if trained_on else "reals"
        against = f", against {len(reals[0])} {what}" if reals else ""
        say(f"{path}: {num_fake} samples of step {model.step}, seed {self.options.seed}{against}")
        metrics, resize = self.metrics(has_real=reals is not None), (model.size, resize_mode)
        sets = self.extract_reals(reals, trained_on, metrics, resize)
        samples = sample_pixels(model, num_fake, self.options.seed)
        fake = sample_features(samples, self.net, "features of samples")
        shown = Pictures([f"sample {k}" for k in range(num_fake)], lambda k: samples[k])
        return self.scores(fake, shown, sets, metrics, resize, model)

    def of_images(self, path: Path, real: Path | None) -> Scored:
        """Return the scores of images, or of the added images of a mixed dataset."""
        options = self.options
        fakes, reals = _fakes_and_reals(path, real)
        if options.skip_bad and (options.num_fake is not None or options.wants_details):
            # else the draw would fall short of the number, and rows would not be those of the names
            fakes = readable(fakes, skip_bad=True)
        if options.num_fake is not None:
            fakes = fakes.subset(_drawn(len(fakes), options, fakes.path))
        found = set_features(fakes, self.net, "features of fakes", skip_bad=options.skip_bad)
        resize = None if found.side is None else (found.side, options.resize_mode)
        metrics = self.metrics(has_real=reals is not None)
        sets = self.extract_reals((reals, None) if reals else None, None, metrics, resize)
        return self.scores(found.features, _pictures(fakes), sets, metrics, resize)

    def metrics(self, *, has_real: bool) -> tuple[str, ...]:
        """Return the metrics asked for, or those of the defaults that can be had, and say which cannot."""
        if self.options.metrics is not None:
            return self.options.metrics
        lacking: dict[Need, str] = {}
        if not has_real:
            lacking["real"] = "no reals to compare with, so no {}; name some with --real"
        if not self.net.num_logits:
            lacking["logits"] = f"{self.net.name} has no class predictions, so no {{}}"
        for need, sentence in lacking.items():
            titles = [METRICS[name].title for name in default_metrics() if need in METRICS[name].needs]
            say(sentence.format(" and no ".join(titles)))
        chosen = tuple(name for name in default_metrics() if not set(METRICS[name].needs) & set(lacking))
        if not chosen:
            lack = f"{self.net.name} has no class predictions and there are no reals"
            raise UsageError(f"{lack}: nothing to score; name --real")
        return chosen

    def extract_reals(
        self, reals: _Originals | None, trained_on: _Originals | None, metrics: Sequence[str], resize: Resize | None
    ) -> _RealSets:
        """Return the features of reals, brought to the fakes' size where that is one square (`resize`)."""
        options, specs = self.options, [METRICS[name] for name in metrics]
        of_copies = options.wants_details or any(spec.compares_with_training_set for spec in specs)
        others = any(not spec.compares_with_training_set and (options.baselines or spec.uses_real) for spec in specs)

        def extracted(chosen: _Originals | None, *, wanted: bool) -> tuple[RealSet | None, ImageSet | None]:
            if chosen is None or not wanted:
                return None, None
            images, expected = chosen
            if options.skip_bad and options.wants_details:
                images = readable(images, skip_bad=True)
            found = set_features(
                images, self.net, "features of reals", resize=resize, expected=expected, skip_bad=options.skip_bad
            )
            return RealSet(found.features, found.fingerprint), images

        real_set, images = extracted(reals, wanted=others or (of_copies and trained_on is None))
        training_set, trained_images = extracted(trained_on, wanted=of_copies)
        images = trained_images or images
        return _RealSets(real_set, training_set, _pictures(images) if images else None)

    def scores(
        self,
        fake: Features,
        fakes: Pictures,
        sets: _RealSets,
        metrics: tuple[str, ...],
        resize: Resize | None,
        model: Model | None = None,
    ) -> Scored:
        """Return the scores; to be written are the table of all fakes and the picture of those nearest to a real."""
        options = self.options
        further: dict[str, Any] = {name: getattr(options, name) for name in ("splits", "target", "intervals")}
        if options.augmented is not None:
            images, what = _added(open_source(options.augmented)), "features of augmented images"
            found = set_features(images, self.net, what, resize=resize, skip_bad=options.skip_bad)
            further["augmented"] = found.features
        how = prepared(*resize) if resize else None
        scorer = RunScorer(self.net, metrics, sets.reals, sets.training_set, how, len(fake), options.seed, further)
        score = partial(scorer.scores_of, model) if model else scorer.evaluate
        scores = score(fake, baselines=options.baselines)
        reals = sets.training_set or sets.reals
        real = reals.features if reals else None
        writes: list[Write] = []
        if options.worst is not None:
            sheet = encode_png(worst_sheet(fake, fakes, real, sets.pictures))
            writes.append(partial(write_bytes, options.worst, sheet))
        if options.per_image is not None:
            names = sets.pictures.names if sets.pictures else ()
            rows = as_csv(rows_of(fake, fakes.names, real, names, options.target))
            writes.append(partial(write_text, options.per_image, rows))
        if model is not None:
            writes.append(partial(add_scores, model, scores))
        return Scored(scores, fake, tuple(writes))


def _score_precomputed(path: Path, real: Path | None, options: ScoreOptions) -> Scored:
    for option, why in (
        ("features", "features already; leave the option out"),
        ("augmented", "features, and has no network for images"),
        ("worst", "features, and no images to show"),
    ):
        if getattr(options, option) is not None:
            raise UsageError(f"--{option} {getattr(options, option)}: {path} holds {why}")
    if real is not None and not is_precomputed(real):
        raise UsageError(f"--real {real}: {path} holds features, so the reals must be features too (.npz)")
    fakes, reals = read_precomputed(path), read_precomputed(real) if real else None
    scoring, features = _Scoring(options, precomputed_net(fakes, reals)), fakes.features
    if options.num_fake is not None:
        features = features.rows(_drawn(len(features), options, path))
    sets = (
        _RealSets(RealSet(reals.features, reals.fingerprint), None, _numbered(reals.features)) if reals else _RealSets()
    )
    metrics = scoring.metrics(has_real=reals is not None)
    return scoring.scores(features, _numbered(features), sets, metrics, None)


def _numbered(features: Features) -> Pictures:
    return Pictures([f"row {row}" for row in range(len(features))], None)


def _reals_of_run(
    model: Model, real: Path | None, options: ScoreOptions
) -> tuple[_Originals | None, _Originals | None, str]:
    """Return what a run is compared with, the originals trained on where those are others, and their resize mode."""
    if real is not None:
        return (_originals(real), None), None, options.resize_mode
    summary = read_summary(model.run) if model.run else None
    if model.run is None or summary is None:
        return None, None, options.resize_mode
    source, held = open_run_source(model.run, summary), summary.get("holdout")
    trained_on = _named(source, summary["names"], model.run), summary["fingerprint"]
    held_out = (_named(source, held["names"], model.run), held["fingerprint"]) if held else None
    return held_out or trained_on, trained_on if held_out else None, summary["resize_mode"]


def _named(source: ImageSet, names: list[str], run: RunDir) -> ImageSet:
    places = {image.name: index for index, image in enumerate(source.images)}
    absent = [name for name in names if name not in places]
    if absent:
        raise InputError(
            f"{source.path}: {len(absent)} of the {len(names)} images that {run.path} was trained on "
            f"are gone, {absent[0]} first; put them back, or name reals with --real"
        )
    return source.subset([places[name] for name in names])


def _fakes_and_reals(path: Path, real: Path | None) -> tuple[ImageSet, ImageSet | None]:
    """Return what to score and what to compare with: of a mixed dataset, its added images and its originals."""
    source, reals = open_source(path), _originals(real) if real else None
    originals, added = source.originals(), _added(source)
    if len(originals) == len(source):
        return source, reals
    against = f" against {len(originals)} originals" if reals is None and len(originals) else ""
    reals = reals or (originals if len(originals) else None)
    say(f"{path} is a mixed dataset: its {len(added)} added images are scored{against}")
    return added, reals


def _pictures(images: ImageSet) -> Pictures:
    return Pictures([image.name for image in images.images], lambda index: images.load(index).image.pixels)


def _added(source: ImageSet) -> ImageSet:
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
