"""Image files as a page inlines them: small PNGs as they are, larger ones as WebP thumbnails."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from augment.core.limits import MAX_FILE_BYTES, read_within
from augment.errors import InputError

_KEEP_BYTES = 48 << 10  # A PNG up to this size is inlined byte for byte; above it WebP is many times smaller
_QUALITY = 82
_LEAST = 96
GAP = 2  # White pixels between the images of a grid
_LARGEST_OPENING = 1100  # Longest side in pixels of a picture at the top of a page
_LOSSLESS_SIDE = 64  # Images up to this size are enlarged on the page, where losses would show
BUDGET_BYTES = 13 << 20  # Of all pictures of a page: base64 makes it 18 MB, and texts, charts and numbers stay below 2
_BYTES_A_PIXEL = 0.3  # Of WebP at that quality on grids of early fakes, which are close to noise


@dataclass(frozen=True)
class Sizes:
    """How large pictures may be, so that all of them fit into one page."""

    large: int = 1024  # Longest side in pixels of a picture that is looked at closely
    small: int = 512  # Of one in a strip of many
    keep_bytes: int = _KEEP_BYTES  # A PNG up to this size is kept as it is
    movie_bytes: int = 2 << 20  # An animation up to this size is shown

    def shrunk(self, factor: float) -> Sizes:
        """Return sizes for about `factor` times the bytes, 0 to 1; 96 pixels at least."""
        large, small = (max(_LEAST, int(side * math.sqrt(factor))) for side in (self.large, self.small))
        return Sizes(large, small, int(self.keep_bytes * factor), int(self.movie_bytes * factor))

    def smaller(self, num_bytes: int) -> Sizes | None:
        """Return smaller sizes where pictures of these take too many bytes for a page, None where no need or no way."""
        shrunk = self.shrunk(0.9 * BUDGET_BYTES / num_bytes) if num_bytes > BUDGET_BYTES else self
        return None if shrunk == self else shrunk


def sizes_for(num_large: int, num_small: int, num_movies: int = 0) -> Sizes:
    """Return sizes at which so many pictures should fit the budget of a page; animations get a quarter of it."""
    sizes = Sizes()
    sizes = replace(sizes, movie_bytes=min(sizes.movie_bytes, BUDGET_BYTES // 4 // max(num_movies, 1)))
    expected = (num_large * sizes.large**2 + num_small * sizes.small**2) * _BYTES_A_PIXEL
    return sizes.shrunk(BUDGET_BYTES / expected) if expected > BUDGET_BYTES else sizes


@dataclass(frozen=True)
class Picture:
    """An encoded image and its size in pixels."""

    data: bytes
    mime: str
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The image as a data: URI."""
        return data_uri(self.data, self.mime)


def data_uri(content: bytes, mime: str) -> str:
    """Return a data: URI, for an image in the page or a link that saves a file out of it."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def read_tiles(path: Path, side: int, columns: int, rows: int) -> Picture:
    """Return the upper left images of a grid, to be shown enlarged: small ones lose nothing.

    Args:
        path: a grid of square images, 2 white pixels between them; it may have been enlarged by a whole factor.
        side: of each image in pixels, as trained.
        columns, rows: how many to keep; of a picture that is no such grid all is kept.

    Raises:
        InputError: not a valid image.
    """
    with _opened(path) as (image, _):
        cropped = image.convert("RGB")
        scale = next((by for by in range(1, 9) if all(_is_grid(length, side, by) for length in image.size)), 0)
        if scale:
            cropped = cropped.reduce(scale)
            width, height = (count * (side + GAP) - GAP for count in (columns, rows))
            cropped = cropped.crop((0, 0, min(width, cropped.width), min(height, cropped.height)))
        cropped.thumbnail((_LARGEST_OPENING, _LARGEST_OPENING), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        cropped.save(buffer, "WEBP", lossless=side <= _LOSSLESS_SIDE, quality=_QUALITY, method=4)
    return Picture(buffer.getvalue(), "image/webp", *cropped.size)


def _is_grid(length: int, side: int, scale: int) -> bool:
    return length >= side * scale and (length / scale + GAP) % (side + GAP) == 0


def read_picture(path: Path, max_side: int, keep_bytes: int = _KEEP_BYTES) -> Picture:
    """Return an image file ready to inline, no side longer than `max_side` pixels; it is never enlarged.

    A PNG of up to `keep_bytes` that is small enough stays as it is. The same file gives the same bytes with the same
    Pillow. Raises InputError for a file that is no valid image.
    """
    with _opened(path) as (image, data):
        if image.format == "PNG" and len(data) <= keep_bytes and max(image.size) <= max_side:
            return Picture(data, "image/png", *image.size)
        smaller, buffer = image.convert("RGB"), io.BytesIO()
        smaller.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        smaller.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return Picture(buffer.getvalue(), "image/webp", *smaller.size)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """Open an image file, and give it decoded, with its bytes. Raises InputError for a file that is no valid image."""
    try:
        data = read_within(path, MAX_FILE_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                yield image, data
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be shown ({error.strerror or 'not a valid image'})") from error
    except Exception as error:  # Pillow's decoders raise a dozen unrelated kinds on a broken file
        raise InputError(f"{path}: cannot be shown, not a valid image ({error})") from error
