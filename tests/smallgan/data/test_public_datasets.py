"""Public sets by name, on tiny sets in the on-disk formats that torchvision reads; nothing is downloaded."""

import bz2
import hashlib
import io
import json
import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from augment.errors import InputError, MissingError, UsageError
from augment.imaging.codec import decode
from augment.sources.readers import open_source
from smallgan.cli import app
from smallgan.data.public_datasets import SETS, get_set


def jpeg(number):
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (number * 9 % 256, 80, 120)).save(buffer, "JPEG")
    return buffer.getvalue()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def pets(tmp_path):
    base = tmp_path / "raw" / "oxford-iiit-pet"
    breeds = ["Abyssinian", "pomeranian", "staffordshire_bull_terrier"]
    for split, numbers in (("trainval", range(1, 5)), ("test", range(5, 7))):
        lines = []
        for label, breed in enumerate(breeds, 1):
            for number in numbers:
                write(base / "images" / f"{breed}_{number}.jpg", jpeg(10 * label + number))
                lines.append(f"{breed}_{number} {label} 1 1")
        write(base / "annotations" / f"{split}.txt", "\n".join(lines) + "\n")
    return tmp_path / "raw"


@pytest.fixture
def flowers(tmp_path, monkeypatch):
    from torchvision.datasets import Flowers102

    base = tmp_path / "raw" / "flowers-102"
    for number in range(1, 10):
        write(base / "jpg" / f"image_{number:05d}.jpg", jpeg(number))
    savemat(base / "imagelabels.mat", {"labels": np.array([77, 77, 1, 77, 1, 51, 77, 51, 1])})
    savemat(base / "setid.mat", {"trnid": [1, 2, 3], "valid": [4, 5, 6], "tstid": [7, 8, 9]})
    known = {
        key: (name, md5(base / name) if name.endswith(".mat") else "0")
        for key, (name, _) in Flowers102._file_dict.items()
    }
    monkeypatch.setattr(Flowers102, "_file_dict", known)
    return tmp_path / "raw"


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    from torchvision.datasets import CelebA

    base = tmp_path / "raw" / "celeba"
    names = [f"{number:06d}.jpg" for number in range(1, 8)]
    for number, name in enumerate(names):
        write(base / "img_align_celeba" / name, jpeg(number))
    tables = {
        "list_eval_partition.txt": [],
        "identity_CelebA.txt": [],
        "list_bbox_celeba.txt": [str(len(names)), "image_id x_1 y_1 width height"],
        "list_landmarks_align_celeba.txt": [str(len(names)), "lefteye_x lefteye_y"],
        "list_attr_celeba.txt": [str(len(names)), "Smiling Young"],
    }
    for file, head in tables.items():
        columns = len(head[1].split()) - head[1].startswith("image_id") if head else 1
        rows = [f"{name} {' '.join(['1'] * columns)}" for name in names]
        write(base / file, "\n".join([*head, *rows]) + "\n")
    known = [(i, "0" if f.endswith(".zip") else md5(base / f), f) for i, _, f in CelebA.file_list]
    monkeypatch.setattr(CelebA, "file_list", known)
    return tmp_path / "raw"


@pytest.fixture
def caltech(tmp_path):
    base = tmp_path / "raw" / "caltech101" / "101_ObjectCategories"
    for name, number in (("BACKGROUND_Google", 2), ("ant", 3), ("car_side", 4)):
        for image in range(1, number + 1):
            write(base / name / f"image_{image:04d}.jpg", jpeg(image))
    return tmp_path / "raw"


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    digits = np.arange(6 * 28 * 28, dtype=np.uint32).reshape(6, 28, 28).astype(np.uint8)
    for kind in ("MNIST", "FashionMNIST", "KMNIST"):
        for split, rows in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
            raw = tmp_path / "raw" / kind / "raw"
            write(raw / f"{split}-images-idx3-ubyte", idx(digits[rows]))
            write(raw / f"{split}-labels-idx1-ubyte", idx(np.array([3, 5, 3, 3, 3, 5], np.uint8)[rows]))
    return tmp_path / "raw"


@pytest.fixture
def usps(tmp_path):
    for name, labels in (("usps.bz2", [1, 10, 10]), ("usps.t.bz2", [10])):
        lines = [f"{label} " + " ".join(f"{k}:{-1 if k % 2 else 1}" for k in range(1, 257)) for label in labels]
        write(tmp_path / "raw" / "USPS" / name, bz2.compress("\n".join(lines).encode()))
    return tmp_path / "raw"


def got(folder):
    source = open_source(folder)
    assert source.ignored == ("source.json",)
    return [(image.name, image.label) for image in source.images]


def test_one_class_of_pets_is_copied_byte_for_byte(pets, tmp_path):
    result = get_set("oxford-pets:Pomeranian", tmp_path / "out", root=pets, offline=True)
    assert result["num_images"] == 6
    assert result["classes"] == {"Pomeranian": 6}
    assert got(tmp_path / "out") == [(f"pomeranian_{number}.jpg", None) for number in range(1, 7)]
    assert (tmp_path / "out" / "pomeranian_5.jpg").read_bytes() == jpeg(25)


