"""Do the judges agree? A sentence for the page: how many networks call what better, by the headline metric.

A judge is a feature network that is not struck out. The sentence counts judges; the verdict says whether a difference
is more than chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from smallgan.metrics.score import RELATED, STRUCK, Score
from smallgan.report.collect import Report
from smallgan.report.columns import Column
from smallgan.report.phrases import listed
from smallgan.tables.metrics import METRICS


@dataclass(frozen=True)
class _Judge:
    name: str
    index: int  # Of its column in the report
    column: Column


def agreement(report: Report) -> tuple[str, ...]:
    """Return a sentence for each dataset that two judges or more have scored; () where the metric has no direction.

    Several policies or runs are compared by their final scores. Of one policy, the last snapshot is compared with the
    first that was trained.
    """
    metric = report.headline[0].metric if report.headline else ""
    if metric not in METRICS or METRICS[metric].better is None:
        return ()
    sentences = []
    for dataset in dict.fromkeys(column.dataset for column in report.columns):
        columns = [one for one in enumerate(report.columns) if (one[1].metric, one[1].dataset) == (metric, dataset)]
        sentence = _between_groups(report, columns) or _over_training(report, columns)
        if sentence:
            struck = [str(column.identity.get("features")) for _, column in columns if STRUCK in column.standings]
            after = f" Struck out: {listed(list(dict.fromkeys(struck)))}." if struck else ""
            sentences.append(f"{f'{dataset}: ' if dataset else ''}{sentence}{after}")
    return tuple(sentences)


def _judges(columns: Sequence[tuple[int, Column]], counts: Sequence[int], least: int) -> list[_Judge]:
    """Return the column of each network that may judge: the one with the highest count, from `least` up."""
    best: dict[str, tuple[int, _Judge]] = {}
    for (index, column), count in zip(columns, counts, strict=True):
        name = str(column.identity.get("features"))
        if STRUCK not in column.standings and count >= max(least, best[name][0] + 1 if name in best else 0):
            best[name] = count, _Judge(name, index, column)
    return [judge for _, judge in best.values()]


def _between_groups(report: Report, columns: Sequence[tuple[int, Column]]) -> str:
    judges = _judges(columns, [len(report.rankings[index].order) for index, _ in columns], 2)
    if len(judges) < 2:
        return ""
    orders = [report.rankings[judge.index].order for judge in judges]
    by_first: dict[int, list[_Judge]] = {}
    for judge, order in zip(judges, orders, strict=True):
        by_first.setdefault(order[0], []).append(judge)
    names = [group.name for group in report.groups]
    if len(by_first) == 1:
        first, *others = orders[0]
        what = f"put {names[first]} first of {len(others) + 1} {report.nouns}"
        if {len(order) for order in orders} == {2}:
            what = f"call {names[first]} better than {names[others[0]]}"
        return f"{_all(judges)} {what} ({_label(judges)})."
    said = [(names[first], listed([one.name for one in own]), len(own)) for first, own in by_first.items()]
    parts = [f"{who} {'puts' if number == 1 else 'put'} {name} first" for name, who, number in said]
    return f"The judges disagree: {listed(parts)} ({_label(judges)})."


def _over_training(report: Report, columns: Sequence[tuple[int, Column]]) -> str:
    if len(report.groups) > 1:
        return ""
    judges = _judges(columns, [max(len(_trained(curve)) for curve in column.curves) for _, column in columns], 2)
    if len(judges) < 2:
        return ""
    sign = -1 if METRICS[judges[0].column.metric].better == "lower" else 1
    against, steps = [], set()
    for judge in judges:
        curves = [curve for curve in map(_trained, judge.column.curves) if len(curve) > 1]
        steps |= {(curve[0].step, curve[-1].step) for curve in curves}
        if sign * fmean(curve[-1].value - curve[0].value for curve in curves) <= 0:
            against.append(judge.name)
    first, last = next(iter(steps)) if len(steps) == 1 else (None, None)
    what = f"step {last:,} better than step {first:,}" if last else "the last checkpoint better than the first"
    number = len(judges)
    if len(against) == number:
        return f"None of {number} judges calls {what} ({_label(judges)})."
    favour = number - len(against)
    some = f"{favour} of {number} judges {'calls' if favour == 1 else 'call'}"
    start = some if against else f"{_all(judges)} call"
    end = f"; {listed(against)} {'does' if len(against) == 1 else 'do'} not" if against else ""
    return f"{start} {what}{end} ({_label(judges)})."


def _all(judges: Sequence[_Judge]) -> str:
    return "Both judges" if len(judges) == 2 else f"All {len(judges)} judges"


def _trained(curve: Sequence[Score]) -> list[Score]:
    return [score for score in curve if score.step and math.isfinite(score.value)]


def _label(judges: Sequence[_Judge]) -> str:
    related = [judge.name for judge in judges if RELATED in judge.column.standings]
    title = METRICS[judges[0].column.metric].title
    return f"{title}; {listed(related)} related to a network that trained a model" if related else title
