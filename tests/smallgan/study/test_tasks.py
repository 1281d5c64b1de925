"""Tasks of one study that start at once, as those of a SLURM array: one looks at the images, outside of every lock."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock, Timeout
from PIL import Image
from tiny_study import TINY

from augment.errors import InputError, UsageError
from smallgan.core.study_dir import StudyDir
from smallgan.study import sources as sources_module
from smallgan.study.estimate import estimate
from smallgan.study.open import open_study
from smallgan.study.sources import Sources, source_keys
from smallgan.tables.recipe import load_recipe

NUM_TASKS = 6
STUDY = TINY | {"name": "tiny", "score.metrics": []}


def tiny(source, **overrides):
    grid = {"augment.policy": ["none", "hflip", "gan"]}
    return load_recipe(None, STUDY | {"data.source": str(source), "grid": grid, "seeds": [1, 2]} | overrides)


@pytest.fixture
def looks(monkeypatch):
    """The sources that were decoded, each time that one was; decoding takes a third of a second."""
    found = []
    look = sources_module.open_checked

    def slow(path, **options):
        found.append(path)
        time.sleep(0.3)
        return look(path, **options)

    monkeypatch.setattr(sources_module, "open_checked", slow)
    return found


def at_once(work, number=NUM_TASKS):
    barrier = threading.Barrier(number)

    def begin(task):
        barrier.wait()
        return work(task)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


@pytest.mark.parametrize("is_named", [True, False])
def test_of_tasks_that_start_at_once_one_decodes_and_all_have_its_plan(tiny_set, tmp_path, looks, is_named):
    recipe, root = tiny(tiny_set), tmp_path / "studies"
    where = {"out": root / "00000-tiny"} if is_named else {"root": root}
    alone, jobs = open_study(recipe, **{key: tmp_path / "alone" / path.name for key, path in where.items()})
    assert looks.pop() == tiny_set
    assert not looks
    said = []
    opened = at_once(lambda _task: open_study(recipe, log=said.append, **where))
    assert looks == [tiny_set]
    assert {study.path for study, _ in opened} == {root / "00000-tiny"}
    assert said == ["another task looks at the images of this study: waiting for what it finds"] * len(said)
    for study, found in opened:
        assert [job.label for job in found] == [job.label for job in jobs]
        for mine, its in zip(found, jobs, strict=True):
            assert mine.run.relative_to(study.path) == its.run.relative_to(alone.path)
            assert (mine.data, mine.num_images, mine.trial) == (its.data, its.num_images, its.trial)
    study = opened[0][0]
    assert study.trials_file.read_bytes() == alone.trials_file.read_bytes()
    assert study.sources.read_bytes() == alone.sources.read_bytes()
    assert not list(root.glob(".planning*")), "what the tasks waited for is gone"


def test_no_task_holds_the_lock_of_the_studies_while_images_are_decoded(tiny_set, tmp_path, monkeypatch):
    held, look = [], sources_module.open_checked

    def watching(path, **options):
        try:
            with FileLock(tmp_path / ".studies.lock", timeout=0):
                held.append(False)
        except Timeout:
            held.append(True)
        return look(path, **options)

    monkeypatch.setattr(sources_module, "open_checked", watching)
    at_once(lambda task: open_study(tiny(tiny_set, name=f"name{task % 2}"), root=tmp_path))
    assert held == [False, False]
    assert sorted(path.name[6:] for path in tmp_path.glob("0000*")) == ["name0", "name1"]


def test_a_later_task_reads_what_was_found_and_notices_other_images(tiny_set, tmp_path, looks):
    recipe = tiny(tiny_set)
    study, jobs = open_study(recipe, out=tmp_path / "study")
    assert len(looks) == 1
    (row,) = json.loads(study.sources.read_text(encoding="utf-8"))["sources"]
    assert (row["source"], row["num_originals"], len(row["hashes"])) == (str(tiny_set), 12, 12)
    assert [job.data for job in open_study(recipe, out=tmp_path / "study")[1]] == [job.data for job in jobs]
    assert len(looks) == 1
    assert estimate(recipe, out=tmp_path / "study", device="cpu", log=lambda _line: None)["num_runs"] == 6
    assert len(looks) == 1
    Image.new("RGB", (40, 32), (9, 9, 9)).save(tiny_set / "shape-00.png")
    other = open_study(recipe, out=tmp_path / "study")[1]
    assert len(looks) == 2
    assert other[0].data.fingerprint != jobs[0].data.fingerprint
    study.sources.write_text("{", encoding="utf-8")
    assert open_study(recipe, out=tmp_path / "study")[1][0].data == other[0].data
    assert len(looks) == 3


def test_variants_of_two_sources_are_looked_at_once_each(tiny_set, tmp_path, looks):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(tiny_set.iterdir())[:8]:
        (few / path.name).write_bytes(path.read_bytes())
    grid = [
        {"name": f"v{number}", "data.source": str(few if number % 2 else tiny_set), "method.lr_g": 1e-4 * (number + 1)}
        for number in range(8)
    ]
    grid += [{"name": "skip", "data": {"skip_bad": True}}]
    recipe = tiny(tiny_set, grid=grid)
    study, jobs = open_study(recipe, out=tmp_path / "study")
    assert len(looks) == 3
    assert {job.data.num_train for job in jobs} == {8, 12}
    assert Sources(study).has(source_keys(recipe))
    more = tiny(tiny_set, grid=grid, **{"data.source": str(few)})
    assert not Sources(study).has(source_keys(more)), "few with skip_bad was not looked at"


def test_bad_images_are_told_to_every_task_and_leave_nothing_behind(tiny_set, tmp_path):
    (tiny_set / "broken.png").write_bytes(b"no image")

    def refused(_task):
        with pytest.raises(InputError, match=r"broken\.png"):
            open_study(tiny(tiny_set), root=tmp_path / "a" / "studies")

    at_once(refused)
    assert not (tmp_path / "a").exists()
    assert not list(tmp_path.glob(".planning*"))
    study, _ = open_study(tiny(tiny_set, **{"data.skip_bad": True}), root=tmp_path / "a" / "studies")
    (tiny_set / "broken.png").write_bytes(b"another that is none")
    assert Sources(study).facts(*source_keys(tiny(tiny_set, **{"data.skip_bad": True}))).num_originals == 12


def test_images_that_changed_are_refused_by_a_task_that_did_not_decode_them(tiny_set, tmp_path):
    study, jobs = open_study(tiny(tiny_set), out=tmp_path / "study")
    jobs[0].run.mkdir(parents=True)
    (jobs[0].run / "recipe.yaml").write_text("{}", encoding="utf-8")
    study.stages.mkdir(exist_ok=True)
    study.stage_file(jobs[0].run).write_text(json.dumps({"train": "0" * 64}), encoding="utf-8")
    with pytest.raises(UsageError, match="begun with other images"):
        open_study(tiny(tiny_set), out=tmp_path / "study")


@pytest.mark.process
@pytest.mark.slow
def test_processes_that_start_at_once_share_one_study(tiny_set, tmp_path):
    program = f"""
import sys
from smallgan.study import sources
look = sources.open_checked
def told(path, **options):
    print("decoded", flush=True)
    return look(path, **options)
sources.open_checked = told
from smallgan.study.open import open_study
from smallgan.tables.recipe import load_recipe
recipe = load_recipe(None, {STUDY | {"data.source": str(tiny_set), "grid": {"augment.policy": ["none", "hflip"]}}!r})
from pathlib import Path
print("ready", flush=True)
sys.stdin.readline()
print(open_study(recipe, root=Path(sys.argv[1]))[0].name)
"""
    words = [sys.executable, "-c", program, str(tmp_path / "studies")]
    tasks = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for task in tasks:
        assert task.stdout.readline() == "ready\n"
    for task in tasks:
        task.stdin.write("\n")
        task.stdin.flush()
    told = [task.communicate(timeout=120)[0].split() for task in tasks]
    assert [lines[-1] for lines in told] == ["00000-tiny"] * 3
    assert sum(lines.count("decoded") for lines in told) == 1
    assert len(StudyDir(tmp_path / "studies" / "00000-tiny").trials()) == 2