def test_all_classes_lie_in_folders_and_a_count_takes_the_first(pets, tmp_path):
    result = get_set("oxford-pets", tmp_path / "all", root=pets, offline=True)
    assert result["classes"] == {"Abyssinian": 6, "Pomeranian": 6, "Staffordshire Bull Terrier": 6}
    assert {label for _, label in got(tmp_path / "all")} == set(result["classes"])
    few = get_set(
        "oxford-pets:pomeranian,staffordshire-bull-terrier", tmp_path / "few", root=pets, offline=True, count=5
    )
    assert few["classes"] == {"Pomeranian": 4, "Staffordshire Bull Terrier": 1}


def test_flowers_join_their_splits(flowers, tmp_path):
    result = get_set("flowers102:passion-flower", tmp_path / "out", root=flowers, offline=True)
    assert result["classes"] == {"passion flower": 4}
    assert [name for name, _ in got(tmp_path / "out")] == [f"image_{number:05d}.jpg" for number in (1, 2, 4, 7)]


def test_celeba_has_no_classes(celeba, tmp_path):
    assert get_set("celeba", tmp_path / "out", root=celeba, offline=True, count=3)["num_images"] == 3
    assert got(tmp_path / "out") == [(f"{number:06d}.jpg", None) for number in (1, 2, 3)]
    with pytest.raises(UsageError, match="has no classes"):
        get_set("celeba:smiling", tmp_path / "other", root=celeba, offline=True)


def test_caltech_leaves_the_background_out(caltech, tmp_path):
    assert get_set("caltech101", tmp_path / "out", root=caltech, offline=True)["classes"] == {"ant": 3, "car_side": 4}


@pytest.mark.parametrize(
    ("name", "labels"), [("mnist", {"3": 4, "5": 2}), ("fashion-mnist", {"Dress": 4, "Sandal": 2})]
)
def test_arrays_become_gray_png_of_the_same_pixels(mnist, tmp_path, name, labels):
    result = get_set(name, tmp_path / "out", root=mnist, offline=True)
    assert result["classes"] == labels
    label = next(iter(labels))
    data = (tmp_path / "out" / label / "train-00002.png").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
    expected = np.arange(6 * 28 * 28, dtype=np.uint32).reshape(6, 28, 28).astype(np.uint8)[2]
    assert (decode(data, "x.png")[..., 0] == expected).all()


def test_kmnist_and_usps_are_read(mnist, usps, tmp_path):
    assert get_set("kmnist", tmp_path / "k", root=mnist, offline=True)["num_images"] == 6
    result = get_set("usps", tmp_path / "u", root=usps, offline=True)
    assert result["classes"] == {"0": 1, "9": 3}
    pixels = decode((tmp_path / "u" / "9" / "test-00000.png").read_bytes(), "x.png")
    assert pixels[0, :4, 0].tolist() == [0, 255, 0, 255]


def test_again_it_is_there_already_and_another_is_refused(pets, tmp_path):
    first = get_set("oxford-pets:pomeranian", tmp_path / "out", root=pets, offline=True)
    (pets / "oxford-iiit-pet" / "annotations" / "test.txt").unlink()
    assert get_set("oxford-pets:pomeranian", tmp_path / "out", root=pets, offline=True) == first
    with pytest.raises(UsageError, match="holds the set 'oxford-pets:pomeranian'"):
        get_set("oxford-pets", tmp_path / "out", root=pets, offline=True)
    with pytest.raises(UsageError, match="holds other files"):
        get_set("oxford-pets", pets, root=pets, offline=True)


def test_what_is_not_there_or_broken_is_told_and_nothing_is_left(pets, tmp_path):
    for name in SETS:
        with pytest.raises(MissingError, match=rf"{name}: not whole below .*--offline.*--root"):
            get_set(name, tmp_path / "out", root=tmp_path / "nowhere", offline=True)
    (pets / "oxford-iiit-pet" / "images" / "pomeranian_3.jpg").unlink()
    with pytest.raises(InputError, match=r"pomeranian_3\.jpg: cannot be read"):
        get_set("oxford-pets:pomeranian", tmp_path / "out", root=pets, offline=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nowhere", "raw"]


def test_wrong_names_are_told_with_the_nearest(pets, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'oxford-pets'"):
        get_set("oxfrod-pets", tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean 'pomeranian'"):
        get_set("oxford-pets:pomernian", tmp_path / "out", root=pets, offline=True)
    with pytest.raises(UsageError, match="--count 0"):
        get_set("mnist", count=0)


def test_the_commands_list_and_get(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["data", "list"])
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(SETS)
    result = CliRunner().invoke(
        app, ["data", "get", "oxford-pets:pomeranian", "--root", str(pets), "--offline", "--json"]
    )
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["path"].replace("\\", "/") == "sets/oxford-pets-pomeranian"
    assert len(open_source(tmp_path / made["path"])) == 6
