"""Points in the plane on the loop that images have."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import smallgan as sg
from augment.errors import UsageError
from smallgan.core.checkpoint import TENSORS
from smallgan.core.run_dir import read_jsonl
from smallgan.core.study_dir import StudyDir
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.sampling.request import Request
from smallgan.sampling.sample import sample
from smallgan.study.plan import plan_jobs
from smallgan.tables.recipe import dump_recipe, load_recipe
from smallgan.training.train import train

TINY = {
    "data.source": "ring",
    "data.limit": 40,
    "model.base_width": 4,
    "train.batch_size": 4,
    "train.steps": 4,
    "train.snapshot_every": 2,
    "score.num_fake": 20,
}


def recipe(**overrides):
    return load_recipe(None, TINY | overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(recipe(), out=tmp_path_factory.mktemp("points") / "run", device="cpu", log=lambda _line: None)


def test_a_run_has_scatters_in_the_place_of_grids_and_scores_of_modes(run):
    for picture in (run.reals, run.mix, run.fakes(0), run.fakes(4)):
        assert Image.open(picture).size == (512, 512)
    scores = list(read_jsonl(run.scores))
    assert [row["metric"] for row in scores[:4]] == ["modes", "good", "mode_kl", "w1"]
    assert {row["identity"]["features"] for row in scores} == {"ring"}
    summary = json.loads(run.data.read_text())
    assert (summary["source"], summary["num_real"], summary["holdout"]["num"]) == ("ring", 40, 2500)


def test_its_scores_are_the_same_afterwards(run):
    during = [row for row in read_jsonl(run.scores) if row["step"] == 4][:4]
    after = score(run.path, None, ScoreOptions(num_fake=20, device="cpu"))
    assert [each.value for each in after] == [row["value"] for row in during]
    assert [each.identity for each in after] == [row["identity"] for row in during]


def test_killed_and_resumed_is_uninterrupted(run, tmp_path):
    stops = iter([False, True, True])
    options = {"out": tmp_path / "run", "device": "cpu", "log": lambda _line: None}
    train(recipe(), stop_requested=lambda: next(stops), **options)
    resumed = train(recipe(), **options)
    one, other = ((each.checkpoint(4) / TENSORS).read_bytes() for each in (run, resumed))
    assert one == other


def test_samples_are_a_scatter_a_table_and_an_array(run, tmp_path):
    made = sample(Request(run.path, count=5, out=tmp_path / "samples", device="cpu"))
    lines = (tmp_path / "samples" / "points.csv").read_text().splitlines()
    assert (len(made["files"]), lines[0], len(lines)) == (2, "x,y", 6)
    sample(Request(run.path, count=5, raw=tmp_path / "points.npy", device="cpu"))
    array = np.load(tmp_path / "points.npy")
    assert array.shape == (5, 2, 1, 1)
    assert array[3].ravel() == pytest.approx([float(part) for part in lines[4].split(",")], rel=1e-4)
    with pytest.raises(UsageError, match="makes points in the plane"):
        sample(Request(run.path, interpolate=True, device="cpu"))


def test_a_notebook_shows_points_as_a_scatter(run, tmp_path):
    points = sg.load(run.path, device="cpu").sample(5)
    assert (points.pixels.shape, points.grid().size) == ((5, 1, 1, 2), (512, 512))
    with pytest.raises(UsageError, match="makes points in the plane, not images"):
        points[0]
    folder, *_ = sg.export(run.path, "hub", tmp_path / "hub")
    assert Image.open(folder / "samples.png").size == (512, 512)


def test_the_defaults_are_those_of_points_and_the_recipe_of_a_run_reads_back():
    made = recipe()
    assert (made.data.size, made.model.name, made.score.features) == (1, "mlp", "ring")
    assert "augment" not in dump_recipe(made)
    assert "mirror" not in dump_recipe(made)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"augment.policy": "hflip"}, "augment: it is about images, and ring is a set of points"),
        ({"method.diffaugment": "color"}, "method.diffaugment: it is about images"),
        ({"method.mirror": True}, "method.mirror: it is about images"),
        ({"data.holdout": 0.2}, "data.holdout: it is about images"),
        (
            {"model.name": "dcgan", "model.base_width": 8},
            "model.name: ring is a set of points, and dcgan makes",
        ),
        ({"data.size": 32}, "data.size: ring is a set of points, whose size is 1, found 32"),
        ({"score.metrics": ["sharpness"]}, "score.metrics: ring is a set of points, and sharpness looks at pixels"),
        ({"data.source": "photos", "model.name": "mlp", "data.size": 1}, "data.size: 1 is for points in the plane"),
    ],
)
def test_what_makes_no_sense_for_points_is_refused(overrides, message):
    with pytest.raises(UsageError) as refused:
        recipe(**overrides)
    assert message in str(refused.value)


def test_scores_of_points_refuse_what_is_about_images(run, tmp_path):
    for options in ({"worst": tmp_path / "worst.png"}, {"metrics": ("sharpness",)}):
        with pytest.raises(UsageError, match="makes points, not images"):
            score(run.path, None, ScoreOptions(device="cpu", **options))


def test_a_study_of_points_needs_no_look_at_images(tmp_path):
    grid = [{"name": "narrow"}, {"name": "wide", "model.base_width": 8}]
    jobs = plan_jobs(recipe(grid=grid), StudyDir(tmp_path / "study"))
    assert [(job.num_images, job.data.num_held) for job in jobs] == [(40, 2500)] * 2


def test_more_points_than_there_are_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"data.limit 2000: grid:bourgan has 1,250 points"):
        train(recipe(**{"data.source": "grid:bourgan", "data.limit": 2000}), out=tmp_path / "run", device="cpu")
    assert not torch.cuda.is_initialized()
