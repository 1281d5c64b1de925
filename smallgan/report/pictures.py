"""Image files as a page inlines them: small PNGs as they are, larger ones as WebP thumbnails."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from augment.errors import InputError

_KEEP_BYTES = 48 << 10
"""A PNG up to this size is inlined byte for byte; above it WebP is many times smaller."""
_QUALITY = 82


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
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"


def read_picture(path: Path, max_side: int) -> Picture:
    """Return an image file ready to inline, no side longer than `max_side` pixels; it is never enlarged.

    The same file gives the same bytes with the same Pillow. Raises InputError naming a file that is no sound image.
    """
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                if image.format == "PNG" and len(data) <= _KEEP_BYTES and max(image.size) <= max_side:
                    return Picture(data, "image/png", *image.size)
                return _shrink(image.convert("RGB"), max_side)
    except OSError as error:
        raise InputError(f"{path}: cannot be shown ({error.strerror or 'not a sound image'})") from error
    except Exception as error:  # Pillow's decoders raise a dozen unrelated kinds on a broken file
        raise InputError(f"{path}: cannot be shown, not a sound image ({error})") from error


def _shrink(image: Image.Image, max_side: int) -> Picture:
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return Picture(buffer.getvalue(), "image/webp", *image.size)
