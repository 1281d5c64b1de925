"""A study that is killed and begun again by the same command equals one that nobody stopped."""

import os
import signal
import subprocess
import sys
import time

import pytest
from class_folder import class_folder
from downstream_study import EARLY, PER_CLASS, files_of, quiet, recipe

from smallgan.downstream.run import run_downstream
from smallgan.tables.recipe import dump_study

TRAINED = "trials/*.json"
IN_TRAINING = "generators/*/checkpoints/step-*"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("policies", "seeds", "more", "jobs", "sign"),
    [
        (("none", "hflip"), (0, 1), {}, "2", TRAINED),
        (("none", "gan"), (0,), {**PER_CLASS, **EARLY}, "1", IN_TRAINING),
    ],
    ids=["two processes", "early stopping and one generator a class"],
)
def test_a_killed_study_equals_an_uninterrupted_one(tmp_path, policies, seeds, more, jobs, sign):
    chosen = recipe(class_folder(tmp_path / "bars"), policies, seeds, **more)
    whole, out, text = tmp_path / "whole", tmp_path / "study", tmp_path / "recipe.yaml"
    text.write_text(dump_study(chosen), encoding="utf-8")
    run_downstream(chosen, out=whole, device="cpu", log=quiet)
    words = [sys.executable, "-m", "smallgan", "run", str(text), "--out", str(out), "--device", "cpu", "--jobs", jobs]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread)
    deadline = time.monotonic() + 240
    while not list(out.glob(sign)) and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    victim.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    victim.wait()
    assert list(out.glob(sign))
    subprocess.run(words, check=True, capture_output=True, env=one_thread)
    ours, theirs = files_of(whole), files_of(out)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
