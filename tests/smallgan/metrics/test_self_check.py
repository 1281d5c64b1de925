import doctest
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from augment.errors import InputError, UsageError
from smallgan.metrics import METRICS, kid, permutation, score_paths, self_check
from smallgan.metrics.permutation import sets_differ
from smallgan.metrics.score_options import ScoreOptions


def test_every_metric_is_checked_and_right():
    checks = self_check.run_checks()
    assert list(dict.fromkeys(check.metric for check in checks)) == list(METRICS.names)
    assert [check.line() for check in checks if not check.passed] == []


@pytest.mark.slow
def test_a_wrong_metric_and_one_that_raises_are_told(monkeypatch):
    right = kid.cubic
    monkeypatch.setattr(kid, "cubic", lambda width: right(width * 1.001))
    assert {check.metric for check in self_check.run_checks() if not check.passed} == {"kid"}

    def broken(*_args, **_kwargs):
        raise RuntimeError("no such routine")

    monkeypatch.setattr(np.linalg, "svd", broken)
    failed = [check for check in self_check.run_checks() if not check.passed]
    assert {check.metric for check in failed} == {"kid", "fid"}
    assert failed[-1].line().startswith("FAIL  fid")


def run(*args):
    from smallgan.cli import app

    return CliRunner().invoke(app, ["score", *map(str, args)])


@pytest.mark.slow
def test_check_prints_a_verdict_for_each_and_ends_with_1_when_one_fails(monkeypatch):
    good = run("--check")
    assert good.exit_code == 0
    assert good.stdout.count("pass  ") == len(self_check.run_checks())
    assert "checks passed" in good.stdout
    assert all(each["passed"] for each in json.loads(run("--check", "--json").stdout))
    monkeypatch.setattr(kid, "cubic", lambda _width: 1 / 0)
    bad = run("--check")
    assert bad.exit_code != 0
    assert "FAIL  kid" in bad.stdout


def test_sets_of_one_source_are_rarely_told_apart_and_others_mostly():
    rng = np.random.default_rng(0)
    same = [
        sets_differ(rng.normal(size=(30, 5)), rng.normal(size=(25, 5)), seed=i, permutations=99) for i in range(100)
    ]
    assert 1 <= sum(each.p_value <= 0.05 for each in same) <= 12
    apart = sets_differ(rng.normal(size=(30, 5)), rng.normal(0.7, size=(25, 5)), seed=0)
    assert apart.p_value == 0.001
    assert apart.mmd2 > 0
    assert "the sets differ: p = 0.001" in apart.sentence()
    assert "never two policies" in apart.sentence()


def test_a_statistic_of_the_sets_as_they_are_stands_first(monkeypatch):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(6, 2)), rng.normal(size=(9, 2))
    pooled = np.concatenate([one, other])
    squares = ((pooled[:, None] - pooled) ** 2).sum(axis=2)
    kernel = np.exp(-squares / (2 * squares.sum() / (15 * 14)))
    np.fill_diagonal(kernel, 0)
    expected = kernel[:6, :6].sum() / 30 + kernel[6:, 6:].sum() / 72 - 2 * kernel[:6, 6:].mean()
    found = sets_differ(one, other, seed=0)
    # The test draws its images in an order of its own, which moves nothing but the rounding.
    assert found.mmd2 == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(permutation, "_MOST_IMAGES", 5)
    assert (sets_differ(one, other, seed=0).num_one, sets_differ(one, other, seed=0).num_other) == (5, 5)


def test_sets_that_cannot_be_told_apart_at_all():
    with pytest.raises(InputError, match="at least two images of each, found 1 and 5"):
        sets_differ(np.zeros((1, 2)), np.zeros((5, 2)), seed=0)
    with pytest.raises(InputError, match="all images of both sets have equal features"):
        sets_differ(np.ones((3, 2)), np.ones((5, 2)), seed=0)
    few = sets_differ(np.arange(3.0)[:, None], 9 + np.arange(3.0)[:, None], seed=0)
    assert few.p_value > 0.05
    assert "so few images can never reach 0.05" not in sets_differ(*[np.eye(4)] * 2, seed=0).sentence()
    assert "so few images can never reach 0.05" in sets_differ(np.eye(2), np.eye(2) * 2, seed=0).sentence()


def given(path, features, seed=0):
    logits = np.random.default_rng(seed).normal(size=(len(features), 4))
    np.savez(path, features=features, logits=logits, network="net", weights_sha256="0" * 64)
    return path


def test_versus_prints_both_and_their_difference_and_refuses_what_is_not_alike(tmp_path):
    rng = np.random.default_rng(0)
    real = given(tmp_path / "real.npz", rng.normal(size=(40, 6)))
    one = given(tmp_path / "one.npz", rng.normal(size=(30, 6)))
    other = given(tmp_path / "other.npz", rng.normal(1, size=(30, 6)))
    shown = run(one, "--versus", other, "--real", real, "--metrics", "kid,is,copies")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("B - A") == 3
    assert "the sets differ: p = 0.001" in shown.stdout
    record = json.loads(run(one, "--versus", other, "--real", real, "--metrics", "kid", "--json").stdout)
    assert record["differences"]["kid"] == pytest.approx(record["other"][0]["value"] - record["one"][0]["value"])
    assert record["test"]["p_value"] == 0.001

    fewer = given(tmp_path / "fewer.npz", rng.normal(size=(29, 6)))
    refused = run(one, "--versus", fewer, "--real", real, "--metrics", "kid")
    assert refused.exit_code != 0
    assert "num_fake 30 and 29" in str(refused.exception)


def test_versus_of_sets_with_other_scores_is_refused(monkeypatch):
    made = iter((["is"], ["is", "kmmd"]))

    def scores(*_):
        names = next(made)
        return SimpleNamespace(scores=[SimpleNamespace(metric=name, identity={"features": "n"}) for name in names])

    monkeypatch.setattr(score_paths, "scored", scores)
    with pytest.raises(UsageError, match="--versus: a was scored by is, b by is, kmmd; name --metrics, or --real for"):
        score_paths.versus(Path("a"), Path("b"), None, ScoreOptions())


@pytest.mark.parametrize("source", [permutation])
def test_doctests(source):
    assert doctest.testmod(source).failed == 0
