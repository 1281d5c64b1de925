"""How an image became a square, in numbers, and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augment.build.build import build, mix
from augment.build.plan import make_plan
from augment.build.reproduce import remake
from augment.errors import UsageError
from augment.imaging.codec import Rules, decode
from augment.imaging.geometry import RESIZE_MODES, ResizePlan, plan_resize, resize_square, unfit
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source


def smooth(width, height):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns * 255 / width, rows * 255 / height, 255 - columns * 255 / width], axis=-1).astype(np.uint8)


def test_fits_by_hand():
    assert plan_resize(400, 200, 100, "crop") == ResizePlan("crop", 400, 200, 100, (100, 0, 200, 200), (0, 0, 100, 100))
    assert plan_resize(400, 200, 100, "pad") == ResizePlan("pad", 400, 200, 100, (0, 0, 400, 200), (0, 25, 100, 50))
    assert plan_resize(400, 200, 100, "stretch") == ResizePlan(
        "stretch", 400, 200, 100, (0, 0, 400, 200), (0, 0, 100, 100)
    )
    with pytest.raises(UsageError, match="crop, pad, stretch"):
        plan_resize(4, 4, 4, "cover")
    with pytest.raises(UsageError, match="at least 1"):
        plan_resize(4, 4, 0, "pad")


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 200), st.sampled_from(RESIZE_MODES))
def test_what_is_written_down_reads_back_and_lies_inside(width, height, size, kind):
    resize_mode = plan_resize(width, height, size, kind)
    assert ResizePlan.from_json(resize_mode.to_json()) == resize_mode
    for (left, top, box_width, box_height), limit in (
        (resize_mode.taken, (width, height)),
        (resize_mode.placed, (size, size)),
    ):
        assert left >= 0
        assert top >= 0
        assert box_width >= 1
        assert box_height >= 1
        assert left + box_width <= limit[0]
        assert top + box_height <= limit[1]


@pytest.mark.parametrize("kind", RESIZE_MODES)
@pytest.mark.parametrize("shape", [(120, 80), (80, 120), (101, 99), (64, 64), (300, 7)])
def test_a_fit_is_undone(kind, shape):
    width, height = shape
    pixels = smooth(width, height)
    resize_mode = plan_resize(width, height, 64, kind)
    back = unfit(resize_square(pixels, 64, kind, (9, 9, 9)), resize_mode)
    left, top, taken_width, taken_height = resize_mode.taken
    expected = pixels[top : top + taken_height, left : left + taken_width]
    assert back.shape == expected.shape
    if kind != "crop":
        assert back.shape == pixels.shape
    if min(shape) > 20:
        assert np.abs(back.astype(int) - expected).mean() < 4


def test_a_generated_square_of_another_size_gets_the_shape_too():
    resize_mode = plan_resize(200, 100, 64, "pad")
    square = resize_square(smooth(200, 100), 128, "pad", (0, 0, 0))
    assert np.abs(unfit(square, resize_mode).astype(int) - smooth(200, 100)).mean() < 4
    with pytest.raises(UsageError, match="only squares"):
        unfit(smooth(20, 10), resize_mode)


def test_the_fit_stands_in_the_metadata_and_undoes_every_image_of_the_set(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    Image.fromarray(smooth(32, 32)).save(tmp_path / "in" / "square.png")
    source = open_source(tmp_path / "in", rules=Rules(background=(255, 0, 0)))
    build(make_plan(source, "contrast", size=32, resize_mode="pad"), source, tmp_path / "out")
    records = {record.file_name: record for record in MixedDataset.open(tmp_path / "out").records}
    assert records["images/square.png"].resize_mode is None
    assert records["images/square.png"].source == "square.png"
    for record in records.values():
        if "wide" in record.file_name:
            pixels = decode((tmp_path / "out" / record.file_name).read_bytes(), "x")
            if record.origin == "original":
                assert (pixels[0] == [255, 0, 0]).all()
            assert unfit(pixels, ResizePlan.from_json(record.resize_mode)).shape == (60, 90, 3)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text("utf-8"))
    assert (plan["resize_mode"], plan["background"]) == ("pad", "#ff0000")


def test_a_gray_set_on_a_coloured_ground_is_made_again_from_its_own_originals(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    source = open_source(tmp_path / "in", rules=Rules(background=(255, 0, 0), gray=True))
    dataset = build(make_plan(source, "contrast", size=32, resize_mode="pad"), source, tmp_path / "out")
    made = dataset.records[1]
    data, _ = remake(tmp_path / "out" / made.file_name)
    assert data == (tmp_path / "out" / made.file_name).read_bytes()
    mixture = mix(make_plan(source, "contrast", size=32, resize_mode="pad"), source)
    assert (mixture.pixels[1] == decode(data, "x")).all()
