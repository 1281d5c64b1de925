"""The readings of a run on the page: their charts, and what they warn of, once."""

import report_runs as made
from html_page import Page

from smallgan.report.collect import collect
from smallgan.report.curves import reading_charts
from smallgan.report.render import render


def with_readings(folder, lines):
    run = made.make_run(folder)
    made.write_lines(run / "diagnostics.jsonl", lines)
    return run


def readings(*copies):
    return [
        {"step": 100 * at, "copies": share, "copies_expected": 0.01, "num_fake": 100, "told_apart": 0.8}
        for at, share in enumerate(copies)
    ]


def test_readings_are_drawn_and_runs_without_them_draw_nothing(tmp_path):
    plain = made.make_run(tmp_path / "plain")
    assert reading_charts(collect([plain])) == []
    read = with_readings(tmp_path / "read", readings(0.0, 0.02, 0.04))
    charts = {chart.name: chart for chart in reading_charts(collect([plain, read]))}
    assert list(charts) == ["told-apart", "copies"]
    assert charts["copies"].lines[0].points == ((0, 0.0), (100, 0.02), (200, 0.04))
    assert charts["copies"].note.endswith("Each point: one snapshot.")


def test_a_warning_stands_on_the_page_once_and_in_the_json(tmp_path):
    report = collect([with_readings(tmp_path / "a", readings(0.0, 0.2, 0.2, 0.2))])
    [(label, text)] = report.warnings
    assert (label, text[:60]) == ("a", "step 100: 20.0 % of the samples are copies of training image")
    assert Page(render(report)).text.count("20.0 % of the samples are copies") == 1
    assert report.to_json()["warnings"] == [{"run": "a", "warning": text}]
    assert report.problems == ()
    quiet = collect([with_readings(tmp_path / "b", readings(0.0, 0.02))])
    assert "Warnings while training" not in Page(render(quiet)).text


def test_damaged_readings_are_named_and_the_rest_is_shown(tmp_path):
    lines = [{"step": 0, "copies": 7.0, "copies_expected": 0.01, "num_fake": 100}]
    report = collect([with_readings(tmp_path / "a", lines)])
    assert [problem.split(":")[0] for _, problem in report.problems] == ["diagnostics.jsonl"]
    assert report.runs[0].scores
