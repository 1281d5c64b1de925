"""Pixels: H x W x 3 uint8 RGB and nothing else. What other kinds of image become is decided here.

* The orientation in EXIF is applied; an ICC profile is followed to sRGB (an sRGB one is not: that would only round).
* Gray becomes three equal channels, and colour too where the `Rules` say gray; 16 bits are scaled, 65535 to 255,
  rounded to nearest.
* What is transparent lies on the background of the `Rules` (white), or is refused. CMYK goes through its profile, or
  Pillow's plain conversion when it has none.
* Of an animation or several pages the first is taken, and noted.
* Float and 32-bit images are refused: nobody knows which of their values is white.

Plain JPEGs are decoded by simplejpeg and everything else by Pillow. Both rest on libjpeg-turbo with the same settings;
a test holds that they agree bit for bit.
"""

import io
import re
import struct
import threading
import warnings
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from posixpath import splitext

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from augment.errors import InputError, UsageError

Pixels = NDArray[np.uint8]  # H x W x 3, RGB

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
}
MAX_PIXELS = 100_000_000
"""Larger images are refused by their header alone: decoded they take 3 bytes a pixel, several times over."""
MAX_PIXELS_A_BYTE, LARGE_PIXELS = 50, 16_000_000
"""A large image packed tighter is refused as a bomb (a photograph has 32 at most); others are decoded one at a time."""
MAX_COPIED_BYTES = 64 << 20  # Of WebP, AVIF and HEIC, whose decoders hold the file three times
MAX_SIDE = 65_500  # The longest side that JPEG can hold
JPEG_QUALITY = 95
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
REFUSE = "refuse"
MODES = ("rgb", "gray")

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
_decoding_large = threading.Lock()
_opening = threading.Lock()  # Python's warning filters belong to the whole process


@dataclass(frozen=True)
class Rules:
    """What becomes of kinds of image that can be read in more than one way."""

    background: Colour | None = WHITE  # What transparent parts are laid on; None: an image that has some is refused
    gray: bool = False  # Every image becomes gray: three equal channels here, one in the files written


RULES = Rules()


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
    orientation: int = 1
    """EXIF's number of how it is stored, 1 to 8; 1 is upright. The pixels are upright."""
    plain: bool = False
    """Whether the file can be taken as it is: any reader sees these pixels in it, in the channels asked for."""


def parse_background(text: str) -> Colour | None:
    """Return the colour of a background: a name, #rrggbb, or None for "refuse". Raises UsageError.

    >>> parse_background("black"), parse_background("#ff8000"), parse_background("refuse")
    ((0, 0, 0), (255, 128, 0), None)
    """
    if text.strip().lower() == REFUSE:
        return None
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError as error:
        message = f"--background {text!r}: expected a colour such as white, black or #808080, or refuse"
        raise UsageError(message) from error
    if max(red, green, blue) > 255:
        raise UsageError(f"--background {text!r}: expected numbers from 0 to 255")
    return red, green, blue


def background_name(background: Colour | None) -> str:
    """Return what `parse_background` reads as `background`."""
    if background is None:
        return REFUSE
    return {WHITE: "white", (0, 0, 0): "black"}.get(background, "#{:02x}{:02x}{:02x}".format(*background))


def parse_mode(text: str) -> bool:
    """Return whether a --mode asks for gray images. Raises UsageError."""
    if text not in MODES:
        raise UsageError(f"--mode {text!r}: use one of {', '.join(MODES)}")
    return text == "gray"


def decode(data: bytes, name: str) -> Pixels:
    """Return the pixels of an image file's bytes, H x W x 3 uint8 RGB. Raises InputError naming `name`."""
    return decode_noted(data, name).pixels


