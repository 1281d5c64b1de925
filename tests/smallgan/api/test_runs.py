"""Runs, generators and samples in Python: the images of the command line, and what a notebook shows of them."""

import io
import threading

import numpy as np
import pytest
from PIL import Image
from sampled_models import biggan_run, dcgan_run, pretrained_file
from typer.testing import CliRunner

import smallgan as sg
from smallgan.cli import app
from smallgan.metrics.score import Score

IDENTITY = {"features": "net-a", "num_fake": 100, "num_real": 100, "splits": None}


@pytest.fixture
def run(tmp_path):
    return sg.load(str(dcgan_run(tmp_path / "run").path), device="cpu")


def shown(thing):
    return np.asarray(Image.open(io.BytesIO(thing._repr_png_())))


def test_samples_are_the_images_that_the_command_writes(run, tmp_path):
    done = CliRunner().invoke(
        app, ["sample", str(run.path), "--count", "3", "--seed", "5", "--out", str(tmp_path / "c")]
    )
    assert done.exit_code == 0, done.output
    samples = run.sample(3, seed=5)
    files = samples.save(str(tmp_path / "p"))
    for number in range(3):
        written = np.asarray(Image.open(tmp_path / "c" / "images" / f"sample-{number:05d}.png"))
        np.testing.assert_array_equal(samples.pixels[number], written)
        np.testing.assert_array_equal(np.asarray(samples[number]), written)
    assert [file.name for file in files] == ["grid.png", *(f"sample-{k:05d}.png" for k in range(3))]
    for name in ("samples.json", "grid.png"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


def test_samples_show_themselves_as_their_grid(run):
    samples = run.sample(5)
    assert (len(samples), samples.pixels.dtype, samples.latents.shape) == (5, np.uint8, (5, 100))
    np.testing.assert_array_equal(shown(samples), np.asarray(samples.grid()))
    assert samples.grid(columns=5).size == (4 * (5 * 34 - 2), 4 * 32)  # 32 px are shown as 128
    assert [image.size for image in samples[1:3]] == [(32, 32)] * 2
    assert repr(samples).startswith("5 images of 32 x 32 px from ")


def test_a_run_says_what_it_is(run):
    assert (run.step, run.is_complete, run.size) == (3, False, 32)
    assert repr(run) == f"{run.path}: dcgan, 32 px, step 3 of 5000"
    assert run._repr_png_() is None  # it has no grid
    Image.new("RGB", (4, 2)).save(run.path / "fakes-000003.png")
    assert shown(run).shape == (2, 4, 3)


def test_checkpoints_and_pretrained_files_load_too(tmp_path):
    checkpoint = sg.load(biggan_run(tmp_path / "run").checkpoint(2))
    assert type(checkpoint) is sg.Generator
    assert checkpoint.classes == ("ape", "bee", "cat")
    assert checkpoint.sample(2, label="bee").labels.tolist() == [1, 1]
    pretrained = sg.load(pretrained_file(tmp_path))
    assert pretrained.sample(2, truncation=0.5).pixels.shape == (2, 32, 32, 3)
    assert "a generator of 32 x 32 px, on" in repr(pretrained)


@pytest.mark.slow
def test_a_generator_that_ships_loads_by_its_name():
    shipped = sg.load("smallgan-dcgan64-v1")
    assert type(shipped) is sg.Generator
    assert (shipped.size, shipped.sample(2).pixels.shape) == (64, (2, 64, 64, 3))


def test_a_run_can_stand_where_a_path_is_taken(run, tiny_set, tmp_path):
    dataset = sg.build_dataset(str(tiny_set), "gan", generator=run, count=2, size=32, out=tmp_path / "mixed")
    assert (len(dataset), dataset.path) == (14, tmp_path / "mixed")
    assert shown(dataset).ndim == 3
    assert "12 originals + 2 added (2 gan)" in repr(dataset)
    assert len(sg.inspect(dataset)) == 14


def test_what_cannot_be_loaded_is_an_error_of_ours(tmp_path):
    with pytest.raises(sg.SmallganError, match="no such file or folder; expected a run"):
        sg.load(str(tmp_path / "absent"))
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    with pytest.raises(sg.SmallganError, match="this is a text file"):
        sg.load(tmp_path / "text.pth")


def test_scores_are_found_by_their_metric():
    one, two = (Score("kid", "KID", value, IDENTITY) for value in (0.5, 0.25))
    other = Score("copies", "copy rate", 0.0, IDENTITY)
    scores = sg.Scores.newest([one.to_json(), other.to_json(), two.to_json()])
    assert [(each.metric, each.value) for each in scores] == [("kid", 0.25), ("copies", 0.0)]
    assert scores["kid"].value == 0.25
    assert "0.2500" in repr(scores)
    with pytest.raises(KeyError, match="no score 'fid'; there are kid, copies"):
        scores["fid"]
    with pytest.raises(KeyError, match=r"2 networks gave 'kid' \(net-a, net-b\)"):
        sg.Scores([one, Score("kid", "KID", 1.0, IDENTITY | {"features": "net-b"})])["kid"]


@pytest.mark.slow
def test_training_works_in_a_thread_and_goes_on_there(tiny_set, tmp_path):
    small = {"model": "dcgan", "size": 32, "batch_size": 2, "set": {"model.base_width": 8, "score.metrics": []}}
    lines, runs = [], []

    def train():
        runs.append(sg.train(tiny_set, steps=1, out=str(tmp_path / "run"), log=lines.append, **small))

    thread = threading.Thread(target=train)  # signals reach the main thread alone
    thread.start()
    thread.join()
    [run] = runs
    assert run.is_complete
    assert any("12 images" in line for line in lines)
    more = sg.train(tiny_set, steps=2, out=run, log=lines.append, **small)
    assert (more.path, more.step, more.is_complete) == (run.path, 2, True)
    assert shown(more).ndim == 3
