"""The templates of the pages, and how all of them are filled in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

FOLDER = Path(__file__).parent


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """Return a template of this folder, in which every text is escaped and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def style() -> Markup:
    """Return the style sheet of all pages."""
    return Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
