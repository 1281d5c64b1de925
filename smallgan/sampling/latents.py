"""Images from a generator: its inputs are given, or drawn, and the draws of image k depend on (seed, k) only."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.core.suggest import did_you_mean
from augment.errors import FailedError, UsageError
from smallgan.core.device import describe_device, float32_math
from smallgan.core.rng import Stream, rng
from smallgan.data.images import Pixels, to_pixels
from smallgan.sampling.loading import Model
from smallgan.sampling.pretrained import MOST_NAMED
from smallgan.sampling.prior import Address

BATCH_SIZE = 32
"""Images are always generated in batches of this size, the last one filled up, as another size may round otherwise."""


class Inputs(NamedTuple):
    """What images are made from."""

    z: NDArray[np.float32]
    """Latents N x Z."""
    labels: NDArray[np.int64] | None = None
    """Class of each, N; None where the generator has one class or none."""


def truncated_latents(addresses: Sequence[Address], z_dim: int, truncation: float) -> NDArray[np.float32]:
    """Return standard-normal latents N x Z in which no component is further from 0 than `truncation` (above 0).

    Every component beyond it is drawn again from what a standard normal has within it; the others stay. Each latent is
    drawn at its own address (seed, k). Raises UsageError.
    """
    from scipy.special import ndtr, ndtri

    check_truncation(truncation)
    lowest, highest = ndtr([-truncation, truncation])
    latents = []
    for seed, k in addresses:
        draws = rng(seed, Stream.SAMPLE_LATENTS, k)
        first = draws.standard_normal(z_dim, dtype=np.float32)
        # Uniform draws between the quantiles of both bounds: exact, and no bound is too narrow to meet
        again = ndtri(lowest + draws.random(z_dim) * (highest - lowest))
        latents.append(np.where(np.abs(first) > truncation, again, first))
    return np.clip(latents, -truncation, truncation).astype(np.float32)


def check_truncation(truncation: float) -> None:
    """Raise UsageError unless it is a number above 0."""
    if not 0 < truncation < math.inf:
        raise UsageError(f"--truncation {truncation:g}: must be a number above 0, such as 0.5; leave it out for none")


def draw_labels(model: Model, addresses: Sequence[Address], label: str | None = None) -> NDArray[np.int64] | None:
    """Return a class for each address: the one that `label` names, else all equally likely.

    None where the generator has one class or none. Raises UsageError.
    """
    if label is not None:
        return np.full(len(addresses), find_class(model, label), np.int64)
    count = model.generator.num_classes
    if count < 2:
        return None
    return np.array([rng(seed, Stream.LABELS, k).integers(count) for seed, k in addresses], np.int64)


def draw_inputs(
    model: Model, addresses: Sequence[Address], truncation: float | None = None, label: str | None = None
) -> Inputs:
    """Return what the images at these addresses are made from, by the model's own prior where there is no truncation.

    Args:
        model: whose images they are.
        addresses: (seed, k) of each.
        truncation: threshold of standard-normal latents; None: the model's prior.
        label: one class for all of them; None: drawn for each.

    Raises UsageError.
    """
    labels, z_dim = draw_labels(model, addresses, label), model.generator.z_dim
    if truncation is not None:
        refuse_normal(model, f"--truncation {truncation:g}")
        return Inputs(truncated_latents(addresses, z_dim, truncation), labels)
    return Inputs(model.prior.latents(addresses, z_dim), labels)


def refuse_normal(model: Model, option: str) -> None:
    """Raise UsageError for an option that draws from N(0, I), where the generator was trained on another prior."""
    if model.prior.tensors:
        raise UsageError(
            f"{option}: it draws latents from a standard normal, and {model.path} was trained on those of the prior "
            f"{model.prior.describe()['prior']}; leave the option out"
        )


def find_class(model: Model, label: str) -> int:
    """Return the class that `label` names: one of the names, else a number from 0. Raises UsageError."""
    names, count = model.classes, model.generator.num_classes
    if label in names:
        return names.index(label)
    if count < 2:
        raise UsageError(f"--label {label}: {model.path} has no classes to choose from; leave it out")
    if label.isdecimal() and int(label) < count:
        return int(label)
    if not names:
        raise UsageError(f"--label {label}: expected a class from 0 to {count - 1}; {model.path} names none of them")
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    raise UsageError(
        f"--label {label}: no such class"
        + did_you_mean(label, names, f"there are 0 to {count - 1}: {', '.join(names[:MOST_NAMED])}{more}")
    )


def generate(model: Model, inputs: Inputs) -> Iterator[Pixels]:
    """Yield pixels S x S x 3, one by one."""
    for images in generate_images(model, inputs):
        yield from to_pixels(images)


def generate_images(model: Model, inputs: Inputs) -> Iterator[Tensor]:
    """Yield images B x 3 x S x S in [-1, 1] on the model's device, batch by batch.

    Raises FailedError when one of them is not finite.
    """
    z, count = inputs.z, len(inputs.z)
    labels = np.zeros(count, np.int64) if inputs.labels is None else inputs.labels
    for first in range(0, count, BATCH_SIZE):
        part = slice(first, first + BATCH_SIZE)
        missing = max(first + BATCH_SIZE - count, 0)
        latents = torch.from_numpy(np.pad(z[part], ((0, missing), (0, 0))))
        classes = torch.from_numpy(np.pad(labels[part], (0, missing)))
        images = _forward(model, latents, classes)[: BATCH_SIZE - missing].float()
        if not images.isfinite().all():
            raise FailedError(f"{model.path}: images with values that are not finite; its weights are damaged")
        yield images


def sample_pixels(model: Model, count: int, seed: int, part: slice = slice(None)) -> Pixels:
    """Return pixels `count` x S x S x 3: images k = 0 .. count - 1 of one seed, or a `part` of them."""
    if count < 1:
        raise UsageError(f"--count {count}: must be at least 1")
    return np.stack(list(generate(model, draw_inputs(model, addresses(count, seed, None)[part]))))


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that "0,1,4-6" names, in that order: each gives one image, k = 0. Raises UsageError."""
    return parse_numbers(text, "--seeds", "seed")


