"""Plans carried out: exact counts, the same bytes always, resumed after a kill, nothing half written."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augment.build.build import build, mix
from augment.build.plan import make_plan, parent_order
from augment.core import files
from augment.errors import InputError, OutputError, UsageError
from augment.imaging.codec import decode, encode_png
from augment.imaging.geometry import resize_square
from augment.policy.transforms import TRANSFORMS
from augment.sources.mixed_dataset import MixedDataset
from augment.sources.readers import open_source

FIELDS = ["file_name", "origin", "parent", "operations", "label", "width", "height", "sha256", "source", "resize"]


class FlatColours:
    """An image source of three lines: image k is one gray, which says its number."""

    name = "flat"

    def __init__(self, batch_size=4):
        self.batch_size = batch_size
        self.asked = []

    def describe(self):
        return {"checkpoint_sha256": "ab", "batch_size": self.batch_size}

    def draw(self, indices, seed):
        self.asked.append(list(indices))
        for k in indices:
            yield np.full((16, 16, 3), 10 + k, np.uint8), {"seed": seed, "k": k}


class NamedColours(FlatColours):
    """One whose images are of two classes in turn, and every fifth of none."""

    def labels(self, indices, seed):
        assert seed == 3
        return [None if k % 5 == 4 else ("apes", "bees")[k % 2] for k in indices]


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pixels_at(dataset, record):
    return decode((dataset.path / record.file_name).read_bytes(), record.file_name)


def test_counts_and_metadata_are_exact(tiny_set, tmp_path):
    source = open_source(tiny_set)
    dataset = build(make_plan(source, "hflip:2+contrast:1", count=9, size=24, seed=5), source, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert [list(line) for line in lines] == [FIELDS] * 21
    assert Counter((line["origin"], *(o["name"] for o in line["operations"])) for line in lines) == {
        ("original",): 12, ("augmented", "hflip"): 6, ("augmented", "contrast"): 3,
    }  # fmt: skip
    listed = {line["file_name"] for line in lines}
    assert listed == {name for name in contents(tmp_path / "out") if name.startswith("images/")}
    for line in lines:
        data = (tmp_path / "out" / line["file_name"]).read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
        assert (line["width"], line["height"]) == Image.open(tmp_path / "out" / line["file_name"]).size == (24, 24)
    assert MixedDataset.open(tmp_path / "out").records == dataset.records
    assert dataset.build_seconds > 0


def test_every_added_image_is_its_operation_on_its_parent(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "vflip+negative.hflip+contrast", ratio="1:2", size=20, resize_mode="pad")
    dataset = build(plan, source, tmp_path / "out")
    by_name = {record.file_name: record for record in dataset.records}
    for record in dataset.records:
        if record.origin == "augmented":
            expected = pixels_at(dataset, by_name[record.parent])
            for operation in record.operations:
                expected = TRANSFORMS[operation["name"]].apply(expected, json.loads(operation["params"]))
            assert (pixels_at(dataset, record) == expected).all()
    for index, image in enumerate(source.images):
        assert (
            pixels_at(dataset, dataset.records[index])
            == resize_square(decode(source.read(index), image.name), 20, "pad")
        ).all()


@given(num=st.integers(1, 40), count=st.integers(0, 90), seed=st.integers(0, 2**64))
def test_parents_are_used_evenly(num, count, seed):
    order = parent_order(seed, num)
    assert sorted(order) == list(range(num))
    uses = Counter(order[walked % num] for walked in range(count))
    assert max((uses[parent] for parent in range(num)), default=0) - min(uses[parent] for parent in range(num)) <= 1


def test_uses_differ_by_at_most_one_over_all_components_and_no_pair_comes_twice(tiny_set):
    plan = make_plan(open_source(tiny_set), "hflip+vflip+contrast", count=31)
    added = [entry for entry in plan.entries if entry.k is not None]
    uses = Counter(entry.source for entry in added)
    assert set(uses.values()) <= {2, 3}
    first = [operations[0].name for operations in plan.operations(added)]
    fixed = [(e.source, name) for e, name in zip(added, first, strict=True) if name != "contrast"]
    assert len(fixed) == len(set(fixed))


def test_more_than_the_distinct_pairs_is_an_error_for_fixed_transforms_only(tiny_set):
    source = open_source(tiny_set)
    with pytest.raises(UsageError, match="at most 12"):
        make_plan(source, "hflip", count=13)
    with pytest.raises(UsageError, match="at most 12"):
        make_plan(source, "contrast+hflip.negative", ratio="1:3")
    assert len(make_plan(source, "hflip.contrast", count=50).entries) == 62


def test_originals_that_need_no_change_are_copied_byte_for_byte(tiny_set, tmp_path):
    square = encode_png(np.full((24, 24, 3), 7, np.uint8)) + b"trailing"
    (tiny_set / "square.png").write_bytes(square)
    source = open_source(tiny_set)
    whole = build(make_plan(source, "none"), source, tmp_path / "whole")
    assert [record.sha256 for record in whole.records] == [
        files.sha256_file(path) for path in sorted(tiny_set.iterdir())
    ]
    sized = build(make_plan(source, "none", size=24), source, tmp_path / "sized")
    copied = [r.file_name for r in sized.records if (tmp_path / "sized" / r.file_name).read_bytes() == square]
    assert copied == ["images/square.png"]


def test_same_stems_do_not_collide_and_classes_are_kept(tmp_path):
    for value, name in enumerate(["a.png", "a.bmp", "cats/a.png", "dogs/a.png"]):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (value * 50, 0, 0)).save(tmp_path / "in" / name)
    source = open_source(tmp_path / "in")
    dataset = build(make_plan(source, "hflip", size=8), source, tmp_path / "out")
    made = {record.file_name: record for record in dataset.records}
    assert len(made) == 8
    assert {"images/a.png", "images/a-2.png", "images/cats/a.png", "images/dogs/a.png"} <= set(made)
    assert [made[f"images/{label}/a.png"].label for label in ("cats", "dogs")] == ["cats", "dogs"]
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["renamed"] == {"images/a-2.png": "a.png"}


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_same_bytes_for_any_number_of_workers(tiny_set, tmp_path, image_format):
    made = []
    for workers in (1, 2, 5):
        source = open_source(tiny_set)
        plan = make_plan(source, "hflip+contrast", count=15, size=32, format=image_format, seed=1)
        build(plan, source, tmp_path / str(workers), workers=workers)
        made.append(contents(tmp_path / str(workers)))
    assert made[0] == made[1] == made[2]


def test_draws_depend_on_seed_and_number_not_on_what_else_is_made(tiny_set):
    source = open_source(tiny_set)
    short = make_plan(source, "contrast", count=4, seed=9)
    long = make_plan(source, "contrast", count=40, seed=9)
    assert long.operations(long.entries[12:16]) == short.operations(short.entries[12:])
    other = make_plan(source, "contrast", count=4, seed=10)
    assert other.operations(other.entries[12:]) != short.operations(short.entries[12:])


def test_images_of_a_generator_carry_its_class(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip+gan", count=16, size=16, seed=3, generator=NamedColours())
    dataset = build(plan, source, tmp_path / "out", generator=NamedColours())
    synthetic = [record for record in dataset.records if record.origin == "synthetic"]
    labels = NamedColours().labels([int(record.file_name[-9:-4]) for record in synthetic], 3)
    assert set(labels) == {"apes", "bees", None}
    assert [record.label for record in synthetic] == labels
    assert [record.file_name.split("/")[1:-1] for record in synthetic] == [[label] if label else [] for label in labels]
    mixture = mix(plan, source, generator=NamedColours())
    assert [image.label for image in mixture.images if image.origin == "synthetic"] == labels


def test_a_mixture_in_memory_equals_the_written_set(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip+gan.negative+contrast", count=20, size=16, generator=FlatColours())
    mixture = mix(plan, source, generator=FlatColours(), workers=2)
    dataset = build(plan, source, tmp_path / "out", generator=FlatColours())
    assert mixture.pixels.shape == (32, 16, 16, 3)
    for pixels, image, record in zip(mixture.pixels, mixture.images, dataset.records, strict=True):
        assert (pixels == pixels_at(dataset, record)).all()
        assert (image.name, image.origin, image.label) == (record.file_name, record.origin, record.label)
    sheet = mixture.preview()
    assert sheet.dtype == np.uint8
    assert (sheet == decode(dataset.preview.read_bytes(), "preview")).all()
    with pytest.raises(UsageError, match="one size"):
        mix(make_plan(source, "none"), source)


def test_a_mixed_dataset_in_memory_keeps_its_origins_and_counts_from_its_originals(tiny_set, tmp_path):
    source = open_source(tiny_set)
    build(make_plan(source, "hflip", size=16), source, tmp_path / "out")
    mixed = open_source(tmp_path / "out")
    assert Counter(i.origin for i in mix(make_plan(mixed, "none", size=16), mixed).images) == {
        "original": 12,
        "augmented": 12,
    }
    plan = make_plan(mixed, "negative", ratio="1:1", size=16)
    assert all(mixed.images[e.source].origin == "original" for e in plan.entries if e.k is not None)
    with pytest.raises(InputError, match="mixed dataset"):
        build(plan, mixed, tmp_path / "again")


def test_gan_images_have_no_parent_and_draw_whole_batches(tiny_set, tmp_path):
    source, generator = open_source(tiny_set), FlatColours(batch_size=4)
    plan = make_plan(source, "contrast+gan", count=20, size=16, generator=generator)
    dataset = build(plan, source, tmp_path / "out", generator=generator)
    synthetic = [record for record in dataset.records if record.origin == "synthetic"]
    assert len(synthetic) == 10
    assert all(record.parent is None and record.label is None for record in synthetic)
    assert synthetic[0].operations == ({"name": "gan", "params": '{"seed": 0, "k": 10}'},)
    assert (pixels_at(dataset, synthetic[3]) == 10 + 13).all()
    assert [len(batch) for batch in generator.asked] == [4, 4, 2]
    with pytest.raises(UsageError, match="--generator"):
        make_plan(source, "gan")


def test_a_finished_one_is_left_alone_and_a_gap_is_filled(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip")
    first = build(plan, source, tmp_path / "out")
    before = contents(tmp_path / "out")
    again = build(plan, source, tmp_path / "out")
    assert again.build_seconds is None
    assert again.records == first.records
    (tmp_path / "out" / first.records[3].file_name).unlink()
    (tmp_path / "out" / first.records[20].file_name).unlink()
    filled = build(plan, source, tmp_path / "out")
    assert filled.num_kept == 22
    assert contents(tmp_path / "out") == before


def test_broken_files_are_made_again_and_whole_ones_kept(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip+contrast", size=24)
    out = tmp_path / "out"
    dataset = build(plan, source, out)
    whole = contents(out)
    paths = [out / record.file_name for record in dataset.records]
    (out / "metadata.jsonl").unlink()
    (out / "images" / ".half.png.123-4.tmp").write_bytes(b"half")
    paths[0].write_bytes(whole[dataset.records[0].file_name][:-20])
    paths[1].write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    kept = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths[2:]}
    again = build(plan, source, out, workers=2)
    assert again.num_kept == 22
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths[2:]} == kept
    assert contents(out) == whole


def test_another_plan_or_other_files_are_refused_with_what_differs(tiny_set, tmp_path):
    source = open_source(tiny_set)
    build(make_plan(source, "hflip"), source, tmp_path / "out")
    with pytest.raises(UsageError, match=r"policy is 'hflip' there, 'vflip' now.*--out"):
        build(make_plan(source, "vflip"), source, tmp_path / "out")
    with pytest.raises(UsageError, match="seed is 0 there, 1 now"):
        build(make_plan(source, "hflip", seed=1), source, tmp_path / "out")
    with pytest.raises(UsageError, match="holds other files"):
        build(make_plan(source, "hflip"), source, tiny_set)


def test_a_source_that_changed_after_the_check_is_refused(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip")
    Image.new("RGB", (40, 32)).save(tiny_set / "shape-00.png")
    with pytest.raises(InputError, match=r"shape-00\.png: changed"):
        build(plan, open_source(tiny_set), tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_names_the_file_leaves_nothing_half_and_goes_on_later(tiny_set, tmp_path, monkeypatch, workers):
    source = open_source(tiny_set)
    plan = make_plan(source, "contrast", size=24)
    build(plan, source, tmp_path / "whole")
    replace = os.replace

    def full(temporary, target):
        if len(list((tmp_path / "out" / "images").glob("*.png"))) >= 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(temporary, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OutputError, match=r"cannot write .*\.png: no space"):
            build(plan, source, tmp_path / "out", workers=workers)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not (tmp_path / "out" / "metadata.jsonl").exists()
    assert build(plan, source, tmp_path / "out").num_kept >= 7
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


KILLED = """
import sys, time
from pathlib import Path
from augment.build import build, worker
from augment.core import files
from augment.build.plan import make_plan
from augment.sources.readers import open_source
def slow(path, data, **options):
    files.write_bytes(path, data, **options); time.sleep(0.02)
