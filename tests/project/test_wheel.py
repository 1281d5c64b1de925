"""The wheel, built out of the sdist and installed elsewhere: what is in it, and that it works from another folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from paths import ROOT

pytestmark = pytest.mark.process


def run(*words: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run Python with `words` and return what it printed; `path` goes before all other packages."""
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *map(str, words)]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel in it. Needs no network: hatchling builds, pip only unpacks."""
    work = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "sdist", "-d", work, cwd=ROOT)
    with tarfile.open(next(work.glob("smallgan-*.tar.gz"))) as archive:
        archive.extractall(work / "sdist", filter="data")
    unpacked = next((work / "sdist").iterdir())
    run("-m", "hatchling", "build", "-t", "wheel", "-d", work, cwd=unpacked)
    wheel = next(work.glob("smallgan-*.whl"))
    target = work / "site"
    quiet = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run("-m", "pip", "install", *quiet, "--target", target, wheel, cwd=work)
    return target


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_top_level_is_the_two_packages(installed: Path) -> None:
    found = {path.name for path in installed.iterdir()} - {"bin", "Scripts"}
    distribution = {name for name in found if name.endswith(".dist-info")}
    assert len(distribution) == 1
    assert found - distribution == {"smallgan", "augment"}


def test_every_module_and_resource_is_in_it(installed: Path) -> None:
    for package in ("smallgan", "augment"):
        here = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file()}
        there = {path.relative_to(installed) for path in (installed / package).rglob("*") if path.is_file()}
        here = {path for path in here if "__pycache__" not in path.parts}
        assert here == {path for path in there if "_shipped" not in path.parts}
    names = {path.name for path in (installed / "smallgan").rglob("*")}
    assert {"weights.yaml", "py.typed", "report.html.j2"} <= names


def test_recipes_and_data_ride_along(installed: Path) -> None:
    for kind in ("recipes", "data"):
        here = {path.relative_to(ROOT / kind): path.read_bytes() for path in (ROOT / kind).rglob("*") if path.is_file()}
        shipped = installed / "smallgan" / "_shipped" / kind
        there = {path.relative_to(shipped): path.read_bytes() for path in shipped.rglob("*") if path.is_file()}
        assert here
        assert here == there, f"{kind}: the wheel holds other files than the checkout"
        assert not list(shipped.rglob("*.py"))


def test_cards_state_the_images_that_are_there(installed: Path) -> None:
    cards = {}
    for card in (installed / "smallgan" / "_shipped" / "data").rglob("card.md"):
        if stated := re.search(r"^\| images \| (\d+) \|$", card.read_text(encoding="utf-8"), re.MULTILINE):
            cards[card.parent.name] = (int(stated[1]), len(list((card.parent / "images").iterdir())))
    assert "painted-flowers" in cards
    assert [name for name, (stated, found) in cards.items() if stated != found] == []


def test_it_finds_its_own_files_from_another_folder(installed: Path, elsewhere: Path) -> None:
    # A neighbour called recipes, as in site-packages beside torchtune, must not be taken for ours.
    (elsewhere / "recipes").mkdir()
    program = (
        "import json, smallgan, augment; from smallgan.core import resources as shipped\n"
        "print(json.dumps([smallgan.__file__, augment.__file__, *map(str, ("
        "shipped.sample_set(), shipped.shipped_folder('recipes')))]))"
    )
    found = json.loads(run("-c", program, cwd=elsewhere, path=installed))
    assert all(Path(path).is_relative_to(installed) for path in found)


def test_data_and_recipes_do_not_import(installed: Path, elsewhere: Path) -> None:
    # -S: without site-packages, where an editable install puts the checkout itself on the path.
    program = "import importlib.util as u; print(*[u.find_spec(name) for name in ('data', 'recipes')])"
    assert run("-S", "-c", program, cwd=elsewhere, path=installed).split() == ["None", "None"]


def test_the_command_works_from_another_folder(installed: Path, elsewhere: Path) -> None:
    [entry] = installed.glob("*.dist-info/entry_points.txt")
    assert "smallgan = smallgan.cli:main" in entry.read_text(encoding="utf-8").splitlines()
    main = "import sys; sys.argv = ['smallgan', '--help']; from smallgan.cli import main; main()"
    assert "Usage: smallgan" in run("-c", main, cwd=elsewhere, path=installed)
    assert "quickstart" in run("-m", "smallgan", "recipes", "list", cwd=elsewhere, path=installed)
