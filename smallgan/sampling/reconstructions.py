"""The training images that a run's codes belong to, read again from where the run found them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from augment.errors import InputError
from augment.imaging.codec import WHITE
from augment.imaging.geometry import resize_square
from augment.sources.image_set import ImageSet, fingerprint
from smallgan.data.images import Pixels
from smallgan.data.run_source import open_run_source, read_summary
from smallgan.sampling.loading import Model


@dataclass(frozen=True)
class Originals:
    """What could be found."""

    pixels: Mapping[int, Pixels] = field(default_factory=dict)  # S x S x 3 by number of the code
    names: Mapping[int, str] = field(default_factory=dict)  # File in the source, by number of the code
    notes: tuple[str, ...] = ()  # Why there is no more


def find_originals(model: Model, num_codes: int) -> Originals:
    """Return the training images of a run, fitted as they were when it was trained.

    A run's images are those of its source in their order, then those that its policy made in memory; the latter are not
    kept anywhere. Where the source is gone, or holds other images now, a note says so and there are none.
    """
    try:
        source, resize_mode = _source(model, num_codes)
        loaded = [source.load(place).image.pixels for place in range(len(source))]
    except InputError as error:
        return Originals(notes=(f"reconstructions alone: {error}",))
    pixels = {
        place: resize_square(image, model.size, resize_mode, source.rules.background or WHITE)
        for place, image in enumerate(loaded)
    }
    left = num_codes - len(source)
    notes = (f"{left} of {num_codes} codes are of images that the policy made in memory; they stand alone",)
    return Originals(pixels, {place: image.name for place, image in enumerate(source.images)}, notes if left else ())


def _source(model: Model, num_codes: int) -> tuple[ImageSet, str]:
    """Return the images of the source that the run was trained on, in its order, and how they were fitted.

    Raises InputError when they are not there as they were.
    """
    summary = read_summary(model.run) if model.run else None
    if model.run is None or summary is None:
        raise InputError(f"{model.path}: it belongs to no run, so its training images are not known")
    source = open_run_source(model.run, summary)
    wanted, skipped = set(summary["names"]), set(summary["skipped"])
    # Of a mixed dataset its added images were trained on too; an original that came later was not.
    used = [
        place
        for place, image in enumerate(source.images)
        if (image.name in wanted if image.origin == "original" else image.name not in skipped)
    ]
    source = source.subset(used)
    originals = source.originals()
    if len(originals) != len(wanted):
        raise InputError(
            f"{source.path}: found {len(originals)} of the {len(wanted)} images that the run was trained on"
        )
    if fingerprint([originals.info(place).sha256 for place in range(len(originals))]) != summary["fingerprint"]:
        raise InputError(f"{source.path}: it holds other images under the names of those that the run was trained on")
    if len(source) > num_codes:
        raise InputError(f"{num_codes} codes, but {model.run.data} tells of {len(source)} images")
    return source, str(summary["resize_mode"])
