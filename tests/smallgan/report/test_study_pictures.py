"""The pictures of a study's report: grids, strips, sheets, and how large they may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report_runs as made
from html_page import Page
from PIL import Image

from smallgan.report import collect, find_runs, render, write_report
from smallgan.report.pictures import BUDGET_BYTES, Sizes, sizes_for

# KMMD at the end = 0.75 - level / 10 at 300 steps. hflip is lower by 0.10 to 0.14, contrast differs by chance only.
LEVELS = {
    "none": [0.0, 1.0, -1.0, 0.5, -0.5],
    "hflip": [1.0, 2.1, 0.2, 1.4, 0.9],
    "contrast": [0.1, 0.9, -0.9, 0.4, -0.6],
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return made.make_study(tmp_path / "00003-which", LEVELS)


# Pictures


@pytest.mark.slow
def test_thumbnails_shrink_until_the_page_fits(tmp_path, monkeypatch):
    monkeypatch.setattr("smallgan.report.pictures.BUDGET_BYTES", 60_000)
    run = made.make_run(tmp_path / "a", steps=1000)
    for step in range(0, 1001, 100):
        Image.effect_noise((600, 600), 90).convert("RGB").save(run / f"fakes-{step:06d}.png")
    report = collect([run])
    assert sum(len(picture.data) for picture in report.runs[0].pictures) <= 60_000
    assert len(report.runs[0].snapshots) == 8
    assert report.runs[0].snapshots[-1].picture.width > report.runs[0].snapshots[0].picture.width


def test_sizes_for_a_few_pictures_are_the_largest():
    assert sizes_for(3, 8) == Sizes()
    many = sizes_for(240, 480)
    assert 96 <= many.small < many.large < 1024
    assert many.large**2 * 0.3 * 240 + many.small**2 * 0.3 * 480 <= BUDGET_BYTES


def test_interpolations_and_nearest_training_images_are_shown_where_they_are(study):
    run = study / "runs" / "00005-hflip-s0"
    walk = run / "samples" / "interpolation-seeds-0-3"
    walk.mkdir(parents=True)
    Image.new("RGB", (64, 8), "red").save(walk / "strip.png")
    Image.new("RGB", (32, 16), "blue").save(run / "samples" / "worst.png")
    text = render(collect(find_runs([study])))
    assert "Latent interpolations" in text
    assert "Nearest training images" in text
    assert 'alt="Latent interpolations of 00005-hflip-s0"' in text
    assert "Reconstructions" not in text


def sheet_of(run: Path, seed: int, distances: list[float]) -> Path:
    """Write a sheet and its numbers, as `smallgan run` does."""
    folder = run / "samples" / f"step-000300-nearest-seed{seed}"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 32), (9 * seed, 90, 90)).save(folder / "worst.png")
    added = {"added": "a__hflip.png", "added_distance": 0.125}
    rows = [
        {"sample": number, "original": f"{number}.png", "distance": distance, "added": None, "added_distance": None}
        for number, distance in enumerate(distances)
    ]
    facts = {
        "step": 300, "seed": seed, "features": "net", "weights_sha256": "0" * 64, "num_fake": 1000,
        "num_originals": 40, "num_added": 40, "copy_distance": 0.5, "nearest": [rows[0] | added, *rows[1:]],
    }  # fmt: skip
    (folder / "worst.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder / "worst.json"


def test_the_sheet_of_the_first_seed_is_shown_and_the_others_are_linked(study):
    for seed in range(5):
        sheet_of(study / "runs" / f"{5 + seed:05d}-hflip-s{seed}", seed, [0.25, 0.375, 0.75])
    page = Page(render(collect(find_runs([study])), study))
    alts = [tag["alt"] for name, tag in page.tags if name == "img" and "Nearest" in str(tag["alt"])]
    assert alts == ["Nearest training images of 00005-hflip-s0: 3 samples, each above its nearest training image"]
    assert (
        "The 3 of 1,000 samples that are nearest to a training image, each above its nearest original; distances 0.125 "
        "to 0.750 in the features of net. 1 of them is nearer to an added image, shown below it. A sample closer than "
        "0.500 to an original counts as a copy: 2 of these do."
    ) in page.text
    sheets = {file for file in page.files if "worst" in file}
    assert sheets == {
        f"runs/{5 + seed:05d}-hflip-s{seed}/samples/step-000300-nearest-seed{seed}/worst.png" for seed in range(5)
    }
    assert all((study / file).is_file() for file in sheets)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[", "[]", '{"nearest": []}', '{"nearest": [{"sample": 1}]}'])
def test_a_sheet_whose_numbers_are_broken_is_shown_without_them_and_named(study, text):
    sheet_of(study / "runs" / "00005-hflip-s0", 0, [0.25]).write_text(text, encoding="utf-8")
    report = collect(find_runs([study]))
    ((label, problem),) = report.problems
    assert label == "00005-hflip-s0"
    assert problem.startswith("samples/step-000300-nearest-seed0/worst.json: ")
    assert 'alt="Nearest training images of 00005-hflip-s0"' in render(report)


def test_a_page_of_a_study_is_the_same_every_time(study):
    report = collect(find_runs([study]))
    assert render(report) == render(collect(find_runs([study])))
    assert write_report(report, find_runs([study])) == study / "report.html"
