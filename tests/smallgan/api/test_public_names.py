"""The public Python names: which there are, that they cost nothing to import, and that they are the commands."""

import inspect
import subprocess
import sys

import pytest
import typer

import smallgan
from smallgan.cli import app

NAMES = {
    *("Dataset", "Generator", "Inspection", "Report", "Run", "Samples", "Scores", "SmallganError", "Study"),
    *("build_dataset", "export", "inspect", "load", "run_study", "score", "train", "write_report", "__version__"),
}
OF_PYTHON = {"log", "command", "show"}
"""Keywords that a terminal has no use for."""
OF_THE_TERMINAL = {
    "augment": {"list_transforms", "preview", "reproduce", "json"},
    "inspect": {"files", "json"},
    "train": {"dry_run", "gpus", "json"},
    "score": {"versus", "latent_kmmd", "check", "json"},
    "report": {"json"},
    "export": {"json"},
    "run": {"status", "dry_run", "json"},
}
"""Flags that ask for another thing than the function does, or for another form of its result."""
FUNCTIONS = {
    "augment": smallgan.build_dataset,
    "inspect": smallgan.inspect,
    "train": smallgan.train,
    "score": smallgan.score,
    "report": smallgan.write_report,
    "export": smallgan.export,
    "run": smallgan.run_study,
}


def flags(command):
    """The arguments and flags of a command as keywords: --skip-bad is skip_bad."""
    found = typer.main.get_command(app).get_command(None, command)
    names = {(each.opts[0] if each.opts[0].startswith("--") else each.name) for each in found.params}
    return {name.removeprefix("--").replace("-", "_") for name in names} - {"help"}


def test_the_public_names_are_these():
    assert set(smallgan.__all__) == NAMES
    assert set(dir(smallgan)) >= NAMES
    assert all(getattr(smallgan, name) is not None for name in NAMES)


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(AttributeError, match="no attribute 'trian'; public are"):
        _ = smallgan.trian


@pytest.mark.parametrize("command", FUNCTIONS)
def test_keywords_are_the_flags_of_the_command(command):
    keywords = set(inspect.signature(FUNCTIONS[command]).parameters) - OF_PYTHON
    assert keywords == flags(command) - OF_THE_TERMINAL[command]


def test_the_keywords_of_samples_are_flags_of_the_command():
    keywords = set(inspect.signature(smallgan.Generator.sample).parameters) - {"self"}
    assert keywords <= flags("sample")


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), smallgan.load, smallgan.Generator.sample])
def test_every_keyword_is_explained(function):
    documented = inspect.getdoc(function)
    keywords = [name for name in inspect.signature(function).parameters if name != "self"]
    assert [name for name in keywords if f"\n    {name}: " not in documented] == []


@pytest.mark.process
def test_importing_loads_nothing_heavy():
    heavy = "{'torch', 'numpy', 'PIL', 'pydantic', 'yaml', 'albumentations', 'scipy'}"
    program = f"import smallgan, sys; print(*sorted({heavy} & set(sys.modules)), *sorted(vars(smallgan)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "PIL", "pydantic", "yaml"} & set(done.stdout.split())


@pytest.mark.process
def test_looking_at_images_loads_no_torch(tiny_set):
    program = f"import smallgan as sg, sys; print(len(sg.inspect({str(tiny_set)!r}))); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "False"]
