"""`smallgan run`: resumed, shared, stopped, failed, divided among processes and tasks, and shown."""

import json
import subprocess
import sys
import time
from multiprocessing import active_children

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from tiny_study import TINY
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.core.study_dir import StudyDir
from smallgan.study.open import open_study
from smallgan.study.runner import jobs_of_trial, run_jobs
from smallgan.study.stages import ExecutionOptions
from smallgan.study.status import as_text, rows
from smallgan.tables.recipe import load_recipe

STUDY = TINY | {
    "name": "tiny",
    "score.num_fake": 8,
    "sample.count": 2,
    "sample.interpolate": 2,
    "report.page": False,
}
POLICIES = {"augment.policy": ["none", "hflip", "gan"]}


def tiny(source, grid=POLICIES, **overrides):
    return load_recipe(None, STUDY | {"data.source": str(source), "grid": grid} | overrides)


def run(recipe, out, **options):
    study, jobs = open_study(recipe, out=out)
    said = []
    return study, run_jobs(study, jobs, ExecutionOptions("cpu"), log=said.append, **options), said


def states(study):
    return {(trial.variant, trial.seed): trial.state for trial in study.trials()}


@pytest.mark.slow
def test_a_study_trains_scores_and_samples_every_trial(tiny_set, tmp_path):
    study, outcome, _ = run(tiny(tiny_set, seeds=[1, 2]), tmp_path / "study")
    assert len(outcome.done) == 6
    assert set(states(study).values()) == {"done"}
    for trial in study.trials():
        folder = RunDir(study.run_of(trial))
        assert folder.reached(4)
        assert [line["step"] for line in read_jsonl(folder.stats)] == [2, 4]
        assert {path.name for path in folder.samples.iterdir()} == {
            f"step-000004-images-seed{trial.seed}-x2",
            f"step-000004-interpolation-seed{trial.seed}-x2",
            f"step-000004-nearest-seed{trial.seed}",
        }
    data = json.loads((study.path / "runs/02-gan-seed1/data.json").read_text(encoding="utf-8"))
    assert data["origins"] == {"original": 12, "synthetic": 12}


@pytest.mark.slow
def test_the_last_scores_say_what_reals_would_read(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set, {"augment.policy": ["none"]}), tmp_path / "study")
    lines = read_jsonl(RunDir(study.run_of(study.trials()[0])).scores)
    told = {(line["step"], line["metric"]): line["baseline_counts"] for line in lines if line["baseline"] is not None}
    assert told == {(4, "is"): [8, None], (4, "kmmd"): [6, 6]}


