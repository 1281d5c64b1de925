"""DiffAugment: each operation against numbers worked out by hand, and where its draws come from."""

import numpy as np
import pytest
import torch
from augmented import diffaugment

from smallgan.tables.methods import DIFFAUGMENT, parse_diffaugment
from smallgan.training import diffaugment as module

SIDE = 16


class Given:
    """Stands for a generator of draws: gives what a test wants drawn, in turn, and keeps what was asked for."""

    def __init__(self, *values):
        self.values, self.asked = list(values), []

    def _next(self, low, high, shape):
        self.asked.append((low, high))
        return np.broadcast_to(np.asarray(self.values.pop(0)), shape).copy()

    def uniform(self, low, high, shape):
        return self._next(low, high, shape)

    def integers(self, low, high, shape):
        return self._next(low, high, shape)


def draws(seed=0):
    return np.random.default_rng(seed)


def places(count=1):
    """Images in which every place and channel has a value of its own, none of them 0."""
    return torch.arange(1, count * 3 * SIDE * SIDE + 1, dtype=torch.float32).view(count, 3, SIDE, SIDE)


def shifts(*pairs):
    """Draws of `_translate`: the row and the column that place (0, 0) of each image is read from."""
    return Given(np.array(pairs).T)


def test_expressions():
    assert parse_diffaugment("none") == ()
    assert parse_diffaugment("") == ()
    assert parse_diffaugment("translation, cutout") == ("translation", "cutout")
    with pytest.raises(ValueError, match="unknown operation 'colour'; did you mean 'color'"):
        parse_diffaugment("cutout,colour")
    assert tuple(module._OPERATIONS) == DIFFAUGMENT, "what a recipe may name is what there is"


def test_nothing_asked_for_is_nothing_done():
    images = places()
    assert diffaugment(images, (), draws()) is images


def test_color_on_one_pixel_by_hand():
    # (0.1, 0.2, 0.6) + 0.3 = (0.4, 0.5, 0.9), mean 0.6; saturation 2: 0.6 + 2 (-0.2, -0.1, 0.3) = (0.2, 0.4, 1.2);
    # contrast 0.5 about the mean of all, 0.6: (0.4, 0.5, 0.9).
    pixel = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1)
    given = Given(0.3, 2.0, 0.5)
    found = diffaugment(pixel, ("color",), given)
    assert given.asked == [(-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)]
    torch.testing.assert_close(found.flatten(), torch.tensor([0.4, 0.5, 0.9]))


def test_saturation_0_is_gray_and_contrast_is_about_the_mean_of_the_image_not_of_the_pixel():
    images = torch.tensor([[0.0, 0.6], [0.3, 0.9], [0.6, 0.0]]).view(1, 3, 1, 2)  # means of the pixels: 0.3, 0.5
    gray = diffaugment(images, ("color",), Given(0.0, 0.0, 1.0))
    torch.testing.assert_close(gray, torch.tensor([0.3, 0.5]).expand(1, 3, 1, 2))
    flat = diffaugment(images, ("color",), Given(0.0, 0.0, 1.5))
    torch.testing.assert_close(flat, torch.tensor([0.25, 0.55]).expand(1, 3, 1, 2))  # 0.4 -+ 1.5 * 0.1


def test_color_only_brightens_a_constant_gray_image_and_does_not_clip():
    images = torch.full((64, 3, 4, 4), 0.9)
    found = diffaugment(images, ("color",), draws())
    levels = found[:, 0, 0, 0]
    torch.testing.assert_close(found, levels[:, None, None, None].expand_as(found))
    assert 0.4 <= levels.min() < 0.55
    assert 1.25 < levels.max() <= 1.4
    assert len(levels.unique()) == 64


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-1, 0), (0, 1), (1, -2)])
def test_translation_moves_whole_pixels_and_leaves_zeros_behind(down, right):
    images = places()
    found = diffaugment(images, ("translation",), shifts((-down, -right)))
    expected = torch.zeros_like(images)
    for row in range(SIDE):
        for column in range(SIDE):
            if 0 <= row - down < SIDE and 0 <= column - right < SIDE:
                expected[..., row, column] = images[..., row - down, column - right]
    assert torch.equal(found, expected)


def test_a_reflected_translation_fills_with_what_lies_at_the_edge():
    images = places()
    found = diffaugment(images, ("translation",), shifts((-2, 1)), "reflect")  # 2 down, 1 to the left
    assert torch.equal(found[..., 2:, :15], images[..., :14, 1:])  # what stays inside is moved as before
    assert torch.equal(found[..., 0, :15], images[..., 2, 1:])  # rows -2 and -1 are rows 2 and 1
    assert torch.equal(found[..., 1, :15], images[..., 1, 1:])
    assert torch.equal(found[..., 2:, 15], images[..., :14, 14])  # column 16 is column 14


