"""How an image became a square, in numbers, and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augment.build import build, mix
from augment.dataset import MixedDataset
from augment.errors import UsageError
from augment.geometry import FITS, Fit, fit_square, plan_fit, unfit
from augment.pixels import Rules, decode
from augment.plan import make_plan
from augment.remake import remake
from augment.sources import open_source


def smooth(width, height):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns * 255 / width, rows * 255 / height, 255 - columns * 255 / width], axis=-1).astype(np.uint8)


def test_fits_by_hand():
    assert plan_fit(400, 200, 100, "crop") == Fit("crop", 400, 200, 100, (100, 0, 200, 200), (0, 0, 100, 100))
    assert plan_fit(400, 200, 100, "pad") == Fit("pad", 400, 200, 100, (0, 0, 400, 200), (0, 25, 100, 50))
    assert plan_fit(400, 200, 100, "stretch") == Fit("stretch", 400, 200, 100, (0, 0, 400, 200), (0, 0, 100, 100))
    with pytest.raises(UsageError, match="crop, pad, stretch"):
        plan_fit(4, 4, 4, "cover")
    with pytest.raises(UsageError, match="at least 1"):
        plan_fit(4, 4, 0, "pad")


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 200), st.sampled_from(FITS))
def test_what_is_written_down_reads_back_and_lies_inside(width, height, size, kind):
    fit = plan_fit(width, height, size, kind)
    assert Fit.from_json(fit.to_json()) == fit
    for (left, top, box_width, box_height), limit in ((fit.taken, (width, height)), (fit.placed, (size, size))):
        assert left >= 0
        assert top >= 0
        assert box_width >= 1
        assert box_height >= 1
        assert left + box_width <= limit[0]
        assert top + box_height <= limit[1]


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("shape", [(120, 80), (80, 120), (101, 99), (64, 64), (300, 7)])
def test_a_fit_is_undone(kind, shape):
    width, height = shape
    pixels = smooth(width, height)
    fit = plan_fit(width, height, 64, kind)
    back = unfit(fit_square(pixels, 64, kind, (9, 9, 9)), fit)
    left, top, taken_width, taken_height = fit.taken
    expected = pixels[top : top + taken_height, left : left + taken_width]
    assert back.shape == expected.shape
    if kind != "crop":
        assert back.shape == pixels.shape
    if min(shape) > 20:
        assert np.abs(back.astype(int) - expected).mean() < 4


def test_a_generated_square_of_another_size_gets_the_shape_too():
    fit = plan_fit(200, 100, 64, "pad")
    square = fit_square(smooth(200, 100), 128, "pad", (0, 0, 0))
    assert np.abs(unfit(square, fit).astype(int) - smooth(200, 100)).mean() < 4
    with pytest.raises(UsageError, match="only squares"):
        unfit(smooth(20, 10), fit)


def test_the_fit_stands_in_the_metadata_and_undoes_every_image_of_the_set(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    Image.fromarray(smooth(32, 32)).save(tmp_path / "in" / "square.png")
    source = open_source(tmp_path / "in", rules=Rules(ground=(255, 0, 0)))
    build(make_plan(source, "contrast", size=32, fit="pad"), source, tmp_path / "out")
    records = {record.file_name: record for record in MixedDataset.open(tmp_path / "out").records}
    assert records["images/square.png"].fit is None
    assert records["images/square.png"].source == "square.png"
    for record in records.values():
        if "wide" in record.file_name:
            pixels = decode((tmp_path / "out" / record.file_name).read_bytes(), "x")
            if record.origin == "original":
                assert (pixels[0] == [255, 0, 0]).all()
            assert unfit(pixels, Fit.from_json(record.fit)).shape == (60, 90, 3)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text("utf-8"))
    assert (plan["fit"], plan["ground"]) == ("pad", "#ff0000")


def test_a_gray_set_on_a_coloured_ground_is_made_again_from_its_own_originals(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    source = open_source(tmp_path / "in", rules=Rules(ground=(255, 0, 0), gray=True))
    dataset = build(make_plan(source, "contrast", size=32, fit="pad"), source, tmp_path / "out")
    made = dataset.records[1]
    data, _ = remake(tmp_path / "out" / made.file_name)
    assert data == (tmp_path / "out" / made.file_name).read_bytes()
    mixture = mix(make_plan(source, "contrast", size=32, fit="pad"), source)
    assert (mixture.pixels[1] == decode(data, "x")).all()
