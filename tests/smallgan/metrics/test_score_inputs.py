"""What can be scored: sets of mixed sizes and modes, zips, given features, sets with bad files; and the cache."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from augment.errors import InputError, UsageError
from augment.sources import storage
from smallgan.core import weights
from smallgan.metrics.features import image_sets
from smallgan.metrics.features.entries import usage
from smallgan.metrics.features.extract import extract, extract_all, feature_net
from smallgan.metrics.inception_score import inception_score
from smallgan.metrics.kmmd import kmmd
from smallgan.metrics.score_options import ScoreOptions
from smallgan.metrics.score_paths import score


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMALLGAN_CACHE", str(folder))
    return folder / "features"


@pytest.fixture
def counted(monkeypatch):
    """The number of images that went through a network."""
    seen = []

    def count(pixels, nets, **options):
        found = extract_all(pixels, nets, **options)
        seen.append(len(found[0]))
        return found

    monkeypatch.setattr(image_sets, "extract_all", count)
    return seen


def value(scores, metric):
    return {each.metric: each.value for each in scores}[metric]


def rows(seed, count=20, width=5):
    return np.random.default_rng(seed).normal(size=(count, width))


# the cache


def test_features_are_extracted_once(tiny_set, counted, capsys):
    first = score(tiny_set, tiny_set, ScoreOptions())
    assert counted == [12], "the reals are the same images, taken as they are"
    again = score(tiny_set, tiny_set, ScoreOptions())
    assert counted == [12]
    assert [each.value for each in again] == [each.value for each in first]
    assert [each.identity for each in again] == [each.identity for each in first]
    assert "features of fakes: 12 from the cache" in capsys.readouterr().err


def test_other_content_or_another_network_precision_or_fit_is_extracted_anew(tiny_set, counted):
    score(tiny_set, None, ScoreOptions())
    score(tiny_set, None, ScoreOptions(precision="bf16"))
    assert counted == [12, 12]
    image = Image.open(tiny_set / "shape-00.png").convert("RGB")
    image.putpixel((0, 0), (9, 9, 9))
    image.save(tiny_set / "shape-00.png")
    score(tiny_set, None, ScoreOptions())
    assert counted == [12, 12, 12]
    square = tiny_set.parent / "square"
    square.mkdir()
    image.resize((20, 20)).save(square / "a.png")
    score(square, tiny_set, ScoreOptions(resize_mode="crop", metrics=("kmmd",)))
    score(square, tiny_set, ScoreOptions(resize_mode="pad", metrics=("kmmd",)))
    assert counted == [12, 12, 12, 1, 12, 12]


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:200] + b"x" + data[201:], lambda _: b""])
def test_a_damaged_entry_is_made_again(tiny_set, cache, counted, capsys, spoil):
    [before] = score(tiny_set, None, ScoreOptions())
    [entry] = cache.iterdir()
    entry.write_bytes(spoil(entry.read_bytes()))
    [after] = score(tiny_set, None, ScoreOptions())
    assert "damaged features in the cache" in capsys.readouterr().err
    assert counted == [12, 12]
    assert after.value == before.value
    score(tiny_set, None, ScoreOptions())
    assert counted == [12, 12]


def test_a_cache_that_cannot_be_written_is_said_and_scores_come(tiny_set, cache, capsys):
    cache.write_text("a file where the folder should be")
    assert score(tiny_set, None, ScoreOptions())
    assert "features are not kept for next time: cannot write" in capsys.readouterr().err


def test_the_command_shows_and_clears_it(tiny_set, cache):
    from smallgan.cli import weights as command

    score(tiny_set, None, ScoreOptions())
    [entry] = cache.iterdir()
    run = CliRunner()
    shown = json.loads(run.invoke(command.app, ["cache", "--json"]).stdout)
    assert (shown["features"]["entries"], shown["features"]["bytes"]) == (1, entry.stat().st_size)
    assert "1 set(s) deleted" in run.invoke(command.app, ["cache", "--clear"]).stdout
    assert usage() == (0, 0)
    assert isinstance(command.app, typer.Typer)


# sets of images


def test_sizes_and_modes_may_be_mixed_and_a_zip_is_as_good_as_a_folder(tmp_path, tiny_set):
    images = [Image.open(path) for path in sorted(tiny_set.iterdir())[:4]]
    images[0] = images[0].convert("L")
    images[1] = images[1].convert("RGBA").resize((17, 23))
    images[2] = images[2].convert("P")
    images[3] = images[3].resize((64, 64))
    odd = tmp_path / "odd"
    odd.mkdir()
    for number, image in enumerate(images):
        image.save(odd / f"{number}.png")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for path in sorted(odd.iterdir()):
            archive.write(path, path.name)
    settings = ScoreOptions(metrics=("is", "kmmd"))
    from_folder, from_zip = (score(each, tiny_set, settings) for each in (odd, tmp_path / "odd.zip"))
    assert [each.value for each in from_folder] == [each.value for each in from_zip]


def test_a_stylegan_zip(tmp_path):
    path = tmp_path / "set.zip"
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(6):
            pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            name = f"00000/img{index:08d}.png"
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            archive.writestr(name, data.getvalue())
            labels.append([name, index % 2])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    found = score(path, path, ScoreOptions())
    assert {each.identity["num_fake"] for each in found} == {6}
    assert value(found, "kmmd") == pytest.approx(0, abs=1e-6)


def test_bad_files_are_all_named_before_the_work_or_left_out_and_listed(tiny_set, counted, capsys):
    whole = score(tiny_set, None, ScoreOptions())
    (tiny_set / "broken.png").write_bytes((tiny_set / "shape-00.png").read_bytes()[:90])
    (tiny_set / "empty.jpg").write_bytes(b"")
    counted.clear()
    with pytest.raises(InputError, match=r"2 of 14 images cannot be used(.|\n)*broken\.png(.|\n)*empty\.jpg"):
        score(tiny_set, None, ScoreOptions())
    assert counted == []
    capsys.readouterr()
    skipped = score(tiny_set, tiny_set, ScoreOptions(skip_bad=True, metrics=("is", "kmmd")))
    said = capsys.readouterr().err
    assert "2 of 14 images left out, 12 scored" in said
    assert "broken.png" in said
    assert "empty.jpg" in said
    assert value(skipped, "is") == value(whole, "is")
    assert counted == [], "the twelve that are left were extracted before"
    [some] = score(tiny_set, None, ScoreOptions(skip_bad=True, num_fake=12))
    assert some.identity["num_fake"] == 12


@pytest.mark.parametrize("count", [1, 5])
def test_few_and_gray_images(tmp_path, count):
    for index in range(count):
        Image.new("L", (20, 20), 40 * index).save(tmp_path / f"{index}.png")
    [found] = score(tmp_path, None, ScoreOptions())
    assert np.isfinite(found.value)
    assert found.identity["num_fake"] == count


# features that were given


def test_given_features_are_scored_as_they_stand(tmp_path):
    fake, real, logits = rows(0), rows(1, 30), 3 * rows(2)
    np.savez(tmp_path / "fake.npz", features=fake, logits=logits, network="mine", weights_sha256="abc")
    np.savez(tmp_path / "real.npz", features=real, network="mine", weights_sha256="abc")
    found = score(tmp_path / "fake.npz", tmp_path / "real.npz", ScoreOptions(metrics=("is", "kmmd")))
    assert value(found, "is") == pytest.approx(inception_score(logits, splits=1).value, rel=1e-12)
    assert value(found, "kmmd") == pytest.approx(kmmd(fake, real).value, rel=1e-12)
    identity = found[1].identity
    assert (identity["features"], identity["weights_sha256"], identity["resize"]) == (
        "mine (precomputed)",
        "abc",
        "not known",
    )
    assert len(str(identity["reals"])) == 64
    assert identity["num_real"] == 30
    assert "is what the file says" in found[1].notes[-1]


def test_without_a_network_name_scores_compare_with_nothing(tmp_path):
    for seed in (0, 1):
        np.savez(tmp_path / f"{seed}.npz", features=rows(seed), logits=rows(seed))
    [one], [other] = (score(tmp_path / f"{seed}.npz", None, ScoreOptions()) for seed in (0, 1))
    assert one.identity["weights_sha256"] != other.identity["weights_sha256"]
    assert "does not name its network" in one.notes[-1]


def test_given_features_without_logits_have_no_inception_score(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", features=rows(0))
    np.savez(tmp_path / "b.npz", features=rows(1))
    with pytest.raises(UsageError, match="nothing to score"):
        score(tmp_path / "a.npz", None, ScoreOptions())
    assert "no class predictions, so no Inception Score" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--metrics is: needs class predictions"):
        score(tmp_path / "a.npz", None, ScoreOptions(metrics=("is",)))
    some = score(tmp_path / "a.npz", tmp_path / "b.npz", ScoreOptions(num_fake=7))
    assert [(each.metric, each.identity["num_fake"]) for each in some] == [("kid", 7), ("kmmd", 7), ("copies", 7)]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.arange(12).reshape(3, 4)}, "`features` is int64 3x4"),
        ({"features": np.zeros(4)}, "`features` is float64 4;"),
        ({"features": rows(0), "logits": rows(0, 3)}, "20 rows of features and 3 of logits"),
        ({"features": np.where(np.arange(20)[:, None] == 6, np.nan, rows(0))}, "row 6 of `features`"),
        ({"features": np.array([[object()]])}, "no plain arrays"),
    ],
)
def test_given_features_that_cannot_be_used(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        score(tmp_path / "a.npz", None, ScoreOptions())


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("nearest_ratio", "compares held-out images with those trained on"),
        ("leak", "needs augmented images"),
        ("kid", "needs real images"),
    ],
)
def test_images_that_a_metric_lacks_are_told_of_before_any_feature_is_extracted(tiny_set, monkeypatch, metric, says):
    monkeypatch.setattr("smallgan.metrics.score_paths.set_features", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(UsageError, match=f"--metrics {metric}: {says}"):
        score(tiny_set, None if metric == "kid" else tiny_set, ScoreOptions(metrics=(metric,)))


def test_an_onnx_file_that_is_absent_is_named(tiny_set, tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"nowhere\.onnx: no such file$"):
        score(tiny_set, tiny_set, ScoreOptions(features=str(tmp_path / "nowhere.onnx")))


def test_given_features_and_images_do_not_mix(tmp_path, tiny_set):
    np.savez(tmp_path / "a.npz", features=rows(0), network="one")
    np.savez(tmp_path / "b.npz", features=rows(1), network="other")
    for fake, real, settings, error, message in (
        (tmp_path / "a.npz", tmp_path / "b.npz", ScoreOptions(), InputError, "expected both from one network"),
        (tmp_path / "a.npz", tiny_set, ScoreOptions(), UsageError, "the reals must be features too"),
        (tiny_set, tmp_path / "a.npz", ScoreOptions(), UsageError, "holds features, so"),
        (tmp_path / "a.npz", None, ScoreOptions(features="resnet50"), UsageError, "holds features already"),
    ):
        with pytest.raises(error, match=message):
            score(fake, real, settings)


def test_images_in_an_array_file_are_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels)
    [found] = score(tmp_path / "images.npz", None, ScoreOptions())
    net, _ = feature_net(weights.SHIPPED_FEATURES, torch.device("cpu"))
    assert found.value == pytest.approx(inception_score(extract(pixels, net).logits, splits=1).value, rel=1e-6)


def test_given_features_too_large_to_unpack_are_refused_by_their_header(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MAX_ARRAY_BYTES", 100)
    np.savez(tmp_path / "a.npz", features=rows(0))
    with pytest.raises(InputError, match="features: would unpack from"):
        score(tmp_path / "a.npz", None, ScoreOptions())
