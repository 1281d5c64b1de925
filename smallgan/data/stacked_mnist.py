"""Stacked MNIST: three random digits as the channels of a colour image, 1,000 modes (Metz et al. 2017)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.core.files import make_folder, renamed, sha256_bytes
from augment.errors import InputError, MissingError
from augment.sources.storage import Arrays
from smallgan.core.rng import Stream, rng
from smallgan.core.weights import cache_folder

NUM_IMAGES = 25_600
SIDE = 32
_DRAW = 2  # Position in the stream of sets that are drawn
Digits = NDArray[np.uint8]  # N x 28 x 28


def make(file: str = "") -> Path:
    """Return the path of an array file with the images, N x 32 x 32 x 3; it is made in the cache where it is not there.

    The same in every run, whatever its seed: image k is of the k-th three digits that are drawn.

    Args:
        file: MNIST as an array file (.npz) with x_train; "": what `smallgan data get mnist` fetched.

    Raises MissingError (no MNIST), InputError (a file that holds no digits of 28 px), OutputError.
    """
    digits = read_digits(file)
    path = cache_folder().parent / "made" / f"stacked-mnist-{sha256_bytes(digits.tobytes())[:16]}-{NUM_IMAGES}.npz"
    if not path.is_file():
        make_folder(path.parent)
        with renamed(path) as temporary, temporary.open("wb") as opened:
            np.savez(opened, images=stacked(digits, NUM_IMAGES))
    return path


def stacked(digits: Digits, count: int) -> NDArray[np.uint8]:
    """Return `count` images, uint8 N x 32 x 32 x 3, each of three digits with 2 black pixels around them."""
    places = rng(0, Stream.MADE_SET, _DRAW).integers(len(digits), size=(count, 3))
    images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    images[:, 2:-2, 2:-2] = digits[places].transpose(0, 2, 3, 1)
    return images


def read_digits(file: str) -> Digits:
    """Return the training digits of MNIST. Raises MissingError and InputError."""
    if file:
        return _checked(file, Arrays(_there(file)).images.get("x_train"))
    from torchvision.datasets import MNIST

    root = cache_folder().parent / "datasets"
    try:
        return _checked(str(root), np.asarray(MNIST(root, train=True, download=False).data))
    except RuntimeError as error:
        raise MissingError(
            f"MNIST is not below {root}: fetch it with smallgan data get mnist, or name a file with x_train: "
            "stacked-mnist:mnist.npz"
        ) from error


def _there(file: str) -> Path:
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected MNIST as .npz with x_train")
    return path


def _checked(name: str, digits: NDArray[np.uint8] | None) -> Digits:
    if digits is None or digits.ndim != 3 or digits.shape[1:] != (28, 28) or digits.dtype != np.uint8:
        found = "no x_train" if digits is None else f"{digits.dtype} {'x'.join(map(str, digits.shape))}"
        raise InputError(f"{name}: found {found}, expected digits of 28 px as bytes (x_train N x 28 x 28)")
    return digits
