"""Where images come from: folders, zips, single files, mixed datasets; and what is not read."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from augment.build.build import build
from augment.build.plan import make_plan
from augment.checks.inspect import check, duplicates, summarise, valid_subset
from augment.core.file_names import Namer, safe
from augment.errors import InputError
from augment.imaging.codec import encode_png
from augment.sources.image_set import fingerprint
from augment.sources.readers import open_source


def png(value, shape=(4, 5)):
    return encode_png(np.full((*shape, 3), value, np.uint8))


def fill(folder, names):
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(value))


def names(source):
    return [image.name for image in source.images]


def test_a_folder_is_read_in_code_point_order_with_classes_and_without_hidden_files(tmp_path):
    fill(
        tmp_path,
        ["b.png", "B.PNG", "é.png", "cats/2.png", "cats/young/1.png", ".hidden.png", ".git/x.png", "__MACOSX/y.png"],
    )
    (tmp_path / "notes.txt").write_text("hello")
    source = open_source(tmp_path)
    assert names(source) == ["B.PNG", "b.png", "cats/2.png", "cats/young/1.png", "é.png"]
    assert [image.label for image in source.images] == [None, None, "cats", "cats/young", None]
    assert source.ignored == ("notes.txt",)


def test_what_smallgan_wrote_inside_the_source_is_never_read_back(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    source = open_source(tmp_path)
    build(make_plan(source, "hflip"), source, tmp_path / "deep" / "mixed")
    assert names(open_source(tmp_path)) == ["a.png", "b.png"]
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text("name: x")
    fill(tmp_path / "run", ["reals.png"])
    assert names(open_source(tmp_path)) == ["a.png", "b.png"]


def test_a_mixed_dataset_knows_its_originals(tmp_path):
    fill(tmp_path / "in", ["a.png", "cats/b.png"])
    source = open_source(tmp_path / "in")
    build(make_plan(source, "negative"), source, tmp_path / "out")
    mixed = open_source(tmp_path / "out")
    assert sorted(image.origin for image in mixed.images) == ["augmented", "augmented", "original", "original"]
    assert names(mixed.originals()) == ["images/a.png", "images/cats/b.png"]
    assert [image.label for image in mixed.originals().images] == [None, "cats"]
    (tmp_path / "out" / "metadata.jsonl").unlink()
    with pytest.raises(InputError, match="unfinished"):
        open_source(tmp_path / "out")


def test_a_zip_is_read_without_the_folder_around_it(tmp_path):
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for value, name in enumerate(
            ["photos/dogs/2.png", "photos/cats/1.png", "photos/readme.txt", "__MACOSX/photos/x.png"]
        ):
            archive.writestr(name, png(value))
    source = open_source(path)
    assert source.name == "pack"
    assert [(image.name, image.label) for image in source.images] == [
        ("photos/cats/1.png", "cats"),
        ("photos/dogs/2.png", "dogs"),
    ]
    assert source.load(0).image.pixels.max() == 1


def test_hostile_names_in_a_zip_stay_inside_the_output(tmp_path):
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for value, name in enumerate(["../../up.png", "/etc/abs.png", "ok/a.png"]):
            archive.writestr(name, png(value))
    source = open_source(path)
    dataset = build(make_plan(source, "none"), source, tmp_path / "out")
    for record in dataset.records:
        inside = (tmp_path / "out" / record.file_name).resolve()
        assert inside.is_relative_to(tmp_path / "out" / "images")
        assert inside.is_file()


def test_one_image_is_a_set(tmp_path):
    (tmp_path / "one.png").write_bytes(png(3))
    assert names(open_source(tmp_path / "one.png")) == ["one.png"]


@pytest.mark.parametrize("is_cached", [True, False])
def test_small_sets_are_decoded_once_unless_each_image_is_wanted_once(tmp_path, monkeypatch, is_cached):
    fill(tmp_path, ["a.png", "b.png"])
    source = open_source(tmp_path) if is_cached else open_source(tmp_path).uncached()
    first = source.load(1)
    assert (source.subset([1]).load(0) is first) is is_cached
    monkeypatch.setattr(type(source), "load", None)
    assert (source.info(1).sha256, source.info(1).width) == (first.sha256, 5), "the facts are remembered"


@pytest.mark.parametrize("make", ["absent", "empty", "text", "notzip", "noimage"])
def test_what_cannot_be_a_source_is_named(tmp_path, make):
    path = tmp_path / {"text": "a.txt", "notzip": "a.zip"}.get(make, make)
    if make in ("empty", "noimage"):
        path.mkdir()
        if make == "noimage":
            (path / "a.txt").write_text("x")
    elif make != "absent":
        path.write_text("x")
    with pytest.raises(InputError, match=path.name):
        open_source(path)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_named(tmp_path):
    fill(tmp_path, ["shut/a.png", "b.png"])
    (tmp_path / "shut").chmod(0)
    try:
        with pytest.raises(InputError, match="shut"):
            open_source(tmp_path)
    finally:
        (tmp_path / "shut").chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_loops_and_broken_links_do_not_hang(tmp_path):
    fill(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = open_source(tmp_path)
    problems = {record.name: record.problem for record in check(source) if record.problem}
    assert set(problems) == {"pipe.png", "gone.png"}
    assert "not an ordinary file" in problems["pipe.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
def test_names_that_are_no_text_survive(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    odd = [
        b"\xff\xfe.png",
        b"a\nb.png",
        "e\u0301.png".encode(),
        b"x" * 240 + b".png",
        b"con.png",
        b"a\\b.png",
        b" .png",
    ]
    for value, name in enumerate(odd):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(png(value))
    source = open_source(folder)
    dataset = build(make_plan(source, "hflip+negative", count=7), source, tmp_path / "out")
    assert len(dataset.records) == 14
    assert all((tmp_path / "out" / record.file_name).is_file() for record in dataset.records)
    assert len(open_source(tmp_path / "out")) == 14


def test_names_never_collide_and_stay_readable():
    namer = Namer()
    assert namer.name(None, "a", ".png") == "images/a.png"
    assert namer.name(None, "A", ".PNG") == "images/A-2.PNG"
    assert namer.name(None, "a", ".png") == "images/a-3.png"
    assert namer.name("x/../y", "a", ".png") == "images/x/__/y/a.png"
    long = safe("文" * 300)
    assert len(long.encode()) <= 120
    assert long != safe("文" * 301)
    assert safe("e\u0301") == "é"


def test_fingerprint_is_the_hash_of_the_hashes():
    assert fingerprint(["aa", "bb"]) == hashlib.sha256(b"aa\nbb\n").hexdigest()


def test_check_names_every_problem_and_sound_stops_or_leaves_out(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    (tmp_path / "twin.png").write_bytes(png(0))
    for number in range(12):
        (tmp_path / f"bad{number:02}.jpg").write_bytes(b"text")
    source = open_source(tmp_path)
    records = check(source, workers=2)
    assert records == check(source)
    with pytest.raises(InputError, match=r"12 of 15 images cannot be used(?s:.*)bad09\.jpg(?s:.*)and 2 more") as caught:
        valid_subset(source, records, skip_bad=False)
    assert "bad10" not in str(caught.value)
    assert names(valid_subset(source, records, skip_bad=True)) == ["a.png", "b.png", "twin.png"]
    assert duplicates(records) == [["a.png", "twin.png"]]
    found = summarise(source, records)
    assert (found["num_images"], found["num_usable"], len(found["problems"])) == (15, 3, 12)
    assert found["sizes"] == {"5x4": 3}


def test_nothing_left_is_an_error_even_with_skip_bad(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"")
    source = open_source(tmp_path)
    with pytest.raises(InputError, match="none is left"):
        valid_subset(source, check(source), skip_bad=True)
