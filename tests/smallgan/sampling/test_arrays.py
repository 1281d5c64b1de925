"""Latents and labels of the user's own: refused by what the header says, before the numbers take memory."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from peak import MAX_BYTES, peak_of

from augment.errors import InputError
from smallgan.sampling.arrays import read_labels, read_latents

Z = 16
MIB = 1 << 20
MODEL = SimpleNamespace(generator=SimpleNamespace(z_dim=Z, num_classes=3), path=Path("model"))
READ = f"""
from types import SimpleNamespace
from smallgan.sampling.arrays import read_labels, read_latents
model = SimpleNamespace(generator=SimpleNamespace(z_dim={Z}, num_classes=3), path=Path("model"))
def read(path):
    return [str(len(read_labels(path, model, 8) if path.name.startswith("labels") else read_latents(path, model)))]
"""


def npy(path, shape, dtype="<f4", num_bytes=0):
    """A .npy file: its header, and so many bytes of zeros, which lie in a hole and take no room on the disk."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.truncate(file.tell() + num_bytes)
    return path


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_absurd_arrays_are_refused_by_their_headers_in_little_memory(tmp_path):
    rows = 20 * MIB
    not_finite = tmp_path / "nan.npy"
    np.save(not_finite, np.full((120 * MIB // (4 * Z), Z), np.nan, np.float32))
    header = tmp_path / "header.npy"
    header.write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f")
    with header.open("ab") as file:
        file.truncate(900 * MIB)
    places = {
        npy(tmp_path / "many.npy", (rows, Z), num_bytes=rows * Z * 4): "take 1,280 MiB, at most 128 MiB are read",
        npy(tmp_path / "lying.npy", (10**9, Z)): "take 61,035 MiB, at most 128 MiB are read",
        npy(tmp_path / "wide.npy", (1, rows), num_bytes=rows * 4): "expected N x 16",
        npy(tmp_path / "double.npy", (rows, Z), "<f8", rows * Z * 8): "found float64 latents, expected float32",
        npy(tmp_path / "minus.npy", (-1, Z), num_bytes=900 * MIB): "its shape is (-1, 16)",
        npy(tmp_path / "labels.npy", (100 * MIB,), "<i8", 800 * MIB): "expected (8,), one for each latent",
        npy(tmp_path / "objects.npy", (100 * MIB,), "|O", 800 * MIB): "Python objects, which are not read",
        header: "its header has 2,147,483,647 bytes",
        not_finite: "1966080 of 1966080 latents are not finite",
    }
    peak, told = peak_of(READ, "read(place)", *places)
    for line, reason in zip(told, places.values(), strict=True):
        assert reason in line
    assert peak < MAX_BYTES, peak


def test_arrays_come_back_as_they_were_saved(tmp_path):
    z = np.random.default_rng(0).normal(size=(5, Z)).astype(np.float32)
    np.save(tmp_path / "z.npy", np.asfortranarray(z))
    np.save(tmp_path / "y.npy", np.array([0, 1, 2, 1, 0], np.uint8))
    np.testing.assert_array_equal(read_latents(tmp_path / "z.npy", MODEL), z)
    labels = read_labels(tmp_path / "y.npy", MODEL, 5)
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1, 2, 1, 0])


def test_a_file_that_breaks_off_and_a_folder_are_named(tmp_path):
    for path in (npy(tmp_path / "short.npy", (4, Z), num_bytes=9), tmp_path):
        with pytest.raises(InputError, match=rf"{path.name}: .*expected an array of latents"):
            read_latents(path, MODEL)
