"""The snippets of docs/python.md, carried out one after the other as a reader would."""

import re
import shutil

import pytest
from paths import ROOT

SNIPPETS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.M | re.S)
STUDY = "sg.run_study("


@pytest.fixture
def here(tiny_set, tmp_path, monkeypatch):
    shutil.copytree(tiny_set, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_snippets_run_in_order(here, capsys):
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        if STUDY not in snippet:
            exec(compile(snippet, "docs/python.md", "exec"), names)
    out = capsys.readouterr().out
    assert "KID" in out
    assert "copy rate" in out
    assert "size" in out.splitlines()[-1]  # of the error in the last snippet
    assert names["samples"].pixels.shape == (8, 32, 32, 3)
    assert len(list((here / "samples-of-seed-3" / "images").iterdir())) == 8
    assert (here / "runs" / "first" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_snippet_of_a_study_runs():
    [snippet] = [each for each in SNIPPETS if STUDY in each]
    small = {"set": {"data.source": "photos", "grid": {"augment.policy": ["none", "hflip"]}}}
    names: dict[str, object] = {}
    exec("import smallgan as sg", names)
    exec(snippet.replace('set={"data.source": "photos"}', f"set={small['set']}"), names)
    study = names["study"]
    assert study.is_complete
    assert study.report.is_file()
    assert len(study.runs) == 2
    assert "2 run(s), 2 done" in repr(study)
