"""Two thousand damaged files: each is used or refused by name, soon, without a traceback and without much memory."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from augment.checks.inspect import check
from augment.errors import InputError
from augment.imaging.codec import decode_noted
from augment.sources.readers import open_source

NUM_FILES = 2000
MAX_SECONDS = 10.0
MAX_BYTES = 1 << 30


def picture():
    rows, columns = np.mgrid[0:40, 0:56]
    return np.stack([rows * 6, columns * 4, (rows * columns) % 256], axis=-1).astype(np.uint8)


def originals():
    """One file of each kind that is read, with what else can be in one: EXIF, a profile, frames, alpha, 16 bits."""
    image, exif = Image.fromarray(picture()), Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    deep = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257)
    formats = [
        ("jpg", image, "JPEG", {}),
        ("jpg", image, "JPEG", {"progressive": True, "exif": exif}),
        ("jpg", image.convert("CMYK"), "JPEG", {}),
        ("png", image, "PNG", {}),
        ("png", image.convert("RGBA"), "PNG", {}),
        ("png", image.quantize(16), "PNG", {"transparency": 3}),
        ("png", deep, "PNG", {}),
        ("gif", frames[0], "GIF", {"save_all": True, "append_images": frames[1:]}),
        ("webp", image, "WEBP", {}),
        ("webp", image, "WEBP", {"lossless": True, "exif": exif}),
        ("bmp", image, "BMP", {}),
        ("tif", image, "TIFF", {"compression": "tiff_lzw"}),
        ("tif", frames[0], "TIFF", {"save_all": True, "append_images": frames[1:]}),
        ("ppm", image, "PPM", {}),
        ("tga", image, "TGA", {"compression": "tga_rle"}),
        ("jp2", image, "JPEG2000", {}),
        ("avif", image, "AVIF", {}),
    ]
    for suffix, each, format_, options in formats:
        buffer = io.BytesIO()
        try:
            each.save(buffer, format_, **options)
        except (KeyError, OSError):
            continue  # a Pillow without that codec
        yield suffix, buffer.getvalue()


def mutated(data, generator):
    """Return `data` with bytes flipped, cut off, cut out, repeated or put in."""
    data = bytearray(data)
    kind = generator.integers(5)
    place = int(generator.integers(len(data)))
    if kind == 0:
        for _ in range(int(generator.integers(1, 9))):
            data[int(generator.integers(len(data)))] ^= int(generator.integers(1, 256))
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        del data[place : place + int(generator.integers(1, 64))]
    elif kind == 3:
        data[place:place] = data[: int(generator.integers(1, 400))]
    else:
        data[place : place + 8] = generator.integers(0, 256, int(generator.integers(1, 600)), np.uint8).tobytes()
    return bytes(data)


def mutants():
    formats = list(originals())
    assert len(formats) >= 14
    for number in range(NUM_FILES):
        suffix, data = formats[number % len(formats)]
        yield f"{number:04d}.{suffix}", mutated(data, np.random.default_rng([7, number]))


def refusal(data, name):
    """Decode a file; return why it was refused, None when it was read as pixels should be."""
    try:
        pixels = decode_noted(data, name).pixels
    except InputError as error:
        return str(error)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == pixels.shape[2] == 3
    return None


@pytest.mark.slow
def test_two_thousand_mutated_files_are_used_or_refused_by_name(tmp_path):
    slowest = 0.0
    for name, data in mutants():
        (tmp_path / name).write_bytes(data)
        start = time.monotonic()
        told = refusal(data, name)
        slowest = max(slowest, time.monotonic() - start)
        assert told is None or (told.startswith(f"{name}: ") and "\n" not in told)
    assert slowest < MAX_SECONDS
    source = open_source(tmp_path)
    records = check(source, workers=2, signatures=True)
    assert len(records) == NUM_FILES, "nothing is skipped silently"
    assert not source.ignored
    good = [record for record in records if not record.problem]
    assert all(record.sha256 and record.signature for record in good)
    assert NUM_FILES // 20 < len(good) < NUM_FILES * 19 // 20, "both ends are met"


# VmHWM begins anew with a process's program; ru_maxrss still has the peak of the process that started it.
PEAK = """
import re, sys
from pathlib import Path
from augment.checks.inspect import check
from augment.sources.readers import open_source
records = check(open_source(Path(sys.argv[1])), workers=2, signatures=True)
kilobytes = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(int(kilobytes) * 1024, *(bool(record.problem) for record in records))
"""


def peak_of(folder):
    """Peak memory in bytes of a process that looks at every file of `folder`, and whether each was refused."""
    result = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    peak, *refused = result.stdout.split()
    return int(peak), [word == "True" for word in refused]


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bombs_stay_below_a_gigabyte(tmp_path):
    side, squeeze = 30_000, zlib.compressobj(1)
    row = bytes(1 + side // 8)
    packed = b"".join([*(squeeze.compress(row * 1000) for _ in range(side // 1000)), squeeze.flush()])
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    whole = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    peak, refused = peak_of(tmp_path)
    assert refused == [True]
    assert peak < MAX_BYTES


@pytest.mark.process
@pytest.mark.real_data
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_odd_inputs_stay_below_a_gigabyte(real_data):
    peak, refused = peak_of(real_data / "odd-inputs")
    assert (len(refused), sum(refused)) == (34, 10)
    assert peak < MAX_BYTES
