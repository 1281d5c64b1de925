"""Runs on different originals on one page: each dataset is compared separately."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import report_runs as made
from html_page import Page
from report_runs import NOT_HELD_OUT

from smallgan.report import collect, find_runs, render
from smallgan.report.datasets import datasets_of
from smallgan.report.export import export_files
from smallgan.report.phrases import verdicts

LEVELS = {
    "faces BSA": [0.0, 0.4, 0.2],
    "faces APGC": [1.0, 1.5, 1.25],
    "cats BSA": [3.0, 3.3, 3.6],
    "cats APGC": [3.0, 3.4, 3.5],
}


def with_data(run: Path, **metadata: object) -> None:
    """Change what data.json says, and the set of reals of the KMMD with it."""
    path = run / "data.json"
    data = json.loads(path.read_text(encoding="utf-8")) | metadata
    made.write_json(path, data)
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["metric"] == "kmmd":
            line["identity"]["reals"] = data["fingerprint"]
    made.write_lines(run / "scores.jsonl", lines)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    study = made.make_study(tmp_path / "00001-two", LEVELS)
    for run in (study / "runs").iterdir():
        dataset = "faces" if "faces" in run.name else "cats"
        with_data(run, source=f"photos/{dataset}", fingerprint=dataset[0] * 64, policy="none")
    return study


def test_each_dataset_has_its_own_reference_and_verdict(study):
    report = collect(find_runs([study]))
    assert set(report.datasets) == {"faces", "cats"}
    rankings = {(one.metric, report.columns[one.column].dataset): one for one in report.rankings}
    assert rankings.keys() == {(metric, dataset) for metric in ("is", "kmmd") for dataset in ("faces", "cats")}
    for (_, dataset), one in rankings.items():
        names = {report.groups[index].name for index in one.order}
        assert names == {f"{dataset} BSA", f"{dataset} APGC"}
        assert report.groups[one.reference].name == f"{dataset} BSA"
    faces, cats = verdicts(report)
    assert faces.sentence.startswith("Preliminary: faces APGC lowers KMMD (smallgan-features) on faces by")
    assert cats.sentence == (
        "No significant difference in KMMD (smallgan-features) on cats between cats APGC and the reference cats BSA "
        f"(3 seeds).{NOT_HELD_OUT}"
    )


def test_training_length_on_another_dataset_is_no_caveat(study):
    for run in (study / "runs").iterdir():
        if "cats" in run.name:
            recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
            (run / "recipe.yaml").write_text(recipe.replace("batch_size: 16", "batch_size: 32"), encoding="utf-8")
    found = verdicts(collect(find_runs([study])))
    assert len(found) == 2
    assert not any("Training length differs" in text for verdict in found for text in verdict.details)


def test_the_page_names_the_datasets_and_keeps_them_apart(study):
    report = collect(find_runs([study]))
    page = Page(render(report))
    assert "4 variants under 3 seeds each, 12 runs, on faces and cats, compared separately." in page.text
    tables = [str(tag["aria-label"]) for name, tag in page.tags if name == "div" and "aria-label" in tag]
    assert [name for name in tables if name.startswith("Scores of the runs")] == [
        *("Scores of the runs on faces", "Scores of the runs on cats")
    ]
    assert "not scored" not in page.text
    assert "olicies" not in page.text
    rows = csv.DictReader(io.StringIO(export_files(report)["scores.csv"].decode()))
    assert {(row["policy"].split()[0], row["dataset"]) for row in rows} == {("faces", "faces"), ("cats", "cats")}


def run_of(tmp_path: Path, name: str, **metadata: object) -> Path:
    run = made.make_run(tmp_path / name, "none", steps=100)
    data = json.loads((run / "data.json").read_text(encoding="utf-8"))
    made.write_json(run / "data.json", {**data, "fingerprint": name * 8, **metadata})
    return run


def test_parts_of_a_folder_and_sets_of_the_same_files_are_one_dataset(tmp_path):
    held = {"holdout": {"num": 5, "fingerprint": "held"}}
    runs = [
        run_of(tmp_path, "a", source="cats"),
        run_of(tmp_path, "b", source="cats/"),  # 50 instead of 25 of the same folder
        run_of(tmp_path, "c", source="elsewhere/cats", **held),
        run_of(tmp_path, "d", source="dogs"),
        run_of(tmp_path, "e", source="copy-of-dogs", fingerprint="d" * 8),
        run_of(tmp_path, "f", source="mixed", fingerprint="f" * 8, **held),
    ]
    names = datasets_of(collect(runs).runs)
    assert names == ["cats", "cats", "elsewhere/cats", "dogs", "dogs", "elsewhere/cats"]
    assert datasets_of(collect(runs[:2]).runs) == ["", ""]


def test_a_run_that_ties_two_sets_together_makes_them_one(tmp_path):
    runs = [
        run_of(tmp_path, "a", source="one"),
        run_of(tmp_path, "b", source="two"),
        run_of(tmp_path, "c", source="two", fingerprint="a" * 8),
    ]
    assert datasets_of(collect(runs).runs) == ["", "", ""]


def test_a_run_without_a_record_of_its_images_is_no_dataset_of_its_own(tmp_path):
    runs = [run_of(tmp_path, name, source="one") for name in "ab"]
    (runs[1] / "data.json").unlink()
    assert datasets_of(collect(runs).runs) == ["", ""]
