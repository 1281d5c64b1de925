"""Files on their way to a network: read and decoded once, ahead of it, with the features of one after the other."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from augment.errors import InputError
from augment.imaging.geometry import resize_square
from augment.sources import image_set
from augment.sources.readers import open_source
from augment.sources.storage import FileEntry
from smallgan.core import weights
from smallgan.metrics.features import image_sets
from smallgan.metrics.features.extract import extract, feature_net
from smallgan.metrics.features.image_sets import set_features

NET, _ = feature_net(weights.SHIPPED_FEATURES, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def work(monkeypatch):
    """How often each file was opened and each was decoded."""
    opened, decoded = Counter(), Counter()
    read, decode = FileEntry.read, image_set.decode_noted
    monkeypatch.setattr(FileEntry, "read", lambda entry, name: opened.update([name]) or read(entry, name))
    monkeypatch.setattr(
        image_set, "decode_noted", lambda data, name, rules: decoded.update([name]) or decode(data, name, rules)
    )
    return opened, decoded


@pytest.fixture
def no_room(monkeypatch):
    """Every set is larger than what may be kept."""
    monkeypatch.setattr(image_sets, "KEPT_BYTES", 0)
    monkeypatch.setattr(image_set, "KEPT_BYTES", 0)


def spoil(folder, *names):
    for name in names:
        (folder / name).write_bytes((folder / "shape-00.png").read_bytes()[:90])


def test_each_file_is_opened_and_decoded_once_for_all_sizes_and_networks(tiny_set, work):
    images = open_source(tiny_set)
    names = [image.name for image in images.images]
    set_features(images, [NET], "features")
    assert work == (Counter(names), Counter(names))
    set_features(images, [NET], "features", resize=(24, "crop"))
    set_features(images, [replace(NET, name="other")], "features")
    assert work == (Counter(names), Counter(names))


@pytest.mark.usefixtures("no_room")
def test_of_a_set_that_cannot_be_kept_each_file_is_decoded_once(tiny_set, work):
    images = open_source(tiny_set)
    set_features(images, [NET], "features")
    assert set(work[1].values()) == {1}
    assert set(work[0].values()) == {2}, "once for its hash, once for its pixels"
    assert len(work[1]) == 12


def test_files_that_are_left_out_cost_no_second_look(tiny_set, work):
    spoil(tiny_set, "broken.png")
    images = image_sets.readable(open_source(tiny_set), skip_bad=True)
    set_features(images, [NET], "features", skip_bad=True)
    assert set(work[0].values()) == set(work[1].values()) == {1}


@pytest.mark.parametrize("room", [0, 20_000, image_set.KEPT_BYTES])
@pytest.mark.parametrize("resize", [None, (24, "crop"), (50, "pad")])
def test_features_are_those_of_one_image_after_the_other_bit_for_bit(tiny_set, monkeypatch, resize, room):
    Image.new("RGB", (90, 17), (9, 70, 200)).save(tiny_set / "shape-04b.png")
    monkeypatch.setattr(image_sets, "KEPT_BYTES", room)
    images = open_source(tiny_set)
    pixels = (images.load(index).image.pixels for index in range(len(images)))
    expected = extract(pixels if resize is None else (resize_square(each, *resize) for each in pixels), NET)
    found = set_features(open_source(tiny_set), [NET], "features", resize=resize)
    np.testing.assert_array_equal(found.features[0].features, expected.features)
    np.testing.assert_array_equal(found.features[0].logits, expected.logits)


def counting(passed):
    return replace(NET, forward=lambda batch: passed.append(len(batch)) or NET.forward(batch))


def test_bad_files_are_all_named_before_the_network_runs(tiny_set, work):
    spoil(tiny_set, "zz-1.png", "zz-2.png")
    passed = []
    with pytest.raises(InputError, match=r"2 of 14 images cannot be used(.|\n)*zz-1\.png(.|\n)*zz-2\.png"):
        set_features(open_source(tiny_set), [counting(passed)], "features")
    assert passed == []
    assert set(work[1].values()) == {1}


@pytest.mark.usefixtures("no_room")
def test_a_bad_file_far_into_a_large_set_stops_the_network_and_all_are_named(tiny_set, monkeypatch):
    for number in range(80):
        Image.new("RGB", (40, 32), (number, 9, 9)).save(tiny_set / f"t-{number:02d}.png")
    spoil(tiny_set, "t-40b.png", "zz.png")
    passed, stored = [], []
    monkeypatch.setattr(image_sets.cache, "store", lambda *_: stored.append(1))
    with pytest.raises(InputError, match=r"2 of 94 images cannot be used(.|\n)*t-40b\.png(.|\n)*zz\.png"):
        set_features(open_source(tiny_set), [counting(passed)], "features")
    assert sum(passed) <= 53, "the 12 shapes and 41 files before the first bad one, at most"
    assert stored == []
