"""The ledger of a build: a line for each image that is written, so that a build that was killed goes on in seconds.

Without it every file that is there would have to be read and decoded to know that it is whole. A line holds the
position in the plan, the file's hash and size, when it was noted, and whether the image came out nearly as its parent;
it counts only while the file has that size and was not changed after it was noted. A few lines at a time are written:
what a kill takes of them is read again. The ledger is gone once metadata.jsonl is there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augment.files import output_errors

LEDGER = ".ledger"

_DIGEST_BYTES = 32
_LINE_PARTS = 5
_LINES_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Written:
    """An image that the ledger vouches for."""

    sha256: str
    num_bytes: int
    noted_ns: int
    near_copy: bool


class Ledger:
    """What is known of each image of a plan by its position: 34 bytes an image, and the lines of an earlier try."""

    def __init__(self, path: Path, num_images: int) -> None:
        self._path = path / LEDGER
        self._digests = bytearray(_DIGEST_BYTES * num_images)
        self._is_near = bytearray(num_images)
        self._is_kept = bytearray(num_images)
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._earlier = _read(self._path, num_images)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Write what is still to be written when the work ends, in whichever way. Raises OutputError."""
        try:
            yield
        finally:
            self._flush()

    def find(self, at: int, path: str) -> str | None:
        """Return the hash of the file of image `at` if an earlier try wrote it and nobody touched it since."""
        written = self._earlier.pop(at, None)
        if written is None:
            return None
        try:
            status = os.stat(path)  # noqa: PTH116 - pathlib would cost more than the rest, 100,000 times
        except OSError:
            return None
        if status.st_size != written.num_bytes or status.st_mtime_ns > written.noted_ns:
            return None
        self._set(at, written.sha256, near_copy=written.near_copy, kept=True)
        return written.sha256

    def keep(self, at: int, sha256: str) -> None:
        """Note that the file of image `at` was there and whole."""
        self._set(at, sha256, near_copy=False, kept=True)

    def add(self, at: int, num_bytes: int, sha256: str, *, near_copy: bool) -> None:
        """Note that the file of image `at` was written now. Raises OutputError."""
        self._set(at, sha256, near_copy=near_copy, kept=False)
        self._lines.append(f"{at} {sha256} {num_bytes} {time.time_ns()} {near_copy:d}\n")
        if len(self._lines) >= _LINES_AT_ONCE:
            self._flush()

    def sha256(self, at: int) -> str:
        """Return the hash of image `at`."""
        return self._digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES].hex()

    @property
    def num_kept(self) -> int:
        """Number of images that were there and whole."""
        return sum(self._is_kept)

    @property
    def num_near_copies(self) -> int:
        """Number of images that came out nearly as their parent."""
        return sum(self._is_near)

    def num_copies(self, first: int) -> int:
        """Number of files from position `first` on that equal one before them, byte for byte."""
        # the first 8 bytes of 32: two of a million different files share them once in 37 million builds
        heads = np.frombuffer(self._digests, np.uint64)[:: _DIGEST_BYTES // 8]
        return len(heads) - first - len(np.setdiff1d(heads[first:], heads[:first]))

    def remove(self) -> None:
        """Remove the file: the dataset is whole."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            if lines:
                with output_errors(self._path), self._path.open("a", encoding="ascii", newline="\n") as file:
                    file.write("".join(lines))

    def _set(self, at: int, sha256: str, *, near_copy: bool, kept: bool) -> None:
        self._digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES] = bytes.fromhex(sha256)
        self._is_near[at], self._is_kept[at] = near_copy, kept


def _read(path: Path, num_images: int) -> dict[int, Written]:
    """Return the lines of an earlier try by position, the last of equals; lines that a kill cut short are left out."""
    found: dict[int, Written] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                parts = line.split()
                if not line.endswith(b"\n") or len(parts) != _LINE_PARTS or len(parts[1]) != 2 * _DIGEST_BYTES:
                    continue
                try:
                    at, num_bytes, noted, near = (int(parts[index]) for index in (0, 2, 3, 4))
                    bytes.fromhex(parts[1].decode())
                except ValueError:
                    continue
                if 0 <= at < num_images:
                    found[at] = Written(parts[1].decode(), num_bytes, noted, bool(near))
    except OSError:
        return {}
    return found
