"""Features that somebody else extracted: an .npz with `features` N x F and, where needed, `logits` N x K.

Optional are `network` and `weights_sha256`, texts that say what made them: only scores of features that name the same
network can be compared. Where `network` is missing, scores say that it is not known, and compare with nothing.
"""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.errors import FailedError, InputError
from augment.sources.storage import read_arrays
from smallgan.metrics.features.extract import FeatureNet, Features

_SUFFIX = ".npz"


@dataclass(frozen=True)
class Precomputed:
    """Features read from a file."""

    path: Path
    features: Features
    fingerprint: str  # sha256 of the numbers
    network: str | None  # What made them, as the file says
    weights_sha256: str | None


def is_precomputed(path: Path) -> bool:
    """Tell whether `path` is an .npz that holds features and not images."""
    if path.suffix.lower() != _SUFFIX or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "features.npy" in archive.namelist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False


def read_precomputed(path: Path) -> Precomputed:
    """Return the features in `path`. Raises InputError that says what it holds instead."""
    arrays = read_arrays(path)
    features = _matrix(path, "features", arrays["features"])
    logits = _matrix(path, "logits", arrays["logits"]) if "logits" in arrays else np.zeros((len(features), 0))
    if len(logits) != len(features):
        raise InputError(f"{path}: {len(features)} rows of features and {len(logits)} of logits; expected as many")
    digest = hashlib.sha256()
    for array in (features, logits):
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, np.float64).data)
    texts = [str(arrays[name]) if name in arrays else None for name in ("network", "weights_sha256")]
    return Precomputed(path, Features(features, logits), digest.hexdigest(), texts[0], texts[1])


def precomputed_net(fake: Precomputed, real: Precomputed | None) -> FeatureNet:
    """Return what stands for the network in scores of precomputed features. Raises InputError (two networks)."""
    width, num_logits = fake.features.features.shape[1], fake.features.logits.shape[1]
    if real is not None:
        other = real.features.features.shape[1]
        named = (fake.network, fake.weights_sha256), (real.network, real.weights_sha256)
        if width != other or named[0] != named[1]:
            raise InputError(
                f"{fake.path} holds {width} features of {fake.network or 'a network without a name'}, {real.path} "
                f"{other} of {real.network or 'a network without a name'}; expected both from one network"
            )
    if fake.network is None:
        name, sha256 = "precomputed features", f"not known; features {fake.fingerprint[:16]}"
        note = f"{fake.path.name} does not name its network (array `network`), so its scores compare with no others"
    else:
        name, sha256 = f"{fake.network} (precomputed)", fake.weights_sha256 or "not known"
        note = f"precomputed features of {fake.path.name}: that {fake.network} made them is what the file says"
    unknown, cpu = "not known", torch.device("cpu")
    return FeatureNet(name, name, sha256, unknown, unknown, width, num_logits, _refuse, cpu, note)


def _matrix(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise InputError(
            f"{path}: `{name}` is {array.dtype} {'x'.join(map(str, array.shape))}; expected floating point numbers, a "
            "row an image"
        )
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array).all(axis=1)).argmax())
        raise InputError(f"{path}: row {bad} of `{name}` has a value that is not finite; extract it again")
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _refuse(_pixels: Tensor) -> tuple[Tensor, Tensor]:
    raise FailedError("precomputed features have no network to run")
