"""From a set of images on disk to its features: hashed, looked up in the cache, else checked, extracted and kept."""

from dataclasses import dataclass

from augment.checks.inspect import check, valid_subset
from augment.core.files import sha256_bytes
from augment.core.parallel import default_workers
from augment.errors import InputError
from augment.imaging.geometry import resize_square
from augment.sources.image_set import ImageSet, fingerprint
from smallgan.core.console import progress, say
from smallgan.data.images import PixelRows, Pixels
from smallgan.metrics.features import cache
from smallgan.metrics.features.cache import Kept
from smallgan.metrics.features.extract import FeatureNet, Features, extract

_MOST_NAMED = 10
Resize = tuple[int, str]
"""Side in pixels and one of `RESIZE_MODES`: how images become squares before the network's own resize."""


@dataclass(frozen=True)
class Extracted:
    """The features of a set of images."""

    features: Features
    fingerprint: str  # `augment.sources.image_set.fingerprint` of the files
    side: int | None  # S where all images are squares of S pixels, else None


def set_features(
    images: ImageSet,
    net: FeatureNet,
    what: str,
    *,
    resize: Resize | None = None,
    expected: str | None = None,
    skip_bad: bool = False,
) -> Extracted:
    """Return the features of `images` in their order, from the cache where they are.

    Args:
        images: any set.
        net: from `feature_net`.
        what: "features of fakes", for the progress.
        resize: how the images become squares first; None takes them as they are.
        expected: the fingerprint that the set must have; None where any will do.
        skip_bad: leave unreadable files out and list them, instead of stopping.

    Raises:
        InputError: files that cannot be read (all named at once, before the work), or another fingerprint.
    """
    found = None if skip_bad else _looked_up(images, net, what, resize, expected)
    if found is None:
        images = readable(images, skip_bad=skip_bad)
        found = _looked_up(images, net, what, resize, expected) if skip_bad else None
    if found is not None:
        return found
    facts = [images.info(index) for index in range(len(images))]
    sizes = {(each.height, each.width) for each in facts}
    height, width = next(iter(sizes))
    side = height if len(sizes) == 1 and height == width else None
    loaded = (images.load(index).image.pixels for index in range(len(images)))
    squares = loaded if resize is None else (resize_square(pixels, *resize) for pixels in loaded)
    with progress(what, len(images)) as advance:
        features = extract(squares, net, progress=advance)
    known = fingerprint([each.sha256 for each in facts])
    cache.store(_name(images, net, known, resize), Kept(features, side))
    return Extracted(features, known, side)


def sample_features(pixels: Pixels | PixelRows, net: FeatureNet, what: str) -> Features:
    """Return the features of images in memory, N x S x S x 3, from the cache where they are."""
    name = cache.key(cache.pixels_content(pixels), net)
    if kept := cache.find(name, len(pixels), what):
        return kept.features
    with progress(what, len(pixels)) as advance:
        features = extract(pixels, net, progress=advance)
    cache.store(name, Kept(features, pixels.shape[1]))
    return features


def readable(images: ImageSet, *, skip_bad: bool) -> ImageSet:
    """Return the images that can be read, and say which are left out. Raises InputError naming the others."""
    records = check(images, workers=default_workers())
    good = valid_subset(images, records, skip_bad=skip_bad)
    left_out = [record.problem for record in records if record.problem]
    if left_out:
        say(f"{images.path}: {len(left_out)} of {len(images)} images left out, {len(good)} scored")
        for problem in left_out[:_MOST_NAMED]:
            say(f"  {problem}")
        if len(left_out) > _MOST_NAMED:
            say(f"  and {len(left_out) - _MOST_NAMED} more")
    return good


def _looked_up(
    images: ImageSet, net: FeatureNet, what: str, resize: Resize | None, expected: str | None
) -> Extracted | None:
    """Return the features from the cache, for which files are hashed and not decoded. Raises InputError."""
    try:
        known = fingerprint([sha256_bytes(images.read(index)) for index in range(len(images))])
    except InputError:
        return None  # `readable` names all such files at once
    if expected is not None and known != expected:
        raise InputError(
            f"{images.path}: the images are not those that the run was trained on (fingerprint then "
            f"{expected[:16]}, now {known[:16]}); put them back, or name reals with --real"
        )
    kept = cache.find(_name(images, net, known, resize), len(images), what)
    return Extracted(kept.features, known, kept.side) if kept else None


def _name(images: ImageSet, net: FeatureNet, known: str, resize: Resize | None) -> str:
    how = "as they are" if resize is None else f"{resize[1]} to {resize[0]}"
    return cache.key(f"{known}, read by {images.rules}, {how}", net)
