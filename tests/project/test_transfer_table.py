"""The table of transfers: its rows, what it refuses, and a whole table of tiny runs made in two pieces."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from paths import ROOT

from augment.errors import InputError, UsageError
from smallgan.core.resources import sample_set
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.pretrained import save_generator


@pytest.fixture(scope="module", autouse=True)
def benchmarks_importable():
    sys.path.insert(0, str(ROOT))  # benchmarks is no installed package
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture
def pictures(tmp_path):
    """Sixteen pictures of the sample set."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted(sample_set().glob("*"))[:16]:
        shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture
def pretrained(tmp_path):
    """A generator of random weights."""
    generator = BigGANGenerator(BigGANConfig(32, 8, 16, 2, 8))
    initialize(generator, torch.Generator().manual_seed(0))
    path = tmp_path / "generator.safetensors"
    save_generator(path, generator)
    return path


def row(method, seed, value, of):
    return {
        "method": method,
        "seed": seed,
        "step": 100,
        "reconstruction": value,
        "train": {"kmmd": value, "kid": value},
        "held_out": None,
        "nearest": 1.0,
        "losses": {"loss_g": 9.0, "pixel": 0.5},
        "of": {**of, "step": 100},
    }


def test_rows_are_means_with_their_least_and_greatest_and_those_of_other_conditions_are_left_out(tmp_path):
    from benchmarks.transfer_rows import markdown, read_rows

    of = {"features_sha256": "a" * 64, "minutes": 1.0}
    (tmp_path / "rows").mkdir()
    rows = [row("apgc-16", 0, 0.1, of), row("apgc-16", 1, 0.3, of), row("apgc-4", 0, 0.2, of)]
    rows.append(row("bsa", 0, 0.9, {**of, "minutes": 2.0}))
    for number, each in enumerate(rows):
        (tmp_path / "rows" / f"{number}.json").write_text(json.dumps(each), encoding="utf-8")
    named = ("set", "num_train", "num_held_out", "size", "pretrained", "clock", "batch_size", "device", "torch")
    conditions = dict.fromkeys((*named, "num_fake", "features"), "x") | {
        "overrides": {},
        "pretrained_sha256": "b" * 64,
        "of": of,
        **of,
    }
    (tmp_path / "conditions.json").write_text(json.dumps(conditions), encoding="utf-8")
    lines = markdown(*read_rows(tmp_path)).splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| apgc-4", "| apgc-16"]
    cells = lines[5].strip("| ").split(" | ")
    assert cells[1:5] == ["0, 1", "100 (100 to 100)", "0.200 (0.100 to 0.300)", "0.200 (0.100 to 0.300)"]
    assert cells[6:8] == ["-", "-"]
    assert cells[-1] == "pixel 0.5"


def test_table_only_of_nothing_says_what_to_do(tmp_path):
    from benchmarks.transfer_table import main

    with pytest.raises(InputError, match="nothing was measured there; run the command without --table-only"):
        main(["x", "--out", str(tmp_path), "--table-only"])


@pytest.mark.parametrize("method", ["apgc", "apgc-x", "bsa-4", "gan"])
def test_a_method_that_is_none_is_refused(method, pictures, tmp_path):
    from benchmarks.transfer_table import main

    with pytest.raises(UsageError, match=f"--methods {method}: expected bsa"):
        main([str(pictures), "--methods", method, "--out", str(tmp_path / "out")])


@pytest.mark.slow
def test_a_table_is_made_in_pieces_and_finished_runs_are_not_repeated(pictures, pretrained, tmp_path, capsys):
    from benchmarks.transfer_table import main

    out = tmp_path / "out"
    command = [str(pictures), "--count", "5", "--seeds", "0", "--methods", "bsa,apgc-4,dcgan", "--device", "cpu"]
    command += ["--minutes", "0.002", "--pretrained", str(pretrained), "--out", str(out)]
    command += ["--set", "method.perceptual=none"]
    assert main([*command, "--piece-minutes", "0.01"]) == 3
    assert "Not finished" in capsys.readouterr().out
    assert main(command) == 0
    rows = {each["method"]: each for each in json.loads((out / "rows.json").read_text(encoding="utf-8"))}
    assert list(rows) == ["held-out reals", "step 0", "apgc-4", "bsa", "dcgan"]
    assert all(rows[name]["step"] >= 1 for name in ("apgc-4", "bsa", "dcgan"))
    assert 0 < rows["bsa"]["reconstruction"] < 2
    assert rows["dcgan"]["reconstruction"] is None
    # Random weights are as far from flowers whoever adapts them; the flowers left out are nearer.
    assert rows["held-out reals"]["train"]["kmmd"] < rows["step 0"]["train"]["kmmd"]
    assert (out / "pictures" / "apgc-4-seed0-reconstructions.png").is_file()
    files = sorted((out / "rows").iterdir()) + sorted(out.glob("*/checkpoints/*/state.json"))
    before = [path.stat().st_mtime_ns for path in files]
    capsys.readouterr()
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in files] == before
    assert "| apgc-4 | 0 |" in capsys.readouterr().out
