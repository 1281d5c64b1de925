"""Builders as dotted paths: a row names its function, which is imported when it is used."""

from importlib import import_module
from typing import Any


def load(path: str) -> Any:
    """Return what "package.module:name" names. Raises ImportError or AttributeError when it is not there."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
