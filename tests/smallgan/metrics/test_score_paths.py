import json
import shutil

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from augment.core.files import sha256_file
from augment.errors import InputError, MissingError, UsageError
from augment.sources.image_set import fingerprint
from smallgan.core.run_dir import read_jsonl
from smallgan.metrics.score import Score
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score


def read_scores(path):
    return [Score.from_json(line) for line in read_jsonl(path)]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def squares(tmp_path):
    """Five 32 px squares of noise."""
    folder = tmp_path / "squares"
    folder.mkdir()
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def by_name(scores):
    return {each.metric: each for each in scores}


def mixed_dataset(folder, originals):
    """A mixed dataset: the originals, and each turned upside down."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for path in sorted(originals.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for origin, name, image in (
            ("original", f"{path.stem}.png", pixels),
            ("augmented", f"{path.stem}-v.png", pixels[::-1]),
        ):
            file = folder / "images" / name
            Image.fromarray(image).save(file)
            height, width, _ = image.shape
            rows.append({
                "file_name": f"images/{name}", "origin": origin, "parent": None, "operations": [], "label": None,
                "width": width, "height": height, "sha256": sha256_file(file),
            })  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps({"format": "augment-plan-1"}), encoding="utf-8")
    return folder


def test_a_folder_against_itself_is_at_distance_0(tiny_set):
    scores = by_name(score(tiny_set, tiny_set, ScoreOptions(metrics=("is", "kmmd", "nn"))))
    assert scores["kmmd"].value == pytest.approx(0, abs=1e-6)
    assert scores["nn"].value == pytest.approx(0, abs=1e-4)
    assert 1 <= scores["is"].value <= 12
    hashes = [sha256_file(path) for path in sorted(tiny_set.iterdir())]
    assert scores["kmmd"].identity["reals"] == fingerprint(hashes)
    assert scores["kmmd"].label == "KMMD (smallgan-small64-v1)"


def test_without_reals_there_is_an_inception_score_only_and_it_is_said(tiny_set, capsys):
    assert [each.metric for each in score(tiny_set, None, ScoreOptions())] == ["is"]
    assert "no reals to compare with, so no KMMD" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--real"):
        score(tiny_set, None, ScoreOptions(metrics=("kmmd",)))


def test_reals_are_brought_to_the_size_of_square_fakes(squares, tiny_set):
    cropped, stretched = (
        by_name(score(squares, tiny_set, ScoreOptions(resize_mode=resize_mode)))["kmmd"]
        for resize_mode in ("crop", "stretch")
    )
    assert cropped.identity["resize"].startswith("reals crop to 32 px, then ")
    assert stretched.identity["resize"].startswith("reals stretch to 32 px, then ")
    assert cropped.value != stretched.value
    uneven = by_name(score(tiny_set, squares, ScoreOptions()))["kmmd"]
    assert uneven.identity["resize"] == by_name(score(tiny_set, None, ScoreOptions()))["is"].identity["resize"]


def test_of_a_mixed_dataset_the_added_images_are_scored_against_its_originals(tmp_path, squares, capsys):
    mixed = mixed_dataset(tmp_path / "mixed", squares)
    found = by_name(score(mixed, None, ScoreOptions()))["kmmd"]
    assert (found.identity["num_fake"], found.identity["num_real"]) == (5, 5)
    assert "its 5 added images are scored against 5 originals" in capsys.readouterr().err
    turned = tmp_path / "turned"
    turned.mkdir()
    for path in (mixed / "images").glob("*-v.png"):
        shutil.copy(path, turned)
    assert by_name(score(turned, squares, ScoreOptions()))["kmmd"].value == pytest.approx(found.value, rel=1e-9)


def test_some_fakes_are_drawn_by_the_seed(tiny_set):
    def scored(seed):
        [found] = score(tiny_set, None, ScoreOptions(num_fake=4, seed=seed))
        return found

    assert scored(1).identity["num_fake"] == 4
    assert scored(1).value == scored(1).value != scored(2).value
    with pytest.raises(UsageError, match=r"--num-fake 13: .* has only 12 images"):
        score(tiny_set, None, ScoreOptions(num_fake=13))


def test_one_image_and_one_real(tiny_set, squares):
    [found] = score(squares / "0.png", None, ScoreOptions())
    assert found.value == pytest.approx(1)
    assert "1 image(s)" in found.notes[0]
    one = squares / "0.png"
    assert sorted(by_name(score(one, tiny_set, ScoreOptions()))) == ["copies", "kmmd"]  # KID has no pair of fakes
    with pytest.raises(InputError, match="at least two different real images"):
        score(tiny_set, one, ScoreOptions())


def test_a_bad_file_is_named(squares):
    (squares / "broken.png").write_bytes((squares / "0.png").read_bytes()[:100])
    with pytest.raises(InputError, match=r"broken\.png"):
        score(squares, None, ScoreOptions())


def test_published_weights_asked_for_and_absent(tiny_set):
    with pytest.raises(MissingError, match="smallgan weights fetch inception-v3-tf2015"):
        score(tiny_set, None, ScoreOptions(features="inception-v3-tf2015"))


def run_command(*args):
    from smallgan.cli import score as command

    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("score")(command.score)
    return CliRunner().invoke(app, ["score", *map(str, args)])


def test_command(tiny_set, squares, tmp_path):
    out = tmp_path / "scores.jsonl"
    shown = run_command(squares, "--real", tiny_set, "--out", out, "--metrics", "is,kmmd")
    assert shown.exit_code == 0, shown.output
    assert "IS (smallgan-small64-v1)" in shown.stdout
    assert "H(y|x)" in shown.stdout
    assert "smallgan weights fetch inception-v3-tf2015" in shown.stdout
    assert [each.metric for each in read_scores(out)] == ["is", "kmmd"]
    machine = run_command(squares, "--real", tiny_set, "--json", "--metrics", "is,kmmd")
    values = [each["value"] for each in json.loads(machine.stdout)]
    assert values == [each.value for each in read_scores(out)]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--metrics", "is,ssim"], "unknown metric 'ssim'"),
        (["--metrics", ","], "found none"),
        (["--splits", "99"], "--splits 99"),
        (["--splits", "0"], "--splits 0"),
        (["--resize-mode", "squash"], "--resize-mode squash"),
        (["--num-fake", "0"], "--num-fake 0"),
        (["--metrics", "is", "--target", "3"], "--target: read by the metric target only"),
        (["--augmented", "photos"], "--augmented: read by the metric leak only"),
        (["--features", "vgg"], "--features vgg: unknown feature network"),
        (["--device", "tpu"], "--device tpu"),
    ],
)
def test_mistakes_are_told(tiny_set, args, message):
    error = run_command(tiny_set, *args).exception
    assert isinstance(error, UsageError)
    assert message in str(error)


def test_no_fake_and_no_run_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name a folder of images, a zip or a run" in str(run_command().exception)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps on six squares, scored at none of them."""
    from smallgan.tables.recipe import load_recipe
    from smallgan.training.train import train

    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for index in range(6):
        pixels = np.random.default_rng([7, index]).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{index}.png")
    settings = {
        "data.source": str(folder / "photos"),
        "data.size": 32,
        "train.steps": 2,
        "train.batch_size": 4,
        "model.base_width": 8,
        "train.snapshot_every": 1,
        "score.metrics": [],
    }
    return train(load_recipe(None, settings), out=folder / "run", device="cpu", log=lambda _line: None)


