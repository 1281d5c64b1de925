"""Classes in exact numbers, and several sources in one set."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from augment.build.build import build, mix
from augment.build.make_dataset import make_dataset
from augment.build.plan import make_plan
from augment.errors import InputError, UsageError
from augment.sources.classes import class_targets, imbalance, parse_per_class
from augment.sources.concat import parse_extra_source
from augment.sources.image_set import SourceImage
from augment.sources.readers import open_source

SIZES = {"ants": 3, "bees": 8, "cats": 5}


def fill(folder, number, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        pixels = np.random.default_rng([start, index]).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def classed(tmp_path):
    for number, (label, count) in enumerate(SIZES.items()):
        fill(tmp_path / "in" / label, count, start=number)
    return tmp_path / "in"


def per_class(folder):
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    return {label: Counter(line["origin"] for line in lines if line["label"] == label) for label in SIZES}


def test_every_class_gets_exactly_the_number_and_twice_the_same_bytes(classed, tmp_path):
    for name in ("one", "two"):
        result = make_dataset(
            classed, "contrast+hflip.contrast", per_class="6", balance="top-up", out=tmp_path / name, seed=3, workers=2
        )
    assert per_class(tmp_path / "one") == {
        "ants": {"original": 3, "augmented": 3}, "bees": {"original": 6}, "cats": {"original": 5, "augmented": 1},
    }  # fmt: skip
    assert result["classes"]["bees"] == {"taken": 6, "added": 0, "left_out": 2}
    first, second = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    )
    assert first == second


def test_top_up_alone_goes_to_the_largest_and_leaves_nothing_out(classed, tmp_path):
    make_dataset(classed, "contrast", balance="top-up", out=tmp_path / "out")
    assert {label: sum(found.values()) for label, found in per_class(tmp_path / "out").items()} == dict.fromkeys(
        SIZES, 8
    )
    assert sum(found["original"] for found in per_class(tmp_path / "out").values()) == 16


def test_named_classes_have_their_own_number_and_others_stay(classed, tmp_path):
    make_dataset(classed, "contrast", per_class="cats=7", out=tmp_path / "out")
    assert {label: sum(found.values()) for label, found in per_class(tmp_path / "out").items()} == SIZES | {"cats": 7}
    make_dataset(classed, "contrast", per_class="4,ants=5", out=tmp_path / "two")
    assert {label: sum(found.values()) for label, found in per_class(tmp_path / "two").items()} == {
        "ants": 5, "bees": 4, "cats": 4,
    }  # fmt: skip


def test_parents_are_of_the_class_and_used_evenly_and_shares_are_exact(classed):
    plan = make_plan(open_source(classed), "contrast:2+hflip.contrast:1", per_class="12", size=16)
    for label, count in SIZES.items():
        added = [entry for entry in plan.entries if entry.label == label and entry.k is not None]
        uses = Counter(entry.source for entry in added)
        assert len(added) == 12 - count
        assert max(uses.values()) - min(uses.values()) <= 1
        counts = Counter(map(len, plan.operations(added)))
        assert abs(counts[1] - 2 * len(added) / 3) < 1
        assert {plan.entries[entry.source].label for entry in added} == {label}
    assert sorted(entry.k for entry in plan.entries if entry.k is not None) == list(range(20))


def test_the_mixture_in_memory_is_the_same(classed, tmp_path):
    source = open_source(classed)
    plan = make_plan(source, "contrast", per_class="4", size=16)
    assert [image.name for image in mix(plan, source).images] == [
        record.file_name for record in build(plan, source, tmp_path / "out").records
    ]


@pytest.mark.parametrize(
    ("policy", "options", "says"),
    [
        ("hflip", {"per_class": "100"}, "97 images by 'hflip' of 3 originals of class 'ants'"),
        ("none", {"per_class": "6"}, "class 'ants' needs 3 more"),
        ("contrast", {"per_class": "6", "ratio": "1:1"}, "leave --ratio and --count out"),
        ("contrast", {"per_class": "dgos=6"}, "no class 'dgos'"),
        ("contrast", {"per_class": "0"}, "from 1 to"),
        ("contrast", {"per_class": "6,7"}, "'7' comes on top"),
        ("contrast", {"balance": "down"}, "use top-up"),
    ],
)
def test_mistakes_are_told(classed, policy, options, says):
    with pytest.raises(UsageError, match=says):
        make_plan(open_source(classed), policy, **options)


def test_without_classes_there_is_nothing_to_count(classed):
    with pytest.raises(UsageError, match="there are no classes"):
        make_plan(open_source(classed / "ants"), "contrast", balance="top-up")
    Image.new("RGB", (8, 8)).save(classed / "outside.png")
    with pytest.raises(UsageError, match="1 images stand outside"):
        make_plan(open_source(classed), "contrast", per_class="6")


def test_originals_stay_before_synthetic_ones():
    images = [SourceImage(f"{n}", "a", "synthetic" if n % 2 else "original") for n in range(10)]
    [goal] = class_targets(images, "6", None, 0)
    assert goal.num_left_out == 4
    assert [images[index].origin for index in goal.taken].count("original") == 5
    assert goal.parents == tuple(index for index in goal.taken if index % 2 == 0)
    assert class_targets(images, "6", None, 0) == [goal]


def test_per_class_is_read_and_imbalance_told():
    assert parse_per_class("100,a=5") == (100, {"a": 5})
    assert imbalance({"a": 10, "b": 19}) is None
    assert "from 10 (a) to 20 (b), 2.0 times" in imbalance({"a": 10, "b": 20})


def test_extra_sources_are_taken_by_amount_and_synthetic_ones_are_nobodys_parents(classed, tmp_path):
    more, made = fill(tmp_path / "more", 6, start=7), fill(tmp_path / "made", 9, start=8)
    extra = [parse_extra_source(f"{more}=4", "original"), parse_extra_source(f"{made}=50%", "synthetic")]
    options = {"extra": extra, "seed": 2}
    result = make_dataset(classed, "hflip", out=tmp_path / "out", **options)
    assert (result["num_original"], result["num_synthetic"], result["num_added"]) == (20, 8, 20)
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert Counter(line["origin"] for line in lines) == {"original": 20, "synthetic": 8, "augmented": 20}
    by_name = {line["file_name"]: line for line in lines}
    assert {by_name[line["parent"]]["origin"] for line in lines if line["origin"] == "augmented"} == {"original"}
    assert {line["source"].split("/")[0] for line in lines if line["origin"] == "synthetic"} == {"made"}
    plan = json.loads((tmp_path / "out" / "plan.json").read_text("utf-8"))
    assert [(part["name"], part["num_images"], part["origin"]) for part in plan["sources"]] == [
        ("in", 16, "original"), ("more", 4, "original"), ("made", 8, "synthetic"),
    ]  # fmt: skip
    again = make_dataset(classed, "hflip", out=tmp_path / "again", **options)
    assert again["num_images"] == 48
    assert (tmp_path / "out" / "metadata.jsonl").read_bytes() == (tmp_path / "again" / "metadata.jsonl").read_bytes()
    other = make_dataset(classed, "hflip", out=tmp_path / "other", **options | {"seed": 3})
    assert other["num_images"] == 48
    assert len(open_source(tmp_path / "out").originals()) == 20


def test_amounts_that_cannot_be_had_are_told(classed, tmp_path):
    made = fill(tmp_path / "made", 3)
    for text, says in (
        (f"{made}=4", "asked for 4 images, but .* has 3; ask for fewer"),
        (f"{made}=1%", "less than one image"),
        (f"{made}=x", "PATH=NUMBER"),
    ):
        with pytest.raises(UsageError, match=says):
            make_dataset(classed, "hflip", out=tmp_path / "out", extra=[parse_extra_source(text, "synthetic")])
    (made / "bad.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"bad\.png"):
        make_dataset(classed, "hflip", out=tmp_path / "out", extra=[parse_extra_source(str(made), "synthetic")])
    assert parse_extra_source("a=b/c", "original").path.name == "c"
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_caltech_is_brought_to_100_a_class(real_data, tmp_path):
    folder = real_data / "source64" / "caltech101.zip"
    make_dataset(folder, "contrast+hflip.contrast", per_class="100", balance="top-up", size=64, out=tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text("utf-8").splitlines()]
    counts = Counter(line["label"] for line in lines)
    assert len(counts) == 101
    assert set(counts.values()) == {100}
