"""From a set of images on disk to its features: hashed, looked up in the cache, else decoded, extracted and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from augment.checks.inspect import ImageRecord, check, valid_subset
from augment.core.files import sha256_bytes
from augment.core.parallel import ahead, default_workers, parallel_map
from augment.errors import InputError
from augment.imaging.geometry import resize_square
from augment.sources.image_set import KEPT_BYTES, ImageSet, fingerprint
from smallgan.core.console import progress, say
from smallgan.data.images import PixelRows, Pixels
from smallgan.metrics.features import cache
from smallgan.metrics.features.cache import Kept
from smallgan.metrics.features.extract import FeatureNet, Features, extract_all

_MOST_NAMED = 10
Resize = tuple[int, str]
"""Side in pixels and one of `RESIZE_MODES`: how images become squares before the network's own resize."""


@dataclass(frozen=True)
class Extracted:
    """The features of a set of images."""

    features: list[Features]  # Of each network
    fingerprint: str  # `augment.sources.image_set.fingerprint` of the files
    side: int | None  # S where all images are squares of S pixels, else None


def set_features(
    images: ImageSet,
    nets: Sequence[FeatureNet],
    what: str,
    *,
    resize: Resize | None = None,
    expected: str | None = None,
    skip_bad: bool = False,
) -> Extracted:
    """Return the features of `images` in their order, from the cache where they are.

    What is not there is made for all networks in one pass, so that each image is decoded once.

    Args:
        images: any set.
        nets: from `feature_net`.
        what: "features of fakes", for the progress.
        resize: how the images become squares first; None takes them as they are.
        expected: the fingerprint that the set must have; None where any will do.
        skip_bad: leave unreadable files out and list them, instead of stopping.

    Raises:
        InputError: files that cannot be read (all named at once), or another fingerprint.
    """
    if skip_bad:
        images = readable(images, skip_bad=True)
    files = _Files(images)
    try:
        known = fingerprint(parallel_map(files.sha256, range(len(images)), default_workers()))
    except InputError:
        readable(images, skip_bad=False)  # names all such files at once
        raise
    if expected is not None and known != expected:
        raise InputError(
            f"{images.path}: the images are not those that the run was trained on (fingerprint then "
            f"{expected[:16]}, now {known[:16]}); put them back, or name reals with --real"
        )
    kept, lacking = _kept([_name(images, net, known, resize) for net in nets], len(images), what)
    if lacking:
        with progress(what, len(images)) as advance, files.decoded(resize) as pixels:
            made = extract_all(pixels, [nets[place] for place in lacking], progress=advance)
        facts = [images.info(index) for index in range(len(images))]
        sizes = {(each.height, each.width) for each in facts}
        height, width = next(iter(sizes))
        side = height if len(sizes) == 1 and height == width else None
        known = fingerprint([each.sha256 for each in facts])
        for place, features in zip(lacking, made, strict=True):
            kept[place] = Kept(features, side)
            cache.store(_name(images, nets[place], known, resize), kept[place])
    return Extracted([kept[place].features for place in range(len(nets))], known, kept[0].side)


class _Files:
    """The files of a set on their way to a network: each is decoded once, and read once where there is room for it.

    Beyond KEPT_BYTES they are read twice, for their hashes and for their pixels.
    """

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self._held: dict[int, bytes] = {}
        self._free, self._lock = KEPT_BYTES, Lock()

    def sha256(self, index: int) -> str:
        """Return the hash of a file; its bytes wait to be decoded. Raises InputError."""
        if info := self._images.known(index):
            return info.sha256
        with self._images.room_for(index):
            data = self._images.read(index)
            with self._lock:
                if len(data) <= self._free:
                    self._free -= len(data)
                    self._held[index] = data
            return sha256_bytes(data)

    @contextmanager
    def decoded(self, resize: Resize | None) -> Iterator[Iterator[Pixels]]:
        """Give the images in their order, decoded by threads ahead of the caller.

        Raises InputError that names all bad files. No image is given after a thread met one: the rest are decoded to be
        named with it. Of a set that takes at most KEPT_BYTES none is given before.
        """
        images, problems = self._images, dict[int, str]()

        def square(index: int) -> Pixels | None:
            try:
                pixels = images.load(index, self._held.pop(index, None)).image.pixels
            except InputError as error:
                problems[index] = str(error)
                return None
            return pixels if resize is None else resize_square(pixels, *resize)

        def good(squares: Iterator[Pixels | None]) -> Iterator[Pixels]:
            for pixels in squares:
                if pixels is not None and not problems:
                    yield pixels
            records = [
                ImageRecord(each.name, each.label, problem=problems.get(at)) for at, each in enumerate(images.images)
            ]
            valid_subset(images, records, skip_bad=False)

        def size_of(pixels: Pixels | None) -> int:
            return 0 if pixels is None else pixels.nbytes

        with ahead(square, range(len(images)), size_of, workers=default_workers(), most_bytes=KEPT_BYTES) as squares:
            yield good(squares)


def sample_features(pixels: Pixels | PixelRows, nets: Sequence[FeatureNet], what: str) -> list[Features]:
    """Return the features of images in memory, N x S x S x 3, of each network, from the cache where they are."""
    content = cache.pixels_content(pixels)
    names = [cache.key(content, net) for net in nets]
    kept, lacking = _kept(names, len(pixels), what)
    if lacking:
        with progress(what, len(pixels)) as advance:
            made = extract_all(pixels, [nets[place] for place in lacking], progress=advance)
        for place, features in zip(lacking, made, strict=True):
            kept[place] = Kept(features, pixels.shape[1])
            cache.store(names[place], kept[place])
    return [kept[place].features for place in range(len(nets))]


def readable(images: ImageSet, *, skip_bad: bool) -> ImageSet:
    """Return the images that can be read, and say which are left out. Raises InputError naming the others."""
    if all(images.known(index) for index in range(len(images))):
        return images
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


def _kept(names: Sequence[str], count: int, what: str) -> tuple[dict[int, Kept], list[int]]:
    """Return the entries of the cache that are there, by the place of their name, and the places of the others."""
    found = {place: cache.find(name, count) for place, name in enumerate(names)}
    kept = {place: entry for place, entry in found.items() if entry}
    if kept:
        of = f" for {len(kept)} of {len(names)} networks" if len(kept) < len(names) else ""
        say(f"{what}: {count} from the cache{of}")
    return kept, [place for place in found if place not in kept]


def _name(images: ImageSet, net: FeatureNet, known: str, resize: Resize | None) -> str:
    how = "as they are" if resize is None else f"{resize[1]} to {resize[0]}"
    return cache.key(f"{known}, read by {images.rules}, {how}", net)
