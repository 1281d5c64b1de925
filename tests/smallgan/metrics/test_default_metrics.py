"""Which metrics `smallgan score` computes unasked, by the number of images, and which it did while training."""

import numpy as np
import pytest
from sampled_models import dcgan_run
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.cli import app
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.tables.metrics import default_metrics, metrics_help
from smallgan.tables.recipe import load_recipe


def features(path, count, seed=0):
    draws = np.random.default_rng(seed)
    np.savez(path, features=draws.standard_normal((count, 4)), logits=draws.standard_normal((count, 3)))
    return path


def names(fake, real, **options):
    return [each.metric for each in score(fake, real, ScoreOptions(device="cpu", **options))]


@pytest.mark.parametrize(("number", "expected"), [(3, "kid,kmmd,copies"), (999, "kid,kmmd,copies"), (1000, "is,kmmd")])
def test_the_defaults_by_the_number_of_images(number, expected):
    assert ",".join(default_metrics(number)) == expected


@pytest.mark.parametrize(
    ("fakes", "reals", "expected"),
    [(20, 1000, "kid,kmmd,copies"), (1000, 20, "kid,kmmd,copies"), (1000, 1000, "is,kmmd"), (20, None, "is")],
)
def test_the_smaller_set_decides(tmp_path, fakes, reals, expected):
    fake = features(tmp_path / "fake.npz", fakes)
    real = None if reals is None else features(tmp_path / "real.npz", reals, seed=1)
    assert ",".join(names(fake, real, intervals=False)) == expected


def test_a_metric_asked_for_has_the_same_identity_as_by_default(tmp_path):
    fake, real = features(tmp_path / "fake.npz", 20), features(tmp_path / "real.npz", 30, seed=1)
    by_default = {each.metric: each for each in score(fake, real, ScoreOptions())}
    [asked] = score(fake, real, ScoreOptions(metrics=("kmmd",)))
    assert by_default["kmmd"].identity == asked.identity
    assert by_default["kmmd"].value == asked.value


def test_splits_without_the_inception_score_are_refused(tmp_path):
    fake, real = features(tmp_path / "fake.npz", 20), features(tmp_path / "real.npz", 30, seed=1)
    with pytest.raises(UsageError, match="--splits: read by the metric is only; add it to --metrics"):
        score(fake, real, ScoreOptions(splits=2))
    assert names(fake, None, splits=2) == ["is"]


def test_a_run_of_few_images_is_scored_by_the_defaults_of_few(tiny_set, tmp_path):
    run = dcgan_run(tmp_path / "run")
    words = ["score", run.path, "--real", tiny_set, "--num-fake", 12, "--quick", "--device", "cpu"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split("(")[0].strip() for line in lines[:3]] == ["KID", "KMMD", "copy rate"]


def test_the_help_says_so_and_recipes_keep_theirs():
    assert "default: kid,kmmd,copies for fewer than 1,000 images in a set, else is,kmmd; without reals is." in (
        metrics_help()
    )
    assert load_recipe(None).score.metrics == ("is", "kmmd")  # another default would keep old runs from going on
