"""The top of the page: pictures first, what the figures say in words, and the banner over runs that mean nothing."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import report_runs as made
from html_page import Page
from paths import ROOT
from PIL import Image

from smallgan.report import collect, find_runs, render
from smallgan.report.phrases import verdicts
from smallgan.report.pictures import read_tiles
from smallgan.report.plain import _baseline_at_its_size, plain
from smallgan.tables import plain_words
from smallgan.tables.plain_words import copies_words, distance_words, sharpness_words


def scored(run, *lines):
    """Replace the scores of a run by those at its last step: (metric, value, and what else a line says)."""
    sample = made.score_lines(run.name, 1000)[1]
    written = []
    for metric, value, more in lines:
        features = more.pop("features", made.FEATURES)
        counts = {"num_fake": 200, "num_real": 100, "features": features} | more.pop("identity", {})
        identity = sample["identity"] | {"metric": metric} | counts
        written.append(sample | {"metric": metric, "label": metric, "value": value, "identity": identity} | more)
    made.write_lines(run / "scores.jsonl", written)
    return plain(collect([run]), 0)


# Words


@pytest.mark.parametrize(
    ("interval", "real", "excess", "words"),
    [
        ((0.3, 0.4), 0.0, 0.4, "far from the real images"),
        ((0.3, 0.4), 0.0, 0.3, "far from the real images"),
        ((0.1, 0.2), 0.0, 0.2, "some way from the real images"),
        ((0.01, 0.02), 0.0, 0.05, "close to the real images"),
        ((-0.01, 0.02), 0.0, 0.05, "as close to the real images as other real images are"),
        # a wide interval of few images says nothing about images that are far away
        ((-0.2, 0.9), 0.0, 0.4, "too few images to tell it from real ones"),
        # the scale of KID depends on the network: without a KMMD no degree is named
        ((0.3, 0.4), 0.0, None, "further from the real images than other real images are"),
        (None, 0.0, 0.05, "close to the real images"),
    ],
)
def test_how_far_is_said_beside_what_real_images_score(interval, real, excess, words):
    assert distance_words(interval, real, excess) == words


def test_a_baseline_of_half_as_many_images_is_put_at_the_size_of_the_score():
    kmmd = {"baseline": 0.08, "baseline_counts": (100, 100), "identity": {"num_fake": 200, "num_real": 200}}
    assert _baseline_at_its_size(SimpleNamespace(**kmmd)) == pytest.approx(0.08 / 2**0.5)
    assert _baseline_at_its_size(SimpleNamespace(**kmmd | {"baseline_counts": None})) == 0.08


def test_sharpness_has_its_words_at_the_thresholds_of_the_metric():
    assert [sharpness_words(value) for value in (0.59, 0.6, 1.4, 1.41)] == [
        "blurred",
        *["about as much fine detail as the real images, or a pattern"] * 2,
        "noisy, or with a pattern",
    ]


def test_copies_are_counted_and_compared_with_new_real_images():
    assert copies_words(0.0, 200, (0.0, 0.02), 0.01) == "0 of 200 are copies"
    assert copies_words(0.005, 200, (0.0, 0.03), 0.01) == (
        "1 of 200 is a copy, where new real images would show 2: no sign of copying"
    )
    assert copies_words(0.02, 200, (0.005, 0.05), 0.01).endswith("show 2: no more than chance can do")
    assert copies_words(0.06, 200, (0.04, 0.1), 0.01).endswith("show 2: it copies real images")
    assert copies_words(0.06, 200, None, None) == "12 of 200 are copies"


# The sentence of a run


def test_the_sentence_says_what_the_figures_say(tmp_path):
    said = scored(
        made.make_run(tmp_path / "a"),
        ("kid", 0.35, {"interval": [0.3, 0.4], "baseline": 0.0}),
        ("kmmd", 0.6, {"interval": [0.5, 0.7], "baseline": 0.1}),
        ("sharpness", 0.4, {"features": None}),
        ("copies", 0.0, {"interval": [0.0, 0.02], "parts": {"expected": 0.01}}),
    )
    assert said.sentence == (
        "KID 0.350 [0.300, 0.400], real images 0.000: far from the real images; sharpness 0.400: blurred; "
        "0 of 200 are copies."
    )
    assert said.details[0] == (f"200 generated images at step 1,000 against 100 real ones, judged by {made.FEATURES}.")


def test_judges_that_disagree_are_named(tmp_path):
    near = {"interval": [0.09, 0.2], "baseline": 0.1}
    said = scored(
        made.make_run(tmp_path / "a"),
        ("kmmd", 0.6, {"interval": [0.5, 0.7], "baseline": 0.1}),
        ("kmmd", 0.12, {"features": "other", **near}),
        ("copies", 0.5, {"features": "other", "interval": [0.4, 0.6], "baseline": 0.01}),
    )
    (line,) = (line for line in said.details if "disagree" in line)
    assert line == (
        "The judges disagree: other finds it as close to the real images as other real images are "
        "(KMMD 0.120 [0.090, 0.200], real images 0.100); by other 100 of 200 are copies, where new real images would "
        "show 2: it copies real images."
    )


def test_pixels_that_see_less_do_not_disagree(tmp_path):
    said = scored(
        made.make_run(tmp_path / "a"),
        ("kmmd", 0.12, {"features": "pixels8", "interval": [0.11, 0.2], "baseline": 0.1}),
        ("kmmd", 0.6, {"interval": [0.5, 0.7], "baseline": 0.1}),
    )
    assert said.sentence.startswith("KMMD 0.600 [0.500, 0.700], real images 0.100: far from the real images")
    assert not any("disagree" in line for line in said.details)
    assert said.details[1] == (
        "In colours and coarse layout, all that 8 x 8 pixels show, it is close to the real images "
        "(KMMD 0.120 [0.110, 0.200], real images 0.100)."
    )


def test_pixels_that_see_less_accuse_nobody_of_copying(tmp_path):
    coarse = {"features": "pixels8", "interval": [0.5, 0.9], "baseline": 0.01}
    run = made.make_run(tmp_path / "a")
    said = scored(run, ("kmmd", 0.6, {"interval": [0.5, 0.7], "baseline": 0.1}), ("copies", 0.84, dict(coarse)))
    assert not any("copies real images" in line for line in (said.sentence, *said.details))
    said = scored(run, ("kmmd", 0.6, dict(coarse)), ("copies", 0.84, dict(coarse)))
    assert said.sentence.endswith(
        "168 of 200 are copies, where new real images would show 2: look at the nearest training images."
    )


def test_figures_of_a_sentence_have_three_decimals(tmp_path):
    run = made.make_run(tmp_path / "a")
    said = scored(run, ("kid", -0.00271, {"interval": [-0.0063, 0.00092], "baseline": 0.0056}))
    start = "KID \N{MINUS SIGN}0.003 [\N{MINUS SIGN}0.006, 0.001], real images 0.006: too few images to tell"
    assert said.sentence.startswith(start)


def test_a_struck_judge_is_silent_and_said_to_be(tmp_path):
    run = made.make_run(tmp_path / "a")
    kmmd = ("kmmd", 0.6, {"interval": [0.5, 0.7], "baseline": 0.1, "standing": "struck"})
    said = scored(run, kmmd)
    assert said.sentence == ""
    assert "no other network has judged it. Others can: smallgan score RUN --features panel." in said.details[0]
    coarse = ("kmmd", 0.3, {"features": "pixels8", "interval": [0.2, 0.35], "baseline": 0.1})
    said = scored(run, kmmd, coarse)
    assert said.sentence == (
        "KMMD 0.300 [0.200, 0.350], real images 0.100: in colours and coarse layout, all that 8 x 8 pixels show, "
        "some way from the real images."
    )
    assert f"{made.FEATURES} helped to train this model and does not count." in said.details


def test_a_run_without_scores_says_how_to_get_them(tmp_path):
    run = made.make_run(tmp_path / "a")
    made.write_lines(run / "scores.jsonl", [])
    assert plain(collect([run]), 0).sentence.startswith("Not scored yet. smallgan score RUN")


@pytest.mark.parametrize("found", [{"num_fake": 10**400}, {"num_fake": "many", "num_real": True}])
def test_odd_numbers_of_images_still_give_a_sentence(tmp_path, found):
    run = made.make_run(tmp_path / "a")
    assert scored(run, ("kmmd", 0.6, {"identity": found}), ("copies", 0.1, {"identity": found})).sentence
    Page(render(collect([run])))


# The pictures


def test_real_images_stand_before_generated_ones_and_before_everything_else(tmp_path):
    page = render(collect([made.make_run(tmp_path / "a")]))
    places = [page.index(mark) for mark in ('alt="Real images"', 'alt="Generated images of a"', 'id="samples"')]
    places += [page.index(f'id="{name}"') for name in ("training", "scores", "data", "conditions", "files")]
    assert places == sorted(places)
    assert page.index('class="said"') < page.index('id="samples"')


@pytest.mark.parametrize("scale", [1, 3])
def test_the_first_images_of_a_grid_are_cut_out_to_the_pixel(tmp_path, scale):
    grid = np.full((3 * 34 - 2, 5 * 34 - 2, 3), 255, np.uint8)
    for row in range(3):
        for column in range(5):
            grid[34 * row : 34 * row + 32, 34 * column : 34 * column + 32] = 40 * row + 8 * column
    Image.fromarray(grid.repeat(scale, 0).repeat(scale, 1)).save(tmp_path / "grid.png")
    picture = read_tiles(tmp_path / "grid.png", 32, 4, 2)
    shown = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB"))
    assert np.array_equal(shown, grid[:66, :134])


def test_a_picture_that_is_no_grid_is_shown_whole(tmp_path):
    Image.new("RGB", (97, 50)).save(tmp_path / "odd.png")
    picture = read_tiles(tmp_path / "odd.png", 32, 4, 2)
    assert (picture.width, picture.height) == (97, 50)


def test_of_many_policies_the_reference_and_the_best_are_shown(tmp_path):
    levels = {"none": [0.0], "vflip": [-1.0], "contrast": [0.5], "hflip": [2.0]}
    report = collect(find_runs([made.make_study(tmp_path / "s", levels)]))
    (row,) = report.opening
    names = [None if panel.group is None else report.groups[panel.group].name for panel in row.panels]
    assert names == [None, "none", "hflip"]
    assert "The reference and the best by the headline metric." in Page(render(report)).text


# The banner


def test_a_smoke_run_and_a_very_short_one_carry_a_banner(tmp_path):
    run = made.make_run(tmp_path / "a", steps=4, every=4, name="which-smoke")
    text = Page(render(collect([run]))).text
    assert "This is a smoke run" in text
    assert "mean nothing" in text
    assert "Too little training for figures to mean anything." in text
    short = made.make_run(tmp_path / "b", steps=40, every=20)
    whole = made.make_run(tmp_path / "c", steps=200)
    text = Page(render(collect([short, whole]))).text
    assert "Trained for only 40 steps. The numbers (b) mean nothing" in text
    assert "mean nothing" not in Page(render(collect([whole]))).text


# What was made of a run after training


def sheet(run, name, kind, *, file="grid.png", **record):
    folder = run / "samples" / name
    folder.mkdir(parents=True)
    Image.new("RGB", (66, 32), "red").save(folder / file)
    record = {"format": "smallgan-samples-1", "step": 1000, "kind": kind} | record
    made.write_json(folder / "samples.json", record)
    return folder


def test_what_was_made_of_a_run_is_on_its_page(tmp_path):
    run = made.make_run(tmp_path / "a")
    sheet(run, "one", "around-codes0.6-seed0-x36", around_codes=0.6)
    sheet(run, "two", "reconstructions")
    folder = sheet(run, "three", "interpolation-codes-0-4-9", file="strip.png")
    Image.new("P", (8, 8)).save(folder / "loop.gif")
    Image.new("P", (8, 8)).save(run / "training.gif")
    page = Page(render(collect([run]), tmp_path))
    alts = {attributes["alt"] for tag, attributes in page.tags if tag == "img"}
    assert {
        "Samples around latent codes of a",
        "Reconstructions of a",
        "Latent interpolations of a",
        "Animation: Latent interpolations of a",
        "Animation: Training as an animation of a",
    } <= alts
    for words in (
        "Step 1,000, within 0.6 standard deviations of the codes",
        "Step 1,000, between training images 0, 4, 9",
    ):
        assert words in page.text
    assert {"a/training.gif", "a/samples/three/loop.gif", "a/samples/one/grid.png"} <= page.files


def test_animations_of_many_runs_never_fill_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("smallgan.report.pictures.BUDGET_BYTES", 800_000)
    for name in ("a", "b"):
        run = made.make_run(tmp_path / name, name, done=0)
        (run / "training.gif").write_bytes(b"GIF89a" + bytes(110_000))
    report = collect(find_runs([tmp_path]))
    assert [run.sheets_of("training")[0].movie for run in report.runs] == [None, None]
    assert collect([tmp_path / "a"]).runs[0].sheets_of("training")[0].movie is not None
    assert "b/training.gif" in Page(render(report, tmp_path)).files


def test_broken_sheets_are_named_and_the_page_stands(tmp_path):
    run = made.make_run(tmp_path / "a")
    folder = sheet(run, "one", "around-codes", step="last", around_codes=[1], label={"a": 1})
    (folder / "grid.png").write_bytes(b"broken")
    (run / "training.gif").write_bytes(b"GIF")
    report = collect([run])
    Page(render(report))
    assert [problem.split(":")[0] for _, problem in report.problems] == ["training.gif", "samples/one/grid.png"]


# The verdict


def test_where_runs_share_no_judge_the_page_says_why_and_what_to_do(tmp_path):
    plain_run, adapted = made.make_run(tmp_path / "dcgan", "hflip"), made.make_run(tmp_path / "apgc", "none")
    made.add_judge(adapted, "pixels8")
    made.strike(adapted)
    report = collect([plain_run, adapted])
    (verdict,) = verdicts(report)
    assert verdict.sentence == "No comparison: apgc was scored by pixels8, and dcgan was not."
    assert verdict.details == (
        f"{made.FEATURES} does not count as a judge here: it helped to train apgc.",
        "Score dcgan by the same judge: smallgan score RUN --features panel.",
    )


def test_a_run_that_is_not_finished_is_waited_for(tmp_path):
    runs = [made.make_run(tmp_path / "a", "none"), made.make_run(tmp_path / "b", "hflip", done=500)]
    (verdict,) = verdicts(collect(runs))
    assert verdict.sentence == "No comparison yet: b is not finished."


def test_small_print_comes_last_and_folded(tmp_path):
    page = render(collect([made.make_run(tmp_path / "a")]))
    for fact in ("Resize rule", "Weights, sha256", "Commands</summary>"):
        assert page.index('id="conditions"') < page.index(fact)
    last = page[page.index('id="conditions"') : page.index('id="files"')]
    assert "<table" not in last.split("<details>")[0]


# The docs


def test_the_docs_name_every_word_and_threshold():
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    table = text[text.index("### What the figures are called") :]
    named = [value for name, value in vars(plain_words).items() if name.isupper() and isinstance(value, str)]
    assert [words for words in named if words != plain_words.COARSE and words not in table] == []
    for value in (plain_words.BLURRED, plain_words.NOISY, plain_words.CLOSE, plain_words.FAR):
        assert str(value) in table
    assert f"fewer than {plain_words.FEW_STEPS} steps" in text


def test_the_table_of_scores_begins_with_the_figures_of_the_sentence(tmp_path):
    run = made.make_run(tmp_path / "a")
    scored(run, *((name, 0.5, {}) for name in ("is", "copies", "kmmd", "sharpness", "kid")))
    page = render(collect([run]))
    table = page[page.index('<table class="scores') :].partition("</table>")[0]
    assert re.findall(r'<th scope="col">(\w+)', table) == ["Run", "kid", "kmmd", "sharpness", "copies", "is"]
