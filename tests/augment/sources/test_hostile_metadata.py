"""Our own files of a dataset, damaged or made to harm: refused in one clear line, by size, in little memory."""

import json
import sys

import pytest
from peak import MAX_BYTES, peak_of

from augment.errors import InputError
from augment.sources.mixed_dataset import MixedDataset, read_records
from augment.sources.readers import open_source

PLAN = json.dumps({"format": "augment-plan-1"})
LINE = {
    "file_name": "images/a.png", "origin": "original", "parent": None, "operations": [], "label": None,
    "width": 8, "height": 8, "sha256": "0" * 64,
}  # fmt: skip


MIB = 1 << 20


def dataset(folder, *, plan=PLAN, metadata=json.dumps(LINE) + "\n", holes=None):
    """A mixed dataset; `holes` are bytes added to a file of it as a hole, which reads as zeros and takes no room."""
    folder.mkdir()
    for name, text in (("plan.json", plan), ("metadata.jsonl", metadata)):
        with (folder / name).open("w", encoding="utf-8") as file:
            file.write(text)
            file.truncate(file.tell() + (holes or {}).get(name, 0))
    return folder


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_absurd_metadata_is_refused_in_little_memory(tmp_path):
    record = json.dumps({**LINE, "operations": [{"name": "x" * MIB, "params": "{}"}]})
    hostile = {
        "wide": ({"metadata": "x", "holes": {"metadata.jsonl": 800 * MIB}}, "metadata.jsonl, line 1: at most"),
        "record": ({"metadata": record}, "metadata.jsonl, line 1: at most"),
        "blank": ({"metadata": "\n" * 8 * MIB}, "line 1: not a record of a mixed dataset"),
        "large": ({"holes": {"metadata.jsonl": 3 << 30}}, "metadata.jsonl: 3,072 MiB; at most 1,024 MiB are read"),
        "plan": ({"holes": {"plan.json": 800 * MIB}}, "plan.json: 800 MiB; at most 32 MiB are read"),
        "parts": ({"plan": "[]," * (10 * MIB)}, "plan.json: more than 4,000,000 parts"),
    }
    places = [dataset(tmp_path / name, **files) for name, (files, _) in hostile.items()]
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "samples.json").write_bytes(b'{"a":' + b"[" * (40 * MIB))
    places.append(tmp_path / "samples")
    peak, told = peak_of("from augment.sources.readers import open_source", "[str(len(open_source(place)))]", *places)
    for line, reason in zip(told, [*(told for _, told in hostile.values()), "samples.json: 40 MiB"], strict=True):
        assert reason in line
    assert peak < MAX_BYTES, peak


@pytest.mark.parametrize(
    "changes",
    [{"file_name": 5}, {"origin": "mine"}, {"parent": ["a"]}, {"label": {"a": 1}}, {"sha256": None}, {"operations": 3}],
)
def test_a_field_of_another_kind_is_told_by_its_line(tmp_path, changes):
    lines = [json.dumps(LINE), json.dumps(LINE | changes)]
    with pytest.raises(InputError, match=r"metadata\.jsonl, line 2: not a record of a mixed dataset"):
        list(read_records(dataset(tmp_path / "set", metadata="\n".join(lines) + "\n")))


@pytest.mark.parametrize("name", ["plan.json", "metadata.jsonl"])
def test_what_is_nested_without_end_is_no_record(tmp_path, name):
    folder = dataset(tmp_path / "set")
    (folder / name).write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError):
        MixedDataset.open(folder) if name == "metadata.jsonl" else open_source(folder)
