"""What the report shows of a transfer: its reconstructions, and errors in place of a loss that is a constant."""

from __future__ import annotations

import shutil

import report_runs as made
import yaml

from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.report import collect, find_runs, render
from smallgan.report.curves import stats_charts


def transfer_run(folder):
    made.make_run(folder, "none", steps=300)
    run = RunDir(folder)
    recipe = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    del recipe["model"], recipe["loss"]
    recipe["method"] = {"name": "apgc", "group_size": 16}
    run.recipe.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    lines = [
        {"step": line["step"], "loss_g": 1.1, "pixel": 0.4 - line["step"] / 1000, "perceptual": 0.5, "latent": 130.0}
        for line in read_jsonl(run.stats)
    ]
    made.write_lines(run.stats, lines)
    for step in (100, 300):
        shutil.copyfile(run.reals, run.reconstructions(step))
    return run


def test_a_transfer_shows_its_newest_reconstructions_and_says_what_it_is(tmp_path):
    run = transfer_run(tmp_path / "apgc")
    report = collect(find_runs([run.path]))
    (sheet,) = report.runs[0].sheets_of("reconstructions")
    assert (sheet.step, sheet.picture is None) == (300, False)
    page = render(report)
    assert "Transfer by APGC at 32 px" in page
    assert "each above the image that its latent code generates" in page


def test_errors_of_a_transfer_are_drawn_and_its_constant_loss_is_not(tmp_path):
    transfer_run(tmp_path / "apgc")
    made.make_run(tmp_path / "dcgan", "none", steps=300)
    charts = {chart.name: chart for chart in stats_charts(collect(find_runs([tmp_path])))}
    assert [line.label for line in charts["loss-g"].lines] == ["dcgan"]
    assert [line.label for line in charts["pixel"].lines] == ["apgc"]
    assert charts["pixel"].lines[0].points[-1] == (300, 0.4 - 0.3)


def test_a_resumed_run_forgets_later_reconstructions(tmp_path):
    run = transfer_run(tmp_path / "apgc")
    run.cut_after(100)
    assert run.reconstruction_steps() == [100]
