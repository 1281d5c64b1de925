"""The classes of a pretrained generator that are nearest to a user's images, as the start of a transfer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augment.errors import UsageError
from smallgan.core.rng import Stream, normal
from smallgan.data.images import Pixels, to_pixels
from smallgan.metrics.features.extract import FeatureNet, extract_all
from smallgan.models.base import Adaptable
from smallgan.models.spectral import freeze, thaw
from smallgan.sampling.pretrained import PretrainedSource, class_names

SAMPLES = 8  # Images of each class
_BATCH = 32


@dataclass(frozen=True)
class ClassSearch:
    """What a search found."""

    classes: tuple[int, ...]  # The nearest first
    names: tuple[str, ...]  # Of these classes, () where the generator's file names none
    distances: tuple[float, ...]  # Of these classes
    median: float  # Distance of the class in the middle of all
    network: str  # That gave the features
    network_sha256: str
    class_vector: str  # As `method.class_vector` takes it: equal shares of the classes

    @property
    def description(self) -> str:
        """A line for the log."""
        shown = self.names or tuple(map(str, self.classes))
        found = ", ".join(f"{name} ({distance:.2f})" for name, distance in zip(shown, self.distances, strict=True))
        return (
            f"class search by {self.network}: the nearest classes are {found}, where the class in the middle is at "
            f"{self.median:.2f}; the class vector starts at their mean ({self.class_vector})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "classes": list(self.classes),
            "names": list(self.names),
            "distances": [round(each, 4) for each in self.distances],
            "median": round(self.median, 4),
            "network": self.network,
            "network_sha256": self.network_sha256,
        }


def search_classes(
    source: PretrainedSource, images: Iterable[Pixels], net: FeatureNet, device: torch.device, seed: int, count: int
) -> ClassSearch:
    """Return the `count` classes whose samples lie nearest to the images, S x S x 3 each.

    Eight samples of each class, drawn at addresses of their own, are compared by the mean of their features with the
    mean of the images' features, each feature divided by its standard deviation over all samples. Raises UsageError
    for a generator without classes.
    """
    generator = source.generator
    if generator.num_classes < 2 or not generator.class_dim:
        raise UsageError(f"--class-search: {source.pretrained.path} has no classes to choose from; leave it out")
    generator.to(device)
    freeze(generator)
    try:
        samples = extract_all(_samples(generator, device, seed), [net])[0].features
    finally:
        thaw(generator)
    found = distances_of_classes(
        samples.reshape(generator.num_classes, SAMPLES, -1), extract_all(images, [net])[0].features
    )
    order = np.argsort(found, kind="stable")[:count]
    classes = tuple(int(each) for each in order)
    names, _ = class_names(source.pretrained)
    return ClassSearch(
        classes,
        tuple(names[each] for each in classes) if names else (),
        tuple(float(found[each]) for each in classes),
        float(np.median(found)),
        net.label,
        net.sha256,
        source.class_vector_of(classes),
    )


def distances_of_classes(samples: NDArray[Any], images: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distance K of the classes' mean features from the images' (N x F), from samples K x n x F.

    A feature counts in its standard deviations over all samples; the distance is the root of the mean square.
    """
    every = samples.astype(np.float64).reshape(-1, samples.shape[-1])
    scale = every.std(axis=0)
    scale[scale == 0] = 1.0
    difference = (samples.astype(np.float64).mean(axis=1) - images.astype(np.float64).mean(axis=0)) / scale
    return np.asarray(np.sqrt(np.square(difference).mean(axis=1)))


def _samples(generator: Adaptable, device: torch.device, seed: int) -> Iterator[Pixels]:
    at_once = _BATCH // SAMPLES
    for first in range(0, generator.num_classes, at_once):
        classes = range(first, min(first + at_once, generator.num_classes))
        z = np.concatenate([normal(seed, Stream.CLASS_SEARCH, each, (SAMPLES, generator.z_dim)) for each in classes])
        labels = torch.tensor(list(classes), device=device).repeat_interleave(SAMPLES)
        with torch.no_grad():
            yield from to_pixels(generator(torch.from_numpy(z).to(device), labels))
