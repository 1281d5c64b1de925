"""`smallgan sample`: its pictures, its arrays, its reconstructions, and what it refuses in one line."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sampled_models import CPU, SIZE, Z, biggan_run, dcgan_run, generator, pretrained_file, transfer_run

from augment.core.files import sha256_file
from augment.errors import InputError
from augment.imaging.geometry import resize_square
from augment.sources.readers import open_source
from smallgan.cli import main
from smallgan.sampling.latents import (
    Inputs,
    addresses,
    draw_inputs,
    generate,
    generate_images,
    interpolate,
    truncated_latents,
)
from smallgan.sampling.loading import load_codes, load_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with one model of each kind; the tests only read it, but for the runs' samples/."""
    root = tmp_path_factory.mktemp("models")
    images = root / "images"
    images.mkdir()
    for number in range(6):
        tile = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(tile.repeat(10, axis=0).repeat(10, axis=1)).save(images / f"image-{number}.png")
    pretrained_file(root)
    dcgan_run(root / "dcgan")
    biggan_run(root / "classes")
    transfer_run(root / "adapted", images, root / "tiny.safetensors")
    transfer_run(root / "matched", images, root / "tiny.safetensors", latents="imle")
    transfer_run(root / "mixed", images, root / "tiny.safetensors", "bsa", policy="hflip")
    return root


