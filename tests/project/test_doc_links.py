"""Every relative link of the docs leads to a file and a heading, and the core pages can be read in half an hour."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
CODE = ("smallgan", "augment", "recipes", "benchmarks", "tools", "docs")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PAGE_NAME = re.compile(r"\bdocs/[\w/-]+\.md\b")
MOST_WORDS = 8_000  # Half an hour at 260 words a minute; bars of tables and the like are no words


def without_code(text: str) -> str:
    """Return Markdown without fenced, indented and inline code, which holds no links and no headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ {4}.*$", "", text, flags=re.M))


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of the headings of a page; of equal headings the second has -1 behind it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.M):
        repeats = sum(re.fullmatch(rf"{re.escape(slug(heading))}(-\d+)?", one) is not None for one in found)
        found.append(slug(heading) + (f"-{repeats}" if repeats else ""))
    return frozenset(found)


def broken_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def reading_order() -> list[Path]:
    """Return the pages that README numbers as the core, README itself first."""
    readme = ROOT / "README.md"
    return [readme, *(ROOT / name for name in re.findall(r"^\d\. \[\w+\]\((.+?)\)", readme.read_text("utf-8"), re.M))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_exist(page: Path) -> None:
    assert not broken_links(page, page.read_text(encoding="utf-8"))


def test_links_that_lead_nowhere_are_found() -> None:
    page = ROOT / "docs" / "train.md"
    text = "[a](nowhere.md) [b](#nowhere) [c](scores.md#copies) [d](#going-on) `[e](code.md)` [f](https://x.org/y)"
    assert broken_links(page, text) == ["nowhere.md", "#nowhere"]
    assert slug("Feature networks used in training (excluded)") == "feature-networks-used-in-training-excluded"


def test_pages_that_code_and_recipes_name_exist() -> None:
    files = (path for name in CODE for path in (ROOT / name).rglob("*") if path.suffix in {".py", ".md", ".yaml"})
    named = {
        (str(path.relative_to(ROOT)), page) for path in files for page in PAGE_NAME.findall(path.read_text("utf8"))
    }
    assert len(named) > 10
    assert {(path, page) for path, page in named if not (ROOT / page).exists()} == set()


def test_the_core_can_be_read_in_half_an_hour() -> None:
    core = reading_order()
    assert len(core) == 8
    assert sum(len(re.findall(r"\S*\w\S*", page.read_text(encoding="utf-8"))) for page in core) <= MOST_WORDS
