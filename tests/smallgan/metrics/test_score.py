import json
import math

import numpy as np
import pytest
import torch

from augment.errors import UsageError
from smallgan.metrics import evaluate
from smallgan.metrics.features.extract import FeatureNet, Features
from smallgan.metrics.score import Score, compare, differing_keys

NET = FeatureNet("net", "net", "0" * 64, "none", "fp32", 6, 5, lambda _: None, torch.device("cpu"), None)


def images(count, seed):
    rng = np.random.default_rng(seed)
    return Features(rng.normal(size=(count, 6)).astype(np.float32), rng.normal(size=(count, 5)).astype(np.float32))


def scored(metric="kid", num_fake=20, **options):
    [score] = evaluate(images(num_fake, 0), images(30, 1), NET, metrics=[metric], reals_fingerprint="abc", **options)
    return score


def test_a_score_comes_back_from_its_line_whole():
    for metric in ("kid", "is", "fid"):
        score = scored(metric, baselines=True)
        assert score.baseline is not None
        assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score


def test_lines_written_before_there_were_floors_are_read():
    record = scored().to_json()
    for name in ("baseline", "baseline_counts", "needed", "interval"):
        del record[name]
    assert Score.from_json(record).baseline is None
    record["value"] = None
    assert math.isnan(Score.from_json(record).value)


def test_scores_of_one_identity_have_a_difference():
    one, other = scored(), scored(seed=5)
    assert compare(one, other) == other.value - one.value


def test_scores_of_other_identity_are_refused_with_the_keys_and_both_values():
    with pytest.raises(UsageError) as caught:
        compare(scored(), scored(num_fake=21))
    assert "differ in num_fake 20 and 21; score both alike" in str(caught.value)
    with pytest.raises(UsageError, match=r"metric kid and nn; estimator cubic .* and mean Euclidean"):
        compare(scored(), scored("nn"))


def test_a_key_that_one_score_lacks_is_a_difference():
    one, other = scored(), scored()
    other.identity["resampling"] = "none"
    assert differing_keys(one, other) == ["resampling"]
    assert differing_keys(other, one) == ["resampling"]


def test_the_augmented_images_and_the_target_are_part_of_what_was_measured():
    leaks = [scored("leak", augmented=images(30, seed)) for seed in (2, 3)]
    assert differing_keys(*leaks) == ["estimator"]
    targets = [scored("target", target=classes) for classes in ((0,), (0, 1))]
    assert differing_keys(*targets) == ["estimator"]
