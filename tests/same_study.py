"""Whether two studies came to the same: scores, stats, weights, pictures and the page, but for times and places."""

import base64
import json
import re

import numpy as np
from safetensors.numpy import load_file

from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.report import collect, find_runs
from smallgan.report.export import export_files

TIMES = {"train_seconds", "other_seconds", "images_per_second", "memory_mb", "seconds", "time"}


def without_times(line):
    return {key: value for key, value in line.items() if key not in TIMES}


def numbers_without_times(text):
    """What report.json says, but for how long it took."""
    told = json.loads(text)
    for run in told["runs"]:
        del run["train_seconds"], run["other_seconds"]
    return told


def page_without_times(study):
    """The page in two parts: its HTML without times, places and --ray, and its numbers in JSON without times."""
    page = study.report.read_text(encoding="utf-8").replace(str(study.path.parent), "")
    page = re.sub(r"(<code>smallgan run [^<]*) --ray [\w.:]+", r"\1", page)
    table = r'(?s)(aria-label="Time and machine".*?<tbody>)(.*?)(</tbody>)'
    assert len(re.findall(table, page)) == 1
    saved = r'(download="report\.json" href="data:application/json;base64,)([^"]*)'
    (told,) = (base64.b64decode(code) for _, code in re.findall(saved, page))
    return re.sub(saved, r"\1", re.sub(table, r"\1\3", page)), numbers_without_times(told)


def exported(study):
    """The files of `smallgan report --export` by name, but for times."""
    files = export_files(collect(find_runs([study.path])))
    return files | {"report.json": numbers_without_times(files["report.json"])}


def assert_same(whole, cut):
    """Fail where two studies of one recipe differ in more than times and places."""
    (page, numbers), (cut_page, cut_numbers) = page_without_times(whole), page_without_times(cut)
    lines = zip(page.splitlines(), cut_page.splitlines(), strict=True)
    assert [(line, other) for line, other in lines if line != other] == []
    assert numbers == cut_numbers
    assert {"scores.csv", "verdicts.csv", "report.json"} < exported(whole).keys()
    assert exported(whole) == exported(cut)
    for one, other in zip(whole.trials(), cut.trials(), strict=True):
        assert one == other
        assert_same_run(RunDir(whole.run_of(one)), RunDir(cut.run_of(other)))


def assert_same_weights(first, second):
    assert first.last_step() == second.last_step(), second.path
    weights = [load_file(run.checkpoint(run.last_step()) / "tensors.safetensors") for run in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    assert [name for name in weights[0] if not np.array_equal(weights[0][name], weights[1][name])] == []


def assert_same_run(first, second):
    assert_same_weights(first, second)
    for name in ("stats.jsonl", "scores.jsonl"):
        left, right = (list(map(without_times, read_jsonl(run.path / name))) for run in (first, second))
        assert left == right, (second.path, name)
    pictures = sorted(path.relative_to(first.path) for path in first.path.rglob("*.png"))
    assert pictures == sorted(path.relative_to(second.path) for path in second.path.rglob("*.png"))
    assert [name for name in pictures if (first.path / name).read_bytes() != (second.path / name).read_bytes()] == []
