"""How an image becomes a square, in numbers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augment.build.build import build, mix
from augment.build.plan import make_plan
from augment.build.reproduce import reproduce
from augment.errors import UsageError
from augment.imaging.codec import Rules, decode
from augment.imaging.geometry import RESIZE_MODES, ResizePlan, plan_resize
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source


def smooth(width, height):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns * 255 / width, rows * 255 / height, 255 - columns * 255 / width], axis=-1).astype(np.uint8)


def test_resizes_by_hand():
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
def test_what_is_written_down_is_the_plan_and_lies_inside(width, height, size, mode):
    planned = plan_resize(width, height, size, mode)
    written = json.loads(planned.to_json())
    assert (written["mode"], written["from"], written["to"]) == (mode, [width, height], size)
    assert (tuple(written["taken"]), tuple(written["placed"])) == (planned.taken, planned.placed)
    for (left, top, box_width, box_height), limit in (
        (planned.taken, (width, height)),
        (planned.placed, (size, size)),
    ):
        assert left >= 0
        assert top >= 0
        assert box_width >= 1
        assert box_height >= 1
        assert left + box_width <= limit[0]
        assert top + box_height <= limit[1]


def test_the_resize_stands_in_the_metadata_of_every_image_that_was_resized(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    Image.fromarray(smooth(32, 32)).save(tmp_path / "in" / "square.png")
    source = open_source(tmp_path / "in", rules=Rules(background=(255, 0, 0)))
    build(make_plan(source, "contrast", size=32, resize_mode="pad"), source, tmp_path / "out")
    records = {record.file_name: record for record in MixedDataset.open(tmp_path / "out").records}
    assert records["images/square.png"].resize is None
    assert records["images/square.png"].source == "square.png"
    for record in records.values():
        if "wide" in record.file_name:
            pixels = decode((tmp_path / "out" / record.file_name).read_bytes(), "x")
            if record.origin == "original":
                assert (pixels[0] == [255, 0, 0]).all()
            assert record.resize == plan_resize(90, 60, 32, "pad").to_json()
    plan = json.loads((tmp_path / "out" / "plan.json").read_text("utf-8"))
    assert (plan["resize_mode"], plan["background"]) == ("pad", "#ff0000")


def test_a_gray_set_on_a_coloured_background_is_made_again_from_its_own_originals(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(90, 60)).save(tmp_path / "in" / "wide.png")
    source = open_source(tmp_path / "in", rules=Rules(background=(255, 0, 0), gray=True))
    dataset = build(make_plan(source, "contrast", size=32, resize_mode="pad"), source, tmp_path / "out")
    made = dataset.records[1]
    data, _ = reproduce(tmp_path / "out" / made.file_name)
    assert data == (tmp_path / "out" / made.file_name).read_bytes()
    mixture = mix(make_plan(source, "contrast", size=32, resize_mode="pad"), source)
    assert (mixture.pixels[1] == decode(data, "x")).all()
