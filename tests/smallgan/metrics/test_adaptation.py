"""Intra-cluster diversity and the probability of the target: values worked out by hand, and how they are asked for."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from augment.errors import InputError, UsageError
from smallgan.metrics import domain, intra_cluster
from smallgan.metrics.features.extract import Features
from smallgan.metrics.measure import MetricInputs, MetricOptions
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score
from smallgan.tables.metrics import METRICS

SHIPPED = Path(__file__).parents[3] / "data" / "painted-flowers"


def features(values):
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    return Features(rows, np.zeros((len(rows), 0)))


def intra(fake, training, seed=0):
    return intra_cluster.measure(MetricInputs(features(fake), features(training)), MetricOptions(seed=seed))


def test_docstring_examples_hold():
    assert doctest.testmod(intra_cluster).failed == 0
    assert doctest.testmod(domain).failed == 0


def test_pairs_of_a_cluster_count_clusters_alike_and_single_fakes_not():
    # Around 0: -1, 1 and 2, pairs 2, 3 and 1 apart, 2 in the mean; around 20: 19 and 23, 4 apart; around 90: one.
    found = intra([-1, 1, 2, 19, 23, 91], [0, 20, 90])
    assert found.parts == {"distance": 3.0, "clusters": 2.0}
    assert found.value == pytest.approx(3 / ((20 + 90 + 70) / 3))


def test_copies_have_none_and_what_is_as_varied_as_the_training_set_has_one():
    assert intra([0, 0, 20, 20], [0, 20]).value == 0
    assert intra([-10, 10], [0, 20]).value == pytest.approx(1.0)  # both are nearest to 0: 10 is, as the first of equals


def test_of_a_large_cluster_some_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(intra_cluster, "MOST_OF_CLUSTER", 50)
    fakes = np.random.default_rng(0).normal(size=(200, 3))
    training = np.array([[0.0, 0, 0], [99, 99, 99]])
    one, same, other = (intra(fakes, training, seed) for seed in (1, 1, 2))
    assert one == same
    assert one.value != other.value


def test_the_interval_is_as_wide_as_other_fakes_differ():
    training = np.array([[0.0, 0, 0], [99, 99, 99]])
    found = [intra(np.random.default_rng(seed).normal(size=(200, 3)), training) for seed in range(40)]
    told = np.mean([(each.interval[1] - each.interval[0]) / (2 * 1.96) for each in found])
    assert told / np.std([each.value for each in found], ddof=1) == pytest.approx(1, abs=0.3)


def test_too_few_to_tell_are_refused():
    with pytest.raises(InputError, match="no two of 2 fakes are nearest to one original"):
        intra([0, 20], [0, 20])
    with pytest.raises(InputError, match="these are all alike; give more reals"):
        intra([0, 1], [5, 5])


def of_domain(fake, target, source):
    inputs = MetricInputs(features(fake), features(target), source=features(source))
    return domain.measure(inputs, MetricOptions())


def test_the_probability_is_that_of_a_classifier_of_both_domains():
    draws = np.random.default_rng(0)
    target, source = draws.normal(2, 1, (30, 4)), draws.normal(-2, 1, (90, 4))
    near, far, between = (of_domain(draws.normal(at, 0.1, (20, 4)), target, source) for at in (2, -2, 0))
    assert near.value > 0.95
    assert far.value < 0.05
    assert 0.2 < between.value < 0.8
    assert near.parts["accuracy"] > 0.95
    assert between.interval[0] < between.value < between.interval[1]
    assert near.estimator == far.estimator != of_domain(target, target, source[:80]).estimator


def test_domains_that_are_one_have_a_classifier_that_knows_nothing():
    draws = np.random.default_rng(0)
    found = of_domain(*draws.normal(size=(3, 200, 2)))
    assert found.parts["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert found.value == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_the_interval_of_domain_covers_other_reals_and_sources_too():
    draws = np.random.default_rng(0)
    found = [
        of_domain(draws.normal(0, 1, (200, 16)), draws.normal(0.3, 1, (30, 16)), draws.normal(-0.3, 1, (30, 16)))
        for _ in range(40)
    ]
    mean = float(np.mean([each.value for each in found]))
    covered = [each.interval[0] <= mean <= each.interval[1] for each in found]
    assert float(np.mean(covered)) >= 0.85  # by the variance of the fakes alone half of them


def test_few_images_of_a_domain_are_refused():
    with pytest.raises(
        InputError, match="3 real\\(s\\) and 9 image\\(s\\) of the source; a classifier needs 4 of each"
    ):
        of_domain([0], [1, 2, 3], range(9))


def test_folders_are_scored_by_both_and_the_source_is_asked_for(tmp_path):
    pictures = sorted(SHIPPED.rglob("*.jpg")) or sorted(SHIPPED.rglob("*.png"))
    for number, name in enumerate(("fakes", "reals", "source")):
        (tmp_path / name).mkdir()
        for picture in pictures[8 * number : 8 * number + 8]:
            (tmp_path / name / picture.name).write_bytes(picture.read_bytes())
    fakes, reals, source = (tmp_path / name for name in ("fakes", "reals", "source"))
    options = ScoreOptions(metrics=("intra", "domain"), features="pixels8", source=source)
    found = score(fakes, reals, options)
    assert [each.metric for each in found] == ["intra", "domain"]
    assert [each.label for each in found] == [
        "intra-cluster diversity (8 x 8 pixels)",
        "target probability (8 x 8 pixels)",
    ]
    with pytest.raises(UsageError, match=r"--metrics domain: needs images .* name them with --source"):
        score(fakes, reals, ScoreOptions(metrics=("domain",), features="pixels8"))
    with pytest.raises(UsageError, match="--source: read by the metric domain only"):
        ScoreOptions(metrics=("kid",), source=source)


def test_copies_and_diversity_are_of_the_images_trained_on():
    assert METRICS["intra"].compares_with_training_set
    assert "training" not in METRICS["intra"].needs
