"""The clock of the machine is set back between two commands, and while one runs: nothing goes by it."""

import datetime
import itertools
import os
import time

import numpy as np
import pytest
from doomed import Killed
from safetensors.numpy import load_file

from augment.build.build import build
from augment.build.plan import make_plan
from augment.core.files import sha256_file
from augment.errors import InputError
from augment.sources.readers import open_source
from smallgan.core import run_log
from smallgan.core.checkpoint import read_tensors
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.metrics.score_paths import newest_run
from smallgan.tables.recipe import load_recipe
from smallgan.training.train import train

TINY = {
    "data.size": 32,
    "model.base_width": 8,
    "train.batch_size": 4,
    "train.steps": 4,
    "train.report_every": 1,
    "train.snapshot_every": 2,
    "score.metrics": [],
}
DAY = 86_400


@pytest.fixture
def set_clock(monkeypatch):
    """Make the clock start `days` from now, and run backwards, an hour at each look at it."""
    today = time.time()

    def set_to(days):
        hours = itertools.count()

        def now():
            return today + days * DAY - 3600 * next(hours)

        class Datetime(datetime.datetime):
            @classmethod
            def now(cls, zone=None):
                return datetime.datetime.fromtimestamp(now(), zone)

        monkeypatch.setattr(time, "time", now)
        monkeypatch.setattr(time, "time_ns", lambda: int(now() * 1e9))
        monkeypatch.setattr(run_log, "datetime", Datetime)
        monkeypatch.setattr("smallgan.metrics.datetime", Datetime)

    return set_to


def of_tomorrow(folder):
    """Give all files the time at which they would have been written before the clock was set back a day."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (path.stat().st_mtime + DAY, path.stat().st_mtime + DAY))


def start(recipe, root, **options):
    return train(recipe, root=root, device="cpu", log=lambda _line: None, **options)


@pytest.mark.slow
def test_a_run_stopped_and_resumed_under_a_clock_set_back_equals_an_uninterrupted_one(tiny_set, tmp_path, set_clock):
    recipe = load_recipe(None, TINY | {"data.source": str(tiny_set)})
    whole = start(recipe, tmp_path / "whole")
    other = load_recipe(None, TINY | {"data.source": str(tiny_set), "seeds": [5]})
    root = tmp_path / "cut"
    set_clock(days=0)
    start(other, root)
    asked = iter([False, False, True])
    cut = start(recipe, root, stop_requested=lambda: next(asked))
    assert (cut.name[:5], cut.last_step()) == ("00001", 3)
    of_tomorrow(root)
    set_clock(days=-1)
    assert start(recipe, root).path == cut.path, "the newest unfinished run of the recipe goes on"
    assert newest_run(root) == cut.path
    assert start(recipe, root, new=True).name[:5] == "00002"
    one, two = (load_file(run.checkpoint(4) / "tensors.safetensors") for run in (whole, cut))
    assert [name for name in one if not np.array_equal(one[name], two[name])] == []
    lines = read_jsonl(cut.stats)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for key in ("train_seconds", "other_seconds"):
        seconds = [line[key] for line in lines]
        assert seconds == sorted(seconds)
        assert 0 <= seconds[0] <= seconds[-1] < 600
    assert all(line["images_per_second"] > 0 for line in lines)


def test_events_written_after_the_clock_was_set_back_are_read_last(tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = RunDir(tmp_path / "run")
    run.create()
    seconds = (2_000_000_000, 2_000_000_000, 1_900_000_000, 1_800_000_000)
    for session, second in enumerate(seconds):
        monkeypatch.setattr(time, "time", lambda second=second: second)
        monkeypatch.setattr(run, "last_step", lambda session=session: 2 * session)
        with run_log.tensorboard(run) as record:
            for step in range(2 * session + 1, 2 * session + 5):
                record({"step": step, "session": session})
    events = accumulator.EventAccumulator(str(run.path)).Reload().Scalars("session")
    assert [(event.step, event.value) for event in events] == [
        *((1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3), (8, 3), (9, 3), (10, 3))
    ]


def test_a_file_that_was_changed_after_the_clock_was_set_back_is_made_again(tiny_set, tmp_path, monkeypatch):
    source = open_source(tiny_set)
    plan, out = make_plan(source, "hflip", size=24), tmp_path / "out"
    sums = [record.sha256 for record in build(plan, source, tmp_path / "whole").records]

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("augment.build.build.contact_sheet", killed)
        with pytest.raises(Killed):
            build(plan, source, out)
    changed = out / plan.entries[-1].file_name
    written = changed.stat().st_mtime
    changed.write_bytes(bytes(len(changed.read_bytes())))
    os.utime(changed, (written - DAY, written - DAY))
    again = build(plan, source, out)
    assert [record.sha256 for record in again.records] == sums
    assert sha256_file(changed) == sums[-1]
    assert again.num_kept == len(sums) - 1


def test_a_checkpoint_damaged_at_the_same_time_of_change_is_not_taken_for_the_whole_one(tiny_set, tmp_path):
    run = start(load_recipe(None, TINY | {"data.source": str(tiny_set)}), tmp_path)
    tensors = run.checkpoint(4) / "tensors.safetensors"
    read_tensors(tensors.parent)
    status, data = tensors.stat(), tensors.read_bytes()
    tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(tensors, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match="this checkpoint is damaged"):
        read_tensors(tensors.parent)