worker.write_bytes = slow
source = open_source(Path(sys.argv[1]))
build.build(make_plan(source, "hflip+contrast", ratio="1:2", size=24), source, Path(sys.argv[2]), workers=2)
"""


@pytest.mark.process
def test_killed_and_run_again_equals_never_killed(tiny_set, tmp_path):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip+contrast", ratio="1:2", size=24)
    build(plan, source, tmp_path / "whole")
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tiny_set), str(out)])
    deadline = time.monotonic() + 30
    while len(list(out.glob("images/*.png"))) < 12 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    there = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("images/*.png")}
    assert 12 <= len(there) < 36
    assert not (out / "metadata.jsonl").exists()
    dataset = build(plan, source, out)
    assert dataset.num_kept == len(there)
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in there} == there
    assert contents(out) == contents(tmp_path / "whole")


def test_memory_is_bounded_by_the_stated_budget(tmp_path, monkeypatch):
    monkeypatch.setattr("augment.sources.image_set.KEPT_BYTES", 3 * 50 * 50 * 3)
    for value in range(10):
        Image.new("RGB", (50, 50), (value, 0, 0)).save(tmp_path / f"{value}.png")
    source = open_source(tmp_path)
    for index in range(10):
        source.load(index)
    assert 1 <= len(source._cache.kept) <= 3
    assert mix(make_plan(source, "hflip", size=50), source).pixels[9, 0, 0, 0] == 9
