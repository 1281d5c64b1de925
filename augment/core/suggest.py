"""Did-you-mean: the known word that is spelled most like another."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the one of `known` that is spelled most alike; upper and lower case are one, the first of equals wins."""
    lower: dict[str, str] = {}
    for name in known:
        lower.setdefault(name.lower(), name)
    return lower[difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.0)[0]]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known word that is close enough, "" where none is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
