"""Sets that other tools wrote: imagefolders, StyleGAN zips, array files, lists; each with its classes."""

import csv
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from augment.build.build import build
from augment.build.plan import make_plan
from augment.checks.inspect import check
from augment.checks.open_checked import open_checked
from augment.errors import InputError
from augment.imaging.codec import decode, encode_png
from augment.sources.readers import open_source


def png(value, shape=(6, 6)):
    return encode_png(np.full((*shape, 3), value, np.uint8))


def fill(folder, names):
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(value))


def labels(source):
    return {image.name: image.label for image in source.images}


def test_imagefolder_takes_classes_from_metadata_jsonl(tmp_path):
    fill(tmp_path, ["a.png", "b.png", "deep/c.png"])
    rows = [{"file_name": "a.png", "label": "x"}, {"file_name": "b.png", "label": 3}, {"file_name": "deep/c.png"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    source = open_source(tmp_path)
    assert labels(source) == {"a.png": "x", "b.png": "3", "deep/c.png": "deep"}
    assert not source.ignored


def test_imagefolder_splits_are_no_classes_and_captions_leave_the_folders(tmp_path):
    fill(tmp_path, ["train/cats/1.png", "train/dogs/2.png", "test/cats/3.png"])
    source = open_source(tmp_path)
    assert labels(source) == {"test/cats/3.png": "cats", "train/cats/1.png": "cats", "train/dogs/2.png": "dogs"}
    assert source.notes == ("the splits test, train are read together; name one of them to use it alone",)
    with (tmp_path / "train" / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file_name", "text"], ["cats/1.png", "a cat"]])
    source = open_source(tmp_path)
    assert labels(source)["train/cats/1.png"] == "cats"
    assert source.notes[1] == "2 of 3 images are not in train/metadata.csv"


@pytest.mark.slow
def test_imagefolder_written_by_datasets_itself(tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    fill(tmp_path / "set" / "train", ["cats/1.png", "dogs/2.png"])
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "hf")
    )
    names = opened.features["label"].names
    ours = open_source(tmp_path / "set")
    assert [names[row["label"]] for row in opened] == [image.label for image in ours.images]


def stylegan_zip(path, table, names=("00000/img00000000.png", "00000/img00000001.png")):
    with zipfile.ZipFile(path, "w") as archive:
        for value, name in enumerate(names):
            archive.writestr(name, png(value))
        archive.writestr("dataset.json", json.dumps(table))
    return path


@pytest.mark.parametrize(
    ("values", "expected", "notes"),
    [
        ([6, 9], ["6", "9"], 0),
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], ["1", "0"], 0),
        ([[0.3, 0.7], [1.0, 1.0]], [None, None], 1),
    ],
)
def test_stylegan_zips_keep_their_labels_and_their_folders_are_no_classes(tmp_path, values, expected, notes):
    names = ["00000/img00000000.png", "00000/img00000001.png"]
    path = stylegan_zip(tmp_path / "a.zip", {"labels": [[n, v] for n, v in zip(names, values, strict=True)]})
    source = open_source(path)
    assert [image.label for image in source.images] == expected
    assert len(source.notes) == notes
    assert not source.ignored


def test_a_stylegan_zip_without_labels_has_none(tmp_path):
    source = open_source(stylegan_zip(tmp_path / "a.zip", {"labels": None}))
    assert [image.label for image in source.images] == [None, None]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "folder")
    assert len(open_source(tmp_path / "folder")) == 2


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("metadata.jsonl", '{"file_name": "gone.png"}', r"names 1 images that are not there: gone\.png"),
        ("metadata.jsonl", "{", "line 1: not JSON"),
        ("metadata.jsonl", "[1]", "expected an object with file_name"),
        ("metadata.jsonl", '{"label": "x"}', "entry 1 has no file_name"),
        ("metadata.csv", "label\nx\n", "entry 1 has no file_name"),
        ("dataset.json", '{"labels": [["a.png"]]}', r"expected \[file name, class number\]"),
        ("dataset.json", "{", "not JSON"),
    ],
)
def test_damaged_tables_are_named(tmp_path, name, text, says):
    fill(tmp_path, ["a.png"])
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        open_source(tmp_path)
    assert name in str(caught.value)


def test_other_json_is_only_ignored(tmp_path):
    fill(tmp_path, ["a.png"])
    (tmp_path / "dataset.json").write_text('{"about": 1}')
    assert open_source(tmp_path).ignored == ("dataset.json",)


