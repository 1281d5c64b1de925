"""Files of a run or a study that are far too large, or nested without end, are refused in one line that names them."""

import os

import pytest

from augment.core.limits import MAX_JSON_PARTS, parse_json
from augment.errors import InputError
from augment.sources.readers import open_source
from smallgan.core.checkpoint import read_state
from smallgan.core.run_dir import read_jsonl, read_record
from smallgan.core.study_dir import StudyDir
from smallgan.metrics.features.onnx_card import read_card
from smallgan.models.weight_files import read_json
from smallgan.report.pictures import read_picture
from smallgan.tables.recipe import read_recipe

READERS = {
    "stats.jsonl": read_jsonl,
    "data.json": read_record,
    "state.json": lambda path: read_state(path.parent),
    "trials.json": lambda path: StudyDir(path.parent).trials(),
    "recipe.yaml": read_recipe,
    "net.card.yaml": read_card,
    "config.json": read_json,
    "fakes-000100.png": lambda path: read_picture(path, 100),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_a_gigabyte_is_refused_by_its_size(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(1 << 30)  # a hole: takes no room on the disk
    with pytest.raises(InputError, match=rf"{path.name}: 1,024 MiB; at most [\d,]+ MiB are read") as caught:
        READERS[name](path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["stats.jsonl", "data.json", "state.json", "recipe.yaml", "config.json"])
def test_what_is_nested_without_end_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_text("[" * 100_000 + "\n\n", encoding="utf-8")
    with pytest.raises(InputError, match=path.name):
        READERS[name](path)


def test_a_line_of_two_million_characters_is_no_report(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text('{"step": 1}\n"' + "x" * 2_000_000 + '"\n{"step": 2}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"stats\.jsonl, line 2: 2,000,002 characters; at most 1,048,576"):
        read_jsonl(path)


def test_a_recipe_of_countless_keys_is_refused_while_it_is_read(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("seeds: [" + "1," * 600_000 + "1]\n", encoding="utf-8")
    with pytest.raises(InputError, match="more than 100,000 keys or 100 levels"):
        read_recipe(path)


def test_parts_are_counted_before_they_are_made():
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2]}', "x") == {"a": [1, 2]}
    with pytest.raises(InputError, match=r"x: more than 4,000,000 parts"):
        parse_json(b"," * (MAX_JSON_PARTS + 1), "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["plan.json", "samples.json"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: not an ordinary file"):
        open_source(tmp_path)
