"""A folder, a mixed dataset or a run against real images: from paths to scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augment.errors import InputError, UsageError
from augment.geometry import fit_square
from augment.pixels import Pixels
from augment.sources import ImageSet, fingerprint, open_source
from smallgan.checkpoint import STATE
from smallgan.console import progress as show_progress
from smallgan.console import say
from smallgan.device import choose_device
from smallgan.metrics import METRICS, check_metrics, evaluate
from smallgan.metrics.features import FeatureNet, Features, extract, feature_net
from smallgan.metrics.score import Score
from smallgan.run import RunDir, append_jsonl, numbered_runs
from smallgan.sampling import Model, load_model, sample_pixels
from smallgan.shipped import sample_set

DEFAULT_METRICS = ("is", "kmmd")
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
    fit: str = "crop"
    """How reals of another size are brought to that of square fakes; a run has its own."""


def score(fake: Path, real: Path | None, settings: Settings) -> list[Score]:
    """Return the scores of `fake`: a run or checkpoint (its samples), a mixed dataset (its added images), or images.

    `real` is the set to compare with. None means the originals of a run or of a mixed dataset; other images are then
    scored without reals. The scores of a run are also added to its scores.jsonl.

    Raises the errors of the parts: UsageError, InputError, MissingError.
    """
    if settings.metrics is not None:
        check_metrics(settings.metrics)
    if settings.num_fake is not None and settings.num_fake < 1:
        raise UsageError(f"--num-fake {settings.num_fake}: needed at least 1")
    net, _ = feature_net(settings.features, choose_device(settings.device))  # its note stands in every score
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


def prepared(size: int, fit: str) -> str:
    """Return how reals reached the size of the fakes, as an identity states it."""
    return f"reals {fit} to {size} px"


def _score_run(path: Path, real: Path | None, settings: Settings, net: FeatureNet) -> list[Score]:
    model = load_model(path, choose_device(settings.device), settings.checkpoint)
    reals, fit, trained_on = _reals_of_run(model, real, settings)
    num_real = len(reals) if reals else MOST_SAMPLES
    num_fake = settings.num_fake or default_num_fake(num_real)
    against = f", against {len(reals)} reals" if reals else ""
    say(f"{path}: {num_fake} samples of step {model.step}, seed {settings.seed}{against}")
    fake_features = _extract(sample_pixels(model, num_fake, settings.seed), num_fake, "features of samples", net)
    scores = _compare(fake_features, reals, (model.size, fit), trained_on, settings, net)
    if model.run is None:
        return [replace(score, step=model.step) for score in scores]
    scores = [replace(score, step=model.step, run=model.run.name) for score in scores]
    for each in scores:
        append_jsonl(model.run.scores, each.to_json())
    return scores


def _reals_of_run(model: Model, real: Path | None, settings: Settings) -> tuple[ImageSet | None, str, str | None]:
    """Return the reals, how they are fitted, and the fingerprint they must have (None where any will do)."""
    if real is not None:
        return _originals(real), settings.fit, None
    if model.run is None or not model.run.data.is_file():
        return None, settings.fit, None
    summary: dict[str, Any] = json.loads(model.run.data.read_text(encoding="utf-8"))
    source = open_source(Path(summary["source"]) if summary["source"] else sample_set())
    places = {image.name: index for index, image in enumerate(source.images)}
    absent = [name for name in summary["names"] if name not in places]
    if absent:
        raise InputError(
            f"{source.path}: {len(absent)} of the {len(summary['names'])} images that {model.run.path} was trained on "
            f"are gone, {absent[0]} first; put them back, or name reals with --real"
        )
    return source.subset([places[name] for name in summary["names"]]), summary["fit"], summary["fingerprint"]


def _score_images(path: Path, real: Path | None, settings: Settings, net: FeatureNet) -> list[Score]:
    fakes, reals = _fakes_and_reals(path, real)
    if settings.num_fake is not None:
        fakes = _some(fakes, settings.num_fake, settings.seed)
    shapes: set[tuple[int, ...]] = set()
    fake_features = _extract(_pixels(fakes, shapes=shapes), len(fakes), "features of fakes", net)
    height, width, _ = next(iter(shapes))
    fitted = (height, settings.fit) if len(shapes) == 1 and height == width else None
    return _compare(fake_features, reals, fitted, None, settings, net)


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
    reals: ImageSet | None,
    fitted: tuple[int, str] | None,
    expected: str | None,
    settings: Settings,
    net: FeatureNet,
) -> list[Score]:
    """Extract the reals, brought to the fakes' size where that is one square, and evaluate."""
    metrics = settings.metrics
    if metrics is None:
        metrics = tuple(name for name in DEFAULT_METRICS if reals is not None or not METRICS[name].needs_real)
        if reals is None:
            say("no reals to compare with, so no KMMD; name some with --real")
    if reals is None or not any(METRICS[name].needs_real for name in metrics):
        return evaluate(fake, None, net, metrics=metrics, splits=settings.splits, seed=settings.seed)
    hashes: list[str] = []
    pixels = _pixels(reals, hashes=hashes)
    if fitted is not None:
        size, fit = fitted
        pixels = (fit_square(each, size, fit) for each in pixels)
    real_features = _extract(pixels, len(reals), "features of reals", net)
    found = fingerprint(hashes)
    if expected is not None and found != expected:
        raise InputError(
            f"{reals.path}: the images are not those that the run was trained on (fingerprint then "
            f"{expected[:16]}, now {found[:16]}); put them back, or name reals with --real"
        )
    return evaluate(
        fake,
        real_features,
        net,
        reals_fingerprint=found,
        reals_prepared=prepared(*fitted) if fitted else None,
        metrics=metrics,
        splits=settings.splits,
        seed=settings.seed,
    )


def _originals(path: Path) -> ImageSet:
    originals = open_source(path).originals()
    if not len(originals):
        raise InputError(f"--real {path}: no original image in it; name a set that has some")
    return originals


def _some(images: ImageSet, count: int, seed: int) -> ImageSet:
    """Return `count` images drawn without replacement, in their old order."""
    if count > len(images):
        raise UsageError(f"--num-fake {count}: {images.path} has {len(images)} to score; ask for at most that many")
    drawn = np.random.default_rng(np.random.SeedSequence(abs(seed))).permutation(len(images))[:count]
    return images.subset([int(index) for index in sorted(drawn)])


def _pixels(
    images: ImageSet, *, shapes: set[tuple[int, ...]] | None = None, hashes: list[str] | None = None
) -> Iterator[Pixels]:
    """Yield the pixels, and note their shapes and the files' sha256. Raises InputError naming a bad file."""
    for index in range(len(images)):
        loaded = images.load(index)
        if shapes is not None:
            shapes.add(loaded.image.pixels.shape)
        if hashes is not None:
            hashes.append(loaded.sha256)
        yield loaded.image.pixels


def _extract(pixels: Iterable[Pixels], count: int, what: str, net: FeatureNet) -> Features:
    with show_progress(what, count) as advance:
        return extract(pixels, net, progress=advance)
