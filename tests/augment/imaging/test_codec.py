"""What becomes of each kind of image file, on files that the tests make."""

import io
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from augment.errors import InputError, UsageError
from augment.imaging.codec import (
    MAX_PIXELS,
    WHITE,
    Rules,
    background_name,
    decode,
    decode_noted,
    encode_jpeg,
    encode_png,
    parse_background,
    parse_mode,
    to_gray,
)
from augment.imaging.geometry import resize_square

GROUND = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
PHOTO = np.asarray(Image.fromarray(GROUND).resize((90, 61), Image.Resampling.BICUBIC))


def file_of(image, format_="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_png_written_reads_back_equal():
    for shape in ((1, 1, 3), (61, 90, 3), (3, 200, 3)):
        pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        data = encode_png(pixels)
        assert (decode(data, "a.png") == pixels).all()
        assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"quality": 30}, {"progressive": True}, {"optimize": True}]
)
def test_plain_jpegs_decode_exactly_as_pillow_does(options):
    data = file_of(PHOTO, "JPEG", **options)
    assert (decode(data, "a.jpg") == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_jpeg_written_is_near_and_keeps_its_size():
    again = decode(encode_jpeg(PHOTO), "a.jpg")
    assert again.shape == PHOTO.shape
    assert np.abs(again.astype(int) - PHOTO).mean() < 4


def test_wrong_checksum_is_refused_where_pillow_is_silent():
    data = bytearray(file_of(PHOTO))
    at = data.index(b"IDAT")
    length = struct.unpack_from(">I", data, at - 4)[0]
    data[at + 4 + length] ^= 1
    with pytest.raises(InputError, match=r"bad\.png: the checksum of its 'IDAT' part is wrong"):
        decode(bytes(data), "bad.png")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_cut_files_are_refused_with_their_name(format_, share):
    data = file_of(PHOTO, format_)
    if format_ in ("GIF", "WEBP") and share > 0.5:
        return  # their decoders may fill up what is missing
    with pytest.raises(InputError, match=r"cut\.file"):
        decode(data[: int(len(data) * share)], "cut.file")


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_rubbish_is_refused(data):
    with pytest.raises(InputError, match=r"x\.jpg"):
        decode(data, "x.jpg")


def test_heic_names_the_extra_where_it_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for data, name in ((b"anything", "photo.HEIC"), (b"\0\0\0\x18ftypheic" + b"\0" * 20, "photo.jpg")):
        with pytest.raises(InputError, match=r"pip install 'smallgan\[heic\]'.*JPEG or PNG"):
            decode(data, name)


def test_heic_is_read_with_the_extra_and_turned_once():
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    pixels = np.asarray(Image.fromarray(GROUND).resize((96, 64), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[0x0112] = 6
    for orientation, expected in ((1, pixels), (6, np.rot90(pixels, -1))):
        buffer, exif[0x0112] = io.BytesIO(), orientation
        pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=95, exif=exif.tobytes())
        found = decode_noted(buffer.getvalue(), "photo.heic")
        assert found.pixels.shape == expected.shape
        assert np.abs(found.pixels.astype(int) - expected).mean() < 6
        assert not found.plain
    with pytest.raises(InputError, match=r"photo\.heic"):
        decode(buffer.getvalue()[:300], "photo.heic")


def test_bombs_are_refused_by_their_header_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, height in ((30_000, 30_000), (MAX_PIXELS // 1000 + 1, 1000), (65_501, 1)):
            with pytest.raises(InputError, match="million"):
                decode(png_header(width, height), "bomb.png")
        bmp = bytearray(file_of(PHOTO, "BMP"))
        bmp[18:26] = struct.pack("<ii", 12_000, 10_000)
        with pytest.raises(InputError, match="120 million"):
            decode(bytes(bmp), "bomb.bmp")
        bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
        with pytest.raises(InputError, match="bomb"):
            decode(bytes(bmp), "bomb.bmp")


def test_gray16_is_scaled_and_not_clipped():
    values = np.array([[0, 128, 129, 257, 32768, 65534, 65535]], np.uint16)
    found = decode_noted(file_of(Image.fromarray(values)), "g.png")
    assert found.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255, 255]
    assert (found.pixels == found.pixels[..., :1]).all()
    assert found.notes == ("16-bit gray, scaled to 8 bits",)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_without_a_white_are_refused(mode):
    with pytest.raises(InputError, match="white is not defined"):
        decode(file_of(Image.new(mode, (4, 4)), "TIFF"), "f.tiff")


def test_gray_and_one_bit_become_three_equal_channels():
    gray = np.array([[0, 77, 255]], np.uint8)
    assert decode(file_of(gray), "g.png").tolist() == [[[0] * 3, [77] * 3, [255] * 3]]
    assert decode(file_of(Image.fromarray(gray > 100)), "b.png").tolist() == [[[0] * 3, [0] * 3, [255] * 3]]


def test_transparent_parts_lie_on_white():
    rgba = np.array([[[255, 0, 255, 0], [255, 0, 255, 255], [0, 0, 0, 128]]], np.uint8)
    found = decode_noted(file_of(rgba), "a.png")
    assert found.pixels[0, :2].tolist() == [[255, 255, 255], [255, 0, 255]]
    assert abs(int(found.pixels[0, 2, 0]) - 127) <= 1
    assert "transparent parts lie on white" in found.notes
    gray_alpha = Image.merge("LA", [Image.new("L", (2, 1), 9), Image.fromarray(np.array([[0, 255]], np.uint8))])
    assert decode(file_of(gray_alpha), "la.png").tolist() == [[[255] * 3, [9] * 3]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([255, 0, 255, 1, 2, 3])
    assert decode(file_of(palette, transparency=0), "p.png").tolist() == [[[255] * 3, [1, 2, 3]]]


def test_cmyk_becomes_rgb():
    found = decode(file_of(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), "c.jpg")
    assert found[8, 8, 0] > 200 > 60 > found[8, 8, 1:].max()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_exif_orientation_is_applied(orientation, format_):
    turned = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1], 5: PHOTO.swapaxes(0, 1),
        6: np.rot90(PHOTO, -1), 7: np.rot90(PHOTO, 2).swapaxes(0, 1), 8: np.rot90(PHOTO),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(file_of(PHOTO, format_, exif=exif, **({"quality": 98} if format_ == "JPEG" else {})), "e.img")
    assert found.shape == turned.shape
    assert np.abs(found.astype(int) - turned).mean() < (6 if format_ == "JPEG" else 1e-9)


def test_profile_is_followed_and_srgb_left_alone():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = decode_noted(file_of(PHOTO, icc_profile=srgb), "s.png")
    assert (found.pixels == PHOTO).all()
    assert not found.notes
    swapped = swap_red_and_blue(srgb)
    found = decode_noted(file_of(PHOTO, icc_profile=swapped), "s.png")
    assert "its colour profile is followed to sRGB" in found.notes
    assert np.abs(found.pixels.astype(int) - PHOTO[..., ::-1]).mean() < 2
    found = decode_noted(file_of(PHOTO, icc_profile=b"rubbish" * 30), "s.png")
    assert "its colour profile cannot be followed, and is ignored" in found.notes
    assert (found.pixels == PHOTO).all()


def test_a_gray_profile_leaves_transparent_parts_transparent():
    image = Image.new("LA", (4, 2), (40, 255))
    image.putpixel((0, 0), (40, 0))
    data = io.BytesIO()
    image.save(data, "PNG", icc_profile=gray_profile())
    found = decode_noted(data.getvalue(), "a.png")
    assert "its colour profile is followed to sRGB" in found.notes
    assert found.pixels[0, 0].tolist() == [255, 255, 255]
    with pytest.raises(InputError, match="transparent parts"):
        decode_noted(data.getvalue(), "a.png", Rules(None))


def gray_profile():
    """A profile of gray with a gamma of 2.2, by the specification of the ICC (version 2.4)."""
    white = struct.pack(">iii", 63190, 65536, 54061)  # D50 in 16.16 fixed point
    text = b"gray\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + bytes(2),
    }
    tags = {name: value + bytes(-len(value) % 4) for name, value in tags.items()}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + table + body


def swap_red_and_blue(profile):
    """Change rXYZ and bXYZ over in the tag table, and the description, so that it is no sRGB any more."""
    changed = profile.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    return changed.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB b", b"swap b")


def test_first_frame_is_taken_and_noted():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for format_ in ("GIF", "TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if format_ == "WEBP" else {}
        data = file_of(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        found = decode_noted(data, f"a.{format_.lower()}")
        assert found.pixels[4, 4].tolist() == [255, 0, 0]
        assert found.notes == ("the first of 3 frames or pages is used",)


def test_wrong_ending_is_noted_and_trailing_bytes_are_harmless():
    data = file_of(PHOTO, "JPEG")
    assert decode_noted(data, "a.png").notes == ("a JPEG under the ending .png",)
    assert (decode(data + b"foreign" * 70, "a.jpg") == decode(data, "a.jpg")).all()


def test_fit_by_hand():
    wide = np.zeros((2, 4, 3), np.uint8)
    wide[:, 1:3] = 100
    assert (resize_square(wide, 2, "crop") == 100).all()
    padded = resize_square(wide, 4, "pad")
    assert (padded[[0, 3]] == 255).all()
    assert (padded[1:3] == wide).all()
    assert resize_square(wide, 2, "stretch")[0, :, 0].tolist() == [50, 50], "area averages"
    checks = np.indices((4, 4)).sum(0) % 2 * 200
    assert (resize_square(np.repeat(checks[..., None], 3, 2).astype(np.uint8), 2, "crop") == 100).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2000), (64, 64), (65, 63)])
@pytest.mark.parametrize("resize_mode", ["crop", "pad", "stretch"])
def test_fit_takes_any_shape(shape, resize_mode):
    square = resize_square(np.full((*shape, 3), 9, np.uint8), 64, resize_mode)
    assert square.shape == (64, 64, 3)
    assert square.min() == 9


def test_unknown_fit_is_refused():
    with pytest.raises(UsageError, match="crop, pad, stretch"):
        resize_square(PHOTO, 8, "cover")


def test_the_background_is_a_colour_or_a_refusal():
    rgba = np.array([[[255, 0, 255, 0], [1, 2, 3, 255]]], np.uint8)
    data = file_of(rgba)
    found = decode_noted(data, "a.png", Rules(background=(0, 0, 255)))
    assert found.pixels.tolist() == [[[0, 0, 255], [1, 2, 3]]]
    assert "transparent parts lie on #0000ff" in found.notes
    assert not found.plain
    with pytest.raises(InputError, match=r"a\.png: it has transparent parts.*--background white"):
        decode_noted(data, "a.png", Rules(background=None))
    opaque = file_of(np.full((2, 2, 4), 255, np.uint8))
    assert decode_noted(opaque, "a.png", Rules(background=None)).pixels.min() == 255


@pytest.mark.parametrize(("text", "colour"), [("white", WHITE), ("Black", (0, 0, 0)), ("#102030", (16, 32, 48))])
def test_backgrounds_are_named_and_read_back(text, colour):
    assert parse_background(text) == colour
    assert parse_background(background_name(colour)) == colour
    assert parse_background(background_name(None)) is None
    with pytest.raises(UsageError, match="such as white"):
        parse_background("whit")
    with pytest.raises(UsageError, match="rgb, gray"):
        parse_mode("cmyk")


def test_gray_stays_gray_and_colour_becomes_gray_when_asked():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for format_ in ("PNG", "BMP"):
        found = decode_noted(file_of(gray, format_), f"g.{format_.lower()}", Rules(gray=True))
        assert (found.pixels == gray[..., None]).all()
        assert found.plain
        assert not found.notes
    same = np.repeat(gray[..., None], 3, axis=2)
    assert (to_gray(same) == same).all()
    assert (decode(encode_png(same, gray=True), "g.png") == same).all()
    with Image.open(io.BytesIO(encode_png(same, gray=True))) as image:
        assert image.mode == "L"
    with Image.open(io.BytesIO(encode_jpeg(same, gray=True))) as image:
        assert image.mode == "L"
    for format_ in ("PNG", "JPEG"):
        found = decode_noted(file_of(PHOTO, format_), f"c.{format_.lower()}", Rules(gray=True))
        assert (found.pixels == found.pixels[..., :1]).all()
        assert found.notes == ("its colours are made gray",) if format_ == "PNG" else found.notes
        assert not found.plain


@pytest.mark.parametrize(("suffix", "alpha"), [(".png", False), (".png", True), (".tiff", False)])
def test_sixteen_bits_of_colour_are_scaled_and_rounded(suffix, alpha):
    cv2 = pytest.importorskip("cv2")
    values = np.array([[[0, 128, 129], [32768, 65406, 65407], [257, 65535, 256]]], np.uint16)
    expected = (values.astype(np.uint32) + 128) // 257
    stored = values[..., ::-1]
    if alpha:
        stored = np.dstack([stored, np.full(values.shape[:2], 65535, np.uint16)])
    found = decode_noted(cv2.imencode(suffix, np.ascontiguousarray(stored))[1].tobytes(), f"deep{suffix}")
    assert found.pixels.tolist() == expected.tolist()
    assert "16-bit colour, scaled to 8 bits" in found.notes
    assert not found.plain


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_only_files_that_any_reader_sees_alike_are_plain(format_):
    name = f"a.{format_.lower()}"
    exif = Image.Exif()
    exif[0x0112] = 3
    assert decode_noted(file_of(PHOTO, format_), name).plain
    assert not decode_noted(file_of(PHOTO, format_, exif=exif), name).plain
    assert decode_noted(file_of(PHOTO, format_, exif=exif), name).orientation == 3
    assert not decode_noted(file_of(PHOTO[..., 0], format_), name).plain
    assert not decode_noted(file_of(PHOTO, format_), "a.webp").plain
