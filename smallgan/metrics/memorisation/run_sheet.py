"""The memorisation sheet of a run: its fakes nearest to the images it was trained on, beside them, as a file."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from augment.core.files import make_folder, write_bytes, write_json
from augment.errors import InputError
from augment.imaging.codec import encode_png
from augment.sources.dataset_format import SAMPLES, SAMPLES_FORMAT
from smallgan.core.run_dir import RunDir
from smallgan.data.images import PixelRows
from smallgan.metrics.features.extract import FeatureNet, extract
from smallgan.metrics.features.image_sets import sample_features
from smallgan.metrics.memorisation.contact_sheet import Near, draw_sheet, most_alike
from smallgan.metrics.memorisation.rates import near_threshold
from smallgan.metrics.memorisation.sheet_facts import FACTS, PICTURE, Neighbour, SheetFacts
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model

_SHOWN, _COLUMNS = 12, 6  # Fakes on the sheet, and how many stand side by side: it is shown as wide as a phone


@dataclass(frozen=True)
class TrainingImages:
    """The images that a run was trained on, all squares of one size."""

    originals: PixelRows  # N x S x S x 3
    original_names: Sequence[str]
    added: PixelRows  # What augmentation added, A x S x S x 3
    added_names: Sequence[str]


def sheet_of(run: RunDir, step: int, seed: int) -> Path:
    """Return the path of the picture of one step, in a folder of its own in samples/."""
    return run.samples / f"step-{step:06d}-nearest-seed{seed}" / PICTURE


def write_nearest(
    run: RunDir, model: Model, net: FeatureNet, trained_on: TrainingImages, num_fake: int, seed: int
) -> Path:
    """Write worst.png, and worst.json with its distances, of samples of a run; return the picture's path.

    Same checkpoint, same images, same bytes.

    Args:
        run: whose folder takes the files.
        model: a checkpoint of it.
        net: in whose features images are near.
        trained_on: the very images that it was trained on.
        num_fake: samples that are searched, as many as a snapshot is scored on.
        seed: of the samples.

    Raises the errors of the parts: InputError, OutputError, FailedError.
    """
    samples = sample_pixels(model, num_fake, seed)
    # Only the originals are worth keeping: all variants share them.
    originals = sample_features(trained_on.originals, [net], "features of originals")[0].features
    added = extract(trained_on.added, net).features if len(trained_on.added) else None
    found = most_alike(extract(samples, net).features, originals, added, _SHOWN)
    originals_of, added_of = trained_on.originals.__getitem__, trained_on.added.__getitem__
    picture = draw_sheet(found, samples.__getitem__, originals_of, added_of, _COLUMNS)
    copy_distance = None
    with suppress(InputError):  # too few originals to say what a copy is
        copy_distance = _short(near_threshold(originals).distance)
    facts = SheetFacts(
        step=model.step,
        seed=seed,
        features=net.name,
        weights_sha256=net.sha256,
        num_fake=num_fake,
        num_originals=len(trained_on.originals),
        num_added=len(trained_on.added),
        copy_distance=copy_distance,
        nearest=tuple(_row(one, trained_on) for one in found),
    )
    path = sheet_of(run, model.step, seed)
    write_json(make_folder(path.parent) / SAMPLES, {"format": SAMPLES_FORMAT, "kind": "nearest"})
    write_json(path.with_name(FACTS), facts.model_dump(by_alias=True))
    write_bytes(path, encode_png(picture))
    return path


def _row(one: Near, trained_on: TrainingImages) -> Neighbour:
    return Neighbour(
        sample=one.fake,
        original=trained_on.original_names[one.original],
        distance=_short(one.distance),
        added=None if one.added is None else trained_on.added_names[one.added],
        added_distance=None if one.added_distance is None else _short(one.added_distance),
    )


def _short(value: float) -> float:
    """Return a distance with the digits that float32 features carry."""
    return float(f"{value:.6g}")
