"""The study folder: trials written, read, updated, and refused when broken."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from augment.errors import InputError
from smallgan.core.run_dir import claim_run
from smallgan.core.study_dir import StudyDir, Trial


def two_trials():
    return [
        Trial(0, "none", {}, 1, "runs/00-none-seed1", reference=True),
        Trial(1, "hflip", {"augment.policy": "hflip"}, 1, "runs/01-hflip-seed1"),
    ]


def test_trials_come_back_as_they_were_written_and_updated(tmp_path):
    study = StudyDir(tmp_path / "study")
    assert not study.exists()
    study.create("name: a\n", two_trials())
    assert study.exists()
    assert study.trials() == two_trials()
    study.update(1, "failed", "a loss became nan")
    assert [(trial.state, trial.problem) for trial in study.trials()] == [
        ("pending", None),
        ("failed", "a loss became nan"),
    ]
    assert study.run_of(study.trials()[1]) == study.path / "runs/01-hflip-seed1"
    assert set(json.loads(study.trials_file.read_text())[0]) == {
        *("index", "variant", "overrides", "seed", "run", "state", "problem", "reference")
    }


def test_updates_at_once_lose_none(tmp_path):
    study = StudyDir(tmp_path)
    study.create("", [Trial(index, f"c{index}", run=f"runs/{index}") for index in range(16)])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: study.update(index, "done"), range(16)))
    assert {trial.state for trial in study.trials()} == {"done"}


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1}', '[{"index": 0}]', '[{"index": 0, "variant": "a", "state": "happy"}]', '[{"what": 1}]']
)
def test_broken_trials_are_refused_by_file(tmp_path, text):
    study = StudyDir(tmp_path)
    study.trials_file.write_text(text)
    with pytest.raises(InputError, match=r"trials\.json"):
        study.trials()


def test_an_absent_study_is_named(tmp_path):
    with pytest.raises(InputError, match=r"trials\.json: cannot be read"):
        StudyDir(tmp_path).trials()


def test_studies_are_numbered(tmp_path):
    assert [StudyDir(claim_run(tmp_path, name).path).name for name in "ab"] == ["00000-a", "00001-b"]


def test_written_anew_trials_keep_their_states(tmp_path):
    study = StudyDir(tmp_path / "study")
    study.create("name: a\n", two_trials())
    study.update(0, "done")
    more = [*two_trials(), Trial(2, "vflip", {"augment.policy": "vflip"}, 1, "runs/02-vflip-seed1")]
    study.create("name: b\n", more)
    assert [trial.state for trial in study.trials()] == ["done", "pending", "pending"]
    assert study.recipe.read_text(encoding="utf-8") == "name: b\n"


def test_one_process_has_a_run_at_a_time(tmp_path):
    study = StudyDir(tmp_path / "study")
    run = study.runs / "00-none-seed1"
    with study.claimed(run) as first, study.claimed(run) as second, study.claimed(study.shared / run.name) as other:
        assert (first, second, other) == (True, False, True)
    with study.claimed(run) as again:
        assert again