def test_lists_name_files_from_their_own_folder(tmp_path):
    fill(tmp_path, ["photos/b.png", "photos/a.png", "elsewhere/c.png"])
    (tmp_path / "list.txt").write_text("photos/b.png\tcats\n\nelsewhere/c.png\n", encoding="utf-8")
    source = open_source(tmp_path / "list.txt")
    assert labels(source) == {"elsewhere/c.png": None, "photos/b.png": "cats"}
    assert source.load(1).image.pixels.max() == 0
    (tmp_path / "list.csv").write_text("file_name,label\nphotos/a.png,dogs\n", encoding="utf-8")
    assert labels(open_source(tmp_path / "list.csv")) == {"photos/a.png": "dogs"}
    (tmp_path / "list.jsonl").write_text('{"path": "photos/a.png", "label": 1}\n', encoding="utf-8")
    assert labels(open_source(tmp_path / "list.jsonl")) == {"photos/a.png": "1"}
    (tmp_path / "whole.txt").write_text(str(tmp_path / "photos" / "a.png"), encoding="utf-8")
    assert len(check(open_source(tmp_path / "whole.txt"))) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.png\na.png", "listed twice"),
        ("gone.png", r"not there: gone\.png"),
        ("notes.md", "entry 1, 'notes.md', is no image"),
        ("", "lists no image"),
        ("\udcff", "no UTF-8"),
    ],
)
def test_wrong_lists_are_told(tmp_path, text, says):
    fill(tmp_path, ["a.png"])
    (tmp_path / "list.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=says):
        open_source(tmp_path / "list.txt")


def test_array_files_are_sets_with_classes(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (5, 8, 9), np.uint8)
    wanted = np.array([3, 1, 3, 1, 2])
    np.savez(tmp_path / "digits.npz", x_train=rows[:3], y_train=wanted[:3], x_test=rows[3:], y_test=wanted[3:])
    source = open_source(tmp_path / "digits.npz")
    assert labels(source) == {
        "x_train/000000.png": "3", "x_train/000001.png": "1", "x_train/000002.png": "3",
        "x_test/000000.png": "1", "x_test/000001.png": "2",
    }  # fmt: skip
    together = "x_train (3), x_test (2) are read together; name digits.npz/x_train to use one alone"
    assert source.notes == (f"digits.npz: {together}",)
    for index in range(5):
        assert (source.load(index).image.pixels == rows[index][..., None]).all()
    dataset = build(make_plan(source, "none"), source, tmp_path / "out")
    assert [record.label for record in dataset.records] == ["3", "1", "3", "1", "2"]


def test_one_array_of_a_file_is_a_set_of_its_own(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (5, 8, 9), np.uint8)
    np.savez(tmp_path / "digits.npz", x_train=rows[:3], y_train=[3, 1, 3], x_test=rows[3:], y_test=[1, 2])
    source = open_source(tmp_path / "digits.npz" / "x_test")
    assert labels(source) == {"x_test/000000.png": "1", "x_test/000001.png": "2"}
    assert source.notes == ()
    assert (source.load(1).image.pixels == rows[4][..., None]).all()
    with pytest.raises(InputError, match=r"digits.npz/x_dev: no images in it \(x_train uint8 3x8x9, y_train"):
        open_source(tmp_path / "digits.npz" / "x_dev")


def test_a_folder_of_array_files_is_read_only_where_there_are_no_images(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array(["x", "y"]))
    np.savez_compressed(tmp_path / "b.npz", np.ones((3, 4, 4), np.float32))
    source = open_source(tmp_path)
    assert len(source) == 5
    assert [image.label for image in source.images] == ["x", "y", None, None, None]
    assert source.load(4).image.pixels.max() == 255
    fill(tmp_path, ["photo.png"])
    assert labels(open_source(tmp_path)) == {"photo.png": None}
    assert open_source(tmp_path).ignored == ("a.npz", "b.npz")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"mu": np.zeros(2048), "sigma": np.zeros((3, 3))}, "no images in it .mu float64 2048"),
        ({"x": np.array([{"a": 1}], object)}, "x object 1"),
    ],
)
def test_array_files_that_hold_no_images_are_told(tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says):
        open_source(tmp_path / "a.npz")


def test_numbers_without_a_white_are_refused_row_by_row(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.stack([np.full((4, 4), v, np.float32) for v in (0.5, 2.5, np.nan)]))
    problems = [record.problem for record in check(open_source(tmp_path / "a.npz"))]
    assert problems[0] is None
    assert "go from 2.5 to 2.5; expected 0 to 1" in problems[1]
    assert problems[2] is not None


