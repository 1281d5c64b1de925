"""A slice of `python -m benchmarks.fuzz`: mutated files are used or refused in one sentence."""

import pytest

from benchmarks import fuzz


def test_mutated_recipes_are_used_or_refused(tmp_path):
    result = fuzz.recipes(150, 11, tmp_path)
    assert result.failures == []
    assert min(result.used, result.refused) > 10, "both ends are met"


@pytest.mark.slow
def test_mutated_checkpoints_are_refused_or_what_was_saved(tmp_path):
    result = fuzz.checkpoints(120, 11, tmp_path)
    assert result.failures == []
    assert result.refused > 60


@pytest.mark.slow
def test_what_hangs_and_what_breaks_is_a_failure(monkeypatch):
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 1)
    result = fuzz.Result("toys")
    fuzz.attempt(result, "a bug", lambda: 1 / 0)
    fuzz.attempt(result, "a hang", lambda: [None for _ in iter(int, 1)])
    assert [failure.split(": ")[0] for failure in result.failures] == ["a bug", "a hang"]
