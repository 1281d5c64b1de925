"""The progress log of a build: what it vouches for, and that a restart needs nothing else."""

import json
import os
import time

import pytest

from augment.build import build as build_module
from augment.build import worker
from augment.build.build import build
from augment.build.plan import make_plan
from augment.build.progress_log import PROGRESS_LOG, ProgressLog, WrittenImage
from augment.core.files import sha256_bytes
from augment.errors import OutputError
from augment.sources.readers import open_source


def _image(at, content, record, *, near_copy=False, path=None):
    """The line of an image, of which `path` is the file."""
    mtime_ns = path.stat().st_mtime_ns if path else 0
    return WrittenImage(at, sha256_bytes(content), len(content), mtime_ns, near_copy, f"{record}\n".encode())


def _found(folder, num_images, at, path):
    """What a log opened anew knows of an image: its hash, how many were kept and were near copies."""
    log = ProgressLog(folder, num_images)
    with log.opened():
        return log.lookup(at, str(path)), log.num_kept, log.num_near_copies


def test_a_line_counts_while_the_file_is_as_it_was(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    sha256 = sha256_bytes(b"picture")
    first = ProgressLog(tmp_path, 3)
    with first.opened():
        first.record([_image(1, b"picture", '{"a": 1}', near_copy=True, path=path)])
    assert (first.num_kept, first.num_near_copies) == (0, 1)
    assert _found(tmp_path, 3, 0, path) == (None, 0, 0)
    assert _found(tmp_path, 3, 1, path) == (sha256, 1, 1)
    path.write_bytes(b"pictures")
    assert _found(tmp_path, 3, 1, path) == (None, 0, 0)
    path.write_bytes(b"erutcip")
    for seconds in (1, -86_400):  # a day earlier: the clock was set back before somebody changed the file
        os.utime(path, ns=(0, time.time_ns() + seconds * 10**9))
        assert _found(tmp_path, 3, 1, path) == (None, 0, 0), "the size is the same, but it was changed since"
    path.unlink()
    assert _found(tmp_path, 3, 1, path) == (None, 0, 0)


def test_records_come_in_the_order_of_the_plan_with_those_of_an_earlier_try(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    first = ProgressLog(tmp_path, 100)
    with first.opened():
        first.record([_image(70, b"picture", '{"at": "70, früher"}', path=path)])
        first.record([_image(71, b"picture", '{"at": "of a file that is gone"}', path=path)])
    with (tmp_path / PROGRESS_LOG).open("ab") as file:
        file.write(b"72 cut sho")
    log = ProgressLog(tmp_path, 100)
    with log.opened():
        assert log.lookup(70, str(path))
        assert not log.lookup(71, str(tmp_path / "gone.png"))
        left = [at for at in reversed(range(100)) if at != 70]
        for first_of_batch in range(0, len(left), 7):
            batch = left[first_of_batch : first_of_batch + 7]
            log.record(_image(at, b"%d" % at, json.dumps({"at": at})) for at in batch)
        found = [json.loads(line)["at"] for line in log.records()]
    assert found == [*range(70), "70, früher", *range(71, 100)]
    third = ProgressLog(tmp_path, 100)
    assert sum(third._is_earlier) == 100, "the line that was cut short did not spoil the one after it"


def test_a_log_that_others_change_is_told(tmp_path):
    log = ProgressLog(tmp_path, 1)
    with log.opened():
        log.record([_image(0, b"0", "{}")])
        list(log.records())
        (tmp_path / PROGRESS_LOG).write_bytes(b"else")
        with pytest.raises(OutputError, match="changed while it was in use"):
            list(log.records())


@pytest.mark.parametrize("torn", [b"1 ab", b"x y z 1 2 {}\n", b"\xff\xfe\n", b"7 " + b"a" * 64 + b" 1 1 0 {}\n", b""])
def test_torn_and_strange_lines_are_left_out(tmp_path, torn):
    whole = b"0 " + b"b" * 64 + b" 7 1 0 {}\n"  # hash, size, time of change, near copy, line of metadata.jsonl
    (tmp_path / PROGRESS_LOG).write_bytes(whole + torn)
    assert list(ProgressLog(tmp_path, 3)._is_earlier) == [True, False, False]


def test_copies_are_counted_among_what_was_added(tmp_path):
    log = ProgressLog(tmp_path, 6)
    with log.opened():
        for at, content in enumerate("ab" + "acdc"):  # two originals; one repeats an original, one an added one
            log.record([_image(at, content.encode(), "{}")])
    assert log.num_copies(first=2) == 2


def test_a_killed_build_reads_no_image_that_the_log_has(tiny_set, tmp_path, monkeypatch):
    source = open_source(tiny_set)
    plan = make_plan(source, "hflip:1+contrast:3", ratio="1:2", size=24)
    whole = build(plan, source, tmp_path / "whole")
    written = []

    class Killed(BaseException):
        pass

    def dying(path, data, **options):
        if len(written) == 30:
            raise Killed
        written.append(path)
        original_write(path, data, **options)

    original_write = worker.write_bytes
    with monkeypatch.context() as patched:
        patched.setattr(worker, "write_bytes", dying)
        with pytest.raises(Killed):
            build(plan, source, tmp_path / "out")
    assert len((tmp_path / "out" / PROGRESS_LOG).read_bytes().splitlines()) == 30
    decoded = []

    def decode(data, name):
        decoded.append(name)
        return build_module_decode(data, name)

    build_module_decode = build_module.decode
    monkeypatch.setattr(build_module, "decode", decode)
    monkeypatch.setattr(worker, "decode", decode)
    dataset = build(plan, source, tmp_path / "out")
    assert dataset.num_kept == 30
    shown = {record.file_name for record in dataset.records}
    assert set(decoded) <= shown
    assert len(decoded) <= 16, "only what the preview shows is read"
    assert not (tmp_path / "out" / PROGRESS_LOG).exists()
    assert [record.sha256 for record in dataset.records] == [record.sha256 for record in whole.records]


def test_near_copies_and_copies_are_counted(tiny_set, tmp_path):
    policy = tmp_path / "mild.yaml"
    policy.write_text("transforms: {mild: {contrast: {factor: [1.0, 1.0]}}}")
    source = open_source(tiny_set)
    dataset = build(make_plan(source, str(policy), count=30), source, tmp_path / "out")
    assert dataset.num_near_copies == 30
    assert dataset.num_copies >= 18, "each original came at least twice, and all its variants are equal"
    other = build(make_plan(source, "hflip"), source, tmp_path / "other")
    assert (other.num_near_copies, other.num_copies) == (0, 0)


def test_many_images_of_one_original_are_shared_among_workers(tiny_set, tmp_path):
    for path in sorted(tiny_set.iterdir())[1:]:
        path.unlink()
    source = open_source(tiny_set)
    plan = make_plan(source, "contrast", count=200)
    assert [len(batch) for batch in worker.batches(plan)] == [32] * 6 + [9]
    build(plan, source, tmp_path / "one", workers=1)
    build(plan, source, tmp_path / "three", workers=3)
    lines = [(tmp_path / name / "metadata.jsonl").read_bytes() for name in ("one", "three")]
    assert lines[0] == lines[1]
    assert json.loads(lines[0].splitlines()[-1])["origin"] == "augmented"


@pytest.mark.parametrize(("size", "batch"), [(64, 32), (128, 16), (256, 4), (1024, 1)])
def test_a_batch_is_small_where_images_are_large(tiny_set, size, batch):
    plan = make_plan(open_source(tiny_set), "contrast", count=100, size=size)
    found = worker.batches(plan)
    assert {len(positions) for positions in found[:-1]} == {batch}
    assert sorted(at for positions in found for at in positions) == list(range(112))
    sources = [plan.entries[at].source for positions in found for at in positions]
    assert sources == sorted(sources), "what comes of one image stands together"
