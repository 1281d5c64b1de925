"""Pixels: H x W x 3 uint8 RGB and nothing else. What other kinds of image become is decided here.

* The orientation in EXIF is applied; an ICC profile is followed to sRGB (an sRGB one is not: that would only round).
* Grey becomes three equal channels; 16-bit grey is scaled, 65535 to 255, rounded to nearest.
* What is transparent lies on white. CMYK goes through its profile, or Pillow's plain conversion when it has none.
* Of an animation or several pages the first is taken, and noted.
* Float and 32-bit images are refused: nobody knows which of their values is white.

Plain JPEGs are decoded by simplejpeg and everything else by Pillow. Both rest on libjpeg-turbo with the same settings;
a test holds that they agree bit for bit.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from posixpath import splitext

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from augment.errors import InputError, UsageError

Pixels = NDArray[np.uint8]
"""H x W x 3, RGB."""

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
}
MAX_PIXELS = 100_000_000
"""Larger images are refused by their header alone: decoded they take 3 bytes a pixel, several times over."""
MAX_SIDE = 65_500
"""The longest side that JPEG can hold."""
FITS = ("crop", "pad", "stretch")
JPEG_QUALITY = 95

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_SETTINGS = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)  # run lengths, zlib 1: 9 % larger, 5 times as fast
_SRGB = ImageCms.createProfile("sRGB")
_SUFFIXES_OF = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "TIFF": {".tif", ".tiff"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
    "JPEG2000": {".jp2"},
}
_opening = threading.Lock()  # Python's warning filters belong to the whole process


@dataclass(frozen=True)
class Decoded:
    """An image file as pixels, and what was found in it."""

    pixels: Pixels
    format: str
    """Pillow's name of the format: JPEG, PNG ..."""
    mode: str
    """Pillow's name of the pixel layout in the file: RGB, L, CMYK ..."""
    notes: tuple[str, ...] = ()
    """What was done that the user may not expect."""


def decode(data: bytes, name: str) -> Pixels:
    """Return the pixels of an image file's bytes, H x W x 3 uint8 RGB. Raises InputError naming `name`."""
    return decode_noted(data, name).pixels


def decode_noted(data: bytes, name: str) -> Decoded:
    """Return the pixels of an image file's bytes and what was found in them. Raises InputError naming `name`."""
    if not data:
        raise InputError(f"{name}: the file is empty")
    if _is_heic(data, name):
        raise InputError(f"{name}: HEIC images cannot be read; save it as JPEG or PNG first (phones can export so)")
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data, name)
    if (shape := _plain_jpeg(data)) is not None:
        _check_size(*shape, name)
        try:
            return Decoded(simplejpeg.decode_jpeg(data), "JPEG", "RGB", _ending_notes("JPEG", name))
        except ValueError:
            pass  # damaged: Pillow knows what can still be read, and says what cannot
    return _decode_pillow(data, name)


def encode_png(pixels: Pixels) -> bytes:
    """Return `pixels` (H x W x 3 uint8 RGB) as a PNG."""
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PNG_SETTINGS)
    return data.tobytes()


def encode_jpeg(pixels: Pixels, quality: int = JPEG_QUALITY) -> bytes:
    """Return `pixels` (H x W x 3 uint8 RGB) as a JPEG with colour at half resolution (4:2:0), quality 1 to 100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorsubsampling="420", fastdct=False)
    )


def fit_square(pixels: Pixels, size: int, fit: str) -> Pixels:
    """Return `pixels` as a square, size x size x 3: averaged over areas when shrinking, cubic when enlarging.

    `fit` is "crop" (the middle square), "pad" (the whole image on white) or "stretch" (the sides change their ratio).
    Raises UsageError for another `fit` or a size below 1.
    """
    if fit not in FITS:
        raise UsageError(f"fit {fit!r}: needed one of {', '.join(FITS)}")
    if size < 1:
        raise UsageError(f"size {size}: needed at least 1 pixel")
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(pixels[top : top + side, left : left + side], size, size)
    if fit == "stretch":
        return _resize(pixels, size, size)
    longest = max(height, width)
    inner_height, inner_width = (max(1, round(side * size / longest)) for side in (height, width))
    square = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - inner_height) // 2, (size - inner_width) // 2
    square[top : top + inner_height, left : left + inner_width] = _resize(pixels, inner_height, inner_width)
    return square


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Shrink by area first, then enlarge what is left: OpenCV's area rule is meant for shrinking only."""
    low_height, low_width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    if (low_height, low_width) != pixels.shape[:2]:
        pixels = cv2.resize(pixels, (low_width, low_height), interpolation=cv2.INTER_AREA)
    if (low_height, low_width) != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(pixels)


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{name}: {width}x{height} pixels, {width * height / 1e6:,.0f} million; at most {MAX_PIXELS // 1_000_000} "
            f"million and {MAX_SIDE} a side are read. Make it smaller, or leave it out"
        )


