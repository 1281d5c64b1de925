"""The memorisation sheet of a run: its fakes nearest to the images it was trained on, beside them, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from augment.core.files import make_folder, write_bytes, write_json
from augment.errors import InputError
from augment.imaging.codec import encode_png
from smallgan.core.console import say
from smallgan.core.device import choose_device
from smallgan.core.run_dir import RunDir
from smallgan.metrics.features.extract import extract, feature_net
from smallgan.metrics.features.image_sets import sample_features
from smallgan.metrics.memorisation.contact_sheet import Near, most_alike, sheet
from smallgan.metrics.memorisation.rates import near_threshold
from smallgan.metrics.score_paths import default_num_fake
from smallgan.report.copies import FACTS
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import load_model
from smallgan.tables.recipe import read_recipe
from smallgan.training.data import TrainingData, load_data

PICTURE = "worst.png"
_SHOWN, _COLUMNS = 12, 6
"""Fakes on the sheet, and how many stand side by side: it is shown as wide as a phone."""


def sheet_of(run: RunDir, step: int, seed: int) -> Path:
    """Return the path of the picture of one step, in a folder of its own in samples/."""
    return run.samples / f"step-{step:06d}-nearest-seed{seed}" / PICTURE


def write_nearest(run: RunDir, checkpoint: str, device: str) -> Path:
    """Write worst.png, and worst.json with its distances, of the samples that are scored; return the picture's path.

    Compared are as many samples as a snapshot is scored on, with the very images that were trained on: the originals,
    and what augmentation added to them. Same checkpoint, same images, same bytes.

    Args:
        run: trained.
        checkpoint: "last", "best" or a step.
        device: as `choose_device` takes it.

    Raises the errors of the parts: InputError, UsageError, OutputError, FailedError.
    """
    chosen, recipe = choose_device(device), read_recipe(run.recipe)
    model = load_model(run.path, chosen, checkpoint)
    data = load_data(recipe, chosen)
    net, note = feature_net(recipe.score.features, chosen)
    if note and net.note is None:
        say(note)
    images = data.mixture.images
    kept = [place for place, image in enumerate(images) if image.origin == "original"]
    others = [place for place, image in enumerate(images) if image.origin != "original"]
    samples = sample_pixels(model, recipe.score.num_fake or default_num_fake(len(data.reals)), recipe.seed)
    # Only the originals are worth keeping: all cells share them.
    originals = sample_features(data.originals, net, "features of originals").features
    added = extract(data.mixture.pixels[others], net).features if others else None
    found = most_alike(extract(samples, net).features, originals, added, _SHOWN)
    pixels = data.mixture.pixels
    picture = sheet(
        found,
        samples.__getitem__,
        lambda row: np.asarray(pixels[kept[row]]),
        lambda row: np.asarray(pixels[others[row]]),
        _COLUMNS,
    )
    facts = {
        "step": model.step,
        "seed": recipe.seed,
        "features": net.name,
        "weights_sha256": net.sha256,
        "num_fake": len(samples),
        "num_originals": len(kept),
        "num_added": len(others),
        "copy_distance": _copy_distance(originals),
        "nearest": [_row(one, data, others) for one in found],
    }
    path = sheet_of(run, model.step, recipe.seed)
    make_folder(path.parent)
    write_json(path.with_name(FACTS), facts)
    write_bytes(path, encode_png(picture))
    return path


def _copy_distance(originals: Any) -> float | None:
    """Return the distance below which the metric "copies" counts a fake as one, None with too few originals."""
    try:
        return _short(near_threshold(originals).distance)
    except InputError:
        return None


def _row(one: Near, data: TrainingData, others: list[int]) -> dict[str, Any]:
    images = data.mixture.images
    return {
        "sample": one.fake,
        "original": data.summary["names"][one.original],
        "distance": _short(one.distance),
        "added": None if one.added is None else images[others[one.added]].name,
        "added_distance": None if one.added_distance is None else _short(one.added_distance),
    }


def _short(value: float) -> float:
    """Return a distance with the digits that float32 features carry."""
    return float(f"{value:.6g}")
