"""The report: what is collected from run folders, what stands on the page, and what a broken folder does to it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import report_runs as made
from html_page import Page
from report_runs import run_command

from augment.errors import InputError, OutputError
from smallgan.report import Report, collect, find_runs, render, write_report
from smallgan.report.runs import MAX_SNAPSHOTS, spread
from smallgan.tables.metrics import METRICS


@pytest.fixture
def three(tmp_path: Path) -> Report:
    """Three runs of equal conditions; the last one stopped at step 700 of 1,000."""
    runs = tmp_path / "runs"
    made.make_run(runs / "00000-none", "none")
    made.make_run(runs / "00001-hflip", "hflip", level=0.25)
    made.make_run(runs / "00002-both", "hflip+contrast", level=-0.5, done=700)
    return collect(find_runs([runs]))


# Finding runs


def test_runs_are_found_in_order_and_once(tmp_path):
    for name in ("00002-b", "00000-a", "00010-c"):
        made.make_run(tmp_path / "runs" / name, done=0)
    (tmp_path / "runs" / "notes").mkdir()
    found = find_runs([tmp_path / "runs" / "00010-c", tmp_path / "runs", tmp_path / "runs" / ".." / "runs" / "00000-a"])
    assert [path.name for path in found] == ["00010-c", "00000-a", "00002-b"]


@pytest.mark.parametrize(
    ("name", "said"), [("absent", "no such folder"), ("file", "not a folder"), ("empty", "neither")]
)
def test_what_is_no_run_is_refused(tmp_path, name, said):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}: {said}.*smallgan train"):
        find_runs([tmp_path / name])


def test_equal_names_are_told_apart(tmp_path):
    for index in ("one/x", "two/x", "two/y"):
        made.make_run(tmp_path / index, done=0)
    report = collect([tmp_path / "one/x", tmp_path / "two/x", tmp_path / "two/y"])
    assert [run.label for run in report.runs] == ["one/x", "two/x", "y"]


# Collecting


def test_scores_of_one_identity_share_a_column(three):
    assert [column.metric for column in three.columns] == ["is", "kmmd"]
    inception, kmmd = three.columns
    # IS = 2 + step / 1000 + level, KMMD = 0.9 - step / 2000 - level / 10
    assert [score.value for score in inception.lasts] == pytest.approx([3.0, 3.25, 2.2])
    assert [score.value for score in kmmd.lasts] == pytest.approx([0.4, 0.375, 0.6])
    assert [score.step for score in kmmd.lasts] == [1000, 1000, 700]
    assert [len(curve) for curve in kmmd.curves] == [11, 11, 8]


@pytest.mark.parametrize(
    "changed",
    [
        {"num_fake": 99},
        {"features": "inception-v3-tf2015"},
        {"weights_sha256": "0" * 64},
        {"resize": "antialiased"},
        {"precision": "bf16"},
        {"estimator": "other"},
        {"splits": 3},
        {"num_real": 7},
        {"reals": "0" * 64},
    ],
)
def test_scores_of_unlike_conditions_never_share_a_column(tmp_path, changed):
    first, second = made.make_run(tmp_path / "a", done=100), made.make_run(tmp_path / "b", done=100)
    made.write_lines(second / "scores.jsonl", made.score_lines("b", 100, **changed))
    columns = collect([first, second]).columns
    assert len(columns) == 4
    assert all(sum(bool(curve) for curve in column.curves) == 1 for column in columns)


def test_a_step_scored_again_counts_once_and_the_later_stands(tmp_path):
    run = made.make_run(tmp_path / "a", done=200)
    lines = made.score_lines("a", 100) + made.score_lines("a", 200) + made.score_lines("a", 100, level=1.0)
    made.write_lines(run / "scores.jsonl", lines)
    inception = collect([run]).columns[0]
    assert [(score.step, score.value) for score in inception.curves[0]] == [(100, 3.1), (200, 2.2)]


def test_the_best_kept_checkpoint_is_shown_beside_the_newest(tmp_path):
    run = made.make_run(tmp_path / "a", done=500)
    made.write_json(run / "checkpoints" / "best.json", {"step": 300, "merit": 0.75, "meaning": "lowest kmmd"})
    report = collect([run])
    assert report.columns[1].bests[0].value == pytest.approx(0.9 - 300 / 2000)
    text = Page(render(report)).text
    assert "best checkpoint 0.750 step 300" in text
    assert "Best checkpoint : the one with the lowest kmmd" in text


def test_what_differs_is_named_and_nothing_else(three):
    assert three.differences == {"augment.policy": ("none", "hflip", "hflip+contrast")}
    assert three.problems == (("00002-both", "unfinished: 700 of 1,000 steps"),)


def test_at_most_eight_snapshots_with_the_first_and_the_last(tmp_path):
    report = collect([made.make_run(tmp_path / "a", steps=2000, every=100)])
    steps = [snapshot.step for snapshot in report.runs[0].snapshots]
    assert len(steps) == MAX_SNAPSHOTS
    assert (steps[0], steps[-1]) == (0, 2000)
    assert steps == sorted(set(steps))


def test_spread_keeps_both_ends():
    for length in range(1, 40):
        chosen = spread(range(length), 8)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(length, 8)
        assert (chosen[0], chosen[-1]) == (0, length - 1)


def test_json_is_what_a_machine_needs(three):
    told = json.loads(json.dumps(three.to_json(), allow_nan=False))
    first = told["runs"][0]
    assert (first["run"], first["policy"], first["steps"], first["train_seconds"]) == (
        "00000-none",
        "none",
        1000,
        120.0,
    )
    assert [score["last"]["value"] for score in first["scores"]] == pytest.approx([3.0, 0.4])
    assert first["scores"][1]["identity"]["num_real"] == 100


# The page


def test_the_page_says_what_was_compared(three):
    page = Page(render(three))
    for words in (
        "3 runs, all on the same 100 original images. They differ in augment.policy.",
        "00002-both : unfinished: 700 of 1,000 steps",
        "IS (smallgan-features)",
        "diversity H(y) 2.599 uncertainty H(y|x) 1.500",
        "conditional entropy (lower = more confident)",
        METRICS["kmmd"].range_text,
        "not with Inception v3",
        "a1b2c3d4a1b2",
        "smallgan train --policy hflip+contrast --steps 1000",
        "100 augmented",
        "2m00s",
    ):
        assert words in page.text
    assert "Inception Score (" not in page.text
    assert page.count("h1") == 1
    at_the_top = 4
    assert page.count("img") == 3 * (MAX_SNAPSHOTS + 2) + at_the_top
    assert page.count("svg") - sum("key" in (a.get("class") or "") for t, a in page.tags if t == "svg") == 5


def test_the_page_is_one_file_with_one_script_that_its_hash_allows(three):
    text = render(three)
    page = Page(text)
    assert page.count("script") == 1
    assert page.count("iframe") == page.count("object") == 0
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    sources = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    assert all(source.startswith(("data:image/png;base64,", "data:image/webp;base64,")) for source in sources)
    assert "url(" not in render(three)
    assert "@import" not in render(three)


def test_same_runs_same_bytes_wherever_they_lie(tmp_path):
    pages = []
    for index in ("here", "there/deeper"):
        folder = made.make_run(tmp_path / index / "00001-x", done=300)
        (folder / "fakes-000100.png").write_bytes(b"broken")
        (folder / "data.json").write_text("{")
        pages.append(render(collect([folder])))
    assert pages[0] == pages[1]


def test_one_run_has_a_page_of_its_own(tmp_path):
    text = Page(render(collect([made.make_run(tmp_path / "00007-mine")]))).text
    assert "DCGAN at 32 px, 1,000 steps, trained on 100 original and 100 augmented images (hflip)." in text
    assert "Recipe differences" not in text


def test_a_page_says_whose_weights_a_run_started_from(tmp_path):
    folder = made.make_run(tmp_path / "00007-mine")
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    started = recipe.replace("train:\n", "train:\n  init: smallgan-dcgan64-v1\n", 1)
    assert started != recipe
    (folder / "recipe.yaml").write_text(started, encoding="utf-8")
    assert "1,000 steps from the weights of smallgan-dcgan64-v1, trained on" in Page(render(collect([folder]))).text


def test_a_run_that_has_just_begun_is_shown(tmp_path):
    run = tmp_path / "a"
    run.mkdir()
    (run / "recipe.yaml").write_text("train: {steps: 10}\n", encoding="utf-8")
    text = Page(render(collect([run]))).text
    assert "unfinished: 0 of 10 steps" in text
    assert "No scores yet" in text
    assert "No samples yet" in text


def test_hostile_texts_are_shown_not_obeyed(tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\U0001f600'
    run = made.make_run(tmp_path / "<b>&quot;'\u202eрун", policy="<script>1</script>", name=evil)
    made.write_json(run / "environment.json", {"command": ["smallgan", "train", evil], "<i>": evil, "lone": "\ud800"})
    line = {**made.score_lines("a", 100)[0], "label": evil, "notes": [evil], "parts": {evil: 1.0}}
    line["identity"] = {**line["identity"], "features": evil, evil: evil}
    other = [{**line, "step": step} for step in (100, 200)]
    made.write_lines(run / "scores.jsonl", other)
    path = write_report(collect([run]), [run], tmp_path / "page.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.count("b") == page.count("i") == 0
    assert page.count("script") == 1
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>" in page.text


def test_a_diverged_run_still_gives_a_page(tmp_path):
    run = made.make_run(tmp_path / "a", done=200)
    lines = [{"step": step, "loss_d": value, "loss_g": 1.0} for step, value in ((1, 1e308), (2, -1e308), (3, 1e-300))]
    made.write_lines(run / "stats.jsonl", lines)
    nothing = [{**line, "value": None} for line in made.score_lines("a", 300)]
    made.write_lines(run / "scores.jsonl", made.score_lines("a", 200) + nothing)
    assert "not finite" in Page(render(collect([run]))).text


# What is broken is named


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["stats.jsonl", "scores.jsonl", "environment.json", "data.json", "checkpoints/best.json"]
)
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[1, 2]\n[3]\n", b"3\n3\n", b"{\n{\n", b"[" * 100_000 + b"\n1\n"]
)
def test_a_broken_part_is_named_and_the_rest_shown(tmp_path, file, content):
    run = made.make_run(tmp_path / "a", done=200)
    (run / file).write_bytes(content)
    report = collect([run])
    (said,) = (problem for _, problem in report.problems if not problem.startswith("unfinished"))
    assert Path(file).name in said
    assert str(tmp_path) not in said
    Page(render(report))


@pytest.mark.parametrize(
    "changed",
    [
        {"value": "high"},
        {"label": None},
        {"identity": []},
        {"interval": [1]},
        {"step": "last"},
        {"parts": 3},
        {"notes": [1]},
        {"std": "x"},
        {"more": 1},
    ],
)
def test_a_foreign_score_is_named(tmp_path, changed):
    run = made.make_run(tmp_path / "a", done=100)
    made.write_lines(run / "scores.jsonl", [{**made.score_lines("a", 100)[0], **changed}])
    report = collect([run])
    assert report.columns == ()
    assert any("scores.jsonl" in problem for _, problem in report.problems)


@pytest.mark.parametrize("changed", [{"value": 10**400}, {"std": 10**400}, {"interval": [0, 10**400]}, {"step": None}])
def test_an_odd_score_still_gives_a_page(tmp_path, changed):
    run = made.make_run(tmp_path / "a", done=100)
    made.write_lines(run / "scores.jsonl", [{**line, **changed} for line in made.score_lines("a", 100)])
    report = collect([run])
    assert len(report.columns) == 2
    Page(render(report))
    json.dumps(report.to_json(), allow_nan=False)


def test_a_line_cut_short_by_a_kill_is_no_problem(tmp_path):
    run = made.make_run(tmp_path / "a", steps=200)
    for file in ("stats.jsonl", "scores.jsonl"):
        with (run / file).open("a", encoding="utf-8") as lines:
            lines.write('{"step": 20')
    report = collect([run])
    assert report.problems == ()
    assert report.columns[0].lasts[0].step == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [None, b"\xff", b"[1]", b"a: [", b"a: &a [*a]", b"a: &a {b: *a}", b"? [1]\n: 2\n? {}\n: 3"]
)
def test_a_run_without_a_readable_recipe_is_left_out_and_named(tmp_path, content):
    good, bad = made.make_run(tmp_path / "good"), made.make_run(tmp_path / "bad")
    (bad / "recipe.yaml").unlink()
    if content is not None:
        (bad / "recipe.yaml").write_bytes(content)
    report = collect(find_runs([good, bad]))
    assert [run.label for run in report.runs] == ["good"]
    assert [label for label, _ in report.problems] == ["bad"]
    assert "left out: recipe.yaml" in Page(render(report)).text
    with pytest.raises(InputError, match=r"found no run that can be read.*bad, left out: recipe\.yaml"):
        collect([bad])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    run = made.make_run(tmp_path / "a", done=0)
    run.chmod(0)
    try:
        with pytest.raises(InputError, match="a: "):
            collect(find_runs([run]))
    finally:
        run.chmod(0o755)


# The command


def test_the_command_writes_where_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.make_run(tmp_path / "runs" / "00000-a", steps=200)
    code, out, err = run_command()
    assert (code, out.strip(), err) == (0, str(Path("runs/00000-a/report.html")), "")
    made.make_run(tmp_path / "runs" / "00001-b", done=100)
    code, out, err = run_command("runs")
    assert (code, out.strip()) == (0, "report.html")
    assert err == "00001-b: unfinished: 100 of 1,000 steps\n"
    code, out, _ = run_command("runs", "--out", "new/folder/page.html", "--json")
    assert json.loads(out)["report"] == str(Path("new/folder/page.html"))
    page = Page((tmp_path / "new/folder/page.html").read_text(encoding="utf-8"))
    assert "../../runs/00000-a/fakes-000200.png" in page.files
    assert all((tmp_path / "new/folder" / file).is_file() for file in page.files)


def test_a_page_of_unfinished_runs_alone_is_told_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.make_run(tmp_path / "runs" / "00000-a", done=100)
    _, _, err = run_command()
    assert err.splitlines()[-1] == "No finished run: the page shows samples but no result."


def test_the_command_without_runs_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"runs: no such folder.*smallgan train"):
        run_command()


def test_a_page_that_cannot_be_written_is_an_error(tmp_path):
    run = made.make_run(tmp_path / "a", done=0)
    with pytest.raises(OutputError, match="cannot write"):
        write_report(collect([run]), [run], run)


@pytest.mark.process
def test_the_report_loads_neither_torch_nor_matplotlib():
    code = "import sys, smallgan.report; print(sorted({'torch', 'matplotlib', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
