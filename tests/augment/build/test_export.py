"""A mixed dataset packed for other tools, and read back by each tool's own reader, or by its rules."""

import io
import json
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from augment.build.build import build
from augment.build.export import check_container, container_path, pack
from augment.build.make_dataset import make_dataset
from augment.build.plan import make_plan
from augment.errors import OutputError, UsageError
from augment.imaging.codec import Rules
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source


@pytest.fixture
def classed(tmp_path):
    folder = tmp_path / "in"
    for label, number in (("cats", 5), ("dogs", 4), ("äpfel", 3)):
        (folder / label).mkdir(parents=True)
        for index in range(number):
            pixels = np.random.default_rng([len(label), index]).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{index}.{'jpg' if index == 2 else 'png'}")
    return folder


@pytest.fixture
def mixed(classed, tmp_path):
    source = open_source(classed)
    return build(make_plan(source, "contrast+vflip", ratio="1:1", size=32), source, tmp_path / "mixed")


def counts(dataset):
    return Counter(record.label for record in dataset.records)


def test_imagefolder_of_hugging_face_opens_the_folder_itself(mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(mixed.path), split="train", cache_dir=str(tmp_path / "hf")
    )
    assert len(opened) == len(mixed) == 24
    assert Counter(opened["label"]) == counts(mixed)
    assert Counter(opened["origin"]) == {"original": 12, "augmented": 12}
    by_hash = {record.sha256: record for record in mixed.records}
    for row in opened:
        record = by_hash[row["sha256"]]
        with Image.open(mixed.path / record.file_name) as image:
            assert (np.asarray(row["image"].convert("RGB")) == np.asarray(image.convert("RGB"))).all()


def stylegan_images(path):
    """Read a zip as StyleGAN's loader does: images by ending in sorted order, labels looked up by name."""
    Image.init()
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if PurePosixPath(n).suffix.lower() in Image.EXTENSION)
        labels = json.loads(archive.read("dataset.json"))["labels"]
        if labels is not None:
            found = {name.replace("\\", "/"): label for name, label in labels}
            labels = np.array([found[name] for name in names])
            assert labels.dtype.kind == "i"
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    shapes = {array.shape for array in pixels}
    assert len(shapes) == 1, "all images have one shape"
    height, width = next(iter(shapes))[:2]
    assert height == width == 2 ** int(np.log2(width))
    assert pixels[0].ndim == 2 or pixels[0].shape[2] == 3
    return names, pixels, labels


def test_stylegan_zip_keeps_its_rules_counts_and_labels(mixed):
    path, notes = pack(mixed, "stylegan-zip")
    assert path == mixed.path.with_name("mixed.zip")
    assert not notes
    names, _, labels = stylegan_images(path)
    classes = sorted(counts(mixed))
    assert Counter(classes[number] for number in labels) == counts(mixed)
    assert dict(zip(names, (classes[n] for n in labels), strict=True)) == {r.file_name: r.label for r in mixed.records}
    first = path.read_bytes()
    pack(mixed, "stylegan-zip")
    assert path.read_bytes() == first
    assert sorted(p.name for p in path.parent.iterdir()) == ["in", "mixed", "mixed.zip"]


def test_our_own_zip_is_read_back_with_classes_and_origins(mixed):
    path, _ = pack(mixed, "stylegan-zip")
    again = open_source(path)
    assert {image.name: image.label for image in again.images} == {r.file_name: r.label for r in mixed.records}
    assert len(again.originals()) == 12
    assert again.is_mixed


def test_webdataset_reads_the_shards(mixed, monkeypatch):
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset")
    monkeypatch.setattr("augment.build.export.SHARD_IMAGES", 10)
    path, _ = pack(mixed, "webdataset")
    shards = sorted(str(shard) for shard in path.glob("*.tar"))
    assert len(shards) == 3
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert len(samples) == 24
    classes = json.loads((path / "classes.json").read_text("utf-8"))
    assert Counter(classes[int(sample["cls"])] for sample in samples) == counts(mixed)
    for sample, record in zip(samples, mixed.records, strict=True):
        assert sample["json"]["file_name"] == record.file_name
        image = sample.get("png") if "png" in sample else sample["jpg"]
        assert image.shape == (32, 32, 3)
    before = {shard.name: shard.read_bytes() for shard in path.iterdir()}
    pack(mixed, "webdataset")
    assert {shard.name: shard.read_bytes() for shard in path.iterdir()} == before


