"""Did-you-mean: the known word that is spelled like another."""

import difflib
from collections.abc import Iterable
from pathlib import Path

_ALIKE = 0.6  # Share of the letters in common; below it a guess names a word that nobody meant
_LISTED = 40  # Names in an error


def near(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that is spelled most like `word`, None where none is spelled like it.

    Upper and lower case are one, and the first of equals wins.
    """
    lower: dict[str, str] = {}
    for name in known:
        lower.setdefault(name.lower(), name)
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=_ALIKE)
    return lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], rest: str = "") -> str:
    """Return "; did you mean 'x'? Rest" where a known word is spelled like `word`, else "; rest", or "" without one."""
    close = near(word, known)
    if close is None:
        return f"; {rest}" if rest else ""
    return f"; did you mean {close!r}?{f' {rest[0].upper()}{rest[1:]}' if rest else ''}"


def absent(path: Path, expected: str) -> str:
    """Return that nothing is at `path`, what lies beside it and is spelled alike, and what was expected."""
    try:
        beside = {each.name: str(each) for each in path.parent.iterdir()}
    except OSError:
        beside = {}
    close = near(path.name, sorted(beside))
    if close is None:
        return f"{path}: no such file or folder; {expected}"
    return f"{path}: no such file or folder; did you mean {beside[close]}? {expected[0].upper()}{expected[1:]}"


def instead(word: str, known: Iterable[str]) -> str:
    """Return `did_you_mean` followed by the known words, of many the first ones."""
    names = list(known)
    return did_you_mean(word, names, f"there are {', '.join(names[:_LISTED])}{' ...' * (len(names) > _LISTED)}")