@pytest.fixture
def sample(made, tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder; return its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(model, *arguments):
        monkeypatch.setattr(sys, "argv", ["smallgan", "sample", str(made / model), *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def result(sample, *arguments):
    code, out, error = sample(*arguments, "--json")
    assert code == 0, error
    return json.loads(out), error


def opened(path):
    return np.asarray(Image.open(path))


def small(path):
    """A grid before each of its pixels became a square of 4 x 4: 32 px are shown as 128."""
    sheet = opened(path)
    assert (sheet == sheet[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)).all()
    return sheet[::4, ::4]


@pytest.mark.parametrize("model", ["dcgan", "classes", "adapted", "matched", "mixed", "tiny.safetensors"])
def test_every_kind_of_model_is_sampled(sample, made, model):
    found, _ = result(sample, model, "--count", 3, "--seed", 4)
    grid, *singles = found["files"]
    assert grid.startswith("samples" if model == "tiny.safetensors" else str(made / model / "samples"))
    assert small(grid).shape == (2 * SIZE + 2, 2 * SIZE + 2, 3)
    loaded = load_model(made / model, CPU)
    wanted = list(generate(loaded, draw_inputs(loaded, addresses(3, 4, None))))
    for path, pixels in zip(singles, wanted, strict=True):
        np.testing.assert_array_equal(opened(path), pixels)
    assert found["count"] == 3
    assert (found["labels"] is None) == (loaded.generator.num_classes < 2)


def test_a_grid_is_no_image_of_the_folder_that_was_sampled(sample, tmp_path):
    for number, extra in enumerate([["dcgan", "--count", 5], ["adapted", "--reconstruct"]]):
        found, _ = result(sample, *extra, "--out", tmp_path / str(number))
        grid, *singles = found["files"]
        images = open_source(tmp_path / str(number))
        assert [image.name for image in images.images] == [path.rsplit("/", 1)[1] for path in singles]
        assert {image.label for image in images.images} == {None}
        assert str(images.path) not in grid
    # Beside other pictures, samples are left out as every folder of ours is
    Image.new("RGB", (9, 9)).save(tmp_path / "one.png")
    assert [image.name for image in open_source(tmp_path).images] == ["one.png"]
    result(sample, "dcgan", "--grid-only", "--out", tmp_path / "grid")
    with pytest.raises(InputError, match="no single images"):
        open_source(tmp_path / "grid")


def test_samples_are_not_mixed_into_other_files(sample, tmp_path):
    assert sample("dcgan", "--out", tmp_path / "a")[0] == 0
    before = sorted((tmp_path / "a").rglob("*"))
    assert sample("dcgan", "--out", tmp_path / "a")[0] == 0  # the same again
    for other in (["--seed", 1], ["--truncation", 0.5], ["--count", 2], ["--interpolate"]):
        code, _, error = sample("dcgan", *other, "--out", tmp_path / "a")
        assert code == 2
        assert "holds other files; name a new or an empty one" in error
    assert sorted((tmp_path / "a").rglob("*")) == before
    assert sample("dcgan", "--seeds", "0,5,9", "--out", tmp_path / "c")[0] == 0
    assert sample("dcgan", "--seeds", "0,7,9", "--out", tmp_path / "c")[0] == 2
    (tmp_path / "b").mkdir()
    (tmp_path / "b/photo.png").touch()
    assert sample("dcgan", "--out", tmp_path / "b")[0] == 2
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["photo.png"]


def test_settings_that_differ_go_to_folders_that_differ(sample, made, tmp_path):
    two = ["--count", 2]
    for arguments in (two, [*two, "--truncation", 0.5], [*two, "--label", 2, "--seed", 1], ["--seeds", "3-4"]):
        result(sample, "tiny.safetensors", *arguments)
    digest = sha256_file(made / "tiny.safetensors")[:8]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        f"tiny-{digest}-images-seed0-x2",
        f"tiny-{digest}-images-seed0-x2-t0.5",
        f"tiny-{digest}-images-seed1-x2-class-2",
        f"tiny-{digest}-images-seeds3-4",
    ]


def test_truncation_and_label_reach_the_images(sample, made, tmp_path):
    found, _ = result(sample, "classes", "--count", 2, "--truncation", 0.3, "--label", "cat", "--out", tmp_path / "o")
    assert found["labels"] == [2, 2]
    inputs = Inputs(truncated_latents(addresses(2, 0, None), Z, 0.3), np.array([2, 2]))
    wanted = list(generate(load_model(made / "classes", CPU), inputs))
    np.testing.assert_array_equal(opened(found["files"][2]), wanted[1])


def test_raw_images_are_those_of_a_direct_forward(sample, tmp_path):
    z = np.random.default_rng(5).standard_normal((37, Z)).astype(np.float32)
    y = np.arange(37) % 3
    np.save(tmp_path / "z.npy", z)
    np.save(tmp_path / "y.npy", y)
    result(sample, "tiny.safetensors", "--latents", "z.npy", "--labels", "y.npy", "--raw", "deep/out.npy")
    found = np.load(tmp_path / "deep/out.npy", allow_pickle=False)
    with torch.inference_mode():
        wanted = generator()(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    assert found.dtype == np.float32
    assert found.shape == (37, 3, SIZE, SIZE)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found).max() <= 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.npy"]
    # Pictures of the same latents, where no array is asked for
    pictures, _ = result(sample, "tiny.safetensors", "--latents", "z.npy", "--labels", "y.npy", "--out", "p")
    levels = ((wanted[36] + 1) * 127.5).round().transpose(1, 2, 0)
    assert np.abs(opened(pictures["files"][37]) - levels).max() <= 1


def test_latents_without_labels_get_drawn_classes_and_a_word(sample, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((4, Z), np.float32))
    found, said = result(sample, "tiny.safetensors", "--latents", "z.npy", "--raw", "out.npy")
    assert "classes are drawn from seed 0" in said
    assert len(found["labels"]) == 4
    found, said = result(sample, "adapted", "--latents", "z.npy", "--raw", "out.npy")
    assert (found["labels"], said) == (None, "")
    drawn, _ = result(sample, "tiny.safetensors", "--count", 2, "--raw", "drawn.npy")
    assert np.load("drawn.npy").shape == (drawn["count"], 3, SIZE, SIZE)


def test_a_raw_array_that_cannot_be_finished_leaves_nothing(sample, tmp_path, monkeypatch):
    np.save(tmp_path / "z.npy", np.zeros((70, Z), np.float32))
    done = []

    def broken(_model, z, _labels):
        done.append(len(z))
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        return torch.zeros(len(z), 3, SIZE, SIZE)

    monkeypatch.setattr("smallgan.sampling.latents._forward", broken)
    code, _, error = sample("adapted", "--latents", "z.npy", "--raw", "out.npy")
    assert code == 2
    assert "out.npy" in error
    assert "no space is left" in error
    assert [path.name for path in tmp_path.iterdir()] == ["z.npy"]


def test_interpolation_of_latents_and_of_codes(sample, made, tmp_path):
    found, _ = result(
        sample, "adapted", "--interpolate", "--codes", "0,3-4", "--frames", 3, "--out", tmp_path / "codes"
    )
    assert opened(found["files"][0]).shape == (2 * (SIZE + 2) - 2, 8 * (SIZE + 2) - 2, 3)
    assert Image.open(found["files"][1]).n_frames == 9
    model = load_model(made / "adapted", CPU)
    ends = load_codes(model)[[0, 3]]
    first = next(generate(model, Inputs(ends[:1] + (ends[1:] - ends[:1]) * np.float32(2 / 7))))
    tile = opened(found["files"][0])[:SIZE, 2 * (SIZE + 2) : 2 * (SIZE + 2) + SIZE]
    assert np.abs(tile.astype(int) - first).max() <= 1
    found, _ = result(sample, "classes", "--interpolate", "--count", 2, "--truncation", 0.4, "--label", "bee")
    assert found["labels"] == [1, 1]
    assert "interpolation-seed0-x2-t0.4-class-1" in found["files"][0]


def test_matched_latents_are_joined_on_great_circles_and_reconstructed(sample, made, tmp_path):
    own = ("--interpolate", "--codes", "0,3", "--frames", 3, "--out", tmp_path / "codes")
    found, _ = result(sample, "matched", *own)
    assert found["prior"] == "normal"
    model = load_model(made / "matched", CPU)
    latents = load_codes(model)
    way = interpolate(latents[[0, 3]], 7)
    assert not np.allclose(way, interpolate(latents[[0, 3]], 7, straight=True), atol=0.1)
    wanted = next(generate(model, Inputs(way[3:4])))
    tile = opened(found["files"][0])[:SIZE, 3 * (SIZE + 2) : 3 * (SIZE + 2) + SIZE]
    assert np.abs(tile.astype(int) - wanted).max() <= 1
    found, _ = result(sample, "matched", "--reconstruct")
    assert (found["num_compared"], found["count"]) == (6, 6)
    np.testing.assert_array_equal(opened(found["files"][1]), next(generate(model, Inputs(latents[:1]))))
    near, _ = result(sample, "matched", "--around-codes", 0.3)
    assert (near["prior"], near["around_codes"]) == ("around_codes", 0.3)


def test_images_around_codes_at_no_distance_are_the_reconstructions(sample, made, tmp_path):
    near, _ = result(sample, "adapted", "--around-codes", 0, "--count", 6, "--raw", tmp_path / "near.npy")
    assert near["count"] == 6
    model = load_model(made / "adapted", CPU)
    of_codes = torch.cat(list(generate_images(model, Inputs(load_codes(model))))).numpy()
    found = np.load(tmp_path / "near.npy")
    assert any(np.allclose(found, np.roll(of_codes, turn, axis=0), atol=1e-5) for turn in range(6))
    far, _ = result(sample, "adapted", "--around-codes", 0.5)
    assert "around-codes0.5-seed0-x36" in far["files"][0]


def test_reconstructions_stand_below_their_originals(sample, made):
    found, said = result(sample, "adapted", "--reconstruct")
    assert said == ""
    sheet = small(found["files"][0])
    assert sheet.shape == (2 * (2 * SIZE + 8) - 8, 5 * (SIZE + 8) - 8, 3)
    source = open_source(made / "images")
    errors = []
    for number, each in enumerate(found["images"]):
        original = resize_square(source.load(number).image.pixels, SIZE, "crop")
        reconstruction = opened(found["files"][1 + number])
        top, left = number // 5 * (2 * SIZE + 8), number % 5 * (SIZE + 8)
        np.testing.assert_array_equal(sheet[top : top + SIZE, left : left + SIZE], original)
        np.testing.assert_array_equal(sheet[top + SIZE : top + 2 * SIZE, left : left + SIZE], reconstruction)
        errors.append(np.abs(original.astype(float) - reconstruction).mean())
        assert each["original"] == f"image-{number}.png"
        assert each["mean_abs_error_levels"] == pytest.approx(errors[-1], abs=1e-3)
    assert found["mean_abs_error_levels"] == pytest.approx(np.mean(errors), abs=1e-3)
    assert found["num_compared"] == 6
    _, out, _ = sample("adapted", "--reconstruct", "--grid-only")
    assert "of 255 levels over 6 images" in out


def test_codes_of_images_that_were_mixed_in_memory_stand_alone(sample):
    found, said = result(sample, "mixed", "--reconstruct")
    assert "6 of 12 codes are of images that the policy made in memory" in said
    assert [each["mean_abs_error_levels"] is None for each in found["images"]] == [False] * 6 + [True] * 6
    assert found["num_compared"] == 6
    sheet = small(found["files"][0])
    assert (sheet[2 * SIZE + 8 : 3 * SIZE + 8, SIZE + 8 : 2 * SIZE + 8] == 255).all()


def test_reconstructions_without_originals(sample, made, tmp_path):
    source = made / "images"
    away = tmp_path / "away"
    for change in ("gone", "one missing", "another picture"):
        shutil.copytree(source, away / change)
    try:
        shutil.rmtree(source)
        found, said = result(sample, "adapted", "--reconstruct")
        assert "reconstructions alone" in said
        assert found["mean_abs_error_levels"] is None
        assert small(found["files"][0]).shape == (2 * (SIZE + 2) - 2, 5 * (SIZE + 2) - 2, 3)
        shutil.copytree(away / "gone", source)
        (source / "image-2.png").unlink()
        assert "found 5 of the 6 images" in result(sample, "adapted", "--reconstruct")[1]
        Image.new("RGB", (50, 40), "red").save(source / "image-2.png")
        assert "other images under the names" in result(sample, "adapted", "--reconstruct")[1]
        shutil.copy(away / "gone/image-2.png", source / "image-2.png")
        Image.new("RGB", (50, 40), "red").save(source / "image-05.png")
        found, said = result(sample, "adapted", "--reconstruct")
        assert (found["num_compared"], said) == (6, "")
        shutil.copytree(made / "adapted/checkpoints/step-000002", tmp_path / "alone/x/step-000002")
        found, said = result(sample, tmp_path / "alone/x/step-000002", "--reconstruct", "--out", tmp_path / "o")
        assert "belongs to no run" in said
        assert found["num_compared"] == 0
    finally:
        shutil.rmtree(source)
        shutil.copytree(away / "gone", source)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dcgan", "--seeds", "0-3", "--count", "3"], "--seeds and --count: give one"),
        (["dcgan", "--seeds", "0-3", "--seed", "3"], "--seeds and --seed: give one"),
        (["absent"], "absent: no such file or folder; expected a run"),
        (["images"], "no file of weights in this folder"),
        (["images/image-0.png"], "image-0.png"),
        (["dcgan", "--count", "0"], "--count 0: must be at least 1"),
        (["dcgan", "--seed", "0-35"], "several seeds are --seeds 0-35"),
        (["dcgan", "--truncation", "0"], "--truncation 0: must be a number above 0"),
        (["dcgan", "--truncation", "nan"], "--truncation nan"),
        (["dcgan", "--frames", "4"], "--frames needs --codes or --interpolate"),
        (["dcgan", "--labels", "y.npy"], "--labels needs --latents"),
        (["dcgan", "--codes", "0,1"], "--codes 0,1: add --interpolate"),
        (["dcgan", "--interpolate", "--codes", "0,1"], "no latents of training images"),
        (["dcgan", "--interpolate", "--count", "1"], "at least two latents"),
        (["dcgan", "--interpolate", "--raw", "o.npy"], "--raw cannot be combined with --interpolate"),
        (["dcgan", "--reconstruct"], "no latents of training images"),
        (["dcgan", "--label", "0"], "no classes to choose from"),
        (["dcgan", "--checkpoint", "77"], "--checkpoint 77"),
        (["tiny.safetensors", "--checkpoint", "best"], "is no run"),
        (["tiny.safetensors", "--label", "5"], "expected a class from 0 to 2"),
        (["tiny.safetensors", "--reconstruct"], "no latents of training images"),
        (["classes", "--label", "bea"], "did you mean 'bee'"),
        (["adapted", "--label", "0"], "no classes to choose from"),
        (["adapted", "--interpolate", "--codes", "0,6"], "has codes 0 to 5"),
        (["adapted", "--interpolate", "--codes", "0,x"], "'x' is no code"),
        (["adapted", "--interpolate", "--codes", "4"], "at least two"),
        (["adapted", "--interpolate", "--codes", "0,1", "--truncation", "1"], "--truncation cannot be combined with"),
        (["adapted", "--interpolate", "--codes", "0,1", "--count", "3"], "--count cannot be combined with --codes"),
        (["dcgan", "--around-codes", "0.3"], "no latents of training images"),
        (["adapted", "--around-codes", "-1"], "--around-codes -1: must be 0 or more"),
        (["adapted", "--around-codes", "nan"], "--around-codes nan: must be 0 or more"),
        (
            ["adapted", "--around-codes", "1", "--truncation", "1"],
            "--truncation cannot be combined with --around-codes",
        ),
        (["adapted", "--reconstruct", "--interpolate"], "--interpolate cannot be combined with --reconstruct"),
        (["adapted", "--reconstruct", "--seed", "3"], "--seed cannot be combined with --reconstruct"),
        (["adapted", "--latents", "z.npy", "--truncation", "1"], "--truncation cannot be combined with --latents"),
        (["adapted", "--latents", "z.npy", "--label", "a", "--labels", "y.npy"], "--label and --labels: give one"),
        (["adapted", "--latents", "z.npy", "--labels", "y.npy"], "has no classes"),
        (["adapted", "--latents", "z.npy", "--raw", "o.npy", "--out", "o"], "--raw and --out: give one"),
        (["adapted", "--raw", "o.npy", "--grid-only"], "--raw and --grid-only: give one"),
        (["adapted", "--latents", "absent.npy"], "absent.npy: cannot be read"),
        (["adapted", "--latents", "text.npy"], "text.npy: not such a file"),
        (["adapted", "--latents", "objects.npy"], "objects.npy: not such a file"),
        (["adapted", "--latents", "many.npz"], "many.npz: an archive"),
        (["adapted", "--latents", "double.npy"], "found float64 latents, expected float32"),
        (["adapted", "--latents", "wide.npy"], "shape (3, 17), expected N x 16"),
        (["adapted", "--latents", "flat.npy"], "shape (16,), expected N x 16"),
        (["adapted", "--latents", "none.npy"], "no latent in it"),
        (["adapted", "--latents", "nan.npy"], "1 of 3 latents are not finite, row 1 first"),
        (["tiny.safetensors", "--latents", "z.npy", "--labels", "z.npy"], "found float32 labels, expected int64"),
        (["tiny.safetensors", "--latents", "z.npy", "--labels", "short.npy"], "shape (2,), expected (3,)"),
        (["tiny.safetensors", "--latents", "z.npy", "--labels", "far.npy"], "found label 3 in row 2, expected 0 to 2"),
        (["tiny.safetensors", "--latents", "z.npy", "--labels", "low.npy"], "found label -1 in row 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(sample, tmp_path, made, arguments, said):
    z = np.zeros((3, Z), np.float32)
    bad = z.copy()
    bad[1, 2] = np.inf
    arrays = {"z": z, "double": z.astype(float), "wide": np.zeros((3, 17), np.float32), "flat": z[0], "none": z[:0]}
    arrays |= {"nan": bad, "y": np.arange(3), "short": np.arange(2), "far": np.arange(1, 4), "low": np.arange(-1, 2)}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "many.npz", z=z)
    (tmp_path / "text.npy").write_text("0 1 2", encoding="utf-8")

    def tree():
        return {path for root in (tmp_path, made) for path in root.rglob("*")}

    before = tree()
    code, out, error = sample(*arguments)
    assert (code, out) == (2, ""), error
    assert said in error
    assert error.startswith("smallgan: error: ")
    assert error.count("\n") == 1
    assert tree() == before


@pytest.mark.parametrize("option", ["--out", "--raw"])
def test_a_place_that_cannot_be_written_is_named(sample, tmp_path, option):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    code, _, error = sample("dcgan", "--count", 1, option, tmp_path / "file" / "o.npy")
    assert code == 2
    assert "cannot write" in error
    assert "Traceback" not in error