def _is_heic(data: bytes, name: str) -> bool:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    return brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1") or (
        splitext(name)[1].lower() in HEIC_SUFFIXES and not data.startswith((b"\xff\xd8", _PNG_SIGNATURE))
    )


def _check_png(data: bytes, name: str) -> None:
    """Walk the chunks and compare every checksum: Pillow reads pixel data without doing so.

    The size is checked on the way, before anything is unpacked.
    """
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            part = kind.decode("latin-1")
            raise InputError(
                f"{name}: the checksum of its {part!a} part is wrong, so the file is damaged; get it again"
            )
        if kind == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", data, at + 8)
            _check_size(width, height, name)
        if kind == b"IEND":
            return
        at = end
    raise InputError(f"{name}: the PNG breaks off after {len(data):,} bytes; get the whole file again")


def _plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of an 8-bit three-channel JPEG without EXIF, profile or Adobe mark, else None."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xC0, 0xC1, 0xC2):
            precision, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return (width, height) if (precision, channels) == (8, 3) and height and width else None
        if marker in (0xE1, 0xE2, 0xEE) or not (marker in (0xDB, 0xC4, 0xDD, 0xFE) or 0xE0 <= marker <= 0xEF):
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _decode_pillow(data: bytes, name: str) -> Decoded:
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            frames = getattr(image, "n_frames", 1)
            turned = image.getexif().get(0x0112, 1) if _size_is_sound(image) else 1
        _check_size(*image.size, name)
        format_, mode = image.format or "", image.mode
        image.load()
        notes = [f"the first of {frames} frames or pages is used"] if frames > 1 else []
        if turned in range(2, 9):
            image = ImageOps.exif_transpose(image)
        pixels = np.ascontiguousarray(_to_rgb(image, name, notes), dtype=np.uint8)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: refused by its header as a decompression bomb: {error}") from error
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image in a format that can be read, or damaged at its start") from None
    except Exception as error:  # damaged files make Pillow's plugins raise nearly anything
        raise InputError(f"{name}: damaged, or cut short: {error or type(error).__name__}") from error
    return Decoded(pixels, format_, mode, (*notes, *_ending_notes(format_, name)))


def _size_is_sound(image: Image.Image) -> bool:
    return image.width * image.height <= MAX_PIXELS


def _to_rgb(image: Image.Image, name: str, notes: list[str]) -> Image.Image | Pixels:
    """Return the image in RGB, following the rules at the top of this file."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.uint32)
        notes.append("16-bit grey, scaled to 8 bits")
        return np.repeat(((values + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("F", "I"):
        kind = "floating point numbers" if image.mode == "F" else "32-bit integers"
        raise InputError(
            f"{name}: its pixels are {kind}, whose white is not defined; save it with 8 or 16 bits a channel"
        )
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise InputError(f"{name}: its pixel layout {image.mode} cannot be read; save it as RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    if profile:
        image = _follow_profile(image, profile, notes)
    if image.mode == "RGBA":
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append("transparent parts lie on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _follow_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        space = source.profile.xcolor_space.strip()
        if space == "GRAY" and image.mode != "L":
            image = image.convert("L")
        elif space == "RGB" and image.mode not in ("RGB", "RGBA"):
            image = image.convert("RGB")
        target = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode=target)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("its colour profile cannot be followed, and is ignored")
        return image
    notes.append("its colour profile is followed to sRGB")
    return image if converted is None else converted


def _ending_notes(format_: str, name: str) -> tuple[str, ...]:
    suffix = splitext(name)[1].lower()
    right = _SUFFIXES_OF.get(format_, {f".{format_.lower()}"})
    return (f"a {format_} under the ending {suffix}",) if suffix in IMAGE_SUFFIXES - right else ()
