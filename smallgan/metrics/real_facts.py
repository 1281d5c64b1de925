"""What follows from one set of reals alone, found once: it is the same at every snapshot, and in later commands.

Such facts are the sums of a kernel over pairs of reals, the distances to their neighbours, their covariance, the
baseline. A fact is kept under its name and the hash of the features that it follows from: in memory, and of 1,000
reals and more also on disk, beside the features. Of fewer it is found again sooner than it is worth a file.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from augment.core.files import sha256_bytes
from smallgan.core.version import __version__
from smallgan.metrics.features import entries
from smallgan.metrics.features.entries import FACTS, Arrays

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import Features

LEAST_ON_DISK = 1000
MOST_BYTES = 256 << 20  # Of all facts in memory together; what was not asked for longest goes first
_FORMAT = 1  # Raise it when a fact of the same name would have other values
_kept: OrderedDict[str, Arrays] = OrderedDict()


class RealFacts:
    """The facts of one set of reals. Made without arguments it keeps none: each is found when it is asked for."""

    def __init__(self, digest: Callable[[], str] | None = None, *, on_disk: bool = False, part: str = "") -> None:
        """Take what gives the hash of the features, whether facts are kept on disk, and which part of the set it is."""
        self._digest, self._on_disk, self._part = digest, on_disk, part

    @classmethod
    def of(cls, reals: Features) -> RealFacts:
        """Return the facts of these reals, which are hashed when the first is asked for."""
        return cls(cache(lambda: _digest(reals)), on_disk=len(reals) >= LEAST_ON_DISK)

    def of_part(self, part: str) -> RealFacts:
        """Return the facts of some of these reals, kept in memory alone; `part` says which, or how they were drawn."""
        return RealFacts(self._digest, part=f"{self._part}{part}: ")

    def get(self, name: str, find: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a fact, of which `find` is called where they are not kept. They cannot be written to.

        Args:
            name: tells it from every other fact of these reals; no fake has a say in it.
            find: makes the arrays from these reals alone. What it raises is raised, and nothing kept.
        """
        if self._digest is None:
            return find()
        conditions = [_FORMAT, __version__, np.__version__, self._digest(), self._part + name]
        key = sha256_bytes(json.dumps(conditions).encode())
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        arrays = entries.read(f"{key}{FACTS}", "facts of reals") if self._on_disk else None
        if arrays is None:
            arrays = find()
            if self._on_disk:
                entries.write(f"{key}{FACTS}", "facts of reals", arrays)
        for array in arrays.values():
            array.setflags(write=False)
        _kept[key] = arrays
        while len(_kept) > 1 and sum(array.nbytes for each in _kept.values() for array in each.values()) > MOST_BYTES:
            _kept.popitem(last=False)
        return arrays


NONE_KEPT = RealFacts()


def forget() -> None:
    """Drop the facts in memory; those on disk stay."""
    _kept.clear()


def _digest(reals: Features) -> str:
    digest = hashlib.sha256()
    for array in (reals.features, reals.logits, *(() if reals.laplacian is None else (reals.laplacian,))):
        digest.update(json.dumps([str(array.dtype), array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
