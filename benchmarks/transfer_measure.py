"""What `benchmarks.transfer_table` measures of a generator, and the pictures that it draws to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from augment.core.files import make_folder, write_bytes
from augment.imaging.codec import encode_png
from smallgan.core.checkpoint import read_tensors
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.data.images import Pixels, grid, pairs, to_images, to_pixels
from smallgan.metrics.features.extract import FeatureNet, Features, extract
from smallgan.metrics.kid import kid
from smallgan.metrics.kmmd import kmmd
from smallgan.metrics.memorisation.nearest import nearest_distance
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.tables.recipe import load_recipe
from smallgan.training.data import load_data

NUM_FAKE, SAMPLE_SEED = 200, 0
NUM_DRAWN = 100
LOSSES = ("loss_d", "loss_g", "pixel", "perceptual", "latent")
_CHUNK = 25


@dataclass(frozen=True)
class Reals:
    """Real images N x S x S x 3 at the generator's side, and their features."""

    folder: Path
    pixels: Pixels
    fingerprint: str
    features: Features


def load_reals(folder: Path, size: int, net: FeatureNet) -> Reals:
    """Return the images of a folder as training sees them: squares of `size` pixels, the middle of each."""
    data = load_data(load_recipe(None, {"data.source": str(folder), "data.size": size}), net.device)
    return Reals(folder, data.originals[:], data.summary["fingerprint"], extract(data.originals, net))


def distances(fake: Features, train: Reals, held_out: Reals | None) -> dict[str, Any]:
    """Return KMMD and KID to both sets of reals, and the mean distance to the nearest training image, in features."""

    def to(real: Reals) -> dict[str, float]:
        pair = fake.features, real.features.features
        return {"kmmd": kmmd(*pair).value, "kid": kid(*pair).value}

    return {
        "train": to(train),
        "held_out": to(held_out) if held_out else None,
        "nearest": float(nearest_distance(fake.features, train.features.features).mean()),
    }


def sample_features(model: Model, net: FeatureNet, picture: Path) -> Features:
    """Return the features of 200 samples of standard normal latents, and draw the first 100 samples."""
    pixels = sample_pixels(model, NUM_FAKE, SAMPLE_SEED)
    _draw(picture, grid(pixels[:NUM_DRAWN]))
    return extract(pixels, net)


def reconstruction_error(model: Model, train: Reals, picture: Path) -> float:
    """Return mean |x - y| of training images and the images of their codes, in [-1, 1], and draw both."""
    codes = read_tensors(model.path, "codes.")["weight"]
    generator: Any = model.generator
    with torch.inference_mode():
        made = torch.cat([generator(part.to(model.device)).float() for part in codes.split(_CHUNK)])
    _draw(picture, pairs(train.pixels, to_pixels(made)))
    real = to_images(torch.from_numpy(train.pixels).to(model.device))
    return float((made - real).abs().mean())


def last_losses(run: RunDir) -> dict[str, float]:
    """Return the losses of the last two reports, the last of which may be short, averaged over their steps."""
    lines = read_jsonl(run.stats)
    weights = [after - before for before, after in pairwise([0, *(line["step"] for line in lines)])][-2:]
    lines = lines[-2:]
    return {
        name: sum(line[name] * weight for line, weight in zip(lines, weights, strict=True)) / sum(weights)
        for name in LOSSES
        if all(name in line for line in lines)
    }


def _draw(path: Path, pixels: Pixels) -> None:
    write_bytes(make_folder(path.parent) / path.name, encode_png(pixels))
