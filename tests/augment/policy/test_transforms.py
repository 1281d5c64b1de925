"""Every transform against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from paths import ROOT

from augment.core.rng import image_generators
from augment.policy.basic_transforms import contrast
from augment.policy.transforms import TRANSFORMS

SMALL = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def test_mirrors_and_negative_by_hand():
    assert (TRANSFORMS["hflip"].apply(SMALL, {}) == SMALL[:, ::-1]).all()
    assert (TRANSFORMS["vflip"].apply(SMALL, {}) == SMALL[::-1]).all()
    assert (TRANSFORMS["negative"].apply(SMALL, {}) == 255 - SMALL).all()


def test_contrast_by_hand_rounds_halves_up_and_clips():
    pixels = np.array([[[10, 20, 30], [240, 250, 50]]], np.uint8)  # mean 100
    weaker = contrast(pixels, {"factor": 0.75})  # 32.5, 40, 47.5, 205, 212.5, 62.5
    assert weaker.tolist() == [[[33, 40, 48], [205, 213, 63]]]
    stronger = contrast(pixels, {"factor": 1.4})  # -26, -12, 2, 296, 310, 30
    assert stronger.tolist() == [[[0, 0, 2], [255, 255, 30]]]


@given(PIXELS, st.floats(0.6, 1.4).map(lambda factor: round(factor, 4)))
def test_contrast_equals_its_formula(pixels, factor):
    mean = pixels.astype(np.float64).sum() / pixels.size
    exact = mean + factor * (pixels - mean)
    assert np.abs(contrast(pixels, {"factor": factor}) - exact.clip(0, 255)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("transform", TRANSFORMS, ids=TRANSFORMS.names)
@given(pixels=PIXELS, k=st.integers(0, 1000))
def test_every_transform_keeps_shape_and_input(transform, pixels, k):
    before = pixels.copy()
    params = transform.draw(next(image_generators(0, [k])))
    out = transform.apply(pixels, params)
    assert out.shape == pixels.shape
    assert out.dtype == np.uint8
    assert (pixels == before).all()
    if not transform.is_random:
        assert (transform.apply(out, {}) == pixels).all(), "mirrors and negative are their own inverses"


def test_factors_fill_both_ranges_evenly_and_depend_on_seed_and_number_alone():
    draw = TRANSFORMS["contrast"].draw
    factors = np.array([draw(next(image_generators(3, [k])))["factor"] for k in range(2000)])
    (low, middle), (high, top) = TRANSFORMS["contrast"].parameters["factor"].ranges
    assert (((low <= factors) & (factors <= middle)) | ((high <= factors) & (factors <= top))).all()
    assert 0.45 < (factors < 1).mean() < 0.55
    assert draw(next(image_generators(3, [7]))) == {"factor": factors[7]}
    assert draw(next(image_generators(4, [7]))) != {"factor": factors[7]}


def test_the_documentation_lists_every_row():
    page = (ROOT / "docs" / "augment.md").read_text(encoding="utf-8")
    table = page.partition("| transform |")[2].partition("\n\n")[0]
    assert [row.name for row in TRANSFORMS if f"`{row.name}`" not in table] == []
