"""`smallgan report` on a downstream study: its page again, from its folder alone."""

import json
import shutil

import pytest
from class_folder import class_folder
from downstream_study import study
from typer.testing import CliRunner

from augment.errors import InputError, UsageError
from smallgan.api.reports import write_report
from smallgan.cli import app
from smallgan.core.downstream_dir import DownstreamDir


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    source = class_folder(folder / "bars")
    study(source, folder / "study")
    shutil.rmtree(source)  # the page needs the study alone
    return DownstreamDir(folder / "study")


def test_the_page_is_made_again_to_the_same_bytes(made):
    before = made.report.read_bytes()
    made.report.unlink()
    result = CliRunner().invoke(app, ["report", str(made.path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(made.report)
    assert made.report.read_bytes() == before
    moved = json.loads(made.results.read_text(encoding="utf-8"))["moved"]["hflip"]
    assert before.count(b"<img") == len(moved["gained"]) + len(moved["lost"])


def test_page_and_files_go_where_they_are_asked_for(made, tmp_path):
    found = write_report(made.path, tmp_path / "page.html", export=tmp_path / "files")
    assert (tmp_path / "page.html").read_bytes() == made.report.read_bytes()
    assert found.values["variants"] == ["none", "hflip"]
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert names == {"results.json", "results.csv", "trials.csv", "difference.svg"}


def test_what_has_no_results_or_other_ones_is_refused(made, tmp_path):
    unfinished = DownstreamDir(tmp_path / "unfinished")
    unfinished.path.mkdir()
    shutil.copy(made.split, unfinished.split)
    with pytest.raises(InputError, match=r"results\.json: not found, as this study is not finished"):
        write_report(unfinished.path)
    for text, said in (("{", "results.json"), ('{"format": "x"}', "found the format 'x'")):
        unfinished.results.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            write_report(unfinished.path)
    unfinished.results.write_text('{"format": "smallgan-downstream-1"}', encoding="utf-8")
    with pytest.raises(InputError, match="not in the format"):
        write_report(unfinished.path)
    assert not unfinished.report.exists()
    with pytest.raises(UsageError, match="name one"):
        write_report([made.path, made.path])
    with pytest.raises(UsageError, match="--metric: not for a downstream study"):
        write_report(made.path, metric="kid")
