"""The report in a real browser: opens from disk, asks for nothing, shows every picture and number, at any width."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import report_runs as made
from browser import MARKS, chromium, window

from smallgan.report import collect, find_runs, write_report

pytestmark = MARKS


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """A page over three runs, one of them unfinished, one more left out, one with a name that is hostile."""
    root = tmp_path_factory.mktemp("browser")
    made.make_run(root / "runs" / "00000-none", "none")
    made.make_run(root / "runs" / "00001-<img src=x onerror=alert(1)>", "hflip", level=0.25)
    made.make_run(root / "runs" / f"00002-{'long_' * 12}", done=700)
    (root / "runs" / "00003-gone").mkdir()
    folders = find_runs([root / "runs"])
    return write_report(collect(folders), folders, root / "page #1 ü.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser, page_file, request):
    """The page in a window of the width and colour scheme asked for."""
    with window(browser, page_file, *getattr(request, "param", (1280, "light")), accept_downloads=False) as page:
        yield page


BOTH = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.mark.parametrize("opened", BOTH, indirect=True)
def test_the_page_makes_no_request_and_logs_no_error(opened, page_file):
    opened.locator("footer").scroll_into_view_if_needed()
    assert opened.logged == []
    assert [url for url in opened.requested if not url.startswith("data:")] == [page_file.as_uri()]


@pytest.mark.parametrize("opened", BOTH, indirect=True)
def test_only_boxes_scroll_sideways(opened):
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wide = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
    assert opened.evaluate(f"{wide} && !e.closest('.scroll')).map(e => e.outerHTML.slice(0, 80))") == []


def test_pictures_are_enlarged_and_stand_on_the_first_screen(opened):
    boxes = opened.evaluate(
        "[...document.querySelectorAll('.opening img')].map(i => i.getBoundingClientRect().toJSON())"
    )
    natural = opened.evaluate("[...document.querySelectorAll('.opening img')].map(i => i.naturalWidth)")
    assert all(box["bottom"] <= 900 for box in boxes)
    assert all(box["width"] >= 1.8 * width for box, width in zip(boxes, natural, strict=True))
    assert opened.locator(".said").first.bounding_box()["y"] < 900


@pytest.mark.parametrize("opened", [(390, "light")], indirect=True)
def test_what_scrolls_on_a_phone_says_so_until_it_was_scrolled(opened):
    table = opened.locator("div.scroll", has=opened.locator("table.scores"))
    told = table.locator("xpath=preceding-sibling::*[1]")
    assert told.inner_text() == "Scroll sideways for more \N{RIGHTWARDS ARROW}"
    table.evaluate("box => { box.scrollLeft = 60; }")
    opened.wait_for_function(
        "!document.querySelector('table.scores').parentElement.previousElementSibling.matches('.more')"
    )
    fitting = opened.evaluate(
        "[...document.querySelectorAll('p.more')].filter(p => p.nextElementSibling.scrollWidth <="
        " p.nextElementSibling.clientWidth + 1).length"
    )
    assert fitting == 0


def test_every_picture_is_decoded_and_has_words(opened):
    images = opened.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth, image.alt])")
    at_the_top = 4
    assert len(images) == 3 * 10 - 1 + at_the_top  # two runs have the same real images, shown once
    assert all(complete and width > 0 and words for complete, width, words in images)


def test_scores_are_finite_numbers(opened):
    values = opened.evaluate("[...document.querySelectorAll('td.score data')].map(cell => Number(cell.value))")
    assert len(values) == 3 * 2
    assert all(math.isfinite(value) and value > 0 for value in values)
    shown = opened.locator("td.score data").first
    assert shown.inner_text() == "0.400"


def test_charts_have_size_names_and_tables(opened):
    charts = opened.locator("svg.chart")
    assert charts.count() == 5
    for number in range(5):
        box = charts.nth(number).bounding_box()
        assert box["width"] > 250
        assert box["height"] > 150
        inside = charts.nth(number).evaluate(
            "c => [...c.querySelectorAll('text')].every(t => { const a = t.getBoundingClientRect(),"
            " b = c.getBoundingClientRect(); return a.left >= b.left - 1 && a.right <= b.right + 1; })"
        )
        assert inside
    opened.locator("details > summary", has_text="As a table").first.press("Enter")
    assert opened.locator("figure table").first.is_visible()


@pytest.mark.parametrize("opened", [(1280, "light"), (1280, "dark")], indirect=True)
def test_text_stands_out_from_its_ground(opened):
    """Contrast of at least 4.5 to 1 (WCAG 2.2, AA) for every colour of text on every ground of the style."""
    colours = opened.evaluate(
        "Object.fromEntries(['paper', 'panel', 'ink', 'quiet', 'accent', 'warn', 'warn-paper'].map(name =>"
        " [name, getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()]))"
    )
    light = {name: _luminance(colour) for name, colour in colours.items()}
    pairs = [(text, background) for text in ("ink", "quiet", "accent") for background in ("paper", "panel")]
    for text, background in [*pairs, ("ink", "warn-paper"), ("warn", "warn-paper")]:
        dark, bright = sorted((light[text], light[background]))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (text, background)


def test_headings_step_down_one_at_a_time(opened):
    levels = opened.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_it_prints(opened):
    assert opened.pdf(format="A4").startswith(b"%PDF")
    assert opened.logged == []


def _luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
