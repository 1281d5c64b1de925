"""Studies of hundreds and thousands of trials: planned, shown and estimated in a time that grows with their number."""

import io
from itertools import pairwise

import pytest
from rich.console import Console
from tiny_study import TINY

from smallgan.core.study_dir import StudyDir
from smallgan.study import estimate as estimate_module
from smallgan.study import sources
from smallgan.study import status as status_module
from smallgan.study.estimate import estimate
from smallgan.study.open import open_study
from smallgan.study.plan import plan_jobs
from smallgan.study.status import Row, as_text, counted, most_wanted, rows
from smallgan.tables.recipe import load_recipe
from smallgan.tables.sweep import expand_grid

STUDY = TINY | {"name": "many", "score.metrics": []}
POLICIES = ["none", "hflip", "vflip", "contrast", "negative", "gan"]
RATES = [round(1e-5 * number, 7) for number in range(1, 101)]
PRODUCT = {"augment.policy": POLICIES, "method.lr_g": RATES}
LISTED = [
    {"name": f"v{number}", "augment.policy": POLICIES[number % 6], "method.lr_g": RATES[number // 6]}
    for number in range(600)
]


def many(source, grid, **overrides):
    return load_recipe(None, STUDY | {"data.source": str(source), "grid": grid} | overrides)


@pytest.mark.parametrize("grid", [PRODUCT, LISTED], ids=["product", "list"])
def test_six_hundred_variants_are_planned_and_opened(tiny_set, tmp_path, grid):
    study, jobs = open_study(many(tiny_set, grid), out=tmp_path / "study")
    trials = [job.trial for job in jobs if job.trial]
    assert len(trials) == len({trial.run for trial in trials}) == len({trial.variant for trial in trials}) == 600
    assert [trial.index for trial in trials] == list(range(600))
    assert sum(trial.reference for trial in trials) == 1
    settings = {(job.recipe.augment.policy, job.recipe.method.lr_g) for job in jobs if job.trial}
    assert settings == {(policy, rate) for policy in POLICIES for rate in RATES}
    needed = {job.needs for job in jobs if job.needs}
    plain = {job.run for job in jobs if job.recipe.augment.policy == "none"}
    assert len(needed) == 100
    assert needed <= plain, "the gan images of each rate come from the run without added images at that rate"
    assert [trial.run for trial in study.trials()] == [trial.run for trial in trials]
    found = rows(study)
    assert counted(found) == "600 runs: 600 pending"
    assert len(as_text(found)) == 601
    again = open_study(many(tiny_set, grid, seeds=[0, 1]), out=tmp_path / "study")[1]
    runs = {(job.trial.variant, job.trial.seed): job.trial.run for job in again if job.trial}
    assert len(set(runs.values())) == 1200
    assert all(runs[trial.variant, 0] == trial.run for trial in trials)


def test_more_steps_of_a_study_leave_the_snapshots_of_other_batch_sizes_where_they_were(tiny_set, tmp_path):
    grid = {"train.batch_size": [4, 8]}
    found = []
    for steps in (1000, 1050):
        settings = many(tiny_set, grid, **{"train.steps": steps, "train.snapshot_every": 100})
        jobs = [job for job in plan_jobs(settings, StudyDir(tmp_path)) if job.trial]
        found.append([(job.recipe.train.steps, job.recipe.train.snapshot_every) for job in jobs])
    assert found == [[(1000, 100), (500, 50)], [(1050, 100), (525, 50)]]


def test_what_many_names_have_in_common_does_not_make_them_long():
    grid = {"data.source": [f"photos/{'a' * 70}{number}" for number in range(300)], "augment.policy": ["none", "hflip"]}
    variants, mistakes = expand_grid(grid)
    names = [variant.name for variant in variants]
    assert (mistakes, len(names), len(set(names))) == ([], 600, 600)
    assert max(map(len, names)) <= 60 + len(" (600)")
    assert names[:2] == [f"{'a' * 59}~", f"{'a' * 59}~ (2)"]


@pytest.mark.slow
def test_a_dry_run_of_many_rates_times_each_kind_of_trial_once(tiny_set, tmp_path, monkeypatch):
    found = estimate(many(tiny_set, PRODUCT), out=tmp_path / "study", device="cpu", log=lambda _line: None)
    assert (found["num_runs"], len(found["seconds_per_step"])) == (600, 1)
    assert not (tmp_path / "study").exists()
    monkeypatch.setattr(estimate_module, "_MOST_TIMINGS", 2)
    grid = {"train.batch_size": [2, 3, 4, 5, 6]}
    found = estimate(many(tiny_set, grid), out=tmp_path / "study", device="cpu", log=lambda _line: None)
    assert (found["num_runs"], len(found["seconds_per_step"])) == (5, 2)
    assert "3 of 5 kinds of trial were not timed: they count as the mean" in found["notes"]


@pytest.mark.slow
def test_images_are_looked_at_once_however_many_variants_there_are(tiny_set, tmp_path, monkeypatch):
    looks, look = [], sources.open_checked
    monkeypatch.setattr(sources, "open_checked", lambda *a, **b: looks.append(a) or look(*a, **b))
    grid = {"augment.policy": POLICIES, "data.limit": list(range(3, 12)), "method.lr_g": RATES[:40]}
    jobs = plan_jobs(many(tiny_set, grid), StudyDir(tmp_path))
    assert (len([job for job in jobs if job.trial]), len(looks)) == (2160, 1)


def row(index, state):
    return Row(index, f"v{index}", 0, state, 1, 2, None, None, None)


def test_a_table_without_room_for_all_shows_what_runs_and_what_failed():
    states = ["done"] * 700 + ["pending"] * 490 + ["failed"] * 5 + ["running"] * 2 + ["stopped"] * 3
    found = [row(index, state) for index, state in enumerate(states)]
    shown = most_wanted(found, 12)
    assert [one.state for one in shown] == ["pending"] * 2 + ["failed"] * 5 + ["running"] * 2 + ["stopped"] * 3
    assert most_wanted(found, 5000) == found
    text = io.StringIO()
    Console(file=text, width=100, height=18).print(status_module._rich(found, 12))
    lines = text.getvalue().splitlines()
    assert len(lines) <= 18
    assert "1200 runs" in lines[0]
    assert "12 are shown, --status lists all" in " ".join(lines[:2])


def test_a_table_that_is_slow_to_read_is_drawn_more_rarely(monkeypatch):
    clock, drawn = [0.0], []

    def draw():
        drawn.append(clock[0])
        clock[0] += 2.0

    monkeypatch.setattr(status_module.time, "monotonic", lambda: clock[0])
    show = status_module._at_most_every(0.5, draw)
    while clock[0] < 100:
        clock[0] += 0.1
        show()
    assert [b - a for a, b in pairwise(drawn)] == pytest.approx([42.0] * 2, abs=0.2)
