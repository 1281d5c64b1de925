"""Which runs have the same dataset: originals from one folder, or the same files elsewhere.

Scores of different datasets are never compared, not even those without real images in their identity, such as the
Inception Score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smallgan.report.runs import Run, unique_names

_SAMPLE_SET = "the sample set"


def datasets_of(runs: Sequence[Run]) -> list[str]:
    """Return the name of each run's dataset; "" for all where there is only one.

    Parts of one folder, and mixed sets with the same originals, are one dataset. A run without a record of its
    images counts to the dataset of the first run.
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
    names = dict(zip(different, unique_names([_source(runs[root]).split("/") for root in different]), strict=True))
    return [names[root] for root in roots]


def _marks(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what two runs of one dataset share: the source, or the fingerprint of the training or held-out images."""
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
