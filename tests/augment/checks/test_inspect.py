"""What `smallgan inspect` sees: near duplicates, symmetry, what becomes of each file, and advice by number."""

import io
import json
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from augment.checks.advice import by_number
from augment.checks.inspect import check, summarise, what_is_done
from augment.checks.open_checked import open_checked
from augment.core.shares import wilson
from augment.errors import InputError
from augment.imaging.codec import Rules
from augment.imaging.geometry import has_border
from augment.imaging.perceptual_hash import THUMB_SIDE, ImageSignature, image_signature, mirror_twins, near_duplicates
from augment.imaging.symmetry import MIN_IMAGES, symmetries
from augment.policy.expression import parse_policy
from augment.sources.readers import open_source
from smallgan.api.inspection import Inspection
from smallgan.cli import inspect as inspect_command

app = typer.Typer()
app.command("inspect")(inspect_command.inspect)
app.command("other")(lambda: None)


def photo(seed, width=96, height=72):
    """A picture like no other: smooth random shade of its own."""
    small = np.random.default_rng([5, seed]).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def letter(seed, text="R"):
    """The letter in its own place, size and thickness: no mirrored one is near."""
    rng = np.random.default_rng([6, seed])
    canvas = np.full((64, 64, 3), 230, np.uint8)
    scale = 1.5 + rng.uniform(-0.2, 0.2)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 4)
    place = (32 - width // 2 + int(rng.integers(-4, 5)), 32 + height // 2 + int(rng.integers(-4, 5)))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 4)
    return canvas


def jpeg(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_the_same_picture_saved_again_smaller_or_a_little_brighter_is_found_and_no_other():
    one = photo(0)
    brighter = np.clip(one.astype(int) + 4, 0, 255).astype(np.uint8)
    smaller = np.asarray(Image.fromarray(one).resize((48, 36), Image.Resampling.LANCZOS))
    pictures = [photo(1), one, photo(2), jpeg(one, 60), smaller, photo(3), brighter, photo(4), jpeg(photo(4), 80)]
    assert near_duplicates([image_signature(each) for each in pictures]) == [[1, 3, 4, 6], [7, 8]]
    assert near_duplicates([]) == []


def test_the_memory_to_look_for_them_does_not_grow_by_copies_of_the_thumbnails():
    drawn = np.random.default_rng(7).integers(0, 256, (16_000, 3 * THUMB_SIDE**2 + 8), np.uint8)
    signatures = [ImageSignature(int.from_bytes(row[:8].tobytes()), row[8:].tobytes()) for row in drawn]
    peaks = []
    tracemalloc.start()
    for number in (8000, 16_000):  # more than are compared at once
        tracemalloc.reset_peak()
        assert near_duplicates([*signatures[:number], signatures[5]]) == [[5, number]]
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.5 * 8000 * 3 * THUMB_SIDE**2


def test_mirrored_and_negative_copies_are_not_near_duplicates():
    one = photo(0)
    assert (
        near_duplicates([image_signature(each) for each in (one, one[:, ::-1].copy(), one[::-1].copy(), 255 - one)])
        == []
    )


def test_a_mirror_image_is_found_with_its_original_saved_again_or_not_and_no_other():
    one, two, three = (photo(seed) for seed in range(3))
    symmetric = np.hstack([two, two[:, ::-1]])
    pictures = [three, one, jpeg(one, 80), symmetric, jpeg(symmetric, 80), jpeg(one[:, ::-1], 60), two[::-1].copy()]
    assert mirror_twins([image_signature(each) for each in pictures]) == [[1, 5]]
    assert mirror_twins([]) == []


def test_mirror_images_count_once_and_each_command_says_so(tmp_path):
    for seed in range(12):
        Image.fromarray(photo(seed)).save(tmp_path / f"a{seed:02}.png")
        Image.fromarray(np.ascontiguousarray(photo(seed)[:, ::-1])).save(tmp_path / f"b{seed:02}.jpg")
    source = open_source(tmp_path)
    found = summarise(source, check(source, signatures=True))
    assert found["mirror_twins"] == [[f"a{seed:02}.png", f"b{seed:02}.jpg"] for seed in range(12)]
    assert found["advice"][0].startswith("12 distinct images: ")
    said = "12 images are mirror images of others (a00.png = b00.jpg and 11 more pairs)"
    assert any(line.startswith(said) for line in found["advice"])
    assert any(line.startswith(said) for line in open_checked(tmp_path).notes)
    assert "mirror images  a00.png ~ b00.jpg" in Inspection(found).text(files=False)


@pytest.mark.real_data
def test_the_second_half_of_the_leopards_is_the_first_half_mirrored(real_data):
    with zipfile.ZipFile(real_data / "source64" / "caltech101.zip") as archive:
        names = sorted(name for name in archive.namelist() if "-Leopards/" in name and name.endswith(".jpg"))
        pixels = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names]
    assert mirror_twins([image_signature(each) for each in pixels]) == [[at, at + 100] for at in range(100)]


def test_nearly_empty_images_are_no_near_duplicates():
    blank = [np.full((40, 40, 3), value, np.uint8) for value in (250, 251, 252)]
    assert near_duplicates([image_signature(each) for each in blank]) == []


def test_many_that_look_the_same_are_one_group_and_soon_found():
    signatures = [image_signature(photo(0))] * 1500 + [image_signature(photo(seed)) for seed in range(1, 500)]
    assert near_duplicates(signatures) == [list(range(1500))]


def hints(pictures):
    return {each.name: each.fits for each in symmetries([image_signature(p, keep_gray=True).gray for p in pictures])}


def test_letters_care_about_mirrors_and_blots_do_not():
    letters = hints([letter(seed) for seed in range(60)])
    assert letters == {"hflip": False, "vflip": False, "quarter turn": False}
    assert hints([letter(seed, "O") for seed in range(60)])["hflip"] is True
    blots = hints([photo(seed, 64, 64) for seed in range(120)])
    assert blots["hflip"] is blots["vflip"] is True


def test_a_set_with_all_its_mirrored_copies_is_symmetric():
    letters = [letter(seed) for seed in range(40)]
    assert hints([*letters, *(np.ascontiguousarray(each[:, ::-1]) for each in letters)])["hflip"] is True


def test_few_images_say_nothing():
    assert set(hints([letter(seed) for seed in range(MIN_IMAGES - 1)]).values()) == {None}
    assert {each.fits for each in symmetries([])} == {None}


@pytest.fixture
def folder(tmp_path):
    for seed in range(4):
        Image.fromarray(photo(seed)).save(tmp_path / f"p{seed}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(9)).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(photo(1)).save(tmp_path / "again.jpg", quality=70)
    (tmp_path / "twin.png").write_bytes((tmp_path / "p2.png").read_bytes())
    Image.fromarray(np.dstack([photo(8), photo(7)[..., 0]])).save(tmp_path / "clear.png")
    (tmp_path / "bad.gif").write_bytes(b"GIF89a")
    return tmp_path


def test_a_summary_names_what_it_found(folder):
    source = open_source(folder)
    found = summarise(source, check(source, signatures=True), size=32, resize_mode="pad")
    assert found["duplicates"] == [["p2.png", "twin.png"]]
    assert found["near_duplicates"] == [["again.jpg", "p1.png"]]
    assert found["turned"] == ["turned.jpg"]
    actions = {file["name"]: file["action"] for file in found["files"]}
    assert actions["bad.gif"] == "refused"
    assert actions["turned.jpg"] == "turned upright; padded to a square, 72x96 to 32x32"
    assert actions["clear.png"] == "transparent parts lie on white; padded to a square, 96x72 to 32x32"
    assert sum(found["actions"].values()) == len(found["files"]) == 9
    assert found["advice"][0].startswith("6 distinct images: too few")
    assert any("1 files are equal" in line for line in found["advice"])
    assert json.loads(json.dumps(found)) == found


def test_without_a_size_plain_files_are_copied_and_others_written_again(folder):
    records = {record.name: record for record in check(open_source(folder))}
    assert what_is_done(records["p0.png"]) == "copied as it is"
    assert what_is_done(records["turned.jpg"]) == "turned upright"
    gray = {record.name: record for record in check(open_source(folder, rules=Rules(gray=True)))}
    assert what_is_done(gray["p0.png"]) == "its colours are made gray"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (9, "too few to train on"),
        (10, "10 distinct images: a GAN from scratch will likely memorise them; smallgan train DATA"),
        (60, "at 64 px, starts from a pretrained one"),
        (249, "a GAN from scratch will likely memorise"),
        (250, "a GAN from scratch will memorise some of them"),
        (1000, "enough to try from scratch at 32 or 64 px"),
        (5000, "enough to train from scratch"),
    ],
)
def test_advice_goes_by_the_number(number, says):
    assert says in by_number(number)


