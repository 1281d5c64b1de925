"""`make bench-gpu`: what it makes of commands that end, go on, fail, take too long, or lack their images."""

import sys
import time

import pytest

from benchmarks.gpu import __main__ as bench
from benchmarks.gpu.rows import Waiting, rows

pytestmark = pytest.mark.process


def record(code, data, limit_seconds=30.0):
    return bench.carry_out(Waiting("row", "a purpose", f'python -c "{code}" {{features}}'), data, None, limit_seconds)


def test_the_exit_code_decides_the_state(tmp_path):
    found = [record(f"print('a table'); raise SystemExit({code})", tmp_path) for code in (0, 3, 1)]
    assert [each["state"] for each in found] == ["done", "unfinished", "failed"]
    assert found[0]["output"] == ["a table"]


def test_a_row_that_takes_too_long_is_stopped_and_goes_on_later(tmp_path):
    began = time.monotonic()
    found = record("import time; print(1, flush=True); time.sleep(60)", tmp_path, limit_seconds=1.0)
    assert (found["state"], found["output"]) == ("unfinished", ["1"])
    assert time.monotonic() - began < 30


def test_a_row_without_its_images_waits_and_names_them(tmp_path):
    found = bench.carry_out(Waiting("row", "a purpose", "python {data}/faces"), tmp_path, None, 1.0)
    assert found["state"] == "waiting"
    assert found["output"] == [f"{tmp_path / 'faces'}: not there"]


def test_without_a_gpu_all_rows_wait(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "PAGE", tmp_path / "RESULTS.md")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(bench.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench-gpu"])
    assert bench.main() == 0
    lines = [
        line for line in (tmp_path / "RESULTS.md").read_text(encoding="utf-8").splitlines() if "| waiting |" in line
    ]
    assert len(lines) == len(list(rows()))
    assert "all goes on waiting" in capsys.readouterr().err


def test_names_of_rows_differ_and_the_page_has_what_they_printed():
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)
    ran = {
        "command": "python -m benchmarks.gpu.parity",
        "date": "2026-01-31",
        "hardware": "a card",
        "torch": "2.11",
        "state": "done",
        "seconds": 12,
        "output": ["dcgan 1e-6"],
    }
    page = bench.page({"parity": ran})
    assert "| done | a card, torch 2.11, 2026-01-31 |" in page
    assert "\n## parity\n" in page
    assert "dcgan 1e-6" in page
