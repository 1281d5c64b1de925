"""`python -m benchmarks.quality` on a handful of images: trained once, scored once, one row an entry and mark."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import quality, quality_run
from smallgan.core.run_dir import read_jsonl
from smallgan.tables.choice import RULES


@pytest.fixture
def held_out(tmp_path):
    """Eight other images than those of tiny_set."""
    folder = tmp_path / "held-out"
    folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def words(folder, held_out, out):
    entry = "tiny:model.base_width=8;model.d_width=8;train.batch_size=2;train.precision=fp32"
    sizes = ("--size", 32, "--num-fake", 6, "--cpu-minutes", 0.002, "--seeds", "3")
    return [str(word) for word in (folder, "--held-out", held_out, "--entry", entry, *sizes, "--out", out)]


@pytest.mark.slow
def test_an_entry_is_trained_and_scored_once(tiny_set, held_out, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    quality.main(words(tiny_set, held_out, out))
    lines = read_jsonl(out / "scores.jsonl")
    assert [(line["entry"], line["seed"]) for line in lines] == [("real images", 0), ("tiny", 3)]
    assert set(lines[1]["judges"]) == {"smallgan-small64-v1", "8 x 8 pixels"}, "SqueezeNet is not in this cache"
    assert set(lines[1]["judges"]["8 x 8 pixels"]) == set(quality.FIGURES)
    assert (out / "tiny-3" / "grid-00000.png").is_file()
    table = (out / "table.md").read_text(encoding="utf-8")
    assert [row.split(" | ")[0] for row in table.splitlines()[2:]] == ["| real images", "| tiny"]
    monkeypatch.setattr(quality_run, "fit", None)  # all is there: nothing is trained again
    quality.main(words(tiny_set, held_out, out))
    assert read_jsonl(out / "scores.jsonl") == lines
    assert "| tiny |" in capsys.readouterr().out


def test_the_default_entry_is_what_train_chooses_but_for_its_steps(tiny_set):
    chosen = quality._chosen(tiny_set, 32)
    assert chosen.items() >= {"model.base_width": 48, "method.diffaugment": "color,translation"}.items()
    assert set(chosen) <= {key for rule in RULES for key in rule.settings} - {"train.steps"}
