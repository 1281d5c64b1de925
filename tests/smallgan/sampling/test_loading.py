"""Pretrained generators by name: put into the cache once, adapted by name, and checked by what is in the file."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from augment.errors import InputError
from smallgan.cli.weights import app
from smallgan.core import weights
from smallgan.models.biggan import BigGANConfig, BigGANGenerator
from smallgan.sampling.pretrained import find_pretrained


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def import_command(name, file):
    return CliRunner().invoke(app, ["import", name, str(file)])


def test_an_imported_generator_is_found_by_its_name(cache):
    file = cache / "G_ema.pth"
    torch.save(BigGANGenerator(BigGANConfig(32, 4, 16, 3, shared_dim=8)).state_dict(), file)
    result = import_command("biggan-128", file)
    assert result.exit_code == 0, result.output
    source = find_pretrained("biggan-128")
    assert source.origin["path"] == "biggan-128"  # by name: the cache may lie elsewhere tomorrow
    assert source.generator.num_classes == 3
    assert source.pretrained.sha256 == weights.inspect_weights("biggan-128").sha256


def test_a_file_that_is_no_generator_is_not_imported(cache):
    file = cache / "G_ema.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, file)
    result = import_command("biggan-128", file)
    assert isinstance(result.exception, InputError)
    assert weights.inspect_weights("biggan-128").sha256 is None


def test_a_file_is_remembered_by_its_full_path(cache, monkeypatch):
    file = cache / "mine.pth"
    torch.save(BigGANGenerator(BigGANConfig(32, 4, 16, 3, shared_dim=8)).state_dict(), file)
    monkeypatch.chdir(cache)
    assert find_pretrained("mine.pth").origin["path"] == str(file.resolve())
