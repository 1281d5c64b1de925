"""What a user is told of a plan and of what came out: content, swamped originals, copies."""

import shutil

import numpy as np
import pytest

from augment.build.build import build
from augment.build.make_dataset import make_dataset
from augment.build.plan import make_plan
from augment.build.reproduce import reproduce
from augment.build.warnings import MAX_USES, advice, advice_on_result, mean_difference
from augment.errors import UsageError
from augment.imaging.codec import encode_png
from augment.sources.concat import ExtraSource
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source


class Grays:
    name = "grays"

    def describe(self):
        return {}

    def draw(self, indices, seed):
        for k in indices:
            yield np.full((8, 8, 3), k, np.uint8), {"seed": seed, "k": k}


def said(tiny_set, policy, **options):
    return " ".join(advice(make_plan(open_source(tiny_set), policy, **options)))


def test_mean_difference_by_hand():
    one = np.array([[[0, 10, 20]]], np.uint8)
    assert mean_difference(one, np.array([[[3, 10, 14]]], np.uint8)) == 3.0
    assert mean_difference(one, one) == 0.0


def test_a_plain_mixture_says_nothing(tiny_set):
    assert said(tiny_set, "contrast+RandomBrightnessContrast") == ""


@pytest.mark.parametrize(
    ("policy", "look"),
    [
        ("hflip", "50 % of the training set is mirrored, so generated images will be mirrored too"),
        ("contrast+negative", "25 % of the training set is negative"),
        ("contrast.vflip", "50 % of the training set is upside down"),
        ("CoarseDropout", "50 % of the training set is missing parts"),
        ("Rotate", "framed in one colour (border_mode: 4"),
        ("D4", "turned"),
    ],
)
def test_what_becomes_content_is_named_with_the_alternative(tiny_set, policy, look):
    text = said(tiny_set, policy, size=24)
    assert look in text
    assert "smallgan train --diffaugment (method.diffaugment in a recipe)" in text
    assert ("left and right do not matter" in text) == (policy == "hflip")


def test_the_parts_of_a_pipeline_are_seen(tiny_set, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("transforms: {a: {OneOf: {transforms: [Blur, VerticalFlip]}}, b: {Rotate: {border_mode: 4}}}")
    text = said(tiny_set, str(path))
    assert "25 % of the training set is upside down" in text
    assert "framed" not in text


def test_a_component_that_swamps_the_originals_is_told(tiny_set):
    assert said(tiny_set, "contrast", ratio="1:3") == ""
    assert "48 added images beside 12 originals: 80% of the set" in said(tiny_set, "contrast", ratio="1:4")
    assert said(tiny_set, "gan", count=12, generator=Grays()) == ""
    assert "13 of 25 images come from a generator" in said(tiny_set, "gan", count=13, generator=Grays())
    assert "each original is used" not in said(tiny_set, "contrast", ratio=f"1:{MAX_USES}")
    assert "up to 11 times" in said(tiny_set, "contrast", ratio=f"1:{MAX_USES + 1}")


def test_copies_are_told_when_they_were_seen(tiny_set, tmp_path):
    source = open_source(tiny_set)
    policy = tmp_path / "mild.yaml"
    policy.write_text("transforms: {mild: {contrast: {factor: [1.0, 1.0]}}}")
    told = advice_on_result(build(make_plan(source, str(policy), count=13), source, tmp_path / "mild"))
    assert len(told) == 2
    assert "1 added image is the same as another" in told[0] or "added images are the same as another" in told[0]
    assert told[1].startswith("13 added images are less than 1 level")
    assert advice_on_result(build(make_plan(source, "hflip"), source, tmp_path / "out")) == []


def test_a_relabelled_source_is_another_plan_and_a_cut_table_is_made_whole(tmp_path, tiny_set):
    table = tiny_set / "metadata.csv"
    names = sorted(path.name for path in tiny_set.glob("*.png"))
    table.write_text("file_name,label\n" + "".join(f"{name},cat\n" for name in names), encoding="utf-8")
    options = {"size": 16, "out": tmp_path / "out"}
    first = make_dataset(tiny_set, "hflip", **options)
    metadata = tmp_path / "out" / "metadata.jsonl"
    whole = metadata.read_bytes()
    metadata.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    next(path for path in (tmp_path / "out" / "images").rglob("*.png")).write_bytes(b"")
    assert make_dataset(tiny_set, "hflip", **options)["num_images"] == first["num_images"]
    assert metadata.read_bytes() == whole
    table.write_text("file_name,label\n" + "".join(f"{name},dog\n" for name in names), encoding="utf-8")
    with pytest.raises(UsageError, match="labels_sha256 is"):
        make_dataset(tiny_set, "hflip", **options)


def test_a_gap_is_not_filled_around_an_image_that_was_overwritten(tmp_path, tiny_set):
    options = {"size": 16, "out": tmp_path / "out"}
    make_dataset(tiny_set, "hflip", **options)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    first, second = sorted(path for path in before if "__hflip" in path.name)[:2]
    first.unlink()
    second.write_bytes(encode_png(np.zeros((16, 16, 3), np.uint8)))
    make_dataset(tiny_set, "hflip", **options)
    assert {path: path.read_bytes() for path in before} == before


def test_settings_out_of_range_are_told_first(tmp_path, tiny_set):
    for wrong, said in (
        ({"seed": -1}, "--seed -1"),
        ({"count": 9}, "policy 'none' adds nothing, and --count asks for 9"),
    ):
        with pytest.raises(UsageError, match=said):
            make_dataset(tiny_set, "none", out=tmp_path / "out", **wrong)
    with pytest.raises(UsageError, match="from 0 to 255"):
        make_dataset(tiny_set, "hflip", out=tmp_path / "out", background="rgb(300,0,0)")
    assert not (tmp_path / "out").exists()


def test_what_is_there_twice_and_originals_among_synthetic_images_are_told(tmp_path, tiny_set):
    said, same = [], tmp_path / "same"
    shutil.copytree(tiny_set, same)
    options = {"size": 16, "log": said.append}
    make_dataset(tiny_set, "none", out=tmp_path / "one", extra=[ExtraSource(same, "original")], **options)
    assert f"note: {same}: 12 images equal images of a source before it; they count twice" in said
    make_dataset(tiny_set, "hflip", out=tmp_path / "mixed", size=16)
    extra = [ExtraSource(tmp_path / "mixed", "synthetic")]
    result = make_dataset(tiny_set, "none", out=tmp_path / "two", extra=extra, **options)
    assert f"note: {tmp_path / 'mixed'} is a mixed dataset: its 12 originals are left out" in said
    assert (result["num_synthetic"], result["num_images"]) == (12, 24)


def test_images_of_another_source_are_counted_one_by_one_and_not_reproduced(tmp_path, tiny_set):
    made = tmp_path / "made"
    shutil.copytree(tiny_set, made)
    result = make_dataset(tiny_set, "hflip", out=tmp_path / "out", size=16, extra=[ExtraSource(made, "synthetic", "3")])
    assert (result["num_synthetic"], result["num_original"]) == (3, 12)
    records = MixedDataset.open(tmp_path / "out").records
    taken = next(record for record in records if record.origin == "synthetic")
    with pytest.raises(UsageError, match="taken over, not made"):
        reproduce(tmp_path / "out" / taken.file_name)
