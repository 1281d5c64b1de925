"""Images from a run or a checkpoint; the draws of image k depend on (seed, k) only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.errors import UsageError
from smallgan.device import Stream, autocast, describe_device, normal, rng
from smallgan.generators import Model
from smallgan.images import Pixels, to_pixels

BATCH_SIZE = 32
"""Images are always generated in batches of this size, the last one filled up, as another size may round otherwise."""

Address = tuple[int, int]
"""(seed, k)"""


def latents(addresses: Sequence[Address], z_dim: int) -> NDArray[np.float32]:
    """Return standard-normal latents N x Z, each drawn at its own address (seed, k)."""
    return np.stack([normal(seed, Stream.SAMPLE_LATENTS, k, (z_dim,)) for seed, k in addresses])


def draw_labels(model: Model, addresses: Sequence[Address]) -> NDArray[np.int64] | None:
    """Return a class for each address, all equally likely; None where the generator has one class or none."""
    count = model.generator.num_classes
    if count < 2:
        return None
    return np.array([rng(seed, Stream.LABELS, k).integers(count) for seed, k in addresses], np.int64)


def generate(model: Model, z: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Iterator[Pixels]:
    """Yield pixels S x S x 3 for latents N x Z and labels N, one by one, generated in constant batches."""
    for first in range(0, len(z), BATCH_SIZE):
        chunk = z[first : first + BATCH_SIZE]
        padded = np.zeros((BATCH_SIZE, z.shape[1]), np.float32)
        padded[: len(chunk)] = chunk
        classes = np.zeros(BATCH_SIZE, np.int64)
        if labels is not None:
            classes[: len(chunk)] = labels[first : first + BATCH_SIZE]
        yield from to_pixels(_forward(model, torch.from_numpy(padded), torch.from_numpy(classes)))[: len(chunk)]


def sample_pixels(model: Model, count: int, seed: int) -> Pixels:
    """Return pixels `count` x S x S x 3: images k = 0 .. count - 1 of one seed."""
    if count < 1:
        raise UsageError(f"--count {count}: needed at least 1")
    drawn = addresses(count, seed, None)
    return np.stack(list(generate(model, latents(drawn, model.generator.z_dim), draw_labels(model, drawn))))


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that "0,1,4-6" names, in that order: each gives one image, k = 0. Raises UsageError."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise UsageError(f"--seeds {text}: {part!r} is no seed and no range; write 0-35 or 1,4-6") from None
        if high < low or high - low > 1_000_000:
            raise UsageError(f"--seeds {text}: the range {part!r} must ascend and hold at most a million seeds")
        seeds.extend(range(low, high + 1))
    return seeds


def interpolate(ends: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Return a path N x Z through the latents `ends` (M x Z), `steps` points from each to the next, on great circles.

    Normal latents of many dimensions all have nearly the same length; spherical interpolation (White 2016,
    arXiv:1609.04468) keeps it, where the straight line passes through short ones that the generator never saw.
    """
    path: list[NDArray[np.float32]] = []
    for start, end in pairwise(ends):
        cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
        angle = np.arccos(np.clip(cosine, -1, 1))
        for fraction in np.arange(steps) / steps:
            if angle < 1e-4:
                path.append((1 - fraction) * start + fraction * end)
            else:
                path.append((np.sin((1 - fraction) * angle) * start + np.sin(fraction * angle) * end) / np.sin(angle))
    path.append(ends[-1])
    return np.stack(path).astype(np.float32)


class GeneratorSource:
    """A generator as the image source of the kind `gan`; fits augment's ImageSource protocol."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = model.run.name if model.run else model.path.name

    def describe(self) -> dict[str, str | int]:
        """Return what the pixels depend on beside (seed, k)."""
        return {
            "checkpoint_sha256": self.model.sha256,
            "step": self.model.step,
            "device": describe_device(self.model.device),
            "precision": self.model.precision,
            "layout": "channels_last",
            "batch_size": BATCH_SIZE,
        }

    def draw(self, indices: Sequence[int], seed: int) -> Iterator[tuple[Pixels, dict[str, Any]]]:
        """Yield image k of `seed` for each k in `indices`, in that order, with its address."""
        z_dim = self.model.generator.z_dim
        for first in range(0, len(indices), BATCH_SIZE):
            chunk = indices[first : first + BATCH_SIZE]
            drawn = [(seed, k) for k in chunk]
            images = generate(self.model, latents(drawn, z_dim), draw_labels(self.model, drawn))
            for k, pixels in zip(chunk, images, strict=True):
                yield pixels, {"seed": seed, "k": k, "step": self.model.step}


def addresses(count: int | None, seed: int, seeds: Iterable[int] | None) -> list[Address]:
    """Return where images are drawn: k = 0 of each of `seeds`, or k = 0 .. count - 1 of one seed."""
    if seeds is not None:
        return [(each, 0) for each in seeds]
    return [(seed, k) for k in range(count or 0)]


def _forward(model: Model, z: Tensor, labels: Tensor) -> Tensor:
    inputs = (z.to(model.device), labels.to(model.device)) if model.generator.num_classes else (z.to(model.device),)
    with torch.inference_mode(), autocast(model.device, model.precision):
        return model.generator(*inputs)
