"""`python -m benchmarks.few_shot` on a dozen images: a run as the source, each entry trained and judged once."""

import pytest
from sampled_models import dcgan_run

from benchmarks import few_shot, quality_run
from smallgan.core.run_dir import read_jsonl


@pytest.mark.slow
def test_entries_are_trained_and_judged_once_beside_their_source(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(few_shot, "NUM_FAKE", 30)
    source = dcgan_run(tmp_path / "run").path
    words = [tiny_set, "--pretrained", source, "--entries", "finetune,dcl", "--cpu-minutes", 0.0001, "--seeds", 3]
    words = [str(word) for word in [*words, "--out", tmp_path]]
    few_shot.main(words)
    out = tmp_path / tiny_set.name
    lines = read_jsonl(out / "few-shot.jsonl")
    assert [line["entry"] for line in lines] == ["source", "finetune", "dcl"]
    start, *trained = lines
    for judge in ("smallgan-small64-v1", "8 x 8 pixels"):
        assert set(start["judges"][judge]) == {"kid", "kmmd", "copies", "intra", "domain"}
    assert start["judges"]["smallgan-small64-v1"]["domain"] < 0.5  # other samples of the same source
    assert all(line["step"] >= 1 for line in trained)
    assert "| dcl | 0 | 1 |" in capsys.readouterr().out
    page = (out / "curves.html").read_text(encoding="utf-8")
    assert page.count('class="chart"') == 2
    monkeypatch.setattr(quality_run, "fit", None)  # all is there: nothing is trained again
    few_shot.main(words)
    assert read_jsonl(out / "few-shot.jsonl") == lines
