"""The report of a study: groups, verdict, order, figures, numbers to take away, and what is missing."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_runs as made
from html_page import Page
from report_runs import NOT_HELD_OUT, run_command

from augment.errors import InputError
from smallgan.report import collect, find_runs, render, write_export
from smallgan.report.bars import bar_svg, difference_chart
from smallgan.report.curves import score_charts, stats_charts
from smallgan.report.export import export_files
from smallgan.report.phrases import verdicts

# KMMD at the end = 0.75 - level / 10 at 300 steps. hflip is lower by 0.10 to 0.14, contrast differs by chance only.
LEVELS = {
    "none": [0.0, 1.0, -1.0, 0.5, -0.5],
    "hflip": [1.0, 2.1, 0.2, 1.4, 0.9],
    "contrast": [0.1, 0.9, -0.9, 0.4, -0.6],
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return made.make_study(tmp_path / "00003-which", LEVELS)


# Groups


def test_the_cells_of_a_study_are_its_policies(study):
    report = collect(find_runs([study]))
    assert [group.name for group in report.groups] == ["none", "hflip", "contrast"]
    assert [group.seeds for group in report.groups] == [(0, 1, 2, 3, 4)] * 3
    assert [group.is_reference for group in report.groups] == [True, False, False]
    assert report.differences == {"augment.policy": ("none",) * 5 + ("hflip",) * 5 + ("contrast",) * 5}
    assert report.problems == ()


def test_plain_runs_are_grouped_by_recipe_but_for_the_seed(tmp_path):
    for seed in (2, 0, 1):
        made.make_run(tmp_path / f"a-{seed}", "hflip", steps=200, seed=seed, name=f"try-{seed}")
        made.make_run(tmp_path / f"b-{seed}", "none", steps=200, seed=seed)
        made.make_run(tmp_path / f"c-{seed}", "hflip", steps=200, seed=seed, batch_size=32)
    report = collect(find_runs([tmp_path]))
    assert [group.name for group in report.groups] == [
        "hflip, batch_size 16",
        "none, batch_size 16",
        "hflip, batch_size 32",
    ]
    assert [group.seeds for group in report.groups] == [(0, 1, 2)] * 3
    assert report.reference == "none, batch_size 16"
    assert [report.runs[number].label for number in report.groups[0].runs] == ["a-0", "a-1", "a-2"]
    (verdict,) = verdicts(report)
    assert any("Training length differs: 3,200 to 6,400 images per run" in text for text in verdict.details)


def test_of_one_recipe_and_seed_the_later_run_counts(tmp_path):
    for name, seed, level in (("00000-a", 0, 0.0), ("00001-a", 1, 0.0), ("00002-a", 0, 1.0)):
        made.make_run(tmp_path / name, "none", steps=200, seed=seed, level=level)
    report = collect(find_runs([tmp_path]))
    assert report.groups[0].runs == (2, 1)
    assert report.problems == (("00000-a", "not counted: 00002-a has the same recipe and seed (0)"),)
    Page(render(report))


def test_the_reference_and_the_measure_can_be_named(study):
    report = collect(find_runs([study]), reference="contrast", metric="is")
    assert report.reference == "contrast"
    assert [ranking.metric for ranking in report.headline] == ["is"]
    with pytest.raises(InputError, match=r"--reference gan: no policy here.*none, hflip, contrast"):
        collect(find_runs([study]), reference="gan")
    with pytest.raises(InputError, match=r"--metric fid: no run has such a score; there are is, kmmd"):
        collect(find_runs([study]), metric="fid")


def test_a_run_of_the_study_is_named_by_its_place_in_it(study):
    path = study / "runs" / "00005-hflip-s0" / "recipe.yaml"
    recipe = path.read_text(encoding="utf-8")
    own = f"generator: {(study / 'runs' / '00000-none-s0').as_posix()}"
    path.write_text(recipe.replace("generator: null", own), encoding="utf-8")
    other = study / "runs" / "00006-hflip-s1" / "recipe.yaml"
    other.write_text(recipe.replace("generator: null", "generator: /elsewhere/runs/00000-none-s0"), encoding="utf-8")
    shown = collect(find_runs([study])).differences["augment.generator"]
    assert shown[4:8] == (None, "runs/00000-none-s0", "/elsewhere/runs/00000-none-s0", None)


# The verdict


def test_the_verdict_names_what_helps_and_by_how_much(study):
    report = collect(find_runs([study]))
    (ranking,) = report.headline
    assert ranking.metric == "kmmd"
    hflip = ranking.differences[1]
    # differences of level 1.0, 1.1, 1.2, 0.9, 1.4, divided by -10
    assert hflip.mean == pytest.approx(-0.112)
    assert hflip.conclusion == "lower"
    assert [report.groups[index].name for index in ranking.order] == ["hflip", "none", "contrast"]
    (verdict,) = verdicts(report)
    low, high = (-bound for bound in reversed(hflip.interval))
    assert verdict.sentence == (
        f"hflip lowers KMMD (smallgan-features) by 0.112 [{low:.3f}, {high:.3f}] (better), "
        f"compared with none over 5 seeds.{NOT_HELD_OUT}"
    )
    assert verdict.details[0] == "No significant difference between contrast and none."
    text = Page(render(report)).text
    assert verdict.sentence in text
    assert "KMMD (smallgan-features) at the end of training, lower is better" in text


def test_three_seeds_are_preliminary_and_their_power_is_given(tmp_path):
    study = made.make_study(tmp_path / "s", {policy: levels[:3] for policy, levels in LEVELS.items()})
    report = collect(find_runs([study]))
    (verdict,) = verdicts(report)
    assert verdict.sentence.startswith("Preliminary: hflip lowers KMMD")
    assert verdict.sentence.endswith(f"(better), compared with none over 3 seeds.{NOT_HELD_OUT}")
    detectable = report.headline[0].differences[1].min_detectable
    assert verdict.details[0].startswith(
        "With fewer than 5 seeds the result is preliminary: this study has 80 % power to"
    )
    assert f"{detectable:.3f}" in verdict.details[0]
    assert "better (few seeds)" in Page(render(report)).text


def test_no_significant_difference_is_a_result(tmp_path):
    study = made.make_study(tmp_path / "s", {policy: LEVELS[policy] for policy in ("none", "contrast")})
    (verdict,) = verdicts(collect(find_runs([study])))
    assert verdict.sentence == (
        "No significant difference in KMMD (smallgan-features) between contrast and the reference none (5 seeds)."
        f"{NOT_HELD_OUT}"
    )
    assert "not evidence of no effect: this study has 80 % power" in verdict.details[0]


def test_one_seed_gives_no_conclusion_and_says_so(tmp_path):
    for policy in ("none", "hflip"):
        made.make_run(tmp_path / policy, policy, steps=200)
    report = collect(find_runs([tmp_path]))
    (verdict,) = verdicts(report)
    assert verdict.sentence == "No conclusion: only one seed each."
    assert "no evidence of a difference between policies" in Page(render(report)).text
    assert verdicts(collect(find_runs([tmp_path / "none"]))) == ()


def test_equal_scores_under_every_seed_are_called_identical(tmp_path):
    study = made.make_study(tmp_path / "s", {"none": [0.0, 1.0, 2.0], "hflip": [0.0, 1.0, 2.0]})
    report = collect(find_runs([study]))
    assert "identical" in Page(render(report)).text
    (verdict,) = verdicts(report)
    assert verdict.sentence == (
        "No conclusion: the differences are the same under every seed, so the variance cannot be estimated."
    )


def test_unfinished_and_failed_runs_are_named_and_do_not_count(tmp_path):
    states = {("hflip", 4): "failed", ("contrast", 4): "pending"}
    report = collect(find_runs([made.make_study(tmp_path / "s", LEVELS, states=states)]))
    assert [len(scores) for scores in report.headline[0].scores] == [5, 4, 4]
    assert ("hflip, seed 4", "failed: loss_g is not finite at step 130") in report.problems
    assert ("contrast, seed 4", "not begun") in report.problems
    (verdict,) = verdicts(report)
    assert verdict.sentence.startswith("Preliminary: ")
    assert "over 4 seeds" in verdict.sentence
    assert any("hflip (4 of 5)" in text and "overstate" in text for text in verdict.details)


def test_the_order_is_that_of_paired_differences_not_of_whose_seeds_are_there(tmp_path):
    # of gan only seed 1 is done, which is good for every policy: by its mean alone it would be the best
    states = {("gan", seed): "failed" for seed in (0, 2)}
    levels = {"none": [0.0, 1.0, -1.0], "hflip": [0.3, 1.2, -0.6], "gan": [0.0, 1.1, -1.0]}
    report = collect(find_runs([made.make_study(tmp_path / "s", levels, states=states)]))
    (ranking,) = report.headline
    assert ranking.mean(2) < ranking.mean(1)
    assert [report.groups[index].name for index in ranking.order] == ["hflip", "gan", "none"]
    text = Page(render(report)).text
    assert "Not tested: gan, because with one seed the variance cannot be estimated." in text
    assert "not tested (one seed)" in text


def test_a_study_without_a_finished_reference_has_no_verdict_yet(tmp_path):
    states = {("none", seed): "failed" for seed in range(5)}
    report = collect(find_runs([made.make_study(tmp_path / "s", LEVELS, states=states)]))
    (verdict,) = verdicts(report)
    assert verdict.sentence == "No conclusion yet: the reference none has no final score."
    Page(render(report))


def test_a_study_that_has_not_begun_says_how_to(tmp_path):
    study = made.make_study(tmp_path / "s", {"none": [0.0]}, states={("none", 0): "pending"})
    with pytest.raises(InputError, match=r"s: a study of 1 run.*none of which has begun.*smallgan run"):
        find_runs([study])
    (study / "trials.json").write_text("[{", encoding="utf-8")
    with pytest.raises(InputError, match=r"trials\.json"):
        find_runs([study])


# Figures and numbers


def test_metrics_methods_and_models_of_other_versions_are_shown(study):
    changes = (
        ("scores.jsonl", '"kmmd"', '"old"'),
        ("recipe.yaml", "adversarial", "old"),
        ("recipe.yaml", "dcgan", "old"),
    )
    for run in (study / "runs").iterdir():
        for name, before, after in changes:
            text = (run / name).read_text(encoding="utf-8")
            assert before in text
            (run / name).write_text(text.replace(before, after), encoding="utf-8")
    report = collect(find_runs([study]), metric="old")
    assert [(one.metric, one.better) for one in report.headline] == [("old", None)]
    assert [chart.name for chart in stats_charts(report)] == ["loss-d", "loss-g", "score-real"]
    (verdict,) = verdicts(report)
    assert "depends on the question" in " ".join(verdict.details)
    Page(render(report))


def test_curves_are_means_over_seeds_with_their_range(study):
    chart = score_charts(collect(find_runs([study])))[1]
    none, hflip, _ = chart.lines
    # KMMD at step 300 is 0.75 - level / 10, levels -1 to 1
    assert none.points[-1] == (300, pytest.approx(0.75))
    assert none.band[-1] == (300, pytest.approx(0.65), pytest.approx(0.85))
    assert hflip.points[-1] == (300, pytest.approx(0.638))
    assert "Lower is better." in chart.note
    assert "range over seeds" in chart.note


def test_a_difference_is_drawn_where_its_number_says(study):
    report = collect(find_runs([study]))
    chart = difference_chart(report, report.headline[0])
    assert [bar.name for bar in chart.bars] == ["hflip", "contrast"]
    assert [bar.is_significant for bar in chart.bars] == [True, False]
    drawing = ElementTree.fromstring(str(bar_svg(chart)))
    marks = [one for one in drawing.iter() if one.get("class", "").startswith("mark")]
    first, second = (float(one.get("transform").split("(")[1].split()[0]) for one in marks)
    (line,) = (one for one in drawing.iter() if one.get("class") == "reference")
    zero = float(line.get("d").split()[0][1:])
    slope = (zero - first) / 0.112
    assert zero - second == pytest.approx(slope * -chart.bars[1].value, abs=0.2)
    assert marks[1].get("class") == "mark hollow"


def test_the_numbers_of_the_page_are_those_of_the_files(study, tmp_path):
    report = collect(find_runs([study]))
    paths = {path.name: path for path in write_export(report, tmp_path / "out")}
    scores = list(csv.DictReader(io.StringIO(paths["scores.csv"].read_text(encoding="utf-8"))))
    assert len(scores) == 15 * 4 * 2
    ends = [float(row["value"]) for row in scores if row["policy"] == "hflip" and row["step"] == "300"]
    assert sum(ends[5:]) / 5 == pytest.approx(0.638)
    rows = list(csv.DictReader(io.StringIO(paths["verdicts.csv"].read_text(encoding="utf-8"))))
    (hflip,) = (row for row in rows if row["policy"] == "hflip" and row["metric"] == "kmmd")
    assert float(hflip["difference"]) == pytest.approx(-0.112)
    assert (hflip["rank"], hflip["conclusion"], hflip["num_pairs"]) == ("1", "lower", "5")
    told = json.loads(paths["report.json"].read_text(encoding="utf-8"))
    assert [policy["policy"] for policy in told["policies"]] == ["none", "hflip", "contrast"]
    page = Page(render(report))
    saved = {a["download"]: a["href"] for tag, a in page.tags if tag == "a" and "download" in a}
    assert saved.keys() == paths.keys() == export_files(report).keys()
    for name, link in saved.items():
        assert base64.b64decode(link.partition(",")[2]) == paths[name].read_bytes()


def test_baselines_and_the_number_of_images_needed_stand_beside_the_scores(study):
    for number, run in enumerate(sorted((study / "runs").iterdir())):
        made.with_baselines(run, 0.25 + number / 1000)
    report = collect(find_runs([study]))
    page = Page(render(report))
    # above the table of policies, and beside each score
    assert (
        "KMMD (smallgan-features): too few images (100 generated, 100 real): use at least 1,000 of each. "
        "Real-vs-real baseline 0.250 to 0.264 (40 vs 60 images)."
    ) in page.text
    assert "Real-vs-real baseline 2.500 to 2.640 (100 images)." in page.text
    few = "too few images (100 generated, 100 real): use at least 1,000 of each real-vs-real baseline"
    assert page.text.count(few) == 15
    assert "Where you have no more real images, go by KID" in page.text
    assert "real-vs-real baseline 0.255 (40 vs 60 images)" in page.text
    files = export_files(report)
    rows = [row for row in csv.DictReader(io.StringIO(files["scores.csv"].decode())) if row["step"] == "300"]
    last = rows[-1]
    assert [last[name] for name in ("baseline_num_fake", "baseline_num_real", "images_needed_per_set")] == [
        *("40", "60", "1000")
    ]
    assert (last["policy"], last["seed"], float(last["baseline"])) == ("contrast", "4", pytest.approx(0.264))
    told = json.loads(files["report.json"])["runs"][0]["scores"]
    assert [(score["last"]["baseline"], score["last"]["needed"]) for score in told] == [(2.5, None), (0.25, 1000)]


def test_without_baselines_the_page_names_none(study):
    text = Page(render(collect(find_runs([study])))).text
    assert "baseline" not in text
    assert "oo few images" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", [{"baseline": "low"}, {"baseline_counts": 7}, {"baseline_counts": [1, 2, 3]}, {"needed": "x"}]
)
def test_a_broken_baseline_still_gives_a_page(study, broken):
    run = study / "runs" / "00000-none-s0"
    made.with_baselines(run)
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    made.write_lines(run / "scores.jsonl", [*lines[:-1], lines[-1] | broken])
    Page(render(collect(find_runs([study]))))


def test_figures_stand_alone(study, tmp_path):
    for path in write_export(collect(find_runs([study])), tmp_path / "out"):
        if path.suffix == ".svg":
            drawing = ElementTree.fromstring(path.read_bytes())
            assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
            assert b"var(" not in path.read_bytes()
            assert float(drawing.get("height")) > 0


def test_the_command_writes_into_the_study_and_exports(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_command("00003-which", "--export", "out", "--json")
    assert code == 0
    assert json.loads(out)["report"] == str(Path("00003-which/report.html"))
    assert "out: " in err
    assert (tmp_path / "out" / "verdicts.csv").is_file()
    page = Page((study / "report.html").read_text(encoding="utf-8"))
    assert all((study / file).is_file() for file in page.files)
    assert len(page.files) == 15 * 4
