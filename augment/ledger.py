"""The ledger of a build: a line for each image that is written, so that a build that was killed goes on in seconds.

Without it every file that is there would have to be read and decoded to know that it is whole. A line holds the
position in the plan, the file's hash, size and time of change, and whether it came out nearly as its parent; it counts
only while the file still has that size and time. It is gone once metadata.jsonl is there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from augment.files import output_errors

LEDGER = ".ledger"

_DIGEST_BYTES = 32
_LINE_PARTS = 5


@dataclass(frozen=True, slots=True)
class Written:
    """An image that the ledger vouches for."""

    sha256: str
    num_bytes: int
    changed_ns: int
    near_copy: bool


class Ledger:
    """What is known of each image of a plan by its position: 34 bytes an image, and the lines of an earlier try."""

    def __init__(self, path: Path, num_images: int) -> None:
        self._path = path / LEDGER
        self._digests = bytearray(_DIGEST_BYTES * num_images)
        self._is_near = bytearray(num_images)
        self._is_kept = bytearray(num_images)
        self._file: int | None = None
        self._lock = threading.Lock()
        self._earlier = _read(self._path, num_images)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the file open for adding. Raises OutputError."""
        with output_errors(self._path):
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            yield
        finally:
            os.close(self._file)
            self._file = None

    def find(self, at: int, path: str) -> str | None:
        """Return the hash of the file of image `at` if an earlier try wrote it and nobody touched it since."""
        written = self._earlier.pop(at, None)
        if written is None:
            return None
        try:
            status = os.stat(path)  # noqa: PTH116 - pathlib would cost more than the rest, 100,000 times
        except OSError:
            return None
        if (status.st_size, status.st_mtime_ns) != (written.num_bytes, written.changed_ns):
            return None
        self._set(at, written.sha256, near_copy=written.near_copy, kept=True)
        return written.sha256

    def keep(self, at: int, sha256: str) -> None:
        """Note that the file of image `at` was there and whole."""
        self._set(at, sha256, near_copy=False, kept=True)

    def add(self, at: int, path: str, sha256: str, *, near_copy: bool) -> None:
        """Note that the file of image `at` was written now. Raises OutputError."""
        self._set(at, sha256, near_copy=near_copy, kept=False)
        with output_errors(self._path):
            status = os.stat(path)  # noqa: PTH116
            line = f"{at} {sha256} {status.st_size} {status.st_mtime_ns} {near_copy:d}\n".encode()
            with self._lock:
                os.write(self._file or 0, line)

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
        starts = range(0, len(self._digests), _DIGEST_BYTES)
        originals = {bytes(self._digests[start : start + 8]) for start in starts[:first]}
        added = {bytes(self._digests[start : start + 8]) for start in starts[first:]}
        return len(starts) - first - len(added - originals)

    def remove(self) -> None:
        """Remove the file: the dataset is whole."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

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
                    at, num_bytes, changed, near = (int(parts[index]) for index in (0, 2, 3, 4))
                    bytes.fromhex(parts[1].decode())
                except ValueError:
                    continue
                if 0 <= at < num_images:
                    found[at] = Written(parts[1].decode(), num_bytes, changed, bool(near))
    except OSError:
        return {}
    return found
