"""`smallgan augment` beside building: --list-transforms, --preview, --reproduce, and what is said while it builds."""

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from augment.build.preview import policy_sheet
from augment.errors import InputError, UsageError
from augment.imaging.codec import decode
from augment.sources.readers import open_source
from smallgan.cli import augment as augment_command

app = typer.Typer()
app.command("augment")(augment_command.augment)
POLICY = "transforms: {grain: GaussNoise, tilt: {Affine: {rotate: [-20, 20]}}}\npolicy: hflip+grain+tilt\n"


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mild.yaml").write_text(POLICY)


def test_the_list_has_ours_and_theirs_with_parameters():
    result = call("--list-transforms")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "  hflip: mirrored left to right" in lines
    at = lines.index(next(line for line in lines if line.startswith("  GaussianBlur: ")))
    assert "sigma_limit=(0.5, 3.0)" in lines[at + 1]
    assert any("height (needed), width (needed)" in line for line in lines)
    listed = {entry["name"]: entry for entry in json.loads(call("--list-transforms", "--json").stdout)}
    assert {"gan", "none", "contrast", "ElasticTransform"} <= set(listed)
    assert listed["ElasticTransform"]["parameters"]["sigma"] == "50"
    assert listed["ElasticTransform"]["library"] == "albumentations"


def test_a_preview_writes_the_sheet_and_nothing_else(tiny_set, tmp_path):
    result = call(tiny_set, "--policy", "mild.yaml", "--size", 32, "--preview", "sheets/look.png")
    assert result.exit_code == 0, result.exception
    assert "10 images; nothing else was written" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mild.yaml", "sheets", "tiny"]
    sheet = decode((tmp_path / "sheets" / "look.png").read_bytes(), "look.png")
    source = open_source(tiny_set)
    assert (sheet == policy_sheet("mild.yaml", source, size=32)).all()
    assert (sheet != policy_sheet("mild.yaml", source, size=32, seed=1)).any()
    assert sheet.shape[0] > policy_sheet("hflip", source, size=32).shape[0] > 250


def test_a_preview_shows_the_sources_beside_the_first(tiny_set, tmp_path):
    for name, value in (("more", 40), ("made", 200)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (32, 32), (value, value, number)).save(tmp_path / name / f"{number}.png")
    options = ["--policy", "hflip", "--size", 32, "--seed", 3]
    assert call(tiny_set, *options, "--preview", "alone.png").exit_code == 0
    beside = ["--also", "more=2", "--synthetic", "made"]
    result = call(tiny_set, *options, *beside, "--preview", "look.png")
    assert result.exit_code == 0, result.exception
    alone, sheet = (decode((tmp_path / name).read_bytes(), name) for name in ("alone.png", "look.png"))
    row = 30 + 112 + 4
    assert sheet.shape[0] == alone.shape[0] + 3 * row, "a row for each of three sources"
    first = 24 + 44 + 2 * row + 30  # the rows of the originals and of hflip stand above
    tops = [first + number * row for number in range(3)]
    middles = [[int(sheet[top + 56, 24 + column * 116 + 56, 0]) for column in range(5)] for top in tops]
    assert middles[1][:2] == [40, 40]
    assert middles[1][2] == 250, "two were asked for"
    assert middles[2] == [200, 200, 200, 200, 250]
    captions = [sheet[top - 26 : top - 4, 24:400] for top in tops]
    assert all(caption.min() < 100 for caption in captions)
    assert not (captions[1] == captions[2]).all()


def test_a_preview_of_a_gray_set_is_gray_on_the_background_asked_for(tiny_set, tmp_path):
    options = ["--size", 32, "--resize-mode", "pad", "--mode", "gray", "--background", "black", "--preview", "look.png"]
    assert call(tiny_set, "--policy", "RGBShift+ColorJitter", *options).exit_code == 0
    tiles = decode((tmp_path / "look.png").read_bytes(), "look.png")[100:, 24 : 24 + 112]
    dark = tiles[tiles.max(axis=2) < 200]
    assert len(dark) > 1000
    assert (dark.max(axis=1) - dark.min(axis=1) < 13).all(), "the captions' ink is the only colour"


def test_the_first_rows_show_originals_and_what_became_of_them(tiny_set):
    sheet = policy_sheet("hflip", open_source(tiny_set), size=56)
    tiles = [sheet[top : top + 112, 24 : 24 + 112] for top in (24 + 44 + 30, 24 + 44 + 30 + 112 + 4 + 30)]
    assert (tiles[0][:, ::-1] == tiles[1]).all()
    assert len(np.unique(tiles[0])) > 20


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (["--policy", "mild.yaml", "--preview", "look.jpg"], UsageError, "expected the name of a PNG file"),
        (["--policy", "gan", "--preview", "look.png"], UsageError, "--generator"),
        (["--policy", "Normalize", "--preview", "look.png"], UsageError, "unknown transform 'Normalize'"),
        (["--policy", "mild.yml", "--preview", "look.png"], InputError, "no such file"),
        (
            ["--policy", "hflip", "--generator", "runs/a", "--preview", "look.png"],
            UsageError,
            "--generator runs/a: only the transform gan uses it",
        ),
    ],
)
def test_previews_that_cannot_be(tiny_set, tmp_path, options, error, says):
    result = call(tiny_set, *options)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)
    assert not list(tmp_path.glob("look*"))


def test_an_image_is_made_again_by_the_command(tiny_set, tmp_path):
    built = json.loads(call(tiny_set, "--policy", "mild.yaml", "--json").stdout)
    assert built["path"].replace("\\", "/") == "out/tiny-mild"
    assert built["added"] == {"hflip": 4, "grain": 4, "tilt": 4}
    assert "training set is mirrored" in built["warnings"][0]
    image = next((tmp_path / built["path"] / "images").glob("*__tilt-*.png"))
    result = call("--reproduce", image, "--out", tmp_path / "again.png")
    assert "reproduced by Affine; the same bytes" in result.stdout
    assert (tmp_path / "again.png").read_bytes() == image.read_bytes()
    done = json.loads(call("--reproduce", image, "--json").stdout)
    assert (tmp_path / done["path"]).read_bytes() == image.read_bytes()
    wrong = call("--reproduce", image, "--out", tmp_path / "again.jpg")
    assert "ending in .png" in str(wrong.exception)


def test_notes_stand_on_stderr_while_building(tiny_set):
    result = call(tiny_set, "--policy", "negative", "--out", "negatives")
    assert "note: 50 % of the training set is negative, so generated images will be negative too" in result.stderr
    assert "note" not in result.stdout
