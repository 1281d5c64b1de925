"""The page shows what a network says of models that it helped to train, and lets it decide nothing."""

import csv
import io
import re

import pytest
import report_runs as made

from smallgan.report import collect, find_runs, render
from smallgan.report.export import tables
from smallgan.report.phrases import conclusion_phrase, verdicts


def test_a_struck_judge_gives_no_verdict_and_another_does(tmp_path):
    study = made.make_study(tmp_path / "study", made.LEVELS)
    for run in made.runs_of(study):
        made.add_judge(run, "other")
        made.strike(run)
    report = collect(find_runs([study]))
    assert [ranking.label for ranking in report.headline] == ["KMMD (other)"]
    (verdict,) = verdicts(report)
    assert verdict.sentence.startswith("hflip lowers KMMD (other) by ")
    struck = next(one for one in report.rankings if one.label == f"KMMD ({made.FEATURES}) [struck]")
    assert [conclusion_phrase(struck, one) for one in struck.differences if one] == ["struck: no judge"]
    assert {record["conclusion"] for record in struck.records(report.groups)} == {"struck"}
    page = render(report)
    assert f"KMMD ({made.FEATURES}) <small>[struck]</small></th>" in page, "the standing is small in the table"
    assert "<strong>[struck]</strong>: the network helped to train" in page, "and is explained under it"
    heads = re.findall(r'<th scope="col">(\w+) \((.*?)\)', page[page.index('<table class="scores') :])
    ours = made.FEATURES
    assert heads[:3] == [("KMMD", "other"), ("KMMD", ours), ("IS", ours)], "what does not count is last"
    assert "struck: it helped" in page
    scores = list(csv.DictReader(io.StringIO(tables(report)["scores.csv"].decode())))
    assert {row["standing"] for row in scores if row["label"] == "KMMD (other)"} == {""}
    assert {row["standing"] for row in scores if row["label"] == f"KMMD ({made.FEATURES})"} == {"struck"}


@pytest.mark.parametrize("metric", [None, "kmmd"])
def test_where_all_judges_are_struck_there_is_no_conclusion(tmp_path, metric):
    study = made.make_study(tmp_path / "study", made.LEVELS)
    for run in made.runs_of(study):
        made.strike(run)
    report = collect(find_runs([study]), metric=metric)
    assert [verdict.sentence.split(":")[0] for verdict in verdicts(report)] == ["No conclusion"]
    assert "smallgan score RUN --features panel" in render(report)


def test_one_struck_run_makes_the_column_no_judge_of_both(tmp_path):
    one, other = (made.make_run(tmp_path / name, name, level=level) for name, level in (("none", 0.0), ("hflip", 1.0)))
    made.strike(other)
    report = collect(find_runs([one, other]))
    assert {column.label for column in report.columns} == {
        f"IS ({made.FEATURES}) [struck for some]",
        f"KMMD ({made.FEATURES}) [struck for some]",
    }
    assert report.headline == ()


def test_a_relative_is_marked_and_counts(tmp_path):
    study = made.make_study(tmp_path / "study", made.LEVELS)
    for run in made.runs_of(study):
        made.strike(run, standing="related")
    report = collect(find_runs([study]))
    assert [ranking.label for ranking in report.headline] == [f"KMMD ({made.FEATURES}) [related]"]
    assert verdicts(report)[0].sentence.startswith(f"hflip lowers KMMD ({made.FEATURES}) [related] by")
