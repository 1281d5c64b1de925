"""Which runs have the same dataset: originals from one folder, or the same files elsewhere.

Scores of different datasets are never compared, not even those without real images in their identity, such as the
Inception Score.
"""

from collections.abc import Iterator, Sequence

from smallgan.report.runs import Run, unique_names


def datasets_of(runs: Sequence[Run]) -> list[str]:
    """Return the name of each run's dataset; "" for all where there is only one.

    Parts of one folder, and mixed sets with the same originals, are one dataset. A run without a record of its
    images counts to the dataset of the first run.
    """
    roots: list[int] = []  # for each run the first run of its dataset
    owner: dict[tuple[str, str], int] = {}
    for number, run in enumerate(runs):
        marks = list(_marks(run))
        joined = {owner[mark] for mark in marks if mark in owner}
        root = min(joined, default=number if marks else 0)
        roots = [*(root if one in joined else one for one in roots), root]
        owner |= {mark: root for mark, one in owner.items() if one in joined} | dict.fromkeys(marks, root)
    if len(set(roots)) < 2:
        return [""] * len(runs)
    different = list(dict.fromkeys(roots))
    names = dict(zip(different, unique_names([runs[root].source.split("/") for root in different]), strict=True))
    return [names[root] for root in roots]


def _marks(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what two runs of one dataset share: the source, or the fingerprint of the training or held-out images."""
    if "source" in run.data:
        yield "source", run.source
    held = run.data.get("holdout")
    for part in (run.data, held if isinstance(held, dict) else {}):
        if part.get("fingerprint"):
            yield "files", str(part["fingerprint"])
