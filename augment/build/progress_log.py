"""The progress log of a build: a line for each image written, so that a build that was killed goes on in seconds.

Without it every file that is there would have to be read and decoded to know that it is whole. A line holds the
position in the plan, the file's hash, size and time of change, whether the image came out nearly as its parent, and
last the image's line of metadata.jsonl: what was drawn is known while the image is made, and is kept here instead of
in memory. At the end metadata.jsonl is read from here in the order of the plan.

A line counts only while the file has that very size and time of change: which of two times is later says nothing, as a
clock may be set back. The lines of a batch are written together: what a kill takes of them is looked at again. The log
is gone once metadata.jsonl is there.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from augment.core.files import output_errors
from augment.core.limits import MAX_LINE
from augment.errors import OutputError

PROGRESS_LOG = ".progress"

_DIGEST_BYTES = 32
_LINE_PARTS = 6


@dataclass(slots=True)
class WrittenImage:
    """A line: an image whose file was whole when it was logged."""

    at: int
    sha256: str = ""
    num_bytes: int = 0
    mtime_ns: int = 0
    """The file's time of change, as the file system tells it."""
    near_copy: bool = False
    record: bytes = b""
    r"""Its line of metadata.jsonl, ending in \n."""
    kept: bool = False
    """Whether an earlier try wrote the file. The line does not say so."""

    def to_line(self) -> bytes:
        """Return the line."""
        head = f"{self.at} {self.sha256} {self.num_bytes} {self.mtime_ns} {self.near_copy:d} "
        return head.encode() + self.record


class ProgressLog:
    """What is known of each image of a plan by its position: 47 bytes an image, whatever the lines hold.

    `lookup`, `record` and `records` work while it is `opened`; the first two from any thread.
    """

    def __init__(self, path: Path, num_images: int) -> None:
        self._path = path / PROGRESS_LOG
        self._digests = bytearray(_DIGEST_BYTES * num_images)
        self._is_near = bytearray(num_images)
        self._is_kept = bytearray(num_images)
        self._is_earlier = bytearray(num_images)
        self._starts = np.zeros(num_images, np.int64)
        self._lengths = np.zeros(num_images, np.int32)
        self._lock = threading.Lock()
        self._end = 0
        self._read_earlier()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the file. Raises OutputError."""
        with output_errors(self._path):
            self._out: BinaryIO = self._path.open("ab")
            self._out.truncate(self._end)  # what a kill cut short
        with self._out, self._path.open("rb", buffering=0) as self._in:
            yield

    def lookup(self, at: int, path: str) -> str | None:
        """Return the hash of the file of image `at` if an earlier try wrote it and nobody touched it since."""
        if not self._is_earlier[at]:
            return None
        self._is_earlier[at] = False
        try:
            status = os.stat(path)  # noqa: PTH116 - pathlib would cost more than the rest, 100,000 times
        except OSError:
            return None
        written = _parsed(self._line(at))
        if written is None or (status.st_size, status.st_mtime_ns) != (written.num_bytes, written.mtime_ns):
            return None
        written.kept = True
        self._set(written)
        return written.sha256

    def record(self, images: Iterable[WrittenImage]) -> None:
        """Write the lines of images that are there and whole now. Raises OutputError."""
        lines = []
        for image in images:
            self._set(image)
            lines.append((image.at, image.to_line()))
        with self._lock:
            with output_errors(self._path):
                self._out.write(b"".join([line for _, line in lines]))
                self._out.flush()
            for at, line in lines:
                self._remember(at, line)

    def records(self) -> Iterator[bytes]:
        r"""Yield the lines of metadata.jsonl of all images, in the order of the plan, each ending in \n.

        Raises OutputError when the file was changed by others.
        """
        for at in range(len(self._starts)):
            written = _parsed(self._line(at))
            if written is None or written.at != at:
                raise OutputError(f"{self._path}: was changed while it was in use; run the same command again")
            yield written.record

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

    def _remember(self, at: int, line: bytes) -> None:
        self._starts[at], self._lengths[at] = self._end, len(line)
        self._end += len(line)

    def _line(self, at: int) -> bytes:
        with self._lock:
            self._in.seek(int(self._starts[at]))
            return self._in.read(int(self._lengths[at]))

    def _set(self, image: WrittenImage) -> None:
        start = image.at * _DIGEST_BYTES
        self._digests[start : start + _DIGEST_BYTES] = bytes.fromhex(image.sha256)
        self._is_near[image.at], self._is_kept[image.at] = image.near_copy, image.kept

    def _read_earlier(self) -> None:
        """Remember where the lines of an earlier try are, the last of equals. Strange ones are left out."""
        with suppress(OSError), self._path.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_LINE), b""):
                if not line.endswith(b"\n"):
                    break
                written = _parsed(line)
                if written is None or not 0 <= written.at < len(self._starts):
                    self._end += len(line)
                    continue
                self._is_earlier[written.at] = True
                self._remember(written.at, line)


def _parsed(line: bytes) -> WrittenImage | None:
    """Return what a line says, or None for one that a kill cut short or others wrote."""
    parts = line.split(b" ", _LINE_PARTS - 1)
    if len(parts) != _LINE_PARTS or len(parts[1]) != 2 * _DIGEST_BYTES or not parts[5].endswith(b"}\n"):
        return None
    try:
        at, num_bytes, mtime_ns, near = map(int, (parts[0], *parts[2:5]))
        bytes.fromhex(parts[1].decode())
    except ValueError:
        return None
    return WrittenImage(at, parts[1].decode(), num_bytes, mtime_ns, bool(near), parts[5])
