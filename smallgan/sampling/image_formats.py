"""The formats of single samples, one row each."""

import io
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from augment.imaging.codec import encode_jpeg, encode_png
from smallgan.data.images import Pixels


class ImageFormat(NamedTuple):
    """How an image becomes a file."""

    suffix: str
    encode: Callable[[Pixels], bytes]
    """Pixels S x S x 3 to the bytes of a file."""


def _encode_webp(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


IMAGE_FORMATS = {
    "png": ImageFormat(".png", encode_png),
    "jpeg": ImageFormat(".jpg", encode_jpeg),
    "webp": ImageFormat(".webp", _encode_webp),
}
"""PNG and WebP keep every pixel as it is, JPEG does not."""
