import numpy as np
import pytest
import torch

from augment.errors import UsageError
from smallgan.data.images import ImageBatches, to_images, to_pixels
from smallgan.data.points import draw_points, draw_sets, picture, scatter
from smallgan.data.run_source import source_path
from smallgan.tables.data_sources import MIXTURES, find_source

PUBLISHED = {"ring": (8, 0.01, 100_000), "grid": (25, 0.05, 100_000), "grid:bourgan": (25, 0.1, 1250)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_mixtures_have_the_published_constants(name):
    mixture = MIXTURES[name]
    assert (len(mixture.centers), mixture.std, mixture.num_points) == PUBLISHED[name]
    lengths = np.hypot(*np.array(mixture.centers).T)
    assert lengths == pytest.approx(np.ones(8)) if name == "ring" else {4.0, -4.0} < set(np.ravel(mixture.centers))


def test_points_are_drawn_in_turn_around_their_centers_with_the_stated_spread():
    mixture = MIXTURES["grid:bourgan"]
    points = draw_points(mixture, 5000)
    assert points.shape == (5000, 1, 1, 2)
    away = points.reshape(200, 25, 2) - np.array(mixture.centers)
    assert away.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(away).max() < 0.6
    np.testing.assert_array_equal(points[:50], draw_points(mixture, 50))  # a smaller set is part of it


def test_points_for_scores_are_others_than_those_trained_on():
    (trained_on, mark), (held_out, held_mark) = draw_sets(MIXTURES["ring"], 80)
    assert (len(trained_on), len(held_out), mark == held_mark) == (80, 2500, False)
    assert not set(trained_on[:].ravel()) & set(held_out[:].ravel())


def test_points_pass_the_border_between_pixels_and_images_as_they_are():
    points = np.array([-4.05, 3.9, 0.1, 300.0], np.float32).reshape(2, 1, 1, 2)
    images = ImageBatches(points, 2, 0, torch.device("cpu")).batch(0).images
    assert images.shape == (2, 2, 1, 1)
    assert sorted(images.ravel().tolist()) == sorted(points.ravel().tolist())
    np.testing.assert_array_equal(to_pixels(to_images(torch.from_numpy(points))), points)


def test_a_scatter_has_x_to_the_right_y_upwards_and_fakes_over_reals():
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32).reshape(4, 1, 1, 2)
    drawn = scatter(corners[1:2], corners).astype(int)  # a fake at the lower right
    blue = np.argwhere(drawn[..., 2] - drawn[..., 0] > 60)
    assert blue.mean(axis=0) == pytest.approx([452, 452], abs=1)  # 0.5 / 1.3 of 511 from the middle
    gray = np.argwhere((drawn.max(axis=2) - drawn.min(axis=2) < 10) & (drawn.min(axis=2) < 250))
    assert gray.mean(axis=0) == pytest.approx([190, 190], abs=1)  # the mean of the other three: 452, 59 and 59


def test_points_outside_the_frame_stand_at_its_edge():
    reals = np.zeros((2, 1, 1, 2), np.float32)
    reals[1] = 1
    drawn = picture(np.full((1, 1, 1, 2), 1e6, np.float32), reals)
    assert (drawn[:4, -4:] < 250).any()


def test_names_of_the_table_are_sources_and_folders_are_not():
    assert find_source("ring") is not None
    assert all(find_source(path) is None for path in (None, "./ring", "rings", "ring:", "C:\\ring", 3))
    with pytest.raises(UsageError, match="ring is a set of points"):
        source_path("ring")