def test_images_without_classes_give_no_labels_and_a_note_where_some_have_them(classed, tmp_path):
    flat = open_source(classed / "cats")
    dataset = build(make_plan(flat, "none", size=16), flat, tmp_path / "flat")
    path, notes = pack(dataset, "stylegan-zip")
    assert stylegan_images(path)[2] is None
    assert not notes
    Image.new("RGB", (20, 20), "red").save(classed / "outside.png")
    some = open_source(classed)
    path, notes = pack(build(make_plan(some, "none", size=16), some, tmp_path / "some"), "stylegan-zip")
    assert stylegan_images(path)[2] is None
    assert notes == ["1 of 13 images have no class: StyleGAN takes labels of all or of none, so none are written"]


def test_gray_sets_have_one_channel_in_the_zip(classed, tmp_path):
    source = open_source(classed, rules=Rules(gray=True))
    dataset = build(make_plan(source, "contrast", size=16, format="jpeg"), source, tmp_path / "gray")
    _, pixels, _ = stylegan_images(pack(dataset, "stylegan-zip")[0])
    assert {array.shape for array in pixels} == {(16, 16)}


def test_what_a_container_cannot_hold_is_told_before_anything_is_built(classed, tmp_path):
    for options, says in (
        ({}, "images of their own sizes"),
        ({"size": 48}, "--size 48"),
        ({"size": 32, "container": "lmdb"}, "folder, stylegan-zip, webdataset"),
    ):
        with pytest.raises(UsageError, match=says):
            make_dataset(classed, "hflip", out=tmp_path / "out", **{"container": "stylegan-zip", **options})
    assert not (tmp_path / "out").exists()
    check_container("webdataset", None)
    source = open_source(classed)
    dataset = build(make_plan(source, "none"), source, tmp_path / "odd")
    with pytest.raises(UsageError, match="24x20"):
        pack(dataset, "stylegan-zip")
    assert not container_path(tmp_path / "odd", "stylegan-zip").exists()


def test_foreign_folders_where_shards_belong_are_left_alone(mixed):
    standing = container_path(mixed.path, "webdataset")
    standing.mkdir()
    (standing / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="none of ours"):
        pack(mixed, "webdataset")
    assert [path.name for path in standing.iterdir()] == ["mine.txt"]


def test_the_command_packs_and_says_where(classed, tmp_path):
    result = make_dataset(classed, "hflip", size=32, out=tmp_path / "out", container="webdataset")
    assert result["container"] == str(tmp_path / "out-webdataset")
    assert len(MixedDataset.open(tmp_path / "out")) == 24


@pytest.mark.parametrize("container", ["stylegan-zip", "webdataset"])
def test_what_is_none_of_ours_is_not_replaced_and_nothing_is_built(classed, tmp_path, container):
    standing = container_path(tmp_path / "out", container)
    if container == "webdataset":
        build(make_plan(open_source(classed), "none"), open_source(classed), standing)  # a dataset, no shards
    else:
        with zipfile.ZipFile(standing, "w") as archive:
            archive.writestr("thesis.txt", "mine")
    before = standing.read_bytes() if standing.is_file() else sorted(standing.rglob("*"))
    with pytest.raises(UsageError, match="none of ours"):
        make_dataset(classed, "hflip", size=32, out=tmp_path / "out", container=container)
    assert (standing.read_bytes() if standing.is_file() else sorted(standing.rglob("*"))) == before
    assert not (tmp_path / "out").exists()


def test_a_zip_that_is_the_source_is_not_replaced(mixed):
    packed, _ = pack(mixed, "stylegan-zip")
    before = packed.read_bytes()
    with pytest.raises(OutputError, match="it is a source"):
        make_dataset(packed, "hflip", size=32, out=packed.with_suffix(""), container="stylegan-zip")
    assert packed.read_bytes() == before


def test_a_container_of_this_folder_stands_beside_it(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert container_path(Path(), "webdataset") == tmp_path / "here-webdataset"
    assert container_path(Path(".."), "stylegan-zip") == tmp_path.with_name(f"{tmp_path.name}.zip")
