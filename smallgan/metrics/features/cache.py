"""Features kept on disk: made once for the same images, network, resize and precision (`entries`)."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch

from augment.core.files import sha256_bytes
from smallgan.core.version import __version__
from smallgan.data.images import PixelRows, Pixels
from smallgan.metrics.features import entries
from smallgan.metrics.features.extract import FeatureNet, Features

_FORMAT = 2  # Raise it when an entry holds more, or the same images would give others: another reader or resize


@dataclass(frozen=True)
class Kept:
    """What an entry holds."""

    features: Features
    side: int | None  # S where all images were squares of S pixels, else None


def key(content: str, net: FeatureNet) -> str:
    """Return the name of the entry for images with the hash `content`, in their order, under `net`.

    Versions and the kind of device are part of it: they change features by rounding.
    """
    versions = str(_FORMAT), __version__, torch.__version__, net.device.type
    return sha256_bytes(json.dumps([*versions, net.name, net.sha256, net.resize, net.precision, content]).encode())


def pixels_content(pixels: Pixels | PixelRows) -> str:
    """Return the hash of images in memory, N x H x W x 3 uint8."""
    digest = hashlib.sha256(json.dumps(pixels.shape).encode())
    for image in pixels:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def find(name: str, count: int) -> Kept | None:
    """Return the entry called `name` of `count` images; None where there is none or it is damaged (`entries.read`)."""
    arrays = entries.read(f"{name}{entries.FEATURES}", "features", ("features", "logits", "laplacian", "side"))
    if arrays is None or len(arrays["features"]) != count:
        return None
    return Kept(Features(arrays["features"], arrays["logits"], arrays["laplacian"]), int(arrays["side"]) or None)


def store(name: str, kept: Kept) -> None:
    """Keep an entry. Where it cannot be written that is said and nothing else happens: the scores are there."""
    found = kept.features
    assert found.laplacian is not None  # they are made from images
    arrays = {"features": found.features, "logits": found.logits, "laplacian": found.laplacian}
    entries.write(f"{name}{entries.FEATURES}", "features", arrays | {"side": np.array(kept.side or 0)})
