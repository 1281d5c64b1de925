"""Image files to logits by the TF-2015 Inception, ours against torch-fidelity's own pipeline with the same weights."""

import sys

import numpy as np
import pytest
import torch
from paths import ROOT

from smallgan.core.resources import sample_set
from smallgan.metrics.inception_score import inception_score

NUM_IMAGES = 64


@pytest.fixture(scope="module")
def inception():
    sys.path.insert(0, str(ROOT))  # benchmarks is no installed package
    try:
        from benchmarks import inception
    finally:
        sys.path.remove(str(ROOT))
    return inception


@pytest.mark.slow
def test_logits_of_files_equal_torch_fidelitys(inception):
    """To 1e-4 of their spread over images, with weights under which images differ: IS above 2."""
    tensors = inception.random_inception(inception.first_images(16))
    with inception.image_folder(sample_set(), range(NUM_IMAGES)) as images, torch.inference_mode():
        theirs = inception.their_features(images, inception.their_inception(tensors))
        ours = inception.our_features(images, inception.our_inception(tensors))
    for found, expected in ((ours.features, theirs["2048"]), (ours.logits, theirs["logits_unbiased"])):
        expected = expected.numpy()
        spread = expected.std(axis=0).mean()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4 * spread
    score = inception_score(ours.logits, splits=1).value
    assert score > 2
    assert score == pytest.approx(inception_score(theirs["logits_unbiased"].numpy(), splits=1).value, rel=1e-5)
