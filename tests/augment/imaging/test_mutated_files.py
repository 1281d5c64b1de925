"""Two thousand damaged files: each is used or refused by name, soon, without a traceback and without much memory."""

import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
from peak import MAX_BYTES, peak_of

from augment.checks.inspect import check
from augment.sources.readers import open_source
from benchmarks import fuzz

NUM_FILES = 2000


@pytest.mark.slow
def test_two_thousand_mutated_files_are_used_or_refused_by_name(tmp_path):
    result, formats = fuzz.images(NUM_FILES, 7), list(fuzz.image_files())
    assert result.failures == []
    assert len(formats) >= 14
    for number in range(NUM_FILES):
        suffix, data = formats[number % len(formats)]
        (tmp_path / f"{number:04d}.{suffix}").write_bytes(fuzz.mutated(data, np.random.default_rng([7, number])))
    source = open_source(tmp_path)
    records = check(source, workers=2, signatures=True)
    assert len(records) == NUM_FILES, "nothing is skipped silently"
    assert not source.ignored
    good = [record for record in records if not record.problem]
    assert all(record.sha256 and record.signature for record in good)
    assert NUM_FILES // 20 < len(good) < NUM_FILES * 19 // 20, "both ends are met"


IMPORTS = "from augment.checks.inspect import check; from augment.sources.readers import open_source"
CHECKED = "[record.problem or 'used' for record in check(open_source(place), workers={}, signatures=True)]"


def png(width, height, depth, color):
    """A PNG of nothing but zeros."""
    squeeze = zlib.compressobj(1)
    row = bytes(1 + width * depth * (3 if color == 2 else 1) // 8)
    packed = b"".join([*(squeeze.compress(row * 100) for _ in range(height // 100)), squeeze.flush()])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)),
        (b"IDAT", packed),
        (b"IEND", b""),
    ]
    whole = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + whole


def zipped(path, members):
    """A zip of members given as (bytes, times)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, (piece, times) in members.items():
            with archive.open(name, "w") as file:
                for _ in range(times):
                    file.write(piece)
    return path


def npy(shape, dtype):
    """The header of an array."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_eight_workers_hold_no_more_of_junk_files_than_one_may(tmp_path):
    heads = {"png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\0\0\0\7WEBPVP8 ", "bmp": b"BM", "tif": b""}
    for number in range(8):
        suffix, head = list(heads.items())[number % len(heads)]
        with (tmp_path / f"{number}.{suffix}").open("wb") as file:
            file.write(head)
            file.truncate(66 << 20)  # a hole: reads as zeros, and takes no room
    peak, told = peak_of(IMPORTS, CHECKED.format(8), tmp_path)
    assert len(told) == 8
    assert "used" not in told
    assert peak < MAX_BYTES, peak


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bombs_are_refused_by_their_headers_in_little_memory(tmp_path):
    zeros, image = bytes(1 << 20), (png(100, 100, 8, 0), 1)
    array = npy((900 << 4, 256, 256), "|u1")
    bombs = {
        "deep.zip": (
            {"a.png": (png(9000, 11_000, 8, 0), 1), "b.png": (png(9000, 11_000, 8, 2), 1)},
            "decompression bomb",
        ),
        "pixels.zip": ({"a.png": (png(30_000, 30_000, 1, 0), 1)}, "900 million"),
        "bytes.zip": ({"a.png": (zeros, 800)}, "would unpack from"),
        "tight.zip": ({"a.png": (zeros, 120)}, "would unpack from"),
        "table.zip": ({"a.png": image, "dataset.json": (b"[]," * (1 << 18), 200)}, "would unpack from"),
        "parts.zip": ({"a.png": image, "dataset.json": (b"[]," * (1 << 18), 20)}, "4,000,000 parts"),
        "line.zip": ({"a.png": image, "metadata.jsonl": (b"[]," * (1 << 18), 15)}, "line 1: at most"),
        "lines.zip": ({"a.png": image, "metadata.csv": (b"\n" * (1 << 20), 15)}, "line 4000001: at most"),
        "field.zip": ({"a.png": image, "metadata.csv": (b'"' + b"x" * 200_000, 1)}, "not a table of text"),
        "zeros.npz": ({"x.npy": (array + zeros[len(array) :], 900)}, "would unpack from"),
        "other.npz": (
            {"x.npy": (npy((900 << 20,), "|u1") + zeros, 900), "y.npy": (npy((1, 9), "<f8"), 1)},
            "would unpack from",
        ),
        "lying.npz": ({"x.npy": (npy((10**6, 1000, 1000), "|u1"), 1)}, "would unpack from"),
        "header.npz": ({"x.npy": (b"\x93NUMPY\2\0\xff\xff\xff\x7f" + zeros, 800)}, "its header has 2,147,483,647"),
        "short.npz": ({"x.npy": (npy((9, 1000, 1000), "|u1"), 1)}, "cut short"),
    }
    places = [zipped(tmp_path / name, members) for name, (members, _) in bombs.items()]
    peak, told = peak_of(IMPORTS, CHECKED.format(2), *places)
    assert len(told) == len(bombs) + 1
    for line, reason in zip(told, [bombs["deep.zip"][1], *(reason for _, reason in bombs.values())], strict=True):
        assert reason in line
    assert peak < MAX_BYTES, peak


@pytest.mark.process
@pytest.mark.real_data
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_odd_inputs_stay_below_the_bound(real_data):
    peak, told = peak_of(IMPORTS, CHECKED.format(2), real_data / "odd-inputs")
    assert (len(told), told.count("used")) == (34, 24)
    assert peak < MAX_BYTES, peak