@pytest.mark.parametrize("name", ["a.npz", "a.zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_cut_archives_are_told(tmp_path, name, share):
    if name == "a.npz":
        np.savez(tmp_path / name, x=np.zeros((4, 8, 8), np.uint8))
    else:
        stylegan_zip(tmp_path / name, {"labels": None})
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=name):
        open_source(tmp_path / name)


def test_a_damaged_entry_of_a_zip_is_one_bad_file(tmp_path):
    path = stylegan_zip(tmp_path / "a.zip", {"labels": None})
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    path.write_bytes(bytes(data))
    problems = [record.problem for record in check(open_source(path))]
    assert problems[0].startswith("00000/img00000000.png in a.zip: damaged")
    assert problems[1] is None


def test_what_a_set_is_written_as_any_reader_reads_alike(tmp_path):
    """Turned, transparent, 16-bit and misnamed originals are written anew; plain ones are copied."""
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (12, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(folder / "clear.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(pixels).save(folder / "misnamed.png", "JPEG")
    Image.fromarray(pixels).save(folder / "plain.png")
    source = open_source(folder)
    dataset = build(make_plan(source, "none"), source, tmp_path / "out")
    for record, index in zip(dataset.records, range(len(source)), strict=True):
        file = tmp_path / "out" / record.file_name
        with Image.open(file) as image:
            assert image.mode == "RGB"
            assert not image.getexif()
            assert image.format == ("JPEG" if file.suffix == ".jpg" else "PNG")
            assert (np.asarray(image) == source.load(index).image.pixels).all()
        assert (decode(file.read_bytes(), "x") == source.load(index).image.pixels).all()
    assert (tmp_path / "out" / "images" / "plain.png").read_bytes() == (folder / "plain.png").read_bytes()


def test_labels_of_keras_and_of_bytes_are_read_and_what_is_left_is_told(tmp_path):
    images = np.zeros((3, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.array([[2], [0], [2]], np.uint8), deep=images.astype(np.uint16))
    source = open_source(tmp_path / "a.npz")
    assert [image.label for image in source.images] == ["2", "0", "2"]
    assert source.notes == ("a.npz: not used: deep uint16 3x4x4x3",)
    np.savez(tmp_path / "b.npz", images=images, labels=np.array([b"cat", b"dog", b"cat"]))
    assert [image.label for image in open_source(tmp_path / "b.npz").images] == ["cat", "dog", "cat"]


def test_labels_of_one_split_are_not_those_of_another(tmp_path):
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez(tmp_path / "c.npz", x_train=images, x_test=images, y_train=np.array([0, 1]))
    assert [image.label for image in open_source(tmp_path / "c.npz").images] == ["0", "1", None, None]
    assert [image.label for image in open_source(tmp_path / "c.npz" / "x_test").images] == [None, None]


def test_tables_written_by_hand_and_on_windows_are_read(tmp_path):
    fill(tmp_path, ["cat/0.png", "dog/1.png"])
    (tmp_path / "metadata.csv").write_text("file_name, label\ncat\\0.png, tom\ndog/1.png, rex\n", encoding="utf-8")
    assert labels(open_source(tmp_path)) == {"cat/0.png": "tom", "dog/1.png": "rex"}
    (tmp_path / "metadata.csv").write_text("file_name,class\ncat/0.png,a\ndog/1.png,b\n", encoding="utf-8")
    assert labels(open_source(tmp_path)) == {"cat/0.png": "a", "dog/1.png": "b"}


def test_splits_in_capitals_are_no_classes(tmp_path):
    fill(tmp_path, ["Training/cat/0.png", "Testing/cat/1.png", "Testing/dog/2.png"])
    assert set(labels(open_source(tmp_path)).values()) == {"cat", "dog"}


def test_zips_with_backslashes_have_classes_and_two_files_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cat\\0.png", "dog\\1.png"):
            archive.writestr(name, png(3))
    source = open_source(tmp_path / "a.zip")
    assert labels(source) == {"cat/0.png": "cat", "dog/1.png": "dog"}
    assert source.load(0).image.pixels.shape == (6, 6, 3)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("0.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("0.png", png(2))
    with pytest.raises(InputError, match=r"b\.zip: two of its files are called 0\.png"):
        open_source(tmp_path / "b.zip")


def test_what_of_a_mixed_dataset_is_an_original_is_not_forgotten(tmp_path):
    fill(tmp_path / "in", ["0.png", "1.png", "2.png"])
    source = open_source(tmp_path / "in")
    build(make_plan(source, "vflip"), source, tmp_path / "mixed")
    listed = open_source(tmp_path / "mixed" / "metadata.jsonl")
    assert listed.is_mixed
    assert len(listed.originals()) == 3
    with pytest.raises(InputError, match=r"a folder of the mixed dataset .*; name .*mixed instead"):
        open_checked(tmp_path / "mixed" / "images")


def test_a_run_is_no_set_of_images(tmp_path):
    fill(tmp_path / "run", ["fakes-000001.png"])
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n", encoding="utf-8")
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(InputError, match="a run, whose pictures are grids; make images with: smallgan sample"):
        open_source(tmp_path / "run")
