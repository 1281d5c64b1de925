"""Latents and labels that a user brings, in .npy files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import InputError, UsageError
from smallgan.sampling.loading import Model


def read_latents(path: Path, model: Model) -> NDArray[np.float32]:
    """Return the latents N x Z of a .npy file: float32, finite, of the model's Z. Raises InputError."""
    z, width = _read(path, "latents"), model.generator.z_dim
    if z.dtype != np.float32:
        raise InputError(
            f"{path}: found {z.dtype} latents, needed float32; save them with numpy.save(path, z.astype('float32'))"
        )
    if z.ndim != 2 or z.shape[1] != width:
        raise InputError(f"{path}: found latents of shape {z.shape}, needed N x {width} for {model.path}")
    if not len(z):
        raise InputError(f"{path}: no latent in it (shape {z.shape}); needed at least one row")
    bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
    if len(bad):
        raise InputError(f"{path}: {len(bad)} of {len(z)} latents are not finite, row {bad[0]} first; repair them")
    return np.ascontiguousarray(z)


def read_labels(path: Path, model: Model, count: int) -> NDArray[np.int64]:
    """Return the classes of `count` latents in a .npy file: whole numbers of the model's classes.

    Raises InputError, and UsageError where the model has no classes.
    """
    num_classes = model.generator.num_classes
    if num_classes < 2:
        raise UsageError(f"--labels {path}: {model.path} has no classes to choose from; leave it out")
    labels = _read(path, "labels")
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: found {labels.dtype} labels, needed int64; save them with numpy.save(path, y.astype('int64'))"
        )
    if labels.shape != (count,):
        raise InputError(f"{path}: found labels of shape {labels.shape}, needed ({count},), one for each latent")
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(bad):
        raise InputError(
            f"{path}: found label {labels[bad[0]]} in row {bad[0]}, needed 0 to {num_classes - 1} ({len(bad)} of "
            f"{count} are outside)"
        )
    return labels.astype(np.int64)


def _read(path: Path, what: str) -> NDArray[Any]:
    needed = f"needed an array of {what} that numpy.save wrote (.npy)"
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {needed}") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not such a file ({str(error).splitlines()[0]}); {needed}") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{path}: an archive of several arrays (.npz); {needed}")
    return found
