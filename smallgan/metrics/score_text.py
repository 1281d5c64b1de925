"""Scores as `smallgan score` prints them: a table, or two sets side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from smallgan.metrics.score import Score, networks_of
from smallgan.metrics.score_paths import Versus
from smallgan.tables.metrics import METRICS


def table(scores: Sequence[Score]) -> str:
    """Return the scores as lines: value, interval, parts and conditions, then each note once."""
    width = max(len(score.shown_label) for score in scores)
    lines = [
        f"{score.shown_label:{width}}  {score.value:.4f}{f' ± {score.std:.3f}' if score.std is not None else ''}"
        f"{_interval(score)}  ({'; '.join(_conditions(score))})"
        for score in scores
    ]
    notes = [METRICS[score.metric].note for score in scores if score.metric in METRICS]
    return "\n".join([*lines, *_notes(scores), *(f"note: {note}" for note in dict.fromkeys(notes) if note)])


def versus_table(found: Versus, one: Path, other: Path) -> str:
    """Return two sets' scores side by side, and the result of the permutation test in words."""
    width = max(len(score.shown_label) for score in found.one)
    lines = [
        f"{a.shown_label:{width}}  A {a.value:.4f}{_interval(a)}  B {b.value:.4f}{_interval(b)}  "
        f"B - A {difference:+.4f}"
        for a, b, difference in zip(found.one, found.other, found.differences.values(), strict=True)
    ]
    notes = _notes([*found.one, *found.other])
    networks = networks_of(found.one)
    by = f"by {networks[0]}, " if len(networks) > 1 else ""
    return "\n".join([f"A  {one}", f"B  {other}", *lines, f"{by}{found.test.sentence()}", *notes])


def _conditions(score: Score) -> list[str]:
    known = score.identity
    if known["num_fake"] is None:  # a classifier's
        counts = f"{known['num_real']} test images"
    else:
        counts = f"{known['num_fake']} images" + (f" against {known['num_real']} reals" if known["num_real"] else "")
    found = [counts + (f", {known['splits']} split(s)" if known["splits"] else "")]
    if score.needed is not None:
        found.append(score.too_few)
    titles: Mapping[str, str] = {}
    unsaid: tuple[str, ...] = ()
    if score.metric in METRICS:
        titles, unsaid = METRICS[score.metric].parts, METRICS[score.metric].unsaid_parts
    if shown := [name for name in score.parts if name not in unsaid]:
        found.append(", ".join(f"{titles.get(name, name)} {score.parts[name]:.3f}" for name in shown))
    if score.baseline is not None and score.baseline_counts is not None:
        fakes, reals = score.baseline_counts
        counts = f"{fakes} images" if reals is None else f"{fakes} vs {reals} images"
        found.append(f"real-vs-real baseline {score.baseline:.4f} ({counts})")
    return found


def _notes(scores: Sequence[Score]) -> list[str]:
    return [f"note: {note}" for note in dict.fromkeys(note for score in scores for note in score.notes)]


def _interval(score: Score) -> str:
    return f" [{score.interval[0]:.4f}, {score.interval[1]:.4f}]" if score.interval else ""
