"""`smallgan augment` and `smallgan inspect` as commands, and both on real images."""

import json
from collections import Counter

import pytest
import typer
from typer.testing import CliRunner

from augment.build.make_dataset import make_dataset
from augment.checks.inspect import check
from augment.errors import InputError, MissingError, OutputError, UsageError
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source
from smallgan.cli import augment as augment_command
from smallgan.cli import inspect as inspect_command

app = typer.Typer()
app.command("augment")(augment_command.augment)
app.command("inspect")(inspect_command.inspect)


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_augment_says_what_it_made_and_resumes_to_nothing(tiny_set, tmp_path):
    result = call("augment", tiny_set, "--policy", "hflip+contrast", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "12 originals + 12 added (6 hflip, 6 contrast)" in result.stdout
    assert "1:1" in result.stderr
    assert (tmp_path / "out" / "preview.png").is_file()
    again = call("augment", tiny_set, "--policy", "hflip+contrast", "--out", tmp_path / "out")
    assert again.exit_code == 0
    assert "finished already" in again.stdout


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_nothing_is_written_into_a_source(tiny_set, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tiny_set, target_is_directory=True)
    (tmp_path / "other").mkdir()
    encoded = next(tiny_set.glob("*.png")).read_bytes()
    (tmp_path / "other" / "a.png").write_bytes(encoded)
    made = tmp_path / "made"
    assert call("augment", tiny_set, "--policy", "hflip", "--out", made).exit_code == 0
    one = next(line for line in (made / "images").rglob("*hflip*"))
    before = listing(tmp_path)
    inside = tiny_set / "deep" / "mixed"
    for arguments, target in (
        ((tiny_set, "--out", inside), inside),
        ((tmp_path / "link", "--out", inside), inside),
        ((tiny_set, "--out", tmp_path / "link" / "x"), tmp_path / "link" / "x"),
        ((tiny_set, "--out", tiny_set), tiny_set),
        ((tmp_path / "other", "--also", tiny_set, "--out", inside), inside),
        ((tiny_set, "--preview", tiny_set / "sheet.png"), tiny_set / "sheet.png"),
        ((tiny_set, "--reproduce", one, "--out", tiny_set / "x.png"), tiny_set / "x.png"),
    ):
        result = call("augment", *arguments, "--policy", "hflip")
        assert isinstance(result.exception, OutputError), arguments
        assert result.exception.exit_code == 2
        assert str(target) in str(result.exception)
        assert "lies in the source" in str(result.exception)
    monkeypatch.chdir(tmp_path / "other")
    assert isinstance(call("augment", ".", "--policy", "hflip").exception, OutputError), "the default folder too"
    assert listing(tmp_path) == before


def test_without_a_source_the_sample_set_is_used_and_named(tmp_path):
    result = call("augment", "--policy", "hflip+contrast", "--size", 16, "--json")
    assert result.exit_code == 0
    assert "sample set" in result.stderr
    made = json.loads(result.stdout)
    assert made["path"].replace("\\", "/") == "out/painted-flowers-hflip+contrast-16px"
    assert made["num_images"] == 2 * made["num_original"] == len(MixedDataset.open(tmp_path / made["path"]))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "tiny-hflip+contrast"),
        ({"count": 3, "seed": 4}, "tiny-hflip+contrast-3added-seed4"),
        (
            {"ratio": "2:1", "size": 8, "resize_mode": "pad", "format": "jpeg"},
            "tiny-hflip+contrast-2to1-8px-pad-jpeg",
        ),
    ],
)
def test_the_default_folder_says_what_it_holds(tiny_set, options, name):
    assert make_dataset(tiny_set, "hflip+contrast", **options)["path"].replace("\\", "/") == f"out/{name}"


@pytest.mark.parametrize(
    ("policy", "options", "error", "says"),
    [
        ("hfilp", {}, UsageError, "did you mean 'hflip'"),
        ("none+hflip", {}, UsageError, "stands alone"),
        ("hflip", {"ratio": "1:x"}, UsageError, "--ratio '1:x'"),
        ("hflip", {"ratio": "1:1", "count": 3}, UsageError, "give one of them"),
        ("hflip", {"size": 0}, UsageError, "--size 0"),
        ("hflip", {"size": 8, "resize_mode": "cover"}, UsageError, "crop, pad, stretch"),
        ("hflip", {"format": "gif"}, UsageError, "png, jpeg"),
        ("hflip", {"seed": -1}, UsageError, "--seed -1"),
        ("hflip", {"workers": 0}, UsageError, "--workers 0"),
        ("gan", {}, MissingError, "smallgan train"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tiny_set, tmp_path, policy, options, error, says):
    with pytest.raises(error) as caught:
        make_dataset(tiny_set, policy, out=tmp_path / "out", **options)
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_policy_says_what_to_write(tiny_set):
    result = call("augment", tiny_set)
    assert isinstance(result.exception, UsageError)
    assert "--policy hflip+contrast" in str(result.exception)


def test_bad_files_stop_everything_or_are_listed(tiny_set, tmp_path):
    (tiny_set / "bad.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"bad\.png"):
        make_dataset(tiny_set, "hflip", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = call("augment", tiny_set, "--policy", "hflip", "--out", tmp_path / "out", "--skip-bad")
    assert result.exit_code == 0
    assert "left out: bad.png" in result.stderr
    assert "12 originals + 12 added" in result.stdout


def test_a_mixed_dataset_gives_its_originals(tiny_set, tmp_path):
    make_dataset(tiny_set, "hflip", out=tmp_path / "one")
    result = call("augment", tmp_path / "one", "--policy", "vflip", "--out", tmp_path / "two")
    assert "12 originals + 12 added" in result.stdout
    assert "only its 12 originals" in result.stderr


def test_inspect_prints_a_table_and_json(tiny_set):
    result = call("inspect", tiny_set)
    assert result.exit_code == 0
    assert "12 usable of 12" in result.stdout
    assert "40x32  12" in result.stdout
    (tiny_set / "bad.png").write_bytes(b"")
    (tiny_set / "note.txt").write_text("x")
    result = call("inspect", tiny_set, "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["problems"] == ["bad.png: the file is empty"]
    assert found["ignored"] == ["note.txt"]


REFUSED = {
    "truncated.jpg", "truncated.png", "empty.jpg", "text.jpg", "photo.heic", "crc-idat.png", "crc-ihdr.png",
    "float32.tiff", "bomb-30000x30000.png", "big-12000x10000.png",
}  # fmt: skip


@pytest.mark.real_data
def test_odd_inputs_are_used_or_refused_by_name(real_data):
    records = check(open_source(real_data / "odd-inputs"), workers=2)
    assert {record.name for record in records if record.problem} == REFUSED
    assert all(record.problem.startswith(record.name) for record in records if record.problem)
    size = {record.name: (record.width, record.height) for record in records}
    assert size["exif-orientation-6.jpg"] == (160, 120)
    notes = {record.name: record.notes for record in records}
    assert notes["icc-profile.jpg"] == ("its colour profile is followed to sRGB",)
    assert notes["multi-page.tiff"] == ("the first of 3 frames or pages is used",)


@pytest.mark.real_data
def test_celeba_gives_500_and_500(real_data, tmp_path):
    result = make_dataset(
        real_data / "celeba" / "train-1000", "hflip+contrast", count=1000, size=64, out=tmp_path / "out"
    )
    assert result["added"] == {"hflip": 500, "contrast": 500}
    records = MixedDataset.open(tmp_path / "out").records
    assert Counter(record.origin for record in records) == {"original": 1000, "augmented": 1000}
    assert len({record.parent for record in records if record.parent}) == 1000
