"""Where the bytes of an image are: a file, an entry of a zip, a row of an array file."""

import math
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from augment.errors import InputError

MAX_FILE_BYTES = 128 << 20  # Of an image or a table, also unpacked from a zip: told by its header, before it is read
MAX_ARRAY_BYTES = 1 << 30  # Of all arrays of a file together
MAX_RATIO, _SMALL_BYTES = 100, 16 << 20  # photographs unpack to 3 times the bytes at most, digits to 40 times


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file."""

    path: str

    def read(self, name: str) -> bytes:
        """Return the file's bytes. Raises InputError for a pipe or a file that is too large, and OSError."""
        status = os.stat(self.path)  # noqa: PTH116 - pathlib costs as much as reading the file, several times over
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: not an ordinary file; leave it out")
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB; leave it out")
        with open(self.path, "rb") as file:  # noqa: PTH123
            return file.read()


class Archive:
    """A zip, opened at the first reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: zipfile.ZipFile | None = None
        self._opening = threading.Lock()

    def read(self, entry: str, name: str) -> bytes:
        """Return the bytes of `entry`. Raises OSError, and InputError when it is damaged, encrypted or too large."""
        with self._opening:
            if self._opened is None:
                self._opened = zipfile.ZipFile(self.path)
        try:
            info = self._opened.getinfo(entry)
            _check_unpacked(name, info.compress_size, info.file_size, MAX_FILE_BYTES)
            return self._opened.read(entry)
        except KeyError as error:
            raise InputError(f"{name}: not in {self.path.name}; run the command again") from error
        except (InputError, OSError):
            raise
        except Exception as error:  # a damaged stream raises zlib's errors and others beside zipfile's own
            raise InputError(f"{name} in {self.path.name}: damaged or encrypted: {error}") from error


class Arrays:
    """The images of an array file (.npz, as MNIST is passed around): x_train and x_test, or any N x H x W (x C)."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises InputError naming it and what it holds, when that is no images."""
        self.path = path
        self.images: dict[str, NDArray[Any]] = {}
        self.labels: dict[str, NDArray[Any]] = {}
        held = []

        def is_wanted(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
            held.append(f"{key} {dtype} {'x'.join(map(str, shape))}")
            return _is_images(shape, dtype) or (len(shape) == 1 and dtype.kind in "iuU")

        for key, array in read_arrays(path, is_wanted).items():
            (self.labels if array.ndim == 1 else self.images)[key] = array
        if not self.images:
            raise InputError(
                f"{path}: no images in it ({', '.join(held) or 'nothing'}); needed an array N x H x W or N x H x W x 3 "
                "of bytes, or of numbers from 0 to 1"
            )

    def label(self, key: str, row: int) -> str | None:
        """Return the class of a row: of y_train for x_train, of labels for images, else of the one that fits."""
        number = len(self.images[key])
        likely = {key.replace("x", "y", 1), key.replace("images", "labels"), "labels", "y"} - {key}
        fitting = (labels for name, labels in self.labels.items() if name in likely or len(self.labels) == 1)
        return next((str(labels[row]) for labels in fitting if len(labels) == number), None)

    def read(self, place: tuple[str, int], name: str) -> bytes:
        """Return row (array, number) as the bytes of a PNG. Numbers from 0 to 1 are scaled to 255 and rounded.

        Raises InputError naming `name` for others, which have no known white.
        """
        pixels = self.images[place[0]][place[1]]
        if pixels.dtype.kind == "f":
            if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
                low, high = pixels.min(), pixels.max()
                raise InputError(f"{name}: its numbers go from {low:g} to {high:g}; needed 0 to 1, or bytes")
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
                    is_first = npy.read_magic(file) == (1, 0)
                    shape, _, dtype = (npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0)(file)
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


StorageEntry = FileEntry | PartEntry
"""Somewhere that holds one image file; entries compare and hash by what they point to."""