def decode_noted(data: bytes, name: str, rules: Rules = RULES) -> Decoded:
    """Return the pixels of an image file's bytes and what was found in them. Raises InputError naming `name`."""
    if not data:
        raise InputError(f"{name}: the file is empty")
    if len(data) > MAX_COPIED_BYTES and (data[4:8] == b"ftyp" or (data[:4], data[8:12]) == (b"RIFF", b"WEBP")):
        raise InputError(
            f"{name}: {len(data) >> 20} MiB of WebP, AVIF or HEIC; at most {MAX_COPIED_BYTES >> 20} MiB are read. Save "
            "it as JPEG or PNG, or leave it out"
        )
    if _is_heic(data, name):
        _prepare_heic(name)
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data, name)
    if (shape := _plain_jpeg(data)) is not None:
        _check_size(*shape, name, len(data))
        try:
            pixels = simplejpeg.decode_jpeg(data)
        except ValueError:
            pass  # damaged: Pillow knows what can still be read, and says what cannot
        else:
            notes = _ending_notes("JPEG", name)
            if rules.gray:
                return Decoded(to_gray(pixels), "JPEG", "RGB", (*notes, *_gray_notes(pixels)))
            return Decoded(pixels, "JPEG", "RGB", notes, plain=not notes)
    return _decode_pillow(data, name, rules)


def to_gray(pixels: Pixels) -> Pixels:
    """Return `pixels` as three equal channels, 0.299 R + 0.587 G + 0.114 B; gray ones come back unchanged."""
    return cv2.merge([cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)] * 3)  # type: ignore[no-any-return]


def encode_png(pixels: Pixels, *, gray: bool = False) -> bytes:
    """Return `pixels` (H x W x 3 uint8 RGB) as a PNG, of one channel with `gray`."""
    order = cv2.COLOR_RGB2GRAY if gray else cv2.COLOR_RGB2BGR
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, order), _PNG_SETTINGS)
    return data.tobytes()


def encode_jpeg(pixels: Pixels, quality: int = JPEG_QUALITY, *, gray: bool = False) -> bytes:
    """Return `pixels` (H x W x 3 uint8 RGB) as a JPEG with colour at half resolution (4:2:0), quality 1 to 100.

    With `gray` it has one channel.
    """
    if gray:
        channel = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        return bytes(simplejpeg.encode_jpeg(channel, quality=quality, colorspace="GRAY", fastdct=False))
    pixels = np.ascontiguousarray(pixels)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420", fastdct=False))


def _check_size(width: int, height: int, name: str, num_bytes: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{name}: {width}x{height} pixels, {width * height / 1e6:,.0f} million; at most {MAX_PIXELS // 1_000_000} "
            f"million and {MAX_SIDE} a side are read. Make it smaller, or leave it out"
        )
    if width * height > max(LARGE_PIXELS, MAX_PIXELS_A_BYTE * num_bytes):
        raise InputError(
            f"{name}: {width}x{height} pixels in {num_bytes:,} bytes, as a decompression bomb has; make it smaller, or "
            "leave it out"
        )


def _is_heic(data: bytes, name: str) -> bool:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    return brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1") or (
        splitext(name)[1].lower() in HEIC_SUFFIXES and not data.startswith((b"\xff\xd8", _PNG_SIGNATURE))
    )


def _prepare_heic(name: str) -> None:
    """Teach Pillow to read HEIC, which the optional package does. Raises InputError where that is absent."""
    try:
        import pillow_heif
    except ImportError as error:
        advice = "pip install 'smallgan[heic]'. Or save it as JPEG or PNG first"
        raise InputError(f"{name}: HEIC images need one package more: {advice}") from error
    with _opening:
        pillow_heif.register_heif_opener()


def _check_png(data: bytes, name: str) -> None:
    """Walk the chunks and compare every checksum: Pillow reads pixel data without doing so.

    The size is checked on the way, before anything is unpacked.
    """
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, chunk = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            part = chunk.decode("latin-1")
            raise InputError(
                f"{name}: the checksum of its {part!a} part is wrong, so the file is damaged; get it again"
            )
        if chunk == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", data, at + 8)
            _check_size(width, height, name, len(data))
        if chunk == b"IEND":
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