def parse_numbers(text: str, option: str, what: str) -> list[int]:
    """Return the whole numbers that "0,1,4-6" names, in that order. Raises UsageError naming the option."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise UsageError(f"{option} {text}: {part!r} is no {what} and no range; write 0-35 or 1,4-6") from None
        if high < low or high - low > 1_000_000:
            raise UsageError(f"{option} {text}: the range {part!r} must ascend and hold at most a million {what}s")
        numbers.extend(range(low, high + 1))
    return numbers


def interpolate(ends: NDArray[np.float32], steps: int, *, straight: bool = False) -> NDArray[np.float32]:
    """Return a path N x Z through the latents `ends` (M x Z), `steps` points from each to the next.

    Drawn latents are joined on great circles: normal latents of many dimensions all have nearly the same length, and
    spherical interpolation (White 2016, arXiv:1609.04468) keeps it, where the straight line passes through short ones
    that the generator never saw. The codes of training images are joined by `straight` lines, as published.
    """
    path, fractions = [], np.arange(steps)[:, None] / steps
    for start, end in pairwise(ends):
        lengths = float(np.linalg.norm(start) * np.linalg.norm(end))
        angle = 0.0 if straight or not lengths else float(np.arccos(np.clip(np.dot(start, end) / lengths, -1, 1)))
        if 1e-4 < angle < math.pi - 1e-4:
            path.append((np.sin((1 - fractions) * angle) * start + np.sin(fractions * angle) * end) / np.sin(angle))
        else:  # opposite ends have no shortest way on a circle
            path.append((1 - fractions) * start + fractions * end)
    return np.concatenate([*path, ends[-1:]]).astype(np.float32)


class GeneratorSource:
    """A generator as the image source of the kind `gan`; fits augment's ImageSource protocol."""

    def __init__(self, model: Model) -> None:
        """Take a generator of images. Raises UsageError for one of points."""
        if model.size == 1:
            raise UsageError(f"{model.path}: it makes points in the plane, not images; name a run on images")
        self.model = model
        self.name = model.run.name if model.run else model.path.name

    def describe(self) -> dict[str, Any]:
        """Return what the pixels depend on beside (seed, k)."""
        return {
            "checkpoint_sha256": self.model.sha256,
            "step": self.model.step,
            "device": describe_device(self.model.device),
            "precision": "fp32",
            "layout": "channels_last",
            "batch_size": BATCH_SIZE,
            **self.model.prior.describe(),
        }

    def labels(self, indices: Sequence[int], seed: int) -> list[str | None]:
        """Return the name of the class that each image is of, None where the generator names no classes."""
        drawn = draw_labels(self.model, [(seed, k) for k in indices]) if self.model.classes else None
        return [None] * len(indices) if drawn is None else [self.model.classes[label] for label in drawn]

    def draw(self, indices: Sequence[int], seed: int) -> Iterator[tuple[Pixels, dict[str, Any]]]:
        """Yield image k of `seed` for each k in `indices`, in that order, with its address."""
        for first in range(0, len(indices), BATCH_SIZE):
            chunk = indices[first : first + BATCH_SIZE]
            images = generate(self.model, draw_inputs(self.model, [(seed, k) for k in chunk]))
            for k, pixels in zip(chunk, images, strict=True):
                yield pixels, {"seed": seed, "k": k, "step": self.model.step}


def addresses(count: int | None, seed: int, seeds: Iterable[int] | None) -> list[Address]:
    """Return where images are drawn: k = 0 of each of `seeds`, or k = 0 .. count - 1 of one seed."""
    if seeds is not None:
        return [(each, 0) for each in seeds]
    return [(seed, k) for k in range(count or 0)]


def _forward(model: Model, z: Tensor, labels: Tensor) -> Tensor:
    inputs = (z.to(model.device), labels.to(model.device)) if model.generator.num_classes else (z.to(model.device),)
    with torch.inference_mode(), float32_math("fp32"):
        return model.generator(*inputs)
