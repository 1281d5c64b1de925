"""Where recipes, sample set and small weights are: inside the wheel, or beside the package in a checkout."""

from pathlib import Path

from augment.errors import MissingError

_PACKAGE = Path(__file__).resolve().parent.parent
SAMPLE_SET = "painted-flowers"  # Name of the folder in data/ that commands use when no SOURCE or DATA is given


def shipped_folder(kind: str) -> Path:
    """Return the folder `recipes` or `data`. Raises MissingError when the installation lacks it.

    The folder beside the package counts only in a checkout (a pyproject.toml stands there): in site-packages a
    neighbour called `recipes` belongs to somebody else.
    """
    inside = _PACKAGE / "_shipped" / kind
    if inside.is_dir():
        return inside
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    raise MissingError(f"this installation of smallgan has no folder {kind!r} ({inside}); install it again")


def sample_set() -> Path:
    """Return the images of the sample set."""
    return shipped_folder("data") / SAMPLE_SET / "images"
