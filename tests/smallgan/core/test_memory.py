"""Free memory: what the machine says, and the smaller of machine and container."""

import sys

import pytest
import torch

from smallgan.core import memory

CPU = torch.device("cpu")


def put(path, text):
    path.write_text(text, encoding="ascii")
    return str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")
def test_this_machine_has_memory_but_not_without_end():
    assert 2**20 < memory.free_bytes(CPU) < 2**50


@pytest.mark.skipif(sys.platform == "win32", reason="Windows is asked otherwise")
def test_a_containers_limit_counts_where_it_is_the_smaller(tmp_path, monkeypatch):
    limit, used, stat = tmp_path / "max", tmp_path / "current", tmp_path / "stat"
    monkeypatch.setattr(memory, "_CGROUPS", ((put(limit, "3000\n"), put(used, "1000\n"), str(stat)),))
    assert memory.free_bytes(CPU) == 2000
    put(stat, "anon 300\ninactive_file 600\nactive_file 100\n")
    assert memory.free_bytes(CPU) == 3000 - (1000 - 600), "file cache that is not in use is given back when needed"
    put(used, "3700\n")
    assert memory.free_bytes(CPU) == 0
    put(limit, "max\n")
    monkeypatch.setattr(memory, "_free_on_linux", lambda _: 77)
    assert memory.free_bytes(CPU) == 77
    monkeypatch.setattr(memory, "_free_on_linux", lambda _: None)
    assert memory.free_bytes(CPU) is None


def test_meminfo_is_in_kib(tmp_path):
    put(tmp_path / "meminfo", "MemTotal:       100 kB\nMemAvailable:      42 kB\n")
    assert memory._free_on_linux(tmp_path / "meminfo") == 42 * 1024
    assert memory._free_on_linux(tmp_path / "absent") is None
