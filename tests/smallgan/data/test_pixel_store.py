"""Where a run's pixels lie: held once, and equal bit for bit in memory and memory-mapped; files come and go rightly."""

import errno
import json
import os
import shutil
import time
from collections import namedtuple

import numpy as np
import pytest
import torch
from doomed import Killed
from safetensors.numpy import load_file
from typer.testing import CliRunner

from augment.build.build import build
from augment.build.plan import make_plan
from augment.errors import OutputError, UsageError
from augment.sources.readers import open_source
from smallgan.cli import weights as weights_command
from smallgan.core.run_dir import RunDir
from smallgan.data import pixel_store
from smallgan.data.images import ImageBatches, PixelRows, as_tensor
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import AdversarialTrainer
from smallgan.training.data import load_data
from smallgan.training.train import train

CPU = torch.device("cpu")
SIDE_BYTES = 32 * 32 * 3  # Of one image below
MIXED = {"augment.policy": "hflip+contrast", "augment.ratio": "1:2", "data.holdout": 0.25}


def loaded(source, **overrides):
    return load_data(load_recipe(None, {"data.source": str(source), "data.size": 32} | overrides), CPU)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the files; nothing is there, and nothing keeps small sets out of it once `full` is used."""
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixels"


@pytest.fixture
def full(cache, monkeypatch):
    """A machine whose memory is full, so that every set is memory-mapped."""
    monkeypatch.setattr(pixel_store, "ALWAYS_BYTES", 0)
    monkeypatch.setattr(pixel_store, "free_bytes", lambda _device: 0)
    return cache


def disk(monkeypatch, free):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 0, free))


def files(cache):
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock") if cache.exists() else []


def is_mapped(pixels):
    while isinstance(pixels, np.ndarray):
        if isinstance(pixels, np.memmap):
            return True
        pixels = pixels.base
    return False


def test_batches_of_a_mapped_set_equal_those_of_memory_bit_for_bit(tiny_set, cache, monkeypatch):
    in_memory = loaded(tiny_set, **MIXED)
    assert not cache.exists()
    monkeypatch.setattr(pixel_store, "ALWAYS_BYTES", 0)
    monkeypatch.setattr(pixel_store, "free_bytes", lambda _device: 0)
    mapped = loaded(tiny_set, **MIXED)
    assert is_mapped(mapped.mixture.pixels)
    assert not is_mapped(in_memory.mixture.pixels)
    assert not mapped.mixture.pixels.flags.writeable
    assert mapped.summary == in_memory.summary
    assert (len(mapped.mixture.pixels), mapped.originals.shape, mapped.reals.shape) == (
        27,
        (9, 32, 32, 3),
        (3, 32, 32, 3),
    )
    for one, other in zip((mapped.originals, mapped.reals), (in_memory.originals, in_memory.reals), strict=True):
        np.testing.assert_array_equal(one[:], other[:])
    labels = np.arange(27) % 4
    for options in ({}, {"labels": labels, "balanced": True}):
        both = [ImageBatches(data.mixture.pixels, 8, 5, CPU, **options) for data in (mapped, in_memory)]
        for number in (0, 3, 11):
            one, other = (batches.batch(number) for batches in both)
            assert all(torch.equal(*each) for each in zip(one, other, strict=True))
            assert one.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_a_run_on_mapped_images_killed_and_resumed_equals_an_uninterrupted_one_in_memory(
    tiny_set, tmp_path, cache, monkeypatch
):
    monkeypatch.setattr("smallgan.training.ema.STATISTICS_BATCH", 8)  # 8 batches of 8 do, and take less time
    settings = {"data.source": str(tiny_set), "data.size": 32, "model.base_width": 8, "train.batch_size": 4}
    steps = {"train.steps": 4, "train.snapshot_every": 2, "train.report_every": 1, "score.metrics": []}
    recipe = load_recipe(None, settings | steps | {"augment.policy": "contrast"})
    whole = train(recipe, out=tmp_path / "whole", device="cpu", log=lambda _line: None)
    step = AdversarialTrainer.step

    def doomed(self, batch, number):
        if number == 3:
            raise Killed
        return step(self, batch, number)

    monkeypatch.setattr(pixel_store, "ALWAYS_BYTES", 0)
    monkeypatch.setattr(pixel_store, "free_bytes", lambda _device: 0)
    monkeypatch.setattr(AdversarialTrainer, "step", doomed)
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "cut", device="cpu", log=lambda _line: None)
    assert len(files(cache)) == 1
    monkeypatch.setattr(AdversarialTrainer, "step", step)
    monkeypatch.setattr(pixel_store, "make_pixels", None)  # the file is there: nothing is made again
    cut = train(recipe, out=tmp_path / "cut", device="cpu", log=lambda _line: None)
    assert "resumed from step 2" in cut.log.read_text(encoding="utf-8")
    one, other = (load_file(RunDir(run.path).checkpoint(4) / "tensors.safetensors") for run in (whole, cut))
    assert one.keys() == other.keys()
    assert [key for key in one if not np.array_equal(one[key], other[key])] == []


def test_originals_are_no_second_copy_of_the_set(tiny_set, tmp_path):
    source = open_source(tiny_set)
    build(make_plan(source, "hflip", size=32), source, tmp_path / "mixed")  # its originals stand between added images
    for folder in (tiny_set, tmp_path / "mixed"):
        data = loaded(folder)
        assert len(data.originals) == 12
        assert data.reals is data.originals
        assert all(np.shares_memory(pixels, data.mixture.pixels) for pixels in data.originals)
        assert {image.tobytes() for image in data.originals} == {
            image.tobytes() for image in loaded(tiny_set).originals
        }


def test_rows_are_views_in_their_order():
    pixels = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    rows = PixelRows(pixels, [3, 0, 4])
    assert (len(rows), rows.shape) == (3, (3, 2, 2, 3))
    np.testing.assert_array_equal(np.stack(list(rows)), pixels[[3, 0, 4]])
    np.testing.assert_array_equal(rows[1:], pixels[[0, 4]])
    assert np.shares_memory(rows[2], pixels)
    pixels.flags.writeable = False
    assert as_tensor(pixels).tolist() == pixels.tolist()  # without the warning of torch, which tests turn into an error


def test_a_file_is_found_again_by_what_its_pixels_depend_on(tiny_set, full, tmp_path, capsys):
    loaded(tiny_set)
    assert "12 images of 32 px" in capsys.readouterr().err
    first = files(full)
    assert len(first) == 1
    written = (full / first[0]).stat().st_mtime_ns
    shutil.copytree(tiny_set, tmp_path / "moved")
    (tmp_path / "moved" / "shape-00.png").rename(tmp_path / "moved" / "shape-00-again.png")
    loaded(tiny_set)
    loaded(tmp_path / "moved", seeds=[7])  # without added images nothing depends on the seed, or on names
    assert files(full) == first
    assert (full / first[0]).stat().st_mtime_ns > written, "the time of its last use"
    assert "written once" not in capsys.readouterr().err
    for number, changes in enumerate(
        ({"augment.policy": "contrast"}, {"augment.policy": "contrast", "seeds": [7]}, {"data.resize_mode": "pad"}), 2
    ):
        loaded(tiny_set, **changes)
        assert len(files(full)) == number
    assert usage_of(full) == (4, 2 * 12 * SIDE_BYTES + 2 * 24 * SIDE_BYTES)
    next(tiny_set.glob("*.png")).unlink()
    loaded(tiny_set)
    assert len(files(full)) == 5


def usage_of(cache):
    """Number of files, and the bytes of their pixels."""
    arrays = [np.load(cache / name, mmap_mode="r") for name in files(cache)]
    return len(arrays), sum(array.nbytes for array in arrays)


def test_a_damaged_file_is_made_again_and_said(tiny_set, full, capsys):
    wanted = loaded(tiny_set).mixture.pixels.copy()
    [path] = full.glob("*.npy")
    damaged = bytearray(path.read_bytes())
    damaged[500] ^= 1
    for data in (bytes(damaged), bytes(damaged[:-100]), b""):
        path.write_bytes(data)
        np.testing.assert_array_equal(loaded(tiny_set).mixture.pixels, wanted)
        assert f"{path}: damaged images in the cache" in capsys.readouterr().err


def test_without_room_in_memory_and_on_disk_it_stops_before_anything_is_made(tiny_set, full, monkeypatch):
    disk(monkeypatch, free=2 * 12 * SIDE_BYTES - 1)  # half of it is not quite enough
    monkeypatch.setattr(pixel_store, "mix", None)
    monkeypatch.setattr(pixel_store, "make_pixels", None)
    with pytest.raises(UsageError) as caught:
        loaded(tiny_set)
    told = str(caught.value)
    for said in ("12 images of 32 px need 0.0 GB", str(full), "--size", "data.limit", "SMALLGAN_CACHE"):
        assert said in told
    assert not full.exists()


def test_the_message_names_what_is_needed_and_what_is_free(tiny_set, full, monkeypatch):
    disk(monkeypatch, free=10**11)
    monkeypatch.setattr(pixel_store, "free_bytes", lambda _device: 8 * 10**9)
    monkeypatch.setattr(pixel_store, "mixed_shape", lambda _plan: (1_000_000, 256, 256, 3))
    with pytest.raises(
        UsageError, match=r"need 196\.6 GB.* 2\.0 GB of the 8\.0 GB.* 50\.0 GB of the 100\.0 GB that are"
    ):
        loaded(tiny_set)
    assert not full.exists()


def test_a_disk_that_fills_up_all_the_same_is_told_and_leaves_nothing(tiny_set, full, monkeypatch):
    def fills_up(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixel_store, "make_pixels", fills_up)
    with pytest.raises(OutputError, match=r"no space is left there.* SMALLGAN_CACHE"):
        loaded(tiny_set)
    assert files(full) == []


def test_files_long_unused_half_written_or_in_the_way_are_deleted_when_another_is_written(tiny_set, full, monkeypatch):
    for number, policy in enumerate(("none", "hflip", "vflip", "negative")):
        loaded(tiny_set, **{"augment.policy": policy})
        [new] = [path for path in full.glob("*.npy") if path.stat().st_mtime > time.time() - 3600]
        os.utime(new, (time.time() - (4 - number) * 86400,) * 2)
    oldest, *others = sorted(full.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    os.utime(oldest, (1, 1))
    (full / ".x.npy.1-2.tmp").write_bytes(b"of a killed process")
    loaded(tiny_set, **{"augment.policy": "contrast"})
    assert not {oldest.name, ".x.npy.1-2.tmp"} & set(files(full))
    assert len(files(full)) == 4
    sizes = sum(path.stat().st_size for path in full.glob("*.npy"))
    disk(monkeypatch, free=sizes)  # with what is there: room for as many as there are; the next is one too many
    loaded(tiny_set, **{"augment.policy": "hflip+vflip"})
    assert others[0].name not in files(full), "the one unused for longest"
    assert {path.name for path in others[1:]} <= set(files(full))
    assert len(files(full)) == 4


def test_the_command_shows_and_deletes_them(tiny_set, full):
    loaded(tiny_set)
    shown = json.loads(CliRunner().invoke(weights_command.app, ["cache", "--json"]).stdout)
    assert shown["pixels"]["entries"] == 1
    assert shown["pixels"]["bytes"] == next(full.glob("*.npy")).stat().st_size
    assert "training images: 1 set(s) deleted" in CliRunner().invoke(weights_command.app, ["cache", "--clear"]).stdout
    assert files(full) == []
