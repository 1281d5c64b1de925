"""Features kept on disk: made once for the same images, network, resize and precision, and never trusted unchecked.

An entry is a file of safetensors behind the sha256 of its bytes. What does not match its hash is made again.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from augment.core.files import make_folder, sha256_bytes, write_bytes
from augment.errors import OutputError
from smallgan.core.console import say
from smallgan.core.version import __version__
from smallgan.core.weights import cache_folder, cached_files
from smallgan.data.images import PixelRows, Pixels
from smallgan.metrics.features.extract import FeatureNet, Features

_FORMAT = 1  # Raise it when the same images would give other features: another reader or resize
_SUFFIX = ".features"
_DIGEST_BYTES = 64


@dataclass(frozen=True)
class Kept:
    """What an entry holds."""

    features: Features
    side: int | None  # S where all images were squares of S pixels, else None


def folder() -> Path:
    """Return the folder of the entries, beside that of the weights."""
    return cache_folder().parent / "features"


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


def find(name: str, count: int, what: str) -> Kept | None:
    """Return the entry called `name` of `count` images, and say that `what` is from the cache.

    None where there is none or it is damaged: then it is deleted, and said.
    """
    path = folder() / f"{name}{_SUFFIX}"
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body = data[_DIGEST_BYTES:]
    try:
        if sha256_bytes(body).encode() != data[:_DIGEST_BYTES]:
            raise ValueError("another hash")
        arrays = load(body)
        kept = Kept(Features(arrays["features"], arrays["logits"]), int(arrays["side"]) or None)
    except (ValueError, KeyError, TypeError, SafetensorError):
        say(f"{path}: damaged features in the cache; they are made again")
        with suppress(OSError):
            path.unlink()
        return None
    if len(kept.features) != count:
        return None
    say(f"{what}: {count} from the cache")
    return kept


def store(name: str, kept: Kept) -> None:
    """Keep an entry. Where it cannot be written that is said and nothing else happens: the scores are there."""
    both = {"features": kept.features.features, "logits": kept.features.logits}
    arrays = {name: np.ascontiguousarray(array) for name, array in both.items()}
    body = save(arrays | {"side": np.array(kept.side or 0)})
    try:
        path = make_folder(folder()) / f"{name}{_SUFFIX}"
        write_bytes(path, sha256_bytes(body).encode() + body)
    except OutputError as error:
        say(f"features are not kept for next time: {error}")


def usage(*, clear: bool = False) -> tuple[int, int]:
    """Return how many entries there are, and their bytes; `clear` deletes them."""
    return cached_files(folder(), _SUFFIX, clear=clear)
