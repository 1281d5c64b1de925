"""A page of very many variants: the tables have all, and what is drawn are the reference and the best."""

import re

import pytest
from report_runs import make_study

from smallgan.report import collect, find_runs
from smallgan.report.collect import MAX_DRAWN
from smallgan.report.curves import score_charts
from smallgan.report.render import render

NUM_VARIANTS = 70
# at level L the KMMD of a run is lower by L / 10: variant 69 is the best, and "none" the worst but one
LEVELS = {"none": [-0.001]} | {f"hflip:{number}": [0.01 * number] for number in range(NUM_VARIANTS - 1)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("many") / "which", LEVELS, steps=200, every=100, grid_side=40)


def test_the_reference_and_the_best_are_drawn_and_all_are_in_the_tables(study):
    report = collect(find_runs([study]))
    assert (len(report.groups), len(report.drawn)) == (NUM_VARIANTS, MAX_DRAWN)
    assert report.groups[0].is_reference
    assert report.drawn == (0, *range(NUM_VARIANTS - MAX_DRAWN + 1, NUM_VARIANTS))
    drawn = {number for index in report.drawn for number in report.groups[index].runs}
    assert {number for number, run in enumerate(report.runs) if run.pictures} == drawn
    assert {len(chart.lines) for chart in score_charts(report)} == {MAX_DRAWN}
    page = render(report)
    assert page.count("60 of 70 policies are drawn here</strong>") == 3
    table = re.search(r'(?s)<table class="sortable ranked">.*?</table>', page)[0]
    assert table.count('<th scope="row">') == NUM_VARIANTS
    assert len(report.to_json()["runs"]) == NUM_VARIANTS


def test_of_few_all_are_drawn_and_nothing_is_said(tmp_path):
    folder = make_study(tmp_path / "few", dict(list(LEVELS.items())[:3]), steps=200, every=100, grid_side=40)
    report = collect(find_runs([folder]))
    assert report.drawn == (0, 1, 2)
    assert "drawn here" not in render(report)