@pytest.mark.slow
def test_what_is_unchanged_is_not_done_again(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    before = {path: path.stat().st_mtime_ns for path in study.runs.rglob("*") if path.is_file()}
    _, outcome, said = run(tiny(tiny_set), tmp_path / "study")
    assert (len(outcome.done), said) == (3, [])
    assert {path: path.stat().st_mtime_ns for path in study.runs.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_each_trial_shows_its_fakes_beside_the_nearest_training_images(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    facts = {}
    for trial in study.trials():
        path = RunDir(study.run_of(trial)).samples / "step-000004-nearest-seed0/worst.json"
        facts[trial.variant] = json.loads(path.read_text(encoding="utf-8"))
        with Image.open(path.with_suffix(".png")) as picture:
            assert picture.width < 700
    originals = set(json.loads((study.path / "runs/00-none-seed0/data.json").read_text(encoding="utf-8"))["names"])
    for found in facts.values():
        assert (found["num_fake"], found["num_originals"], len(found["nearest"])) == (8, 12, 8)
        least = [min(row["distance"], row["added_distance"] or np.inf) for row in found["nearest"]]
        assert least == sorted(least)
        assert {row["original"] for row in found["nearest"]} <= originals
        assert {row["sample"] for row in found["nearest"]} == set(range(8))
    assert {row["added"] for row in facts["none"]["nearest"]} == {None}
    # early fakes are like other early fakes, which the gan images are, and like nothing else
    assert all("gan" in row["added"] for row in facts["gan"]["nearest"])


@pytest.mark.slow
def test_a_sheet_that_is_missing_is_made_again_and_nothing_else(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in study.runs.rglob("*") if path.is_file()}
    sheet = study.path / "runs/01-hflip-seed0/samples/step-000004-nearest-seed0/worst.png"
    sheet.unlink()
    # as a study made before there were sheets has it
    stages = study.stage_file(study.path / "runs/00-none-seed0")
    done = json.loads(stages.read_text(encoding="utf-8"))
    stages.write_text(json.dumps({stage: done[stage] for stage in ("train", "sample")}), encoding="utf-8")
    _, outcome, _ = run(tiny(tiny_set), tmp_path / "study")
    assert len(outcome.done) == 3
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in study.runs.rglob("*") if path.is_file()}
    assert {path: data for path, (_, data) in after.items()} == {path: data for path, (_, data) in before.items()}
    made = {path.relative_to(study.path).as_posix() for path in after if after[path][0] != before[path][0]}
    assert {name.rpartition("/")[0].rpartition("/")[2] for name in made} == {"step-000004-nearest-seed0"}
    assert {name.split("/")[1] for name in made} == {"00-none-seed0", "01-hflip-seed0"}
    assert json.loads(stages.read_text(encoding="utf-8")) == done


@pytest.mark.slow
def test_a_study_that_scores_nothing_compares_nothing(tiny_set, tmp_path):
    study, outcome, _ = run(tiny(tiny_set, **{"score.metrics": []}), tmp_path / "study")
    assert len(outcome.done) == 3
    assert not list(study.path.rglob("worst.*"))


@pytest.mark.slow
def test_other_samples_are_drawn_without_training_again(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    weights = {path: path.stat().st_mtime_ns for path in study.runs.rglob("*.safetensors")}
    run(tiny(tiny_set, **{"sample.count": 5}), tmp_path / "study")
    assert {path: path.stat().st_mtime_ns for path in study.runs.rglob("*.safetensors")} == weights
    assert (study.path / "runs/00-none-seed0/samples/step-000004-images-seed0-x5/images/sample-00004.png").is_file()


@pytest.mark.slow
def test_new_variants_seeds_and_steps_go_on_with_what_is_there(tiny_set, tmp_path):
    two = {"augment.policy": ["none", "hflip"]}
    study, _, _ = run(tiny(tiny_set, two), tmp_path / "study")
    first = RunDir(study.path / "runs/00-none-seed0")
    began = first.fakes(0).stat().st_mtime_ns
    more = {"augment.policy": ["none", "vflip", "hflip"]}
    study, outcome, _ = run(tiny(tiny_set, more, seeds=[0, 5], **{"train.steps": 6}), tmp_path / "study")
    assert len(outcome.done) == 6
    assert first.fakes(0).stat().st_mtime_ns == began
    assert [line["step"] for line in read_jsonl(first.stats)] == [2, 4, 6]


@pytest.mark.slow
def test_more_steps_are_refused_where_gan_images_were_made_of_fewer(tiny_set, tmp_path):
    run(tiny(tiny_set), tmp_path / "study")
    with pytest.raises(UsageError, match="other variants already use images sampled from this run at step 4"):
        run(tiny(tiny_set, **{"train.steps": 6}), tmp_path / "study")
    with pytest.raises(UsageError, match=r"already trained to step 4, but train\.steps is 2"):
        run(tiny(tiny_set, **{"train.steps": 2}), tmp_path / "study")


@pytest.mark.slow
def test_another_recipe_and_other_images_are_refused_with_what_changed(tiny_set, tmp_path):
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    with pytest.raises(UsageError, match=r"method\.lr_d was 0\.0002, is 0\.001"):
        run(tiny(tiny_set, **{"method.lr_d": 1e-3}), tmp_path / "study")
    Image.new("RGB", (40, 32), (9, 9, 9)).save(tiny_set / "more.png")
    with pytest.raises(UsageError, match=r"00-none-seed0: begun with other images"):
        run(tiny(tiny_set), tmp_path / "study")
    assert set(states(study).values()) == {"done"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        run(tiny(tiny_set), tmp_path / "mine")


def test_the_newest_study_of_the_same_recipe_goes_on(tiny_set, tmp_path):
    root = tmp_path / "studies"
    first, _ = open_study(tiny(tiny_set), root=root)
    assert open_study(tiny(tiny_set, seeds=[3]), root=root)[0].path == first.path
    assert open_study(tiny(tiny_set, **{"method.lr_g": 0.1}), root=root)[0].name == "00001-tiny"
    assert open_study(tiny(tiny_set), root=root)[0].path == first.path
    assert open_study(tiny(tiny_set), root=root, new=True)[0].name == "00002-tiny"


def test_what_cannot_be_run_leaves_no_folder_behind(tiny_set, tmp_path):
    (tiny_set / "broken.png").write_bytes(b"no image")
    with pytest.raises(Exception, match=r"broken\.png"):
        open_study(tiny(tiny_set), root=tmp_path / "studies")
    assert not (tmp_path / "studies").exists()


@pytest.mark.slow
def test_a_failing_trial_is_told_and_the_others_finish(tiny_set, tmp_path):
    grid = [
        {"name": "none"},
        {"name": "wild", "method.lr_d": 1e30, "method.lr_g": 1e30},
        {"name": "hflip", "augment.policy": "hflip"},
    ]
    study, outcome, said = run(tiny(tiny_set, grid), tmp_path / "study")
    assert states(study) == {("none", 0): "done", ("wild", 0): "failed", ("hflip", 0): "done"}
    assert [path.name for path in outcome.failed] == ["01-wild-seed0"]
    assert "became" in study.trials()[1].problem
    assert any(line.startswith("[wild, seed 0] failed: ") for line in said)
    assert any("wild, seed 0: " in line for line in as_text(rows(study)))


@pytest.mark.slow
def test_an_unforeseen_fault_of_a_trial_is_kept_to_it(tiny_set, tmp_path, monkeypatch):
    import smallgan.study.stages as stages

    def broken(*arguments, **options):
        if "hflip" in options["out"].name:
            raise RuntimeError("out of memory\nand more")
        return original(*arguments, **options)

    original = stages.train
    monkeypatch.setattr(stages, "train", broken)
    study, _, _ = run(tiny(tiny_set), tmp_path / "study")
    assert states(study) == {("none", 0): "done", ("hflip", 0): "failed", ("gan", 0): "done"}
    assert study.trials()[1].problem.startswith("RuntimeError: out of memory (the traceback is in ")
    assert "Traceback" in study.log.read_text(encoding="utf-8")
    monkeypatch.undo()
    study, outcome, _ = run(tiny(tiny_set), tmp_path / "study")
    assert (len(outcome.done), study.trials()[1].problem) == (3, None)


def test_trials_whose_gan_images_cannot_be_made_fail_with_the_reason(tiny_set, tmp_path):
    settings = {"method.lr_d": 1e30, "method.lr_g": 1e30}
    study, _, _ = run(tiny(tiny_set, {"augment.policy": ["none", "gan"]}, **settings), tmp_path / "study")
    assert set(states(study).values()) == {"failed"}
    assert "the run that makes its gan images failed" in study.trials()[1].problem


@pytest.mark.slow
def test_a_stop_leaves_the_study_to_go_on_from(tiny_set, tmp_path):
    asked = iter([False] * 5 + [True] * 100)
    study, outcome, _ = run(tiny(tiny_set), tmp_path / "study", stop_requested=lambda: next(asked))
    assert outcome.stopped
    assert "pending" in states(study).values()
    stopped = [row for row in rows(study) if row.state == "stopped"]
    assert [(row.step > 0, row.step < row.steps) for row in stopped] == [(True, True)]
    _, outcome, _ = run(tiny(tiny_set), tmp_path / "study")
    assert (outcome.stopped, len(outcome.done)) == (False, 3)


@pytest.mark.process
def test_processes_make_the_same_weights_as_one_after_the_other(tiny_set, tmp_path):
    torch.set_num_threads(1)  # the sums of several threads may differ in the last bit
    one, _, _ = run(tiny(tiny_set), tmp_path / "one")
    two, outcome, _ = run(tiny(tiny_set), tmp_path / "two", num_processes=2)
    assert (len(outcome.done), set(states(two).values())) == (3, {"done"})
    for trial in one.trials():
        mine, other = (
            load_file(RunDir(study.run_of(trial)).checkpoint(4) / "tensors.safetensors") for study in (one, two)
        )
        assert [name for name in mine if not np.array_equal(mine[name], other[name])] == [], trial.variant


@pytest.mark.process
def test_a_failing_trial_fails_in_a_process_too(tiny_set, tmp_path):
    grid = [{"name": "wild", "method.lr_d": 1e30, "method.lr_g": 1e30}, {"name": "none"}]
    study, outcome, _ = run(tiny(tiny_set, grid), tmp_path / "study", num_processes=2)
    assert states(study) == {("wild", 0): "failed", ("none", 0): "done"}
    assert "became" in study.trials()[0].problem
    assert [path.name for path in outcome.failed] == ["00-wild-seed0"]


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_trial_alone(tiny_set, tmp_path):
    recipe = tiny(tiny_set, {"augment.policy": ["none", "hflip"]}, **{"train.steps": 150, "train.snapshot_every": 50})
    study, killed = StudyDir(tmp_path / "study"), []

    def kill_one():
        if not killed and study.exists() and set(states(study).values()) == {"running"}:
            killed.append(active_children()[0])
            killed[0].kill()
        return False

    _, outcome, said = run(recipe, study.path, num_processes=2, stop_requested=kill_one)
    assert (len(outcome.done), len(outcome.failed), outcome.stopped) == (1, 1, False)
    assert sorted(states(study).values()) == ["done", "failed"]
    assert [line.endswith("its process was killed, perhaps for lack of memory") for line in said].count(True) == 1


@pytest.mark.slow
def test_a_stop_reaches_the_runs_in_processes_each_on_a_gpu_of_its_own(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setattr("smallgan.study.runner.gpus_to_share", lambda _device: ["7", "GPU-x"])
    recipe = tiny(tiny_set, {"augment.policy": ["none", "hflip"]}, **{"train.steps": 50_000})
    study = StudyDir(tmp_path / "study")

    def both_train():
        return all((study.path / trial.run / "stats.jsonl").is_file() for trial in study.trials())

    _, outcome, said = run(recipe, study.path, num_processes=2, stop_requested=both_train)
    assert (outcome.stopped, outcome.done, outcome.failed) == (True, set(), {})
    assert [line.partition("] ")[2] for line in said if "GPU" in line] == ["started on GPU 7", "started on GPU GPU-x"]
    assert [(row.state, 0 < row.step < row.steps) for row in rows(study)] == [("stopped", True)] * 2


@pytest.mark.slow
def test_workers_end_when_the_process_that_started_them_is_killed(tiny_set, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("grid: {augment.policy: [none, hflip]}\n", encoding="utf-8")
    sets = [f"--set={key}={value}" for key, value in (STUDY | {"train.steps": 50_000, "data.source": tiny_set}).items()]
    words = ["run", recipe, *sets, "--out", tmp_path / "study", "--device", "cpu", "--jobs", "2"]
    victim = subprocess.Popen([sys.executable, "-m", "smallgan", *map(str, words)], stdout=subprocess.PIPE)
    while len(list((tmp_path / "study").glob("runs/*/stats.jsonl"))) < 2:
        assert victim.poll() is None
        time.sleep(0.1)
    victim.kill()
    victim.communicate(timeout=60)  # the pipe closes once the last process that holds it has ended


@pytest.mark.slow
def test_one_trial_is_made_with_the_run_that_it_needs(tiny_set, tmp_path):
    study, jobs = open_study(tiny(tiny_set), out=tmp_path / "study")
    wanted = jobs_of_trial(jobs, 2)
    assert [job.trial.variant for job in wanted] == ["none", "gan"]
    run_jobs(study, wanted, ExecutionOptions("cpu"), log=lambda _line: None, wait_for_others=True)
    assert states(study) == {("none", 0): "done", ("hflip", 0): "pending", ("gan", 0): "done"}
    with pytest.raises(UsageError, match="--trial 3: this study has trials 0 to 2"):
        jobs_of_trial(jobs, 3)


@pytest.mark.slow
def test_a_run_that_another_process_is_at_is_left_to_it(tiny_set, tmp_path):
    study, jobs = open_study(tiny(tiny_set), out=tmp_path / "study")
    with study.claimed(jobs[0].run) as mine:
        assert mine
        outcome = run_jobs(study, jobs, ExecutionOptions("cpu"), log=lambda _line: None)
    assert sorted(path.name for path in outcome.elsewhere) == ["00-none-seed0", "02-gan-seed0"]
    assert states(study) == {("none", 0): "pending", ("hflip", 0): "done", ("gan", 0): "pending"}


def test_the_table_tells_a_stopped_trial_from_a_running_one(tiny_set, tmp_path):
    study, jobs = open_study(tiny(tiny_set), out=tmp_path / "study")
    study.update(0, "running")
    assert rows(study)[0].state == "stopped"
    with study.claimed(jobs[0].run):
        assert rows(study)[0].state == "running"


def command(*words):
    return CliRunner().invoke(app, ["run", *map(str, words)])


@pytest.mark.slow
def test_the_command_runs_shows_and_reports_a_study(tiny_set, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("grid: {augment.policy: [none, hflip]}\n", encoding="utf-8")
    sets = [f"--set={key}={value}" for key, value in STUDY.items() if key != "report.page"]
    words = [recipe, *sets, f"--set=data.source={tiny_set}", "--out", tmp_path / "study", "--device", "cpu"]
    assert "no study of this recipe has begun" in command(*words, "--status").output
    result = command(*words, "--json")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "study/report.html").read_text(encoding="utf-8")
    assert 'alt="Nearest training images of 01-hflip-seed0: 8 samples, each above its nearest training image"' in page
    shown = json.loads(command(*words, "--status", "--json").stdout)
    assert [(row["variant"], row["state"], row["step"], row["steps"]) for row in shown["runs"]] == [
        ("none", "done", 4, 4),
        ("hflip", "done", 4, 4),
    ]
    lines = command(*words, "--status").stdout.splitlines()
    assert lines[1].split() == ["no.", "variant", "seed", "state", "step", "ETA", "KMMD"]
    assert command(*words, "--trial", "0", "--jobs", "2").exit_code != 0


@pytest.mark.slow
def test_the_command_fails_when_a_trial_did(tiny_set, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("grid: [{name: wild, method.lr_d: 1.0e+30, method.lr_g: 1.0e+30}, {name: none}]\n")
    sets = [f"--set={key}={value}" for key, value in STUDY.items()]
    result = command(recipe, *sets, f"--set=data.source={tiny_set}", "--out", tmp_path / "study", "--device", "cpu")
    assert result.exit_code == 1
    assert "failed: wild, seed 0: " in result.output
    assert "2 runs: 1 done, 1 failed" in result.output


def test_train_sends_a_grid_to_run():
    result = CliRunner().invoke(app, ["train", "--recipe", "which-augmentation"])
    assert isinstance(result.exception, UsageError)
    assert "smallgan run which-augmentation" in str(result.exception)
