"""What a row names by a dotted path is imported when it is used, so that tables stay light."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from augment.errors import FailedError


def load(path: str) -> Any:
    """Return the object that "package.module:name" names. Raises FailedError when there is none."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something of its own
        raise FailedError(f"{path}: a row of a table names this, but there is no module {error.name}") from error
    except AttributeError as error:
        raise FailedError(f"{path}: a row of a table names this, but {module} has no {name!r}") from error
