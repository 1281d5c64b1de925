"""`python -m benchmarks.transfer_latents` on a dozen images: each run trained and judged once, by its own prior."""

import numpy as np
import pytest

from benchmarks import quality_run, transfer_latents
from smallgan.core.run_dir import read_jsonl


@pytest.mark.slow
def test_runs_are_trained_and_judged_once_and_learned_codes_from_both_priors(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer_latents, "NUM_FAKE", 6)
    words = [tiny_set, "--count", 4, "--cpu-minutes", 0.0001, "--seeds", 3, "--methods", "bsa", "--out", tmp_path]
    words += ["--set", "train.batch_size=2"]
    transfer_latents.main([str(word) for word in words])
    out = tmp_path / f"{tiny_set.name}-4"
    lines = read_jsonl(out / "scores.jsonl")
    assert [line["entry"] for line in lines] == ["real images", "bsa-imle", "bsa-learned", "bsa-learned-from-normal"]
    assert all(set(line["judges"]) == {"smallgan-small64-v1", "8 x 8 pixels"} for line in lines)
    near, far = (np.load(out / f"bsa-learned{name}-3" / "samples-00000.npy") for name in ("", "-from-normal"))
    assert near.shape == far.shape == (6, 32, 32, 3)
    assert (near != far).any()
    assert "| bsa-learned-from-normal | 0 | 1 |" in capsys.readouterr().out
    monkeypatch.setattr(quality_run, "fit", None)  # all is there: nothing is trained again
    transfer_latents.main([str(word) for word in words])
    assert read_jsonl(out / "scores.jsonl") == lines