def _decode_pillow(data: bytes, name: str, rules: Rules) -> Decoded:
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            frames = getattr(image, "n_frames", 1)
            turned = image.getexif().get(0x0112, 1) if image.width * image.height <= MAX_PIXELS else 1
        _check_size(*image.size, name, len(data))
        format_, mode = image.format or "", image.mode
        with _decoding_large if image.width * image.height > LARGE_PIXELS else nullcontext():
            image.load()
            notes = [f"the first of {frames} frames or pages is used"] if frames > 1 else []
            if (deep := _sixteen_bits(data, image)) is not None:
                notes.append("16-bit colour, scaled to 8 bits")
                image = deep
            if turned in range(2, 9):
                image = ImageOps.exif_transpose(image)
            pixels = np.ascontiguousarray(_to_rgb(image, name, notes, rules), dtype=np.uint8)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: refused by its header as a decompression bomb: {error}") from error
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image in a format that can be read, or damaged at its start") from None
    except MemoryError as error:
        raise InputError(f"{name}: too large for the memory that is free; make it smaller, or leave it out") from error
    except Exception as error:  # damaged files make Pillow's plugins raise nearly anything
        reason = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        raise InputError(f"{name}: damaged, or cut short: {reason}") from error
    orientation = turned if turned in range(2, 9) else 1
    notes += _ending_notes(format_, name)
    plain = not notes and orientation == 1 and mode == ("L" if rules.gray else "RGB") and format_ != "HEIF"
    if rules.gray and mode not in ("1", "L", "LA"):
        notes += _gray_notes(pixels)
        pixels = to_gray(pixels)
    return Decoded(pixels, format_, mode, tuple(notes), orientation, plain)


def _sixteen_bits(data: bytes, image: Image.Image) -> Image.Image | None:
    """Return a PNG or TIFF of 16 bits a colour channel scaled to 8, else None: Pillow would only drop the low bits."""
    if image.mode not in ("RGB", "RGBA") or not (
        (image.format == "PNG" and data[24:25] == b"\x10")
        or (image.format == "TIFF" and 16 in image.tag_v2.get(258, ()))  # type: ignore[attr-defined]
    ):
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape != (*image.size[::-1], len(image.mode)):
        return None
    order = cv2.COLOR_BGRA2RGBA if image.mode == "RGBA" else cv2.COLOR_BGR2RGB
    scaled = ((cv2.cvtColor(values, order).astype(np.uint32) + 128) // 257).astype(np.uint8)
    deep = Image.fromarray(scaled)
    deep.info, deep.format = image.info, image.format
    return deep


def _to_rgb(image: Image.Image, name: str, notes: list[str], rules: Rules) -> Image.Image | Pixels:
    """Return the image in RGB, following the rules at the top of this file."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.uint32)
        notes.append("16-bit gray, scaled to 8 bits")
        return np.repeat(((values + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("F", "I"):
        numbers = "floating point numbers" if image.mode == "F" else "32-bit integers"
        advice = "save it with 8 or 16 bits a channel"
        raise InputError(f"{name}: its pixels are {numbers}, whose white is not defined; {advice}")
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise InputError(f"{name}: its pixel layout {image.mode} cannot be read; save it as RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    if profile:
        image = _follow_profile(image, profile, notes)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        if rules.background is None:
            raise InputError(
                f"{name}: it has transparent parts, which --background {REFUSE} refuses; name a colour to lay them on, "
                "such as --background white"
            )
        notes.append(f"transparent parts lie on {background_name(rules.background)}")
        image = Image.alpha_composite(Image.new("RGBA", image.size, rules.background), image)
    return image.convert("RGB")


def _follow_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        space = source.profile.xcolor_space.strip()
        alpha = image.getchannel("A") if space == "GRAY" and image.mode == "RGBA" else None
        if space == "GRAY" and image.mode != "L":
            image = image.convert("L")
        elif space == "RGB" and image.mode not in ("RGB", "RGBA"):
            image = image.convert("RGB")
        target = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode=target)
        if alpha is not None and converted is not None:
            converted.putalpha(alpha)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("its colour profile cannot be followed, and is ignored")
        return image
    notes.append("its colour profile is followed to sRGB")
    return image if converted is None else converted


def _gray_notes(pixels: Pixels) -> tuple[str, ...]:
    red, green, blue = cv2.split(pixels)
    is_gray = not (cv2.norm(red, green, cv2.NORM_INF) or cv2.norm(red, blue, cv2.NORM_INF))
    return () if is_gray else ("its colours are made gray",)


def _ending_notes(format_: str, name: str) -> tuple[str, ...]:
    suffix = splitext(name)[1].lower()
    right = _SUFFIXES_OF.get(format_, {f".{format_.lower()}"})
    return (f"a {format_} under the ending {suffix}",) if suffix in IMAGE_SUFFIXES - right else ()
