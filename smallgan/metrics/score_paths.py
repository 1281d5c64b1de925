"""A folder, a mixed dataset or a run against real images: from paths to scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from augment.core.files import write_bytes, write_text
from augment.errors import UsageError
from augment.imaging.codec import encode_png
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from smallgan.core.checkpoint import STATE
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.core.run_dir import RunDir, numbered_runs
from smallgan.metrics import RealSet, refuse_lacking
from smallgan.metrics.features.extract import FeatureNet, Features, feature_nets
from smallgan.metrics.features.image_sets import Resize, readable, sample_features, set_features
from smallgan.metrics.features.precomputed import is_precomputed, precomputed_net, read_precomputed
from smallgan.metrics.memorisation.per_image import Pictures, as_csv, rows_of, worst_sheet
from smallgan.metrics.permutation import SetsTest, sets_differ
from smallgan.metrics.run_scorer import MOST_SAMPLES, Judge, RunScorer, default_num_fake, judges_of, prepared
from smallgan.metrics.score import Score, compare, networks_of
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_points import made_source_of, score_points
from smallgan.metrics.score_sets import Originals, added_images, drawn, fakes_and_reals, pictures_of, reals_of_run
from smallgan.metrics.scored import Scored, Write, add_scores, write_all
from smallgan.metrics.standing import standing_of
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model, load_and_say_notes
from smallgan.tables.metrics import METRICS, Need, default_metrics


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
    differences: dict[str, float]  # The other's value less the one's, by metric; of several networks by "kid by NAME"
    test: SetsTest  # By the first network
    writes: tuple[Write, ...] = ()  # As those of `Scored`


def versus(one: Path, other: Path, real: Path | None, options: ScoreOptions) -> Versus:
    """Return the scores of two sets side by side, and whether the sets differ by more than chance. Writes nothing.

    Raises:
        UsageError: the scores are not of one identity: other reals, another number of images, say.
        InputError: a set has one image.
    """
    first, second = scored(one, real, options), scored(other, real, options)
    first_by, second_by = ([each.metric for each in side.scores] for side in (first, second))
    if first_by != second_by:
        names, other_names = (", ".join(dict.fromkeys(by)) for by in (first_by, second_by))
        raise UsageError(
            f"--versus: {one} was scored by {names}, {other} by {other_names}; name --metrics, or --real for both"
        )
    several = len(networks_of(first.scores)) > 1
    differences = {
        f"{a.metric} by {a.identity['features']}" if several and a.identity["features"] else a.metric: compare(a, b)
        for a, b in zip(first.scores, second.scores, strict=True)
    }
    test = sets_differ(first.features.features, second.features.features, seed=options.seed)
    return Versus(first.scores, second.scores, differences, test, (*first.writes, *second.writes))


def scored(fake: Path, real: Path | None, options: ScoreOptions) -> Scored:
    """Return the scores as `score` does, and write nothing yet."""
    if is_precomputed(fake):
        return _score_precomputed(fake, real, options)
    if real is not None and is_precomputed(real):
        raise UsageError(f"--real {real} holds features, so {fake} must too (.npz), or name real images")
    # a network's note stands in each of its scores
    is_run = RunDir(fake).exists() or (fake / STATE).is_file()
    made = made_source_of(fake) if is_run else None
    if made is not None:
        options = options.for_source(made)
    nets, told = feature_nets(options.features, choose_device(options.device), options.precision)
    for why in dict.fromkeys(told):
        if all(why != net.note for net in nets):
            say(why)
    if made is not None and made.mixture is not None:
        return score_points(fake, made.mixture, real, nets, options)
    scoring = _Scoring(options, nets)
    return scoring.of_run(fake, real) if is_run else scoring.of_images(fake, real)


def newest_run(root: Path) -> Path:
    """Return the newest run below `root`. Raises UsageError when there is none."""
    if runs := [run for run in numbered_runs(root) if run.exists()]:
        return runs[-1].path
    raise UsageError(f"FAKE is missing and there is no run in {root}; name a folder of images, a zip or a run")


@dataclass(frozen=True)
class _Scoring:
    options: ScoreOptions
    nets: Sequence[FeatureNet]

    def of_run(self, path: Path, real: Path | None) -> Scored:
        """Return the scores of samples of a run or checkpoint."""
        model = load_and_say_notes(path, choose_device(self.options.device), self.options.checkpoint)
        reals, trained_on, resize_mode = reals_of_run(model, real, self.options.resize_mode)
        num_fake = self.options.num_fake or default_num_fake(len(reals[0]) if reals else MOST_SAMPLES)
        what = "originals that were held out" if trained_on else "reals"
        against = f", against {len(reals[0])} {what}" if reals else ""
        say(f"{path}: {num_fake} samples of step {model.step}, seed {self.options.seed}{against}")
        judges = self.judges(num_fake, len(reals[0]) if reals else None, has_training=trained_on is not None)
        resize = model.size, resize_mode
        judges = [replace(judge, standing=standing_of(judge.net, model.perceptual)) for judge in judges]
        judges, pictures = self.with_reals(judges, reals, trained_on, resize)
        samples = sample_pixels(model, num_fake, self.options.seed)
        fakes = sample_features(samples, [judge.net for judge in judges], "features of samples")
        shown = Pictures([f"sample {k}" for k in range(num_fake)], lambda k: samples[k])
        return self.scores(fakes, shown, judges, pictures, resize, model)

    def of_images(self, path: Path, real: Path | None) -> Scored:
        """Return the scores of images, or of the added images of a mixed dataset."""
        options = self.options
        fakes, reals = fakes_and_reals(path, real)
        if options.skip_bad and (options.num_fake is not None or options.wants_details):
            # else the draw would fall short of the number, and rows would not be those of the names
            fakes = readable(fakes, skip_bad=True)
        if options.num_fake is not None:
            fakes = fakes.subset(drawn(len(fakes), options.num_fake, options.seed, fakes.path))
        judges = self.judges(len(fakes), len(reals) if reals else None)
        found = set_features(fakes, [one.net for one in judges], "features of fakes", skip_bad=options.skip_bad)
        resize = None if found.side is None else (found.side, options.resize_mode)
        judges, pictures = self.with_reals(judges, (reals, None) if reals else None, None, resize)
        return self.scores(found.features, pictures_of(fakes), judges, pictures, resize)

    def judges(self, num_fake: int, num_real: int | None, *, has_training: bool = False) -> list[Judge]:
        """Return the networks with what each is asked; `num_real` None: there are no reals.

        Raises UsageError for a metric that lacks images, before features of others are extracted.
        """
        metrics = self.metrics(num_fake, num_real)
        named: dict[Need, bool] = {
            "augmented": self.options.augmented is not None,
            "source": self.options.source is not None,
        }
        refuse_lacking(metrics, {"real": num_real is not None, "training": has_training, **named})
        return judges_of(self.nets, metrics)

    def metrics(self, num_fake: int, num_real: int | None) -> tuple[str, ...]:
        """Return the metrics asked for, or those of the defaults that can be had, and say which cannot."""
        if self.options.metrics is not None:
            return self.options.metrics
        has_real = num_real is not None
        defaults = default_metrics(min(num_fake, num_fake if num_real is None else num_real), has_real=has_real)
        names = " and ".join(net.name for net in self.nets)
        lacking: dict[Need, str] = {}
        if not has_real:
            lacking["real"] = "no reals to compare with, so no {}; name some with --real"
        if not any(net.num_logits for net in self.nets):
            lacking["logits"] = f"{names}: no class predictions, so no {{}}"
        for need, sentence in lacking.items():
            titles = [METRICS[name].title for name in defaults if need in METRICS[name].needs]
            if titles:
                say(sentence.format(" and no ".join(titles)))
        chosen = tuple(name for name in defaults if not set(METRICS[name].needs) & set(lacking))
        for name in chosen if has_real else ():
            fakes, reals = METRICS[name].least
            if num_fake < fakes or (num_real or 0) < reals:
                say(f"no {METRICS[name].title}: it needs at least {fakes} fake(s) and {reals} real(s)")
                chosen = tuple(other for other in chosen if other != name)
        if not chosen:
            raise UsageError(f"{names}: no class predictions, and there are no reals: nothing to score; name --real")
        self.options.refuse_unread(chosen)
        return chosen

    def with_reals(
        self, judges: Sequence[Judge], reals: Originals | None, trained_on: Originals | None, resize: Resize | None
    ) -> tuple[list[Judge], Pictures | None]:
        """Return judges with the reals, brought to the fakes' size where that is one square (`resize`).

        Also returns the pictures of the training set, else of the reals, where details are asked for.
        """
        options, nets = self.options, [judge.net for judge in judges]
        specs = [METRICS[name] for name in dict.fromkeys(name for judge in judges for name in judge.metrics)]
        of_copies = options.wants_details or any(spec.uses_training_set for spec in specs)
        others = any(not spec.compares_with_training_set and (options.baselines or spec.uses_real) for spec in specs)

        def extracted(chosen: Originals | None, *, wanted: bool) -> tuple[list[RealSet | None], ImageSet | None]:
            if chosen is None or not wanted:
                return [None for _ in nets], None
            images, expected = chosen
            if options.skip_bad and options.wants_details:
                images = readable(images, skip_bad=True)
            found = set_features(
                images, nets, "features of reals", resize=resize, expected=expected, skip_bad=options.skip_bad
            )
            return [RealSet(features, found.fingerprint) for features in found.features], images

        real_sets, images = extracted(reals, wanted=others or (of_copies and trained_on is None))
        training_sets, trained_images = extracted(trained_on, wanted=of_copies)
        images = trained_images or images

        def of_others(path: Path | None, what: str) -> Sequence[Features | None]:
            if path is None:
                return [None for _ in nets]
            images = added_images(open_source(path))
            return set_features(images, nets, f"features of {what}", resize=resize, skip_bad=options.skip_bad).features

        augmented, source = of_others(options.augmented, "augmented images"), of_others(options.source, "the source")
        sets = zip(judges, real_sets, training_sets, augmented, source, strict=True)
        found = [replace(one, reals=a, training_set=b, augmented=c, source=d) for one, a, b, c, d in sets]
        return found, pictures_of(images) if images else None

    def scores(
        self,
        fakes: Sequence[Features],
        shown: Pictures,
        judges: Sequence[Judge],
        pictures: Pictures | None,
        resize: Resize | None,
        model: Model | None = None,
    ) -> Scored:
        """Return the scores; to be written are the table of all fakes and the picture of those nearest to a real.

        Args:
            fakes: their features by each judge.
            shown: the fakes themselves.
            judges: as `with_reals` returns them, with `pictures`; the first looks at each fake, where that is wanted.
            resize: how reals became squares of the fakes' size.
            model: the checkpoint that is scored.
        """
        options = self.options
        further: dict[str, Any] = {name: getattr(options, name) for name in ("splits", "target", "intervals")}
        how = prepared(*resize) if resize else None
        scorer = RunScorer(judges, how, len(fakes[0]), options.seed, further)
        score = partial(scorer.scores_of, model) if model else scorer.evaluate
        scores = score(fakes, baselines=options.baselines)
        fake, reals = fakes[0], judges[0].training_set or judges[0].reals
        real = reals.features if reals else None
        writes: list[Write] = []
        if options.worst is not None:
            sheet = encode_png(worst_sheet(fake, shown, real, pictures))
            writes.append(partial(write_bytes, options.worst, sheet))
        if options.per_image is not None:
            names = pictures.names if pictures else ()
            rows = as_csv(rows_of(fake, shown.names, real, names, options.target))
            writes.append(partial(write_text, options.per_image, rows))
        if model is not None:
            writes.append(partial(add_scores, model, scores))
        return Scored(scores, fake, tuple(writes))


def _score_precomputed(path: Path, real: Path | None, options: ScoreOptions) -> Scored:
    for option, why in (
        ("features", "features already; leave the option out"),
        ("augmented", "features, and has no network for images"),
        ("source", "features, and has no network for images"),
        ("worst", "features, and no images to show"),
    ):
        if getattr(options, option) is not None:
            raise UsageError(f"--{option} {getattr(options, option)}: {path} holds {why}")
    if real is not None and not is_precomputed(real):
        raise UsageError(f"--real {real}: {path} holds features, so the reals must be features too (.npz)")
    fakes, reals = read_precomputed(path), read_precomputed(real) if real else None
    scoring, features = _Scoring(options, [precomputed_net(fakes, reals)]), fakes.features
    if options.num_fake is not None:
        features = features.rows(drawn(len(features), options.num_fake, options.seed, path))
    [judge] = scoring.judges(len(features), len(reals.features) if reals else None)
    judge = replace(judge, reals=RealSet(reals.features, reals.fingerprint) if reals else None)
    pictures = _numbered(reals.features) if reals else None
    return scoring.scores([features], _numbered(features), [judge], pictures, None)


def _numbered(features: Features) -> Pictures:
    return Pictures([f"row {row}" for row in range(len(features))], None)
