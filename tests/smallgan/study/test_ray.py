"""`smallgan run --ray`: a study on two nodes, stopped, gone on with, a node killed, equals that of one process."""

import math
import os
import re
import signal
import socket
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from same_study import assert_same_weights, without_times
from tiny_study import TINY
from typer.testing import CliRunner

from augment.errors import InputError, MissingError, UsageError
from smallgan.cli import app
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir
from smallgan.core.version import __version__
from smallgan.study.open import open_study
from smallgan.study.run_recipe import run_recipe
from smallgan.study.runner import run_jobs
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


class LostError(Exception):
    """What workers that are not there raise."""


class NoWorkers:
    """Each run that is given out is lost at once."""

    capacity, lost = math.inf, (LostError,)

    def __init__(self):
        self.given, self.stops = [], 0

    def start(self, _study, job, _options):
        self.given.append(job.label)
        future = Future()
        future.set_exception(LostError("gone"))
        return future

    def problem(self, error):
        return f"lost: {error}"

    def stop(self):
        self.stops += 1


@pytest.mark.parametrize("is_stopped", [False, True])
def test_all_runs_are_given_out_at_once_and_a_lost_one_failed_unless_the_study_was_stopped(
    tiny_set, tmp_path, is_stopped
):
    grid = {"augment.policy": ["none", "hflip", "gan"]}
    study, jobs = open_study(
        load_recipe(None, STUDY | {"data.source": str(tiny_set), "grid": grid}), out=tmp_path / "s"
    )
    workers = NoWorkers()
    how = {"log": lambda _line: None, "stop_requested": lambda: is_stopped, "workers": workers}
    outcome = run_jobs(study, jobs, ExecutionOptions("cpu"), **how)
    assert workers.given == ["none, seed 0", "hflip, seed 0"], "gan needs the run that was lost"
    assert (outcome.stopped, workers.stops) == (is_stopped, int(is_stopped))
    problems = [trial.problem for trial in study.trials()]
    assert problems[:2] == ([None, None] if is_stopped else ["lost: gone"] * 2)


def test_a_node_that_lacks_what_all_must_share_is_named(tiny_set, tmp_path, monkeypatch):
    from smallgan.study.ray_jobs import RayWorkers, _make_on_node

    node = SimpleNamespace(get_node_id=lambda: "0123456789")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_runtime_context=lambda: node))
    monkeypatch.chdir(tmp_path)
    study, jobs = open_study(load_recipe(None, STUDY | {"data.source": str(tiny_set)}), out=tmp_path / "study")

    def made(version=__version__, place=tmp_path, folder=study.path):
        _make_on_node(version, place, folder, jobs[0], ExecutionOptions("cpu"), 1)

    with pytest.raises(InputError, match=r"\(Ray node 01234567\): smallgan .*, but 0\.0\.1 planned this study"):
        made(version="0.0.1")
    with pytest.raises(InputError, match=r"no folder .*absent; start the study in a folder that all nodes share"):
        made(place=tmp_path / "absent")
    with pytest.raises(InputError, match=r"no study in .*other; name a folder .* with --out") as raised:
        made(folder=Path("other"))
    assert not (tmp_path / "other").exists()
    wrapped = Exception("a traceback of many lines")
    wrapped.cause = raised.value
    assert RayWorkers.problem(None, wrapped) == str(raised.value)
    crash = RuntimeError("The worker died.\n  It was killed.\n")
    assert RayWorkers.problem(None, crash) == (
        "given up by Ray (RuntimeError): It was killed; the same command goes on with it"
    )


def refused(*words):
    return CliRunner().invoke(app, ["run", *words]).exception


def test_without_ray_the_error_names_the_extra_and_nothing_is_made(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused("quickstart", f"--set=data.source={tiny_set}", "--ray", "auto", "--out", str(tmp_path / "study"))
    assert isinstance(error, MissingError)
    assert str(error).endswith("install it on all nodes with: pip install 'smallgan[ray]'")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow  # imports Ray
@pytest.mark.parametrize(
    ("gpus", "told"), [(1.5, "must be whole numbers above 1"), (0.00001, "precision"), (0.25, None), (2.0, None)]
)
def test_shares_that_ray_cannot_give_are_refused(gpus, told):
    from smallgan.study.ray_jobs import RayWorkers

    refusal = pytest.raises(UsageError, match=f"--gpus-per-trial {gpus:g} --cpus-per-trial 1: .*{told}")
    with refusal if told else nullcontext():
        RayWorkers(gpus, 1.0)


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
