"""Where the bytes of an image are: a file, an entry of a zip, a row of an array file."""

import io
import math
import os
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from augment.core.limits import MAX_FILE_BYTES, read_within
from augment.errors import InputError

MAX_ARRAY_BYTES = 1 << 30  # Of all arrays of a file together
_MAX_HEADER = 10_000  # Bytes of an array's header, as numpy allows
MAX_RATIO, _SMALL_BYTES = 100, 16 << 20  # photographs unpack to 3 times the bytes at most, digits to 40 times


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file."""

    path: str

    def read(self, name: str) -> bytes:
        """Return the file's bytes. Raises InputError for a pipe or a file that is too large, and OSError."""
        return read_within(self.path, MAX_FILE_BYTES, name)

    def num_bytes(self) -> int:
        """Return the size of the file. Raises OSError."""
        return os.stat(self.path).st_size  # noqa: PTH116


class Archive:
    """A zip, opened at the first reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: zipfile.ZipFile | None = None
        self._opening = threading.Lock()

    def read(self, entry: str, name: str) -> bytes:
        """Return the bytes of `entry`. Raises OSError, and InputError when it is damaged, encrypted or too large."""
        archive = self._archive()
        try:
            info = archive.getinfo(entry)
            _check_unpacked(name, info.compress_size, info.file_size, MAX_FILE_BYTES)
            return archive.read(entry)
        except KeyError as error:
            raise InputError(f"{name}: not in {self.path.name}; run the command again") from error
        except (InputError, OSError):
            raise
        except Exception as error:  # a damaged stream raises zlib's errors and others beside zipfile's own
            raise InputError(f"{name} in {self.path.name}: damaged or encrypted: {error}") from error

    def num_bytes(self, entry: str) -> int:
        """Return the size of `entry` unpacked, 0 where there is none. Raises OSError."""
        archive = self._archive()
        return min(archive.getinfo(entry).file_size, MAX_FILE_BYTES) if entry in archive.NameToInfo else 0

    def _archive(self) -> zipfile.ZipFile:
        with self._opening:
            if self._opened is None:
                self._opened = zipfile.ZipFile(self.path)
        return self._opened


class Arrays:
    """The images of an array file (.npz, as MNIST is passed around): x_train and x_test, or any N x H x W (x C)."""

    def __init__(self, path: Path, only: str | None = None) -> None:
        """Read it, of its arrays of images `only` that one; None: all.

        Raises InputError naming it and what it holds, when that is no images.
        """
        self.path = path
        self.images: dict[str, NDArray[Any]] = {}
        self.labels: dict[str, NDArray[Any]] = {}
        self.unused: list[str] = []
        """What is neither images nor labels: name, type and shape."""
        held = []
        self._num_images = 0  # Arrays of images in the file, read or not

        def is_wanted(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
            held.append(f"{key} {dtype} {'x'.join(map(str, shape))}")
            if _is_images(shape, dtype):
                self._num_images += 1
                return only is None or key == only
            is_labels = len(shape) in (1, 2) and math.prod(shape[1:]) == 1 and dtype.kind in "iuUS"
            if not is_labels:
                self.unused.append(held[-1])
            return is_labels

        for key, array in read_arrays(path, is_wanted).items():
            if _is_images(array.shape, array.dtype):
                self.images[key] = array
                continue
            column = array.reshape(-1)  # Keras passes N x 1 around
            self.labels[key] = np.char.decode(column, "utf-8", "replace") if column.dtype.kind == "S" else column
        if not self.images:
            name = f"{path}/{only}" if only else str(path)
            raise InputError(
                f"{name}: no images in it ({', '.join(held) or 'nothing'}); expected an array N x H x W or N x H x W x "
                "3 of bytes, or of numbers from 0 to 1"
            )

    def label(self, key: str, row: int) -> str | None:
        """Return the class of a row: of y_train for x_train, of labels for images, else of the one that fits."""
        number = len(self.images[key])
        likely = {key.replace("x", "y", 1), key.replace("images", "labels"), "labels", "y"} - {key}
        fitting = (labels for name, labels in self.labels.items() if name in likely or self._is_alone)
        return next((str(labels[row]) for labels in fitting if len(labels) == number), None)

    @property
    def _is_alone(self) -> bool:
        """Whether there is one array of labels and one of images, which then belong together."""
        return len(self.labels) == 1 and self._num_images == 1

    def num_bytes(self, place: tuple[str, int]) -> int:
        """Return the size of row (array, number)."""
        return int(self.images[place[0]][place[1]].nbytes)

    def read(self, place: tuple[str, int], name: str) -> bytes:
        """Return row (array, number) as the bytes of a PNG. Numbers from 0 to 1 are scaled to 255 and rounded.

        Raises InputError naming `name` for others, which have no known white.
        """
        pixels = self.images[place[0]][place[1]]
        if pixels.dtype.kind == "f":
            if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
                low, high = pixels.min(), pixels.max()
                raise InputError(f"{name}: its numbers go from {low:g} to {high:g}; expected 0 to 1, or bytes")
            pixels = np.rint(pixels * 255).astype(np.uint8)
        if pixels.ndim == 3 and pixels.shape[2] > 1:
            code = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
            pixels = cv2.cvtColor(np.ascontiguousarray(pixels), code)
        return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()


def _check_unpacked(name: str, packed: int, unpacked: int, most: int) -> None:
    if unpacked > min(most, max(_SMALL_BYTES, MAX_RATIO * packed)):
        raise InputError(
            f"{name}: would unpack from {packed:,} bytes to {unpacked:,}; at most {most >> 20} MiB and {MAX_RATIO} "
            "times its bytes are read. Leave it out"
        )


def _is_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    return fits and min(shape) > 0 and dtype in (np.uint8, np.float32, np.float64)


def read_array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and type of the .npy array that `file` begins with; its numbers are not read.

    Raises ValueError for what is no such array, and for a header of more than 10,000 bytes.
    """
    is_first = npy.read_magic(file) == (1, 0)
    length = file.read(2 if is_first else 4)
    if int.from_bytes(length, "little") > _MAX_HEADER:
        raise ValueError(f"its header has {int.from_bytes(length, 'little'):,} bytes")
    header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    shape, _, dtype = (npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0)(header)
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    return shape, dtype


