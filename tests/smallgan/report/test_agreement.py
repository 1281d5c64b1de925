"""One sentence says whether the judges agree; struck ones have no voice in it."""

import json

import pytest
import report_runs as made

from smallgan.report import collect, find_runs, render
from smallgan.report.agreement import agreement


def of(*paths, **options):
    return agreement(collect(find_runs(list(paths)), **options))


@pytest.fixture
def run(tmp_path):
    """KMMD falls from step 100 to 1,000, as the network of the run sees it."""
    return made.make_run(tmp_path / "run")


def test_of_one_run_the_last_snapshot_is_compared_with_the_first_that_was_trained(run):
    assert of(run) == (), "one judge has nobody to agree with"
    made.add_judge(run, "other")
    made.add_judge(run, "third")
    assert of(run) == ("All 3 judges call step 1,000 better than step 100 (KMMD).",)


def test_who_disagrees_is_named(run):
    made.add_judge(run, "other")
    made.add_judge(run, "third", sign=-1)
    assert of(run) == ("2 of 3 judges call step 1,000 better than step 100; third does not (KMMD).",)


def test_all_may_call_it_worse(tmp_path):
    run = made.make_run(tmp_path / "run", level=0.0)
    for name in ("other", "third"):
        made.add_judge(run, name, sign=-1)
    made.strike(run)
    sentence = "None of 2 judges calls step 1,000 better than step 100 (KMMD)."
    assert of(run) == (f"{sentence} Struck out: {made.FEATURES}.",)


def test_a_relative_has_a_voice_and_is_named(run):
    made.add_judge(run, "other")
    made.strike(run, networks=("other",), standing="related")
    assert of(run) == (
        "Both judges call step 1,000 better than step 100 (KMMD; other related to a network that trained a model).",
    )


def test_two_runs_are_compared_by_their_last_scores(tmp_path):
    low, high = (made.make_run(tmp_path / name, name, level=level) for name, level in (("none", 0.0), ("hflip", 1.0)))
    for each in (low, high):
        made.add_judge(each, "other")
    assert of(low, high) == ("Both judges call hflip better than none (KMMD).",)
    for each in (low, high):
        made.add_judge(each, "third", sign=-1)
    assert of(low, high) == (
        f"The judges disagree: {made.FEATURES} and other put hflip first and third puts none first (KMMD).",
    )


def test_policies_of_a_study_are_ranked_by_each_judge(tmp_path):
    study = made.make_study(tmp_path / "study", made.LEVELS | {"vflip": [3.0, 3.1, 2.9, 3.0, 3.2]})
    for each in made.runs_of(study):
        made.add_judge(each, "other")
    assert of(study) == ("Both judges put vflip first of 3 policies (KMMD).",)
    assert "<strong>Both judges put vflip first of 3 policies (KMMD).</strong>" in render(collect(find_runs([study])))


def test_a_score_that_is_no_number_has_no_voice(run):
    add = json.loads((run / "scores.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    made.add_judge(run, "other")
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    made.write_lines(run / "scores.jsonl", [*lines, add | {"step": 1100, "value": None}])
    assert of(run) == ("Both judges call step 1,000 better than step 100 (KMMD).",)


def test_without_a_direction_or_a_second_trained_snapshot_nothing_is_said(tmp_path, run):
    made.add_judge(run, "other")
    assert of(run, metric="is") == ()
    short = made.make_run(tmp_path / "short", steps=100)
    made.add_judge(short, "other")
    assert of(short) == (), "anything is better than no training"
