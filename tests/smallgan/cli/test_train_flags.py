"""`smallgan train`: what its flags do to a run, what a dry run says, and who hears what."""

import json
import re

import pytest
from typer.testing import CliRunner

from smallgan.cli import app
from smallgan.core import console
from smallgan.tables.recipe import read_recipe

SMALL = ("--model", "dcgan", "--size", 32, "--set", "model.base_width=8", "--batch-size", 4, "--device", "cpu")


@pytest.fixture
def train(tmp_path, monkeypatch, tiny_set):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["train", str(tiny_set), *map(str, (*SMALL, *words))])


def test_flags_reach_the_recipe_of_the_run(train, tmp_path):
    flags = ("--lr", 0.001, "--epochs", 1, "--metrics", "none", "--snapshot-every", 2, "--diffaugment", "color")
    done = train(*flags, "--mirror", "--workers", 2, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    # 12 images in batches of 4: an epoch has 3 steps.
    wanted = {"run": "runs/00000-train", "step": 3, "steps": 3, "is_complete": True, "best_step": None, "scores": []}
    assert made == wanted
    recipe = read_recipe(tmp_path / "runs/00000-train/recipe.yaml")
    assert (recipe.method.lr_g, recipe.method.lr_d, recipe.score.metrics) == (0.001, 0.001, ())
    assert (recipe.method.mirror, recipe.method.diffaugment, recipe.train.snapshot_every) == (True, "color", 2)
    grids = sorted(path.name for path in (tmp_path / "runs/00000-train").glob("fakes-*"))
    assert grids == ["fakes-000000.png", "fakes-000002.png", "fakes-000003.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lr", 0.1, "--set", "method.lr_d=0.2"), "--lr asks for method.lr_d=0.1, and --set for 0.2; give one"),
        (("--lr", 0.1, "--set", "method.lr_d=0.2", "--set", "method.lr_g=0.2"), "=0.1, and --set for 0.2"),
        (("--epochs", 0), "--epochs: input should be greater than 0"),
        (("--metrics", "kidd"), "--metrics: unknown metric 'kidd'; did you mean 'kid'"),
        (("--lr", -1), "--lr: input should be greater than 0"),
    ],
)
def test_what_contradicts_or_cannot_be_is_refused(train, tmp_path, words, said):
    done = train(*words)
    assert said in str(done.exception)
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_is_told_in_sentences(train, tmp_path):
    done = train("--steps", 30, "--metrics", "none", "--snapshot-every", 10, "--dry-run")
    assert done.exit_code == 0, done.output
    first, second, counted, last = done.stdout.splitlines()
    wanted = "Would train a DCGAN in runs/00000-train: 30 steps of 4 images, which is 10 times through 12 images of"
    assert first.startswith(wanted)
    assert re.match(r"Takes about \d+s on cpu, \d+ thread\(s\) \([\d.e-]+ s a step, and 4 snapshots\)", second)
    assert re.search(r" and \d+\.\d GiB of memory, as measured here now\.$", second)
    assert re.match(
        r"Counted, for any machine: \d+ MiB of memory \([\d.]+ MiB a further image of the batch\) ", counted
    )
    assert last == "No run was made. --json prints all settings."
    assert "note: 12 images: a GAN from scratch will likely memorise them" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_a_finished_run_says_so_and_counts_scores(train):
    assert train("--steps", 2, "--metrics", "none").exit_code == 0
    done = train("--steps", 2, "--metrics", "none", "--dry-run")
    assert "runs/00000-train is trained to step 2 already: nothing would happen" in done.stdout
    more = train("--steps", 4, "--metrics", "none", "--dry-run")
    assert more.stdout.startswith("Would go on with runs/00000-train from step 2: 2 steps of 4 images")
    plan = json.loads(train("--steps", 4, "--metrics", "kid", "--dry-run", "--json").stdout)
    assert (plan["num_snapshots"], plan["num_scored"], plan["what"]) == (2, 100, "train a DCGAN")
    assert plan["memory_mb"] > 0


def test_quiet_says_nothing_and_the_log_has_all(train, tmp_path):
    done = train("--steps", 2, "--metrics", "none", "--quiet")
    assert (done.stdout, done.stderr) == ("runs/00000-train\n", "")
    assert "step 2/2" in (tmp_path / "runs/00000-train/log.txt").read_text(encoding="utf-8")


def test_on_a_terminal_the_bar_stands_for_the_status_lines(train, tmp_path, monkeypatch):
    moves = []

    @console.contextmanager
    def bar(_title, _total):
        yield lambda *numbers: moves.append(numbers)

    plain = train("--steps", 2, "--metrics", "none")
    assert "step 2/2" in plain.stderr
    assert "next: smallgan sample runs/00000-train makes images" in plain.stderr
    monkeypatch.setattr("smallgan.api.training.is_terminal", lambda: True)
    monkeypatch.setattr("smallgan.api.training.progress_bar", bar)
    done = train("--steps", 3, "--metrics", "none", "--new", "--set", "train.report_every=2")
    assert "step 3/3" not in done.stderr
    assert "step 3/3" in (tmp_path / "runs/00001-train/log.txt").read_text(encoding="utf-8")
    steps, of, losses = zip(*moves, strict=True)
    assert (steps, set(of)) == ((0, 1, 2, 3), {3})
    assert losses[:2] == ("", "")
    assert re.fullmatch(r"loss D [\d.]+ G [\d.]+", losses[2])


def test_scores_are_told_at_each_snapshot(train):
    done = train("--steps", 1, "--metrics", "sharpness", "--set", "score.num_fake=12")
    assert done.exit_code == 0, done.output
    assert len(re.findall(r"^scores at step [01]: \S.* [\d.e+-]+$", done.stderr, re.MULTILINE)) == 2
