"""How many images a variant is worth: curves by hand."""

import pytest

from smallgan.downstream.curve import rising, worth


def test_twice_the_images_on_a_curve_that_is_straight_in_the_logarithm():
    numbers = [10, 20, 40]
    accuracy = {"none": [0.5, 0.6, 0.7], "hflip": [0.6, 0.65, 0.8], "bad": [0.4, 0.5, 0.7]}
    rows = {
        (row["variant"], row["per_class"]): (row["factor"], row["bound"]) for row in worth(numbers, accuracy, "none")
    }
    assert rows["hflip", 10] == (pytest.approx(2), "")
    assert rows["hflip", 20] == (pytest.approx(2**0.5), "")
    assert rows["hflip", 40] == (1, "more than")
    assert rows["bad", 10] == (1, "less than")
    assert rows["bad", 20] == (pytest.approx(0.5), "")
    assert rows["bad", 40] == (pytest.approx(1), "")


def test_an_equal_variant_is_worth_as_many_images_where_the_curve_falls_too():
    rows = worth([25, 50, 100], {"none": [0.70, 0.75, 0.73], "same": [0.70, 0.75, 0.73]}, "none")
    assert [(row["factor"], row["bound"]) for row in rows] == [(1, "")] * 3


def test_a_curve_that_falls_is_averaged_to_one_that_does_not():
    assert rising([0.5, 0.7, 0.6, 0.9]) == pytest.approx([0.5, 0.65, 0.65, 0.9])
    assert rising([3, 2, 1]) == [2, 2, 2]