def read_arrays(
    path: Path, is_wanted: Callable[[str, tuple[int, ...], np.dtype[Any]], bool] = lambda *_: True
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz whose key, shape and type `is_wanted` says yes to; nothing else of it is unpacked.

    Raises InputError when it is damaged, or unpacks to more than `MAX_ARRAY_BYTES`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    shape, dtype = read_array_header(file)
                size, key = math.prod(shape) * dtype.itemsize, info.filename.removesuffix(".npy")
                if not is_wanted(key, shape, dtype):
                    continue
                held = sum(array.nbytes for array in arrays.values())
                _check_unpacked(f"{path}: {key}", info.compress_size, size, MAX_ARRAY_BYTES - held)
                if size > info.file_size:
                    raise ValueError(f"{key} is cut short")
                with archive.open(info) as file:
                    arrays[key] = npy.read_array(file, allow_pickle=False)
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: damaged, or no plain arrays of numpy ({error})") from error
    return arrays


@dataclass(frozen=True, slots=True)
class PartEntry:
    """An entry of a zip, by its name, or a row of an array file, by array and number."""

    storage: Archive | Arrays
    place: Any

    def read(self, name: str) -> bytes:
        """Return its bytes, as `storage` reads it."""
        return self.storage.read(self.place, name)

    def num_bytes(self) -> int:
        """Return the number of its bytes. Raises OSError."""
        return self.storage.num_bytes(self.place)


StorageEntry = FileEntry | PartEntry
"""Somewhere that holds one image file; entries compare and hash by what they point to."""
