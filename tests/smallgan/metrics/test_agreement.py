"""All metrics on one set of 2,000 features and logits against torch-fidelity and against plain NumPy."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from smallgan.metrics.fid import fid
from smallgan.metrics.inception_score import inception_score
from smallgan.metrics.kid import kid
from smallgan.metrics.kmmd import kmmd, mmd2_rbf_unbiased
from smallgan.metrics.precision_recall import precision
from smallgan.metrics.rbf_multi import mmd2_rbf_multi

COUNT, WIDTH, CLASSES = 2000, 64, 40


@pytest.fixture(scope="module")
def fake():
    return np.random.default_rng(1).gamma(2, size=(COUNT, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def real():
    return np.random.default_rng(2).gamma(2.3, size=(COUNT, WIDTH)).astype(np.float32)


def doubles(*sets):
    return [torch.from_numpy(each.astype(np.float64)) for each in sets]


def squares(x, y):
    return np.stack([((y - row) ** 2).sum(axis=1) for row in x.astype(np.float64)])


@pytest.fixture(scope="module")
def distances(fake, real):
    return squares(fake, fake), squares(real, real), squares(fake, real)


def put_together(kernel, distances, unbiased=False):
    def mean(matrix):
        k = kernel(matrix)
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) if unbiased else k.mean()

    fakes, reals, between = distances
    return mean(fakes) + mean(reals) - 2 * kernel(between).mean()


def test_inception_score_of_one_split():
    logits = np.random.default_rng(3).normal(size=(COUNT, CLASSES)).astype(np.float32) * 3
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=False)
    assert inception_score(logits).value == pytest.approx(theirs["inception_score_mean"], rel=1e-6)


def test_kid_with_one_subset_of_all(fake, real):
    theirs = kid_features_to_metric(*doubles(fake, real), kid_subsets=1, kid_subset_size=COUNT, verbose=False)
    assert kid(fake, real).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_fid(fake, real):
    statistics = [fid_features_to_statistics(each) for each in doubles(fake, real)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fid(fake, real).value == pytest.approx(theirs, rel=1e-9)  # full rank: the two square roots agree


def test_fid_of_fewer_images_than_features(fake, real):
    fake, real = fake[:40], real[:50]
    statistics = [fid_features_to_statistics(each) for each in doubles(fake, real)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    # Theirs takes roots of eigenvalues that are 0 but for rounding, which adds up to this much.
    assert fid(fake, real).value == pytest.approx(theirs, rel=1e-4)


def test_precision_and_recall(fake, real):
    theirs = prc_features_to_metric(*doubles(fake, real), save_cpu_ram=False, verbose=False)
    assert 0.1 < theirs["precision"] < 1
    assert precision(fake, real) == pytest.approx(theirs["precision"], rel=1e-6)
    assert precision(real, fake) == pytest.approx(theirs["recall"], rel=1e-6)


def test_kmmd_a(fake, real, distances):
    width = distances[1].mean()

    def kernel(squared):
        return np.exp(-squared / (2 * width))

    found = kmmd(fake, real)
    assert found.parts["bandwidth"] == pytest.approx(width, rel=1e-9)
    assert found.value == pytest.approx(np.sqrt(put_together(kernel, distances)), rel=1e-9)
    unbiased = put_together(kernel, distances, unbiased=True)
    assert mmd2_rbf_unbiased(fake, real).value == pytest.approx(unbiased, rel=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_mmd_d(fake, real, distances, unbiased):
    fakes, reals, between = distances
    pooled = fakes.sum() + reals.sum() + 2 * between.sum()
    width = pooled / (2 * COUNT * (2 * COUNT - 1))

    def kernel(squared):
        return sum(np.exp(-squared / (width * factor)) for factor in (0.25, 0.5, 1, 2, 4))

    found = mmd2_rbf_multi(fake, real, unbiased=unbiased)
    assert found.parts["bandwidth"] == pytest.approx(width, rel=1e-9)
    assert found.value == pytest.approx(put_together(kernel, distances, unbiased), rel=1e-9)
