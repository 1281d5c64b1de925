import csv

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from augment.errors import UsageError
from smallgan.metrics.features.extract import Features
from smallgan.metrics.memorisation.contact_sheet import TILE
from smallgan.metrics.memorisation.per_image import Row, as_csv, rows_of


def run(*args):
    from smallgan.cli import app

    return CliRunner().invoke(app, ["score", *map(str, args)])


def folder(path, images):
    path.mkdir()
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(path / f"{number:02d}.png")
    return path


def noise(count, seed):
    """Images with a colour each of their own, as noise alone looks all the same to a network."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (count, 1, 1, 3))
    return (colours + rng.integers(0, 56, (count, 32, 32, 3))).astype(np.uint8)


def test_a_copied_image_is_named_and_shown_above_its_original(tmp_path):
    reals, fakes = noise(8, 1), noise(6, 2)
    fakes[4] = reals[5]
    table, sheet = tmp_path / "table.csv", tmp_path / "worst.png"
    real, fake = folder(tmp_path / "real", reals), folder(tmp_path / "fake", fakes)
    done = run(fake, "--real", real, "--metrics", "copies", "--per-image", table, "--worst", sheet)
    assert done.exit_code == 0, done.output
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["image"] for row in rows] == [f"{number:02d}.png" for number in range(6)]
    assert (rows[4]["nearest_real"], rows[4]["is_copy"]) == ("05.png", "True")
    assert float(rows[4]["distance"]) < min(float(row["distance"]) for row in rows if row is not rows[4])
    assert all(0 < float(row["top_probability"]) <= 1 and row["target_probability"] for row in rows)
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture)
    fakes_row, reals_row = (pixels[top : top + TILE, -6 * (TILE + 2) :] for top in (0, TILE + 2))
    assert (fakes_row[:, :TILE] == reals_row[:, :TILE]).all()
    assert not (fakes_row[:, TILE + 2 : 2 * TILE] == reals_row[:, TILE + 2 : 2 * TILE]).all()


def test_rows_of_bad_files_are_not_mixed_up(tmp_path):
    reals, fakes = noise(8, 1), noise(6, 2)
    fakes[4] = reals[5]
    real, fake = folder(tmp_path / "real", reals), folder(tmp_path / "fake", fakes)
    (fake / "02.png").write_bytes(b"no image")
    (real / "00.png").write_bytes(b"no image")
    table = tmp_path / "table.csv"
    done = run(fake, "--real", real, "--metrics", "nn", "--per-image", table, "--skip-bad", "--quick")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["image"] for row in rows] == ["00.png", "01.png", "03.png", "04.png", "05.png"]
    assert rows[3]["nearest_real"] == "05.png"


def test_what_cannot_be_known_is_an_empty_cell():
    fake = Features(np.zeros((2, 3), np.float32), np.zeros((2, 0), np.float32))
    assert rows_of(fake, ["a", "b"], None, [], None) == [Row("a"), Row("b")]
    assert as_csv([Row("a, b")]).splitlines()[1] == '"a, b",,,,,,'
    real = Features(np.ones((2, 3), np.float32), np.zeros((2, 0), np.float32))
    [row, _] = rows_of(fake, ["a", "b"], real, ["x", "y"], None)
    assert (row.nearest_real, round(row.distance**2, 6), row.is_copy) == ("x", 3.0, None)


def test_a_sheet_needs_reals_and_images(tmp_path):
    fake = folder(tmp_path / "fake", noise(3, 0))
    refused = run(fake, "--metrics", "is", "--worst", tmp_path / "worst.png")
    assert isinstance(refused.exception, UsageError)
    assert "--worst: shows fakes beside their nearest reals" in str(refused.exception)
    assert not (tmp_path / "worst.png").exists()
    given = tmp_path / "given.npz"
    np.savez(given, features=np.eye(5), logits=np.eye(5), network="net")
    refused = run(given, "--metrics", "is", "--worst", tmp_path / "worst.png")
    assert "holds features, and no images to show" in str(refused.exception)
    table = tmp_path / "table.csv"
    done = run(given, "--real", given, "--metrics", "target", "--target", "1,2", "--per-image", table)
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["nearest_real"] for row in rows] == [f"row {number}" for number in range(5)]
    assert [row["top_class"] for row in rows] == ["0", "1", "2", "3", "4"]


def test_target_does_without_reals_when_it_is_named(tmp_path):
    given = tmp_path / "given.npz"
    np.savez(given, features=np.eye(5), logits=np.eye(5), network="net")
    assert run(given, "--metrics", "target", "--target", "1,2").exit_code == 0
    refused = run(given, "--metrics", "target")
    assert "needs --target CLASS, or reals" in str(refused.exception)
    refused = run(given, "--metrics", "target", "--target", "dog")
    assert "--target dog: expected class numbers" in str(refused.exception)
