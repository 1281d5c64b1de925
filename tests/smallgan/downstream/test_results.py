"""What is told of single test images, from predictions by hand."""

from types import SimpleNamespace

import numpy as np

from smallgan.downstream.results import Found, moved_images

CLASSES = ["cat", "dog", "owl"]


def found(*votes):
    """Predictions of a row of votes a seed."""
    return Found([], [np.eye(3)[list(row)] for row in votes])


def test_an_image_that_changed_sides_is_never_told_to_have_been_taken_for_what_it_is():
    images = SimpleNamespace(
        test_codes=np.array([0, 1, 2]),
        classes=CLASSES,
        source=SimpleNamespace(images=[SimpleNamespace(name=name) for name in ("a", "b", "c")]),
        split=SimpleNamespace(test=[0, 1, 2]),
    )
    none, flip = SimpleNamespace(name="none"), SimpleNamespace(name="hflip")
    # the cat: right by one seed of three before, by all after; the dog the other way round; the owl stays
    before = found([0, 1, 2], [2, 1, 2], [1, 1, 2])
    after = found([0, 1, 2], [0, 2, 2], [0, 0, 2])
    moved = moved_images({("none", None): before, ("hflip", None): after}, none, flip, None, images)
    told = [[(each["name"], each["before"], each["after"]) for each in moved[kind]] for kind in ("gained", "lost")]
    assert told == [[("a", "dog", "cat")], [("b", "dog", "cat")]]
    assert (moved["num_gained"], moved["num_lost"]) == (1, 1)
