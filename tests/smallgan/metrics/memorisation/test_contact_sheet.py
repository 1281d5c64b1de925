"""The contact sheet of the fakes most like a training image."""

import numpy as np

from smallgan.metrics.memorisation.contact_sheet import TILE, Near, draw_sheet, most_alike


def test_the_nearest_come_first_and_added_images_count_where_they_are_nearer():
    fake = np.array([[0.0], [10.0], [20.0], [20.0]])
    originals, added = np.array([[3.0], [11.0], [25.0]]), np.array([[11.0], [21.0]])
    found = most_alike(fake, originals, added, 3)
    assert [one.fake for one in found] == [1, 2, 3]
    assert [one.original for one in found] == [1, 2, 2]
    assert [one.added for one in found] == [None, 1, 1]  # as near as the original is not nearer
    assert np.allclose([one.least for one in found], [1, 1, 1])
    assert [one.added for one in most_alike(fake, originals, None, 9)] == [None] * 4
    assert [one.added for one in most_alike(fake, originals, added[:0], 9)] == [None] * 4


def colour(value):
    return lambda row: np.full((8, 8, 3), value + row, np.uint8)


def test_each_fake_stands_above_what_it_is_most_like():
    found = [Near(0, 5, 1.0), Near(1, 6, 2.0, 7, 1.5), Near(2, 5, 3.0)]
    picture = draw_sheet(found, colour(10), colour(100), colour(200), columns=2)

    def tile(block, row, column):
        top = block * (3 * (TILE + 2) + 30) + row * (TILE + 2)
        left = picture.shape[1] + (column - 2) * (TILE + 2)
        return set(picture[top : top + TILE, left : left + TILE].ravel())

    assert [tile(0, row, 0) for row in range(3)] == [{10}, {105}, {255}]
    assert [tile(0, row, 1) for row in range(3)] == [{11}, {106}, {207}]
    assert [tile(1, row, 0) for row in range(3)] == [{12}, {105}, {255}]
    assert [tile(1, row, 1) for row in range(3)] == [{255}] * 3
    assert picture.tobytes() == draw_sheet(found, colour(10), colour(100), colour(200), columns=2).tobytes()


def test_without_added_images_there_is_no_row_for_them():
    found = [Near(0, 5, 1.0), Near(1, 6, 2.0)]
    with_added = draw_sheet([*found, Near(2, 5, 3.0, 1, 0.5)], colour(10), colour(100), colour(200))
    assert len(with_added) - len(draw_sheet(found, colour(10), colour(100), colour(200))) == TILE + 2
