"""Which images a score is about: the fakes at a path, and the reals that they are compared with."""

from pathlib import Path

import numpy as np

from augment.errors import InputError, UsageError
from augment.sources.image_set import ImageSet
from augment.sources.readers import open_source
from smallgan.core.console import say
from smallgan.core.run_dir import RunDir
from smallgan.data.run_source import open_run_source, read_summary
from smallgan.metrics.memorisation.per_image import Pictures
from smallgan.sampling.loading import Model

Originals = tuple[ImageSet, str | None]
"""Real images that fakes are compared with, and the fingerprint that they must have; None: any will do."""


def reals_of_run(model: Model, real: Path | None, resize_mode: str) -> tuple[Originals | None, Originals | None, str]:
    """Return what a run is compared with, the originals trained on where those are others, and their resize mode.

    Args:
        model: the run's, or another.
        real: what the user named instead.
        resize_mode: of reals that are not a run's.
    """
    if real is not None:
        return (_originals(real), None), None, resize_mode
    summary = read_summary(model.run) if model.run else None
    if model.run is None or summary is None:
        return None, None, resize_mode
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


def fakes_and_reals(path: Path, real: Path | None) -> tuple[ImageSet, ImageSet | None]:
    """Return what to score and what to compare with: of a mixed dataset, its added images and its originals."""
    source, reals = open_source(path), _originals(real) if real else None
    originals, added = source.originals(), added_images(source)
    if len(originals) == len(source):
        return source, reals
    against = f" against {len(originals)} originals" if reals is None and len(originals) else ""
    reals = reals or (originals if len(originals) else None)
    say(f"{path} is a mixed dataset: its {len(added)} added images are scored{against}")
    return added, reals


def pictures_of(images: ImageSet) -> Pictures:
    """Return the images with their names."""
    return Pictures([image.name for image in images.images], lambda index: images.load(index).image.pixels)


def added_images(source: ImageSet) -> ImageSet:
    """Return the images that are no originals; all of them where there are originals alone."""
    added = [index for index, image in enumerate(source.images) if image.origin != "original"]
    return source.subset(added) if added else source


def _originals(path: Path) -> ImageSet:
    originals = open_source(path).originals()
    if not len(originals):
        raise InputError(f"--real {path}: no original image in it; name a set that has some")
    return originals


def drawn(there: int, count: int, seed: int, path: Path) -> list[int]:
    """Return `count` of the positions 0 .. there - 1, drawn without replacement by the seed, ascending.

    Raises UsageError where there are fewer at `path`.
    """
    if count > there:
        raise UsageError(f"--num-fake {count}: {path} has only {there} images to score; give at most {there}")
    order = np.random.default_rng(np.random.SeedSequence(abs(seed))).permutation(there)
    return sorted(int(index) for index in order[:count])
