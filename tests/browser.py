"""Debian's Chromium for tests: a window on a page from disk, with its console messages and requests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; on Debian: apt-get install chromium"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def window(running: Any, file: Path, width: int = 1280, scheme: str = "light", **more: Any) -> Iterator[Any]:
    """A page of its own; `logged` holds its console messages and errors, `requested` its URLs."""
    context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    page = context.new_page()
    page.logged, page.requested = [], []
    page.on("console", lambda message: page.logged.append(message.text))
    page.on("pageerror", lambda error: page.logged.append(str(error)))
    page.on("dialog", lambda dialog: page.logged.append(dialog.message))
    page.on("request", lambda sent: page.requested.append(sent.url))
    page.goto(file.as_uri(), wait_until="load")
    yield page
    context.close()
