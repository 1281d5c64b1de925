"""Which runs are of the same subject: those whose images come from one folder, or are the same files elsewhere.

Scores of different subjects are never compared, also where no real images stand in their identity: an Inception Score
of flowers and one of faces say nothing about each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smallgan.report.runs import Run, told_apart

_SAMPLE_SET = "the sample set"


def subjects_of(runs: Sequence[Run]) -> list[str]:
    """Return the name of each run's subject; "" for all where there is only one.

    Parts of one folder, and mixed sets made of the same originals, are one subject. A run that does not tell what it
    was trained on counts to that of the first run.
    """
    numbers: list[int] = []
    owner: dict[tuple[str, str], int] = {}
    for number, run in enumerate(runs):
        marks = list(_marks(run))
        known = {_root(numbers, owner[mark]) for mark in marks if mark in owner}
        numbers.append(min(known, default=number if marks else 0))
        for other in known:
            numbers[other] = numbers[number]
        for mark in marks:
            owner[mark] = numbers[number]
    roots = [_root(numbers, number) for number in range(len(runs))]
    if len(set(roots)) < 2:
        return [""] * len(runs)
    different = list(dict.fromkeys(roots))
    names = dict(zip(different, told_apart([_source(runs[root]).split("/") for root in different]), strict=True))
    return [names[root] for root in roots]


def _marks(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what two runs of one subject share: the source, or the hash of what was trained on or held out."""
    if "source" in run.data:
        yield "source", _source(run)
    held = run.data.get("holdout")
    for part in (run.data, held if isinstance(held, dict) else {}):
        if part.get("fingerprint"):
            yield "files", str(part["fingerprint"])


def _source(run: Run) -> str:
    return str(run.data.get("source") or run.recipe.get("data.source") or _SAMPLE_SET).replace("\\", "/").rstrip("/")


def _root(numbers: Sequence[int], number: int) -> int:
    while numbers[number] != number:
        number = numbers[number]
    return number
