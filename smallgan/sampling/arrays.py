"""Latents and labels that a user brings, in .npy files."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from augment.core.limits import MAX_FILE_BYTES
from augment.errors import InputError, UsageError
from augment.sources.storage import read_array_header
from smallgan.sampling.loading import Model

_ZIP = b"PK\x03\x04"
_Check = Callable[[tuple[int, ...], np.dtype[Any]], None]
"""Takes shape and type of an array before it is read, and raises InputError for those that cannot be used."""


def read_latents(path: Path, model: Model) -> NDArray[np.float32]:
    """Return the latents N x Z of a .npy file: float32, finite, of the model's Z, at most 128 MiB.

    Raises InputError; what the header tells is refused before the numbers are read.
    """
    width = model.generator.z_dim

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if dtype != np.float32:
            raise InputError(
                f"{path}: found {dtype} latents, expected float32; save them with numpy.save(path, z.astype('float32'))"
            )
        if len(shape) != 2 or shape[1] != width:
            raise InputError(f"{path}: found latents of shape {shape}, expected N x {width} for {model.path}")
        if not shape[0]:
            raise InputError(f"{path}: no latent in it (shape {shape}); expected at least one row")

    z = _read(path, "latents", check)
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

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if dtype.kind not in "iu":
            raise InputError(
                f"{path}: found {dtype} labels, expected int64; save them with numpy.save(path, y.astype('int64'))"
            )
        if shape != (count,):
            raise InputError(f"{path}: found labels of shape {shape}, expected ({count},), one for each latent")

    labels = _read(path, "labels", check)
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(bad):
        raise InputError(
            f"{path}: found label {labels[bad[0]]} in row {bad[0]}, expected 0 to {num_classes - 1} ({len(bad)} of "
            f"{count} are outside)"
        )
    return labels.astype(np.int64)


def _read(path: Path, what: str, check: _Check) -> NDArray[Any]:
    """Return the array in a .npy file, whose shape and type `check` has seen before its numbers are read."""
    needed = f"expected an array of {what} that numpy.save wrote (.npy)"
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a file; {needed}")
        with path.open("rb") as file:
            if file.read(len(_ZIP)) == _ZIP:
                raise InputError(f"{path}: an archive of several arrays (.npz); {needed}")
            file.seek(0)
            shape, dtype = read_array_header(file)
            if dtype.hasobject:
                raise ValueError("Python objects, which are not read")
            check(shape, dtype)
            num_bytes = math.prod(shape) * dtype.itemsize
            if num_bytes > MAX_FILE_BYTES:
                raise InputError(
                    f"{path}: {what} of shape {shape} take {num_bytes / (1 << 20):,.0f} MiB, at most "
                    f"{MAX_FILE_BYTES >> 20} MiB are read; save them in several files, and name one after the other"
                )
            file.seek(0)
            return np.asarray(npy.read_array(file, allow_pickle=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {needed}") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not such a file ({str(error).splitlines()[0]}); {needed}") from error
