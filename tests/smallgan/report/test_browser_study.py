"""The report of a study in a real browser: sorted and played by keyboard, saved from, without script, and audited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import report_runs as made
from browser import MARKS, chromium, window

from smallgan.report import collect, find_runs, write_report
from smallgan.report.export import export_files

pytestmark = MARKS
LEVELS = {"none": [0.0, 1.0, -1.0], "hflip": [1.0, 2.1, 0.2], "contrast": [0.1, 0.9, -0.9], "gan": [0.3, 1.2, -0.4]}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    study = made.make_study(
        tmp_path_factory.mktemp("browser") / "00003-which", LEVELS, states={("gan", 2): "failed"}, steps=500
    )
    folders = find_runs([study])
    return write_report(collect(folders), folders)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as running:
        yield running


def policies(page) -> list[str]:
    rows = page.locator("table.ranked").first.locator("tbody tr")
    return [rows.nth(number).locator("th bdi").inner_text() for number in range(rows.count())]


def test_pictures_stand_on_the_first_screen_and_the_verdict_follows(browser, page_file):
    with window(browser, page_file) as page:
        sentence = page.locator(".sentence")
        assert sentence.inner_text().startswith("Preliminary: hflip lowers KMMD")
        pictures = page.locator(".opening img")
        assert [one.get_attribute("alt") for one in pictures.all()] == [
            "Real images",
            "Generated images of 00000-none-s0",
            "Generated images of 00003-hflip-s0",
        ]
        for shown in (*pictures.all(), sentence):
            box = shown.bounding_box()
            assert box["y"] + box["height"] <= 900
        assert policies(page)[0] == "hflip"


def test_tables_are_sorted_by_keyboard(browser, page_file):
    with window(browser, page_file) as page:
        before = policies(page)
        heading = page.locator("table.ranked").first.get_by_role("columnheader", name="Policy")
        heading.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert policies(page) == ["contrast", "gan", "hflip", "none"] != before
        assert heading.get_attribute("aria-sort") == "ascending"
        assert page.locator("#said").inner_text() == "Sorted by Policy, ascending."
        page.keyboard.press("Space")
        assert policies(page) == ["none", "hflip", "gan", "contrast"]
        assert heading.get_attribute("aria-sort") == "descending"
        # the next button by Tab is the next column's; a policy without a value stays last either way
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "none"
        assert policies(page)[0] == "hflip"
        assert policies(page)[-1] == "none"
        page.keyboard.press("Enter")
        assert policies(page)[-1] == "none"
        assert page.logged == []


def test_one_slider_plays_the_grids_of_all_runs_by_keyboard(browser, page_file):
    with window(browser, page_file) as page:
        slider = page.get_by_role("slider", name="Training step")

        def shown() -> set[str]:
            return set(page.locator(".frames figure:visible").evaluate_all("all => all.map(one => one.dataset.step)"))

        num_runs = page.locator(".frames").count()
        assert num_runs == 12
        assert page.locator(".frames figure:visible").count() == num_runs
        assert shown() == {"500", "100"}  # the failed run went no further
        slider.focus()
        page.keyboard.press("Home")
        assert shown() == {"0"}
        assert slider.get_attribute("aria-valuetext") == "step 0"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert shown() == {"200", "100"}
        assert page.locator("#player output").inner_text() == "step 200"
        assert page.locator(".frames figure:visible").count() == num_runs
        assert page.logged == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious(browser, page_file, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with window(browser, page_file, width, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = axe.Axe().run(page).response
        assert found["violations"] is not None
        serious = [
            (one["id"], one["impact"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert [url for url in page.requested if not url.startswith("data:")] == [page_file.as_uri()]


@pytest.mark.parametrize("width", [390, 1280])
def test_only_boxes_scroll_sideways(browser, page_file, width):
    with window(browser, page_file, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_files_are_saved_out_of_the_page(browser, page_file, tmp_path):
    folders = find_runs([page_file.parent])
    files = export_files(collect(folders))
    with window(browser, page_file) as page:
        for name in ("verdicts.csv", "report.json", "difference-1.svg"):
            with page.expect_download() as waiting:
                page.locator(f'a[download="{name}"]').click()
            waiting.value.save_as(tmp_path / name)
            assert (tmp_path / name).read_bytes() == files[name]
        assert [url for url in page.requested if not url.startswith("data:")] == [page_file.as_uri()]


def test_without_script_everything_is_there(browser, page_file):
    with window(browser, page_file, java_script_enabled=False) as page:
        assert page.locator(".frames figure:visible").count() == page.locator(".frames figure").count() == 11 * 6 + 2
        assert not page.locator("#player").is_visible()
        assert page.locator("table.ranked button").count() == 0
        assert page.locator(".sentence").is_visible()


def test_links_lead_to_the_files(browser, page_file):
    with window(browser, page_file) as page:
        links = page.evaluate("[...document.querySelectorAll('details.files a')].map(one => one.href)")
        assert len(links) == 11 * 6 + 2
        assert all(Path(link.removeprefix("file://")).is_file() for link in links)


def test_it_prints_every_snapshot_and_no_control(browser, page_file):
    with window(browser, page_file) as page:
        page.emulate_media(media="print")
        assert page.locator(".frames figure:visible").count() == 11 * 6 + 2
        assert not page.locator("#player").is_visible()
        assert page.pdf(format="A4").startswith(b"%PDF")
