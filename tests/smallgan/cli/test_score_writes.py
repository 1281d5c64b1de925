"""What `smallgan score` computed is shown, whatever happens to the files that it goes into."""

import json
import sys

import pytest
from sampled_models import dcgan_run

from smallgan.cli import main


@pytest.fixture
def score(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    dcgan_run(tmp_path / "run")

    def call(*arguments):
        words = [tmp_path / "run", "--real", tiny_set, "--metrics", "kmmd", "--num-fake", "12", "--quick", *arguments]
        monkeypatch.setattr(sys, "argv", ["smallgan", "score", *map(str, words), "--device", "cpu"])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        out, error = capsys.readouterr()
        return code, out, [line for line in error.splitlines() if line.startswith("smallgan: error:")]

    return call


def test_a_run_that_cannot_be_written_to_has_its_scores_shown_before_the_error(score, tmp_path):
    _, expected, _ = score()
    (tmp_path / "run" / "scores.jsonl").unlink()
    (tmp_path / "run" / "scores.jsonl").mkdir()  # cannot be written to, by root either
    code, out, errors = score()
    assert (code, out) == (2, expected)
    assert out.startswith("KMMD")
    (line,) = errors
    assert "the scores cannot be added to its scores.jsonl (" in line
    assert line.endswith("; keep them with --out FILE")
    code, out, _ = score("--json")
    assert (code, [each["metric"] for each in json.loads(out)]) == (2, ["kmmd"])


def test_one_file_that_cannot_be_written_keeps_none_of_the_others_back(score, tmp_path):
    (tmp_path / "run" / "scores.jsonl").mkdir()
    table = tmp_path / "fakes.csv"
    code, out, errors = score("--out", tmp_path / "absent" / "scores.jsonl", "--per-image", table)
    assert (code, len(errors), out[:4]) == (2, 1, "KMMD")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 13
    assert "absent" in errors[0]
    assert "cannot be added" in errors[0]


def test_two_runs_side_by_side_are_shown_too(score, tmp_path):
    dcgan_run(tmp_path / "other")
    (tmp_path / "run" / "scores.jsonl").mkdir()
    code, out, errors = score("--versus", tmp_path / "other")
    assert (code, len(errors)) == (2, 1)
    assert "B - A" in out
    assert len((tmp_path / "other" / "scores.jsonl").read_text(encoding="utf-8").splitlines()) == 1