def test_a_run_is_scored_on_samples_of_its_own_against_its_originals(run):
    scores = by_name(score(run.path, None, ScoreOptions(device="cpu")))
    identity = scores["kmmd"].identity
    assert (identity["num_fake"], identity["num_real"]) == (100, 6)
    assert identity["reals"] == json.loads(run.data.read_text(encoding="utf-8"))["fingerprint"]
    assert identity["resize"].startswith("reals crop to 32 px, then ")
    assert {(each.run, each.step) for each in scores.values()} == {(run.name, 2)}
    assert list(scores) == ["kid", "kmmd", "copies"]
    assert read_scores(run.scores)[-3:] == list(scores.values())
    [first] = score(run.path, None, ScoreOptions(device="cpu", metrics=("kmmd",), checkpoint="1", num_fake=4))
    assert (first.step, first.identity["num_fake"]) == (1, 4)


def test_a_run_whose_images_changed_is_not_compared_with_them(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    summary = json.loads((copy / "data.json").read_text(encoding="utf-8"))
    (copy / "data.json").write_text(json.dumps(summary | {"fingerprint": "0" * 64}), encoding="utf-8")
    with pytest.raises(InputError, match="not those that the run was trained on"):
        score(copy, None, ScoreOptions(device="cpu"))
    (copy / "data.json").write_text(json.dumps(summary | {"names": ["gone.png"]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"gone\.png first; .* --real"):
        score(copy, None, ScoreOptions(device="cpu"))


@pytest.mark.real_data
def test_kmmd_of_faces_grows_with_what_is_wrong_with_them(real_data):
    """Other faces are near, flipped sideways too; upside down, as a negative, or blurred they are far."""
    import cv2
    import torch

    from augment.imaging.geometry import resize_square
    from augment.sources.readers import open_source
    from smallgan.metrics.features.extract import extract, feature_net
    from smallgan.metrics.kmmd import kmmd

    def faces(name):
        source = open_source(real_data / "celeba" / name)
        return np.stack([resize_square(source.load(index).image.pixels, 64, "crop") for index in range(300)])

    net, _ = feature_net("smallgan-small64-v1", torch.device("cpu"))
    reference = extract(faces("reference-1000"), net).features
    train = faces("train-1000")
    changed = {
        "none": train,
        "hflip": train[:, :, ::-1],
        "vflip": train[:, ::-1],
        "negative": 255 - train,
        "blur": [cv2.GaussianBlur(each, (0, 0), 3) for each in train],
    }
    values = {
        name: kmmd(extract(map(np.ascontiguousarray, each), net).features, reference).value
        for name, each in changed.items()
    }
    assert values["hflip"] < 1.5 * values["none"]
    assert min(values["vflip"], values["negative"]) > 4 * values["none"]
    assert values["blur"] > 10 * values["none"]
