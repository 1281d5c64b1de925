"""What no file of the tree may contain: a path of one machine, a package index, more than one sitting's reading."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT


def tracked_text() -> Iterator[tuple[Path, str]]:
    """Every text file that git tracks, with its path in the tree."""
    listing = subprocess.run(["git", "ls-files", "-z"], capture_output=True, cwd=ROOT, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the tree")
    for name in listing.stdout.decode().split("\0"):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield Path(name), content.decode("utf-8", errors="replace")


def private_places() -> re.Pattern[str]:
    """Paths that exist on one machine only (homes, this checkout and its neighbours), and package indexes."""
    here = [f"{folder}/" for folder in (ROOT, ROOT.parent, Path.home()) if len(folder.parts) > 1]
    paths = [re.escape(path) for path in here] + [r"/home/\w+/", r"/Users/\w+/", r"/root/"]
    indexes = [r"pypi\.(org|python\.org)\b", r"pythonhosted\.org\b", r"index[-_]url\b", r"https?://[^\s/]+/.*\bsimple/"]
    return re.compile("|".join([*(rf"(?<![\w.~-]){path}" for path in paths), *indexes]))


@pytest.mark.process
def test_no_file_names_a_path_of_a_machine_or_a_package_index() -> None:
    private = private_places()
    itself = Path(__file__).resolve().relative_to(ROOT)
    found = {str(path): match[0] for path, text in tracked_text() if (match := private.search(text)) and path != itself}
    assert not found


def test_the_patterns_find_what_they_are_for() -> None:
    private = private_places()
    for text in (
        f"cd {ROOT}/data",
        "see /home/anna/x.png",
        "--extra-index-url https://a.b/simple/",
        "https://pypi.org",
    ):
        assert private.search(text), text
    for text in ("runs/00001-x", "https://download.pytorch.org/models/x.pth", "data/painted-flowers", "~/.cache/x"):
        assert not private.search(text), text


@pytest.mark.process
def test_files_can_be_read_in_one_sitting() -> None:
    code = {path: text for path, text in tracked_text() if path.suffix in {".py", ".j2", ".js", ".css"}}
    assert not {str(path): text.count("\n") for path, text in code.items() if text.count("\n") > 400}