def test_the_command_prints_each_file_and_refuses_what_it_is_told_to(folder):
    result = CliRunner().invoke(app, ["inspect", str(folder), "--files", "--size", "64", "--background", "refuse"])
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert any(line.startswith("p0.png") and "its middle square, 96x72 to 64x64" in line for line in lines)
    assert any("turned.jpg" in line and "EXIF 6" in line for line in lines)
    assert any("clear.png: it has transparent parts" in line for line in lines)
    assert "look alike" in result.stdout


def test_a_set_of_bad_files_alone_is_still_told_of(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    source = open_source(tmp_path)
    found = summarise(source, check(source, signatures=True))
    assert found["advice"] == ["no image can be used; see the problems above"]
    assert "bad.png" in Inspection(found).text(files=True)


def test_open_checked_makes_the_same_checks(folder):
    with pytest.raises(InputError, match=r"bad\.gif"):
        open_checked(folder)
    checked = open_checked(folder, skip_bad=True)
    assert not any(record.signature for record in checked.records), "they would be most of what is kept of an image"
    assert len(checked.source) == 8
    assert len(checked.left_out) == 1
    assert [note.split(" ")[1:4] for note in checked.notes] == [
        ["files", "are", "equal"],
        ["images", "look", "the"],
    ]


def test_open_checked_tells_of_a_policy_that_makes_images_unlike_the_set(tmp_path):
    for seed in range(60):
        Image.fromarray(letter(seed)).save(tmp_path / f"{seed:02}.png")
    checked = open_checked(tmp_path)
    [line] = checked.against_symmetry(parse_policy("hflip+contrast"))
    assert line.startswith("mirrored left to right: copies differ from the set")
    assert checked.against_symmetry(parse_policy("contrast")) == []


ADVICE = {
    "pomeranian": (197, "starts from a pretrained one", ["hflip"]),
    "bmw-100": (100, "starts from a pretrained one", ["hflip"]),
    "passion-flower-50": (50, "starts from a pretrained one", ["hflip", "vflip"]),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", ADVICE)
def test_advice_on_real_sets(real_data, name):
    number, advice, fitting = ADVICE[name]
    source = open_source(real_data / name)
    found = summarise(source, check(source, workers=2, signatures=True))
    assert found["advice"][0].startswith(f"{number} distinct images: ")
    assert advice in found["advice"][0]
    assert [each["name"] for each in found["symmetry"] if each["fits"]] == fitting


@pytest.mark.real_data
def test_digits_are_many_and_do_not_mirror(real_data):
    source = open_source(real_data / "digits" / "usps.npz")
    found = summarise(source, check(source, workers=2, signatures=True))
    assert "enough to train from scratch" in found["advice"][0]
    assert [each["fits"] for each in found["symmetry"]] == [False, False, False]
    assert any("all images are gray" in line for line in found["advice"])


@pytest.mark.real_data
def test_near_duplicates_of_real_sets(real_data):
    source = open_source(real_data / "odd-inputs")
    found = summarise(source, check(source, workers=2, signatures=True))
    assert found["near_duplicates"] == [["twin-a.png", "twin-near.jpg"]]
    source = open_source(real_data / "celeba" / "train-1000")
    assert summarise(source, check(source, workers=2, signatures=True))["near_duplicates"] == []


def of_two_kinds(share, number=200):
    """Pictures of which about half look mirrored; `share` of the rest face one way."""
    faces_one_way = [letter(seed) for seed in range(round(number * share))]
    return [*faces_one_way, *(photo(seed, 64, 64) for seed in range(number - len(faces_one_way)))]


def test_a_sure_but_slight_asymmetry_costs_no_mirror():
    found = symmetries([image_signature(each, keep_gray=True).gray for each in of_two_kinds(0.4)])[0]
    assert found.fits is True
    assert 0.6 < found.share_farther < 0.75
    assert "differ slightly from the set" in found.text
    assert hints(of_two_kinds(0.9))["hflip"] is False


def test_an_interval_of_a_share_is_wilson_s():
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


def framed(pixels, value, depth=2):
    return cv2.copyMakeBorder(pixels, depth, 0, 0, depth, cv2.BORDER_CONSTANT, value=(value,) * 3)


def test_black_and_white_borders_are_found_and_plain_grounds_are_none():
    assert all(has_border(framed(photo(seed), value)) for seed in range(5) for value in (0, 255))
    grounds = [letter(0), 255 - letter(0), np.zeros((64, 64, 3), np.uint8), photo(0), photo(0)[:2, :2].copy()]
    assert not any(map(has_border, grounds))
    product = np.full((64, 64, 3), 255, np.uint8)  # a thing on white, above its shadow from side to side
    product[54:57] = 150
    product[20:54, 10:54] = 40
    assert not any(has_border(np.rot90(product, turns).copy()) for turns in range(4))
    assert has_border(cv2.copyMakeBorder(photo(0), 3, 3, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3))


def test_borders_and_a_few_small_images_in_the_advice(tmp_path):
    for seed in range(30):
        Image.fromarray(framed(photo(seed, 160, 140), 0)).save(tmp_path / f"{seed:02}.png")
    for seed in range(2):
        Image.fromarray(photo(seed + 50, 20, 20)).save(tmp_path / f"small{seed}.png")
    source = open_source(tmp_path)
    advice = summarise(source, check(source, signatures=True))["advice"]
    assert any("--size 128 fits" in line and "2 of 32 are smaller" in line for line in advice)
    border = "30 of 32 images have a black or white border: crop it off"
    assert any(line.startswith(border) for line in advice)
    assert any(line.startswith(border) for line in open_checked(tmp_path).notes)


@pytest.mark.real_data
def test_faces_may_be_mirrored_digits_may_not_and_leopards_have_borders(real_data):
    with zipfile.ZipFile(real_data / "source64" / "caltech101.zip") as archive:
        names = [name for name in archive.namelist() if "-Leopards/" in name and name.endswith(".jpg")]
        leopards = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names]
    assert (len(leopards), sum(map(has_border, leopards))) == (200, 200)
    for place, fits in (("celeba/train-1000", True), ("digits/mnist.npz", False)):
        source = open_source(real_data / place)
        if not fits:
            source = source.subset(range(2000))
        found = summarise(source, check(source, workers=2, signatures=True))
        assert [each["fits"] for each in found["symmetry"][:2]] == [fits, False]
        assert not any("white border" in line for line in found["advice"])
        assert any("--mirror" in line for line in found["advice"]) is fits
