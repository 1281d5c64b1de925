"""The images of a recipe in memory: read, checked, made square, mixed, and told of in data.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augment.build import Mixture, mix
from augment.dataset import MixedDataset
from augment.door import enter
from augment.errors import InputError
from augment.pixels import decode
from augment.plan import make_plan
from augment.policy import NONE
from augment.shares import default_workers
from augment.sources import fingerprint, holds_plan
from smallgan.generators import load_model
from smallgan.images import Pixels
from smallgan.recipe import Recipe
from smallgan.sampling import GeneratorSource
from smallgan.shipped import sample_set


@dataclass(frozen=True)
class TrainingData:
    """The set in memory, and what is known of it."""

    mixture: Mixture
    preview: Pixels
    """Contact sheet of what was mixed, H x W x 3."""
    originals: Pixels
    """The originals alone, num_real x S x S x 3: what scores compare with."""
    summary: dict[str, Any]
    """data.json"""
    notes: tuple[str, ...] = ()
    """What to know of the set, a line each, as `smallgan inspect` says it."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted; [] where the source has none."""
        return sorted({image.label for image in self.mixture.images if image.label is not None})

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image of the mixture as a place in `classes`; images without a class count to the first."""
        places = {name: place for place, name in enumerate(self.classes)}
        return np.array([places.get(str(image.label), 0) for image in self.mixture.images], np.int64)


def load_data(recipe: Recipe, device: torch.device) -> TrainingData:
    """Read, check, fit to squares and mix the images of a recipe in memory. Raises InputError and UsageError."""
    path = Path(recipe.data.source) if recipe.data.source else sample_set()
    workers = default_workers()
    entered = enter(path, skip_bad=recipe.data.skip_bad, workers=workers)
    source = entered.source
    hashes = {record.name: record.sha256 for record in entered.records}
    settings = recipe.augment
    generator = GeneratorSource(load_model(Path(settings.generator), device)) if settings.generator else None
    plan = make_plan(
        source,
        settings.policy,
        ratio=settings.ratio,
        count=settings.count,
        size=recipe.data.size,
        fit=recipe.data.fit,
        format="png",
        seed=recipe.seed,
        generator=generator,
    )
    mixture = mix(plan, source, generator=generator, workers=workers)
    is_original = np.array([image.origin == "original" for image in mixture.images])
    if not is_original.any():
        raise InputError(f"{path}: no original image in it; scores need originals, name a set that has them")
    policy, preview = _what_was_mixed(path, settings.policy, mixture)
    names = [image.name for image in source.images if image.origin == "original"]
    summary = {
        "source": recipe.data.source,
        "size": recipe.data.size,
        "fit": recipe.data.fit,
        "num_real": int(is_original.sum()),
        "num_images": len(mixture.images),
        "origins": dict(Counter(image.origin for image in mixture.images)),
        "policy": policy,
        **({"kinds": plan.policy.own} if plan.policy.own else {}),
        "fingerprint": fingerprint([str(hashes[name]) for name in names]),
        "skipped": sorted(set(hashes) - {image.name for image in source.images}),
        "names": names,
    }
    kinds = {step.name for share in plan.policy.shares for step in share.steps}
    notes = [*entered.notes, *entered.against_symmetry(kinds)]
    return TrainingData(mixture, preview, mixture.pixels[is_original], summary, tuple(notes))


def _what_was_mixed(path: Path, policy: str, mixture: Mixture) -> tuple[str, Pixels]:
    """Return policy and contact sheet: those of a mixed dataset on disk where nothing is added to it in memory."""
    if not holds_plan(path):
        return policy, mixture.preview()
    dataset = MixedDataset.open(path)
    if policy != NONE:
        return f"{dataset.policy}, then {policy}", mixture.preview()
    try:
        return dataset.policy, decode(dataset.preview.read_bytes(), dataset.preview.name)
    except OSError:
        return dataset.policy, mixture.preview()


def describe_data(summary: Mapping[str, Any]) -> str:
    """Return what the set is, in a phrase."""
    parts = ", ".join(f"{count} {origin}" for origin, count in summary["origins"].items())
    left_out = f", {len(summary['skipped'])} unreadable left out" if summary["skipped"] else ""
    origin = summary["source"] or "the sample set"
    return f"{summary['num_images']} images of {summary['size']} px ({parts}{left_out}) from {origin}"
