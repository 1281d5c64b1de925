"""The classes nearest to a user's images: the distance by hand, and a search among classes of known colours."""

import numpy as np
import pytest
import torch
from sampled_models import dcgan_run
from torch import nn

from augment.errors import UsageError
from smallgan.metrics.class_search import SAMPLES, distances_of_classes, search_classes
from smallgan.metrics.features.extract import FeatureNet
from smallgan.models.pretrained import Pretrained
from smallgan.sampling.pretrained import PretrainedSource, find_pretrained

CPU = torch.device("cpu")


class Grays(nn.Module):
    """Class k is an even gray of k / 2 - 1, with a little of z."""

    num_classes, class_dim, z_dim, size = 5, 3, 4, 8

    def forward(self, z, labels):
        level = (labels / 2 - 1)[:, None, None, None] + 0.01 * z.mean(dim=1)[:, None, None, None]
        return level.expand(-1, 3, 8, 8).clamp(-1, 1)


def mean_of_channels():
    def forward(images):
        means = images.float().mean(dim=(1, 2))
        return means, means[:, :0]

    return FeatureNet("means", "means", "0" * 64, "none", "fp32", 3, 0, forward, CPU)


def test_a_feature_counts_in_its_standard_deviations():
    samples = np.array([[[0.0, 0.0], [0.0, 0.0]], [[2.0, 200.0], [2.0, 200.0]]])  # deviations 1 and 100
    found = distances_of_classes(samples, np.array([[3.0, 100.0]]))
    # Class 0: 3 and 1 deviations away; class 1: 1 and 1.
    np.testing.assert_allclose(found, [np.sqrt(5.0), 1.0])


def test_a_feature_that_never_changes_counts_as_it_is():
    np.testing.assert_allclose(distances_of_classes(np.zeros((1, 2, 1)), np.ones((3, 1))), [1.0])


def test_the_nearest_classes_are_found_named_and_recorded(tmp_path):
    (tmp_path / "classes.txt").write_text("black\ndark\ngray\nlight\nwhite\n", encoding="utf-8")
    found = Pretrained(Grays(), None, "smallgan", tmp_path / "w.safetensors", "1" * 64, ())
    images = np.full((6, 8, 8, 3), 140, np.uint8)  # gray is 127, light 191, dark 64
    one = search_classes(PretrainedSource(found, None), images, mean_of_channels(), CPU, 0, 3)
    assert (one.classes, one.names) == ((2, 3, 1), ("gray", "light", "dark"))
    assert one.class_vector == "2+3+1"
    assert list(one.distances) == sorted(one.distances)
    assert "the nearest classes are gray (" in one.description
    assert one.to_json()["classes"] == [2, 3, 1]
    again = search_classes(PretrainedSource(found, None), images, mean_of_channels(), CPU, 0, 3)
    assert again == one
    assert SAMPLES == 8


def test_a_generator_without_classes_is_refused(tmp_path):
    source = find_pretrained(str(dcgan_run(tmp_path / "run").path))
    images = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(UsageError, match=r"--class-search: .* has no classes to choose from"):
        search_classes(source, images, mean_of_channels(), CPU, 0, 3)
