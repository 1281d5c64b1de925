"""`smallgan run --ray`: a study on two nodes, stopped, gone on with, a node killed, equals that of one process."""

import os
import re
import signal
import socket
import sys
import threading
import time
from functools import partial

import pytest
import torch
from same_study import assert_same_weights, without_times
from tiny_study import TINY
from typer.testing import CliRunner

from augment.errors import MissingError, UsageError
from smallgan.cli import app
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir
from smallgan.study.run_recipe import run_recipe
from smallgan.study.stages import ExecutionOptions
from smallgan.study.status import rows
from smallgan.tables.recipe import load_recipe

STEPS, EVERY = 200, 20
STUDY = TINY | {
    "name": "tiny",
    "train.steps": STEPS,
    "train.snapshot_every": EVERY,
    "score.num_fake": 8,
    "sample.count": 2,
    "sample.interpolate": 0,
    "grid": {"augment.policy": ["none", "hflip"]},
}
ONE_CPU = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of two nodes on this machine, with a core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=ONE_CPU | {"include_dashboard": False})
    yield found
    found.shutdown()


def begun_on(study, node=None):
    """The runs that were begun on a Ray node, or on any, in their order."""
    lines = re.findall(r"\[(.+)\] started on .* \(Ray node (\w+)\)", study.log.read_text(encoding="utf-8"))
    return [label for label, name in lines if node is None or node.node_id.startswith(name)]


def resumed_from(study, trial):
    """The steps at which the training of a trial went on."""
    return [
        int(step) for step in re.findall(r"resumed from step (\d+)", RunDir(study.run_of(trial)).log.read_text("utf-8"))
    ]


def once(is_so, act):
    """Do something, in a thread, as soon as something is so."""

    def wait():
        deadline = time.monotonic() + 300
        while not is_so() and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_study_on_two_nodes_stopped_and_then_with_one_killed_equals_that_of_one_process(cluster, tiny_set, tmp_path):
    from smallgan.study.ray_jobs import ray_cluster

    second = cluster.add_node(**ONE_CPU)
    recipe = load_recipe(None, STUDY | {"data.source": str(tiny_set)})
    whole, spread = StudyDir(tmp_path / "whole" / "study"), StudyDir(tmp_path / "spread" / "study")
    said = []

    def made(study, **how):
        return run_recipe(recipe, out=study.path, options=ExecutionOptions("cpu"), log=said.append, **how)

    by_ray = partial(ray_cluster, cluster.address, None, 1.0, said.append)
    once(lambda: len(list(spread.runs.glob("*/stats.jsonl"))) == 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert not made(spread, workers=by_ray).is_complete
    assert "Ray: 2 node(s) with 2 CPUs and 0 GPUs; 1 CPUs and 0 GPUs for each trial" in said
    assert {(row.state, 0 < row.step < STEPS) for row in rows(spread)} == {("stopped", True)}
    assert sorted(begun_on(spread)) == ["hflip, seed 0", "none, seed 0"]

    reached = {f"{row.variant}, seed 0": row.step for row in rows(spread)}

    def has_gone_on():
        there = begun_on(spread, second)[1:]
        return there and any(
            row.step > reached[there[0]] + EVERY for row in rows(spread) if there[0].startswith(row.variant)
        )

    once(has_gone_on, lambda: cluster.remove_node(second, allow_graceful=False))
    assert made(spread, workers=by_ray).is_complete
    moved = begun_on(spread, second)[1]
    assert begun_on(spread)[2:].count(moved) == 2, "begun on the node that was killed, and on the other"
    steps = [resumed_from(spread, trial) for trial in spread.trials()]
    assert sorted(map(len, steps)) == [1, 2]
    (stopped, killed) = max(steps, key=len)
    assert (killed > stopped, killed % EVERY) == (True, 0), "from a snapshot after the step of the stop"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert made(whole).is_complete
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(whole.trials(), spread.trials(), strict=True):
        first, then = RunDir(whole.run_of(one)), RunDir(spread.run_of(other))
        assert_same_weights(first, then)
        scores, with_stop = ([without_times(line) for line in read_jsonl(run.scores)] for run in (first, then))
        assert [line for line in scores if line not in with_stop] == []


def refused(*words):
    return CliRunner().invoke(app, ["run", *words]).exception


def test_without_ray_the_error_names_the_extra_and_nothing_is_made(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused("quickstart", f"--set=data.source={tiny_set}", "--ray", "auto", "--out", str(tmp_path / "study"))
    assert isinstance(error, MissingError)
    assert str(error).endswith("install it on all nodes with: pip install 'smallgan[ray]'")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow  # imports Ray
def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    error = refused("quickstart", "--ray", address, "--out", str(tmp_path / "study"))
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"--ray {address}: no Ray cluster there (")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quickstart", "--ray", "auto", "--jobs", "2"], "--ray cannot be combined with --trial or --jobs"),
        (["quickstart", "--ray", "auto", "--trial", "0"], "--ray cannot be combined with --trial or --jobs"),
        (["quickstart", "--gpus-per-trial", "0.5"], "--gpus-per-trial and --cpus-per-trial are for --ray"),
        pytest.param(["downstream-flowers", "--ray", "auto"], "--ray", marks=pytest.mark.slow),  # imports torch
    ],
)
def test_options_that_do_not_go_together_are_refused(words, told):
    error = refused(*words)
    assert isinstance(error, UsageError)
    assert told in str(error)
