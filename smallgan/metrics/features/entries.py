"""Entries of the feature cache: files of arrays behind the sha256 of their bytes, never trusted unchecked. No torch."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from augment.core.files import make_folder, sha256_bytes, write_bytes
from augment.errors import OutputError
from smallgan.core.console import say
from smallgan.core.weights import cache_folder

FEATURES, FACTS = ".features", ".facts"  # Endings: features of images, and what follows from those of reals
_DIGEST_BYTES = 64
Arrays = dict[str, NDArray[Any]]


def folder() -> Path:
    """Return the folder of the entries, beside that of the weights."""
    return cache_folder().parent / "features"


def read(file: str, what: str, names: Collection[str] = ()) -> Arrays | None:
    """Return the arrays of an entry; None where there is none or it is damaged: then it is deleted, and said.

    Args:
        file: its name in the folder.
        what: "features", for the sentence.
        names: of arrays without which it is damaged.
    """
    path = folder() / file
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body = data[_DIGEST_BYTES:]
    try:
        if sha256_bytes(body).encode() != data[:_DIGEST_BYTES]:
            raise ValueError("another hash")
        arrays: Arrays = load(body)
        if not set(names) <= arrays.keys():
            raise ValueError("other arrays")
    except (ValueError, KeyError, TypeError, SafetensorError):
        say(f"{path}: damaged {what} in the cache; they are made again")
        with suppress(OSError):
            path.unlink()
        return None
    return arrays


def write(file: str, what: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep an entry. Where it cannot be written that is said and nothing else happens: the scores are there."""
    body = save({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()})
    try:
        write_bytes(make_folder(folder()) / file, sha256_bytes(body).encode() + body)
    except OutputError as error:
        say(f"{what} are not kept for next time: {error}")


def usage(*, clear: bool = False) -> tuple[int, int]:
    """Return how many sets have features here, and the bytes of all entries; `clear` deletes these."""
    num_sets, num_bytes = 0, 0
    for suffix in (FEATURES, FACTS):
        for path in folder().glob(f"*{suffix}"):
            with suppress(OSError):
                num_bytes += path.stat().st_size
                num_sets += suffix == FEATURES
                if clear:
                    path.unlink()
    return num_sets, num_bytes
