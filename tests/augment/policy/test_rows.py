"""Rows of one's own: a registered transform is listed, built, previewed and warned of without any other change."""

import json
from collections import Counter

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from augment.build.build import build, mix
from augment.build.plan import make_plan
from augment.build.preview import _caption
from augment.build.reproduce import reproduce
from augment.checks.advice import advise
from augment.checks.inspect import check, summarise
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode, encode_png
from augment.policy.expression import parse_policy
from augment.policy.policy_file import read_policy_file
from augment.policy.transforms import TRANSFORMS, Parameter, Transform
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source
from smallgan.cli import augment as augment_command

app = typer.Typer()
app.command("augment")(augment_command.augment)


def rotate(pixels, _params):
    return np.ascontiguousarray(np.rot90(pixels))


def brighten(pixels, params):
    return (255 * (pixels / 255) ** params["factor"]).round().astype(np.uint8)


ROT90 = Transform("rot90", "turned by a quarter", rotate, becomes_content=("turned",), symmetry="quarter turn")
GAMMA = Transform("gamma", "255 (x / 255)^g", brighten, {"factor": Parameter(((0.5, 0.8), (1.25, 2.0)), (0.1, 10.0))})


@pytest.fixture(autouse=True)
def _rows():
    TRANSFORMS.register(ROT90)
    TRANSFORMS.register(GAMMA)
    yield
    TRANSFORMS.unregister("rot90")
    TRANSFORMS.unregister("gamma")


@pytest.mark.parametrize(
    "text", ["rot90.rot90", "rot90.rot90.rot90+rot90", "hflip.rot90+rot90.hflip", "rot90+gamma.rot90"]
)
def test_pipelines_that_differ_on_the_probe_are_accepted(text):
    assert str(parse_policy(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rot90.rot90.rot90.rot90", "leaves every image as it is"),
        ("rot90.rot90+hflip.vflip", "the same image twice"),
        ("hflip.rot90+rot90.vflip", "the same image twice"),
        ("gamma+gamma", "the same image twice"),
        ("rot9", "did you mean 'rot90'? There are hflip, vflip, contrast, negative, rot90, gamma, gan, none"),
    ],
)
def test_pipelines_that_do_nothing_or_the_same_are_refused(text, says):
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    assert says in str(caught.value)


def test_sides_may_be_exchanged_and_the_metadata_says_so(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "rot90+rot90.rot90+gamma.rot90", ratio="1:2")
    out = tmp_path / "out"
    dataset = build(plan, source, out)
    for record in dataset.records:
        pixels = decode((out / record.file_name).read_bytes(), record.file_name)
        assert pixels.shape == (record.height, record.width, 3)
        assert reproduce(out / record.file_name)[0] == (out / record.file_name).read_bytes() if record.parent else True
        if [operation["name"] for operation in record.operations] == ["rot90"]:
            parent = decode((out / record.parent).read_bytes(), record.parent)
            assert (pixels == np.rot90(parent)).all()
    assert Counter((r.width, r.height) for r in dataset.records) == {(40, 32): 20, (32, 40): 16}
    before = (out / "metadata.jsonl").read_bytes()
    (out / "metadata.jsonl").unlink()
    again = build(plan, source, out)
    assert again.num_kept == 36, "files that stand there with their sides exchanged are whole"
    assert (out / "metadata.jsonl").read_bytes() == before
    assert dataset.num_near_copies == 0


def test_squares_are_mixed_in_memory(tiny_set):
    source = open_source(tiny_set)
    mixed = mix(make_plan(source, "rot90", size=16), source)
    originals = {entry.source: at for at, entry in enumerate(mixed.plan.entries) if entry.k is None}
    for at, entry in enumerate(mixed.plan.entries):
        if entry.k is not None:
            assert (mixed.pixels[at] == np.rot90(mixed.pixels[originals[entry.source]])).all()


def test_a_row_that_changes_the_sides_is_refused(tiny_set, tmp_path):
    row = Transform("half", "every second pixel", lambda pixels, _params: np.ascontiguousarray(pixels[::2]))
    TRANSFORMS.register(row)
    try:
        source = open_source(tiny_set)
        with pytest.raises(UsageError, match="half: made 40x16 of an image of 40x32"):
            build(make_plan(source, "half"), source, tmp_path / "out")
    finally:
        TRANSFORMS.unregister("half")


def test_a_policy_file_gives_a_row_ranges_of_its_own(tiny_set, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("transforms: {dark: {gamma: {factor: [3, 4]}}}\npolicy: gamma+dark+contrast")
    source = open_source(tiny_set)
    build(make_plan(source, str(path), ratio="1:3"), source, tmp_path / "out")
    drawn = {"gamma": [], "dark": [], "contrast": []}
    for record in MixedDataset.open(tmp_path / "out").records:
        if record.parent:
            drawn[record.file_name.partition("__")[2].partition("-")[0]].append(
                json.loads(record.operations[0]["params"])["factor"]
            )
    assert all(0.5 <= factor <= 0.8 or 1.25 <= factor <= 2 for factor in drawn["gamma"])
    assert max(drawn["gamma"]) > 1.4, "contrast would not draw that"
    assert all(3 <= factor <= 4 for factor in drawn["dark"])
    assert all(0.6 <= factor <= 0.9 or 1.1 <= factor <= 1.4 for factor in drawn["contrast"])
    path.write_text("transforms: {dark: {gamma: {factor: [3, 14]}}}")
    with pytest.raises(UsageError, match=r"gamma has factor \[3, 14\]; expected a range .* between 0\.1 and 10"):
        read_policy_file(path)


def test_the_command_line_knows_them(tiny_set, tmp_path):
    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    listed = {entry["name"]: entry for entry in json.loads(call("--list-transforms", "--json").stdout)}
    assert listed["gamma"]["parameters"] == {"factor": "[[0.5, 0.8], [1.25, 2.0]]"}
    assert "  rot90: turned by a quarter" in call("--list-transforms").stdout.splitlines()
    assert "rot90, gamma, gan" in str(call(tiny_set).exception)
    result = call(tiny_set, "--policy", "rot90+gamma", "--out", tmp_path / "out")
    assert "12 added (6 rot90, 6 gamma)" in result.stdout
    assert "25 % of the training set is turned, so generated images will be turned too" in result.stderr
    assert call(tiny_set, "--policy", "rot90.gamma", "--preview", tmp_path / "look.png").exit_code == 0


def test_inspect_advises_on_them(tmp_path):
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        (folder / f"{number:02d}.png").write_bytes(encode_png(pixels))
    source = open_source(folder)
    advice = advise(summarise(source, check(source, signatures=True)))
    assert any("hflip and vflip and rot90 may be added" in line for line in advice)


def test_a_record_of_a_row_that_is_gone_is_told(tiny_set, tmp_path):
    source = open_source(tiny_set)
    dataset = build(make_plan(source, "rot90", count=1), source, tmp_path / "out")
    TRANSFORMS.unregister("rot90")
    try:
        with pytest.raises(InputError, match="operation 'rot90' is not known"):
            reproduce(tmp_path / "out" / dataset.records[-1].file_name)
    finally:
        TRANSFORMS.register(ROT90)


def test_a_row_of_the_preview_says_what_a_transform_does_and_no_name_twice():
    captions = [_caption(each) for each in parse_policy("hflip+GaussNoise+hflip.GaussNoise").components]
    assert captions == [
        "hflip  (mirrored left to right)",
        "GaussNoise",
        "hflip.GaussNoise  (mirrored left to right, GaussNoise)",
    ]
