"""Several processes train what one trains, a killed one ends the others, and any number of them goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from ranked import command, exit_codes, train_until_killed, write_trained
from safetensors.torch import load_file

from benchmarks.ranks import apart
from smallgan.core.checkpoint import read_tensors
from smallgan.core.run_dir import RunDir
from smallgan.tables.recipe import load_recipe
from smallgan.training.train import train

pytestmark = [pytest.mark.process, pytest.mark.slow]

CASES = ["DCGAN, R1 through batch norm", "FastGAN, all", "IMLE, FastGAN (batch norm)"]
CASES += ["APGC, learned codes", "APGC, matched latents", "BSA, raw, in parts"]
TINY = {"data.size": 32, "data.limit": 24, "model.base_width": 8, "train.batch_size": 4, "train.steps": 5}
OFTEN = {"train.report_every": 1, "train.snapshot_every": 2, "score.metrics": [], "data.selection": False}


def test_two_ranks_train_what_one_process_trains(tmp_path):
    files = tmp_path / "one", tmp_path / "two"
    for count, file in enumerate(files, start=1):
        assert exit_codes(write_trained, file, CASES, 2, count=count) == [0] * count
    differences = apart(*(load_file(file) for file in files))
    assert differences.keys() == set(CASES)
    assert {name: each for name, each in differences.items() if each > 1e-9} == {}


def test_a_killed_rank_ends_the_others_and_one_process_or_two_go_on(tmp_path):
    torch.set_num_threads(1)
    recipe = load_recipe(None, TINY | OFTEN)
    run = RunDir(tmp_path / "ranks")
    assert exit_codes(train_until_killed, recipe, run.path, 3) == [1, -signal.SIGKILL]
    assert run.last_step() == 2
    assert exit_codes(train_until_killed, recipe, run.path, 3, restart=1) == [0, 0]
    longer = load_recipe(None, TINY | OFTEN | {"train.steps": 7})
    train(longer, out=run.path, device="cpu", log=lambda _line: None)  # a checkpoint of two, gone on with by one
    alone = train(longer, out=tmp_path / "alone", device="cpu", log=lambda _line: None)
    wanted, found = (read_tensors(each.checkpoint(7)) for each in (alone, run))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert [line for each in (alone, run) for line in (each.stats.read_text().count("\n"),)] == [7, 7]


def test_torchrun_starts_killed_ranks_anew_and_they_go_on(tiny_set, tmp_path):
    run = RunDir(tmp_path / "run")
    settings = TINY | OFTEN | {"data.limit": None, "train.steps": 150, "train.snapshot_every": 20}
    asked = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    launch = ["--standalone", "--nproc-per-node=2", "--max-restarts=1", "-m", "smallgan", "train", str(tiny_set)]
    with subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *launch, *asked, "--device=cpu", f"--out={run.path}", "--new"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as torchrun:
        while torchrun.poll() is None and not run.checkpoint(20).is_dir():
            time.sleep(0.05)
        assert torchrun.poll() is None, torchrun.communicate()[0]
        listed = subprocess.run(["pgrep", "-P", str(torchrun.pid)], capture_output=True, text=True, check=True)
        _, last = listed.stdout.split()
        os.kill(int(last), signal.SIGKILL)
        said, _ = torchrun.communicate()
    assert torchrun.returncode == 0, said
    resumed = [line for line in said.splitlines() if line.startswith("resumed from step")]
    assert len(resumed) == 1, said
    assert run.last_step() == 150


def test_an_error_of_all_ranks_is_told_once(tiny_set):
    asked = ["train", str(tiny_set), "--model", "dcgan", "--size", "32", "--batch-size", "3", "--device", "cpu"]
    said = tiny_set.parent / "stderr"
    codes = exit_codes(command, [*asked, "--out", str(tiny_set.parent / "run")], said)
    assert 2 in codes
    assert set(codes) <= {1, 2}  # 1: it lost the other, which had found the mistake before
    errors = [line for line in said.read_text().splitlines() if "error" in line.lower()]
    wanted = "a batch of 3 images cannot be divided among 2 processes; use --batch-size 2 or 4"
    assert errors == [f"smallgan: error: {wanted}"]
    assert not (tiny_set.parent / "run").exists()
