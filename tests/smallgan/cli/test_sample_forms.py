"""`smallgan sample`: folders of classes, columns, formats of files, and the GIF of a training."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sampled_models import CPU, SIZE, biggan_run, dcgan_run
from typer.testing import CliRunner

import smallgan as sg
from augment.sources.readers import open_source
from smallgan.cli import app
from smallgan.core.run_dir import RunDir
from smallgan.core.weights import find
from smallgan.data.images import enlarged, grid
from smallgan.sampling.loading import load_model
from smallgan.sampling.sample import class_folders
from smallgan.sampling.training_gif import MOST_FRAMES, _evenly

CLASSES = ("0", "1", "10", "2")  # named so that no name is its own number but the first two


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    dcgan_run(root / "dcgan")
    biggan_run(root / "classes", CLASSES)
    return root


@pytest.fixture
def sample(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(model, *words):
        done = CliRunner().invoke(app, ["sample", str(made / model), *map(str, words), "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else str(done.exception)

    return run


def opened(path):
    return np.asarray(Image.open(path))


def test_images_of_each_class_lie_in_its_folder_and_are_those_of_its_label(sample, tmp_path):
    found = sample("classes", "--per-class", 2, "--seed", 3, "--out", tmp_path / "all")
    assert found["labels"] == [0, 0, 1, 1, 2, 2, 3, 3]
    images = open_source(tmp_path / "all").images
    assert [(image.name, image.label) for image in images] == [
        (f"{name}/sample-0000{k}.png", name) for name in sorted(CLASSES) for k in (0, 1)
    ]
    for label in CLASSES:
        sample("classes", "--label", label, "--count", 2, "--seed", 3, "--out", tmp_path / label)
        for k in (0, 1):
            file = f"sample-0000{k}.png"
            alone = opened(tmp_path / label / "images" / file).astype(int)
            assert np.abs(opened(tmp_path / "all/images" / label / file) - alone).max() <= 1
    # A class is a row of the grid
    sheet = opened(found["files"][0])[::4, ::4]
    assert sheet.shape == (4 * (SIZE + 2) - 2, 2 * (SIZE + 2) - 2, 3)
    np.testing.assert_array_equal(sheet[-SIZE:, :SIZE], opened(tmp_path / "all/images/2/sample-00000.png"))


def test_in_python_too(made, tmp_path):
    samples = sg.load(made / "classes", device="cpu").sample(per_class=3)
    assert (len(samples), samples.labels.tolist()) == (12, [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)
    assert samples.grid().size == (4 * (3 * (SIZE + 2) - 2), 4 * (4 * (SIZE + 2) - 2))
    files = samples.save(tmp_path / "s")
    assert files[4] == tmp_path / "s/images/1/sample-00000.png"
    assert all(file.is_file() for file in files)


def test_class_folders_have_names_that_file_systems_take(made, tmp_path):
    assert class_folders(load_model(made / "classes", CPU)) == list(CLASSES)
    odd = load_model(biggan_run(tmp_path / "odd", ("a/b", "Cat", "cat")).path, CPU)
    assert class_folders(odd) == ["a_b", "Cat-1", "cat-2"]


@pytest.mark.parametrize(("form", "suffix"), [("png", ".png"), ("webp", ".webp"), ("jpeg", ".jpg")])
def test_single_images_have_the_format_that_is_asked_for(sample, form, suffix):
    found = sample("dcgan", "--count", 2, "--image-format", form)
    plain = sample("dcgan", "--count", 2)
    assert found["files"][0].endswith("grid.png")
    assert [path.endswith(suffix) for path in found["files"][1:]] == [True, True]
    with Image.open(found["files"][2]) as image:
        assert image.format == form.upper()
    exact = (opened(found["files"][2]) == opened(plain["files"][2])).all()
    assert exact == (form != "jpeg")
    # A folder of its own: no image lies there twice, in two formats
    assert len(open_source(Path(found["files"][0]).parent).images) == 2


def test_columns_are_those_of_the_grid(sample):
    assert opened(sample("dcgan", "--count", 6, "--columns", 6)["files"][0]).shape == (4 * 32, 4 * (6 * 34 - 2), 3)


def test_small_pictures_are_enlarged_by_whole_factors():
    tile = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert [enlarged(tile, side).shape[0] for side in (32, 43, 64, 65, 128, 512)] == [8, 4, 4, 2, 2, 2]
    np.testing.assert_array_equal(enlarged(tile, 64)[:, :, 0], [[0, 0, 3, 3]] * 2 + [[6, 6, 9, 9]] * 2)


def with_grids(path, steps, side=6):
    run = RunDir(path)
    run.create()
    run.recipe.write_text("name: train\n", encoding="utf-8")
    for number, step in enumerate(steps):
        tiles = np.full((4, side, side, 3), 60 * number, np.uint8)
        Image.fromarray(grid(tiles)).save(run.fakes(step))
    return path


def test_a_gif_shows_the_grids_in_the_order_of_their_steps(tmp_path):
    run = with_grids(tmp_path / "run", (0, 500, 1000, 10_000))
    done = CliRunner().invoke(app, ["sample", str(run), "--training-gif"])
    assert (done.exit_code, done.stdout) == (0, f"{run / 'samples/training.gif'}\n")
    with Image.open(run / "samples/training.gif") as movie:
        assert movie.n_frames == 4
        levels, durations = [], []
        for number in range(4):
            movie.seek(number)
            levels.append(int(np.asarray(movie.convert("RGB"))[5, 5, 0]))
            durations.append(movie.info["duration"])
        # Two images of 6 px and a gap of 2 are 14 px, and 28 times that is the first above 380
        assert movie.size == (14 * 28, 14 * 28 + 22)
    assert levels == pytest.approx([0, 60, 120, 180], abs=4)
    assert durations == [600, 600, 600, 2500]


def test_of_a_long_training_grids_are_left_out_evenly():
    assert list(_evenly(5, 5)) == [0, 1, 2, 3, 4]
    assert list(_evenly(9, 5)) == [0, 2, 4, 6, 8]
    assert len(list(_evenly(1001, MOST_FRAMES))) == MOST_FRAMES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dcgan", "--per-class", 2), "has no classes; use --count, or train --model biggan or --model fastgan"),
        (("classes", "--per-class", 0), "--per-class 0: must be at least 1"),
        (("classes", "--per-class", 2, "--count", 3), "--count cannot be combined with --per-class"),
        (("classes", "--per-class", 2, "--label", "1"), "--label cannot be combined with --per-class"),
        (("dcgan", "--columns", 0), "--columns 0: must be at least 1"),
        (("dcgan", "--image-format", "gif"), "--image-format gif: use one of png, jpeg, webp"),
        (("dcgan", "--image-format", "jpeg", "--grid-only"), "--grid-only writes no single images"),
        (("dcgan", "--columns", 2, "--raw", "a.npy"), "--raw writes one file and no pictures"),
        (("dcgan", "--training-gif"), "has 0 grid(s) of samples, expected two"),
        (("dcgan/checkpoints/step-000003", "--training-gif"), "is no run; name the folder of one"),
        (("dcgan", "--training-gif", "--count", 2), "--count cannot be combined with --training-gif"),
    ],
)
def test_what_cannot_be_made_is_refused(sample, words, said):
    assert said in sample(*words)


def test_a_damaged_grid_is_named(tmp_path):
    run = with_grids(tmp_path / "run", (0, 5))
    RunDir(run).fakes(5).write_bytes(b"no picture")
    done = CliRunner().invoke(app, ["sample", str(run), "--training-gif"])
    assert "fakes-000005.png" in str(done.exception)
    assert isinstance(done.exception, sg.SmallganError)
    assert not (run / "samples/training.gif").exists()


@pytest.mark.parametrize(("name", "size"), [("smallgan-dcgan64-v1", 64), ("smallgan-biggan32-v1", 32)])
def test_a_generator_that_ships_is_sampled_by_name_and_its_pictures_stay_here(tmp_path, monkeypatch, name, size):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["sample", name, "--count", "2", "--json"])
    made = json.loads(done.stdout)
    assert made["sha256"] == find(name)[1]
    pictures = [path for path in tmp_path.rglob("sample-*.png") if opened(path).shape == (size, size, 3)]
    assert len(pictures) == 2  # not in the installed package, where its weights lie
    (tmp_path / name).mkdir()  # a folder of one's own goes before the name
    assert "no file of weights in this folder" in str(CliRunner().invoke(app, ["sample", name]).exception)


def test_other_seeds_between_the_same_ends_go_to_another_folder(sample):
    files = [Path(sample("dcgan", "--seeds", seeds)["files"][0]) for seeds in ("3,8,5", "3,9,5")]
    assert len({file.parent for file in files}) == 2
    assert all(file.is_file() for file in files)
    assert sample("dcgan", "--seeds", "3-5")["files"][0] == str(
        files[0].parent.parent / "step-000003-images-seeds3-5" / "grid.png"
    )