def test_the_fill_changes_nothing_but_what_a_translation_leaves_behind():
    images = places(50)
    for kinds in (("color",), ("cutout",)):
        assert torch.equal(diffaugment(images, kinds, draws(), "reflect"), diffaugment(images, kinds, draws()))
    zero, reflected = (diffaugment(images, ("translation",), draws(), fill) for fill in ("zero", "reflect"))
    assert (reflected != 0).all()
    assert torch.equal(zero[zero != 0], reflected[zero != 0])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_an_image_goes_through_all_operations_or_none_with_the_probability(as_tensor):
    images = places(4) / 4000
    operations = np.array([2, 2, 2, 2]), np.array([8, 8, 8, 8])  # both shifts, both centres
    chances = np.array([0.1, 0.7, 0.69, 0.9]).reshape(4, 1, 1, 1)
    probability = torch.tensor(0.7) if as_tensor else 0.7
    names = ("translation", "cutout")
    given = Given(*operations, chances)
    found = diffaugment(images, names, given, "zero", probability)
    assert given.asked[-1] == (0.0, 1.0)
    whole = diffaugment(images, names, Given(*operations))
    assert torch.equal(found[[0, 2]], whole[[0, 2]])
    assert torch.equal(found[[1, 3]], images[[1, 3]])


def test_probabilities_of_0_and_1():
    images, names = places(9) / 4000, ("color", "translation", "cutout")
    assert torch.equal(diffaugment(images, names, draws(), "zero", 0.0), images)
    assert torch.equal(diffaugment(images, names, draws(), "zero", torch.tensor(0.0)), images)
    plain = diffaugment(images, names, draws())
    for probability in (1.0, torch.tensor(1.0)):
        assert torch.equal(diffaugment(images, names, draws(), "zero", probability), plain)


def test_each_image_moves_on_its_own_up_to_an_eighth_of_the_side():
    images = places(200)
    found = diffaugment(images, ("translation",), draws())
    moves = set()
    for before, after in zip(images, found, strict=True):
        row, column = divmod(int((after[0] == before[0, 8, 8]).flatten().nonzero().item()), SIDE)
        moves.add((row - 8, column - 8))
    assert moves == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}  # 16 // 8 = 2 each way


def cut(image):
    """Rows and columns that are zero, each as (first, one after the last)."""
    gone = (image == 0).all(dim=0)
    rows, columns = gone.any(dim=1).nonzero(), gone.any(dim=0).nonzero()
    assert gone.sum() == len(rows) * len(columns)  # one filled rectangle
    return tuple((int(found[0]), int(found[-1]) + 1) for found in (rows, columns))


@pytest.mark.parametrize(
    ("centre", "square"),
    [
        ((8, 8), ((4, 12), (4, 12))),
        ((0, 8), ((0, 4), (4, 12))),
        ((16, 16), ((12, 16), (12, 16))),
        ((3, 14), ((0, 7), (10, 16))),
    ],
)
def test_cutout_zeroes_a_square_of_half_the_side_clipped_at_the_borders(centre, square):
    images = places()
    found = diffaugment(images, ("cutout",), Given(np.array([centre]).T))
    assert cut(found[0]) == square
    assert torch.equal(found[found != 0], images[found != 0])


def test_cutouts_lie_evenly_over_the_sides():
    found = diffaugment(places(3000), ("cutout",), draws())
    ends = np.array([cut(image) for image in found]).reshape(-1, 2)
    first, last = ends[:, 0], ends[:, 1]
    assert (last - first).min() == 4
    assert (last - first).max() == 8
    # A centre lies on one of the 17 corners of pixels, and the smallest parts of a square are left at both ends.
    lengths = {end: ((last - first == 4) & (place == end)).mean() for place, end in ((first, 0), (last, SIDE))}
    assert lengths[0] == pytest.approx(1 / 17, abs=0.015)
    assert lengths[SIDE] == pytest.approx(1 / 17, abs=0.015)


def test_operations_come_in_the_order_in_which_they_are_named():
    images = places(4)
    both = diffaugment(images, ("translation", "cutout"), draws())
    again = draws()
    one_by_one = diffaugment(diffaugment(images, ("translation",), again), ("cutout",), again)
    assert torch.equal(both, one_by_one)


@pytest.mark.parametrize("kinds", [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
def test_the_same_draws_give_the_same_bytes_and_others_do_not(kinds):
    images = places(4) / 4000
    assert torch.equal(diffaugment(images, kinds, draws()), diffaugment(images, kinds, draws()))
    assert not torch.equal(diffaugment(images, kinds, draws()), diffaugment(images, kinds, draws(1)))


def test_gradients_reach_the_images_through_every_operation():
    # Where a place was moved out or cut, its gradient is 0; elsewhere a translation passes it on as it is.
    images = places(2).requires_grad_()
    moved = diffaugment(images, ("translation", "cutout"), draws())
    moved.sum().backward()
    assert set(images.grad.unique().tolist()) == {0.0, 1.0}
    assert int(images.grad.sum()) == int((moved != 0).sum())
    images.grad = None
    diffaugment(images, ("color",), Given(0.1, 1.0, 1.5)).sum().backward()
    torch.testing.assert_close(images.grad, torch.ones_like(images))  # sums pass saturation and contrast unchanged
