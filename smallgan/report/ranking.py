"""The policies ranked by each metric: final scores by seed, differences to the reference and their order."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from smallgan.metrics.score import STRUCK
from smallgan.report.columns import Column
from smallgan.report.groups import Group
from smallgan.report.runs import Run
from smallgan.report.verdict import Difference, Interval, compare_to_reference, mean_interval
from smallgan.tables.metrics import METRICS, headline_metrics

COPIES = "copies"  # The metric that tells whether a lower distance was bought by copying


@dataclass(frozen=True)
class MetricRanking:
    """The policies ranked by the scores of one column."""

    column: int
    metric: str
    label: str
    better: str | None
    """lower, higher, or None where neither is better in itself."""
    reference: int | None
    """Number of the group that the others are compared with; None when it has no final score here."""
    scores: tuple[Mapping[int, float], ...]
    """For each group its final scores by seed; {} where it has none."""
    differences: tuple[Difference | None, ...]
    """For each group its difference to the reference; None for the reference itself and without a final score."""
    order: tuple[int, ...]
    """Numbers of the groups with scores by paired difference: the best first, or the lowest."""
    is_struck: bool = False
    """Whether its network helped to train one of the models: then it is shown, and gives no verdict."""

    def mean(self, group: int) -> float | None:
        """Return the mean over seeds, None without a score."""
        return fmean(self.scores[group].values()) if self.scores[group] else None

    def interval(self, group: int) -> Interval | None:
        """Return the t interval over seeds, cut to the range of the metric; None for fewer than two seeds."""
        interval = mean_interval(list(self.scores[group].values()))
        least, most = METRICS[self.metric].range if self.metric in METRICS else (-math.inf, math.inf)
        return interval and (max(interval[0], least), min(interval[1], most))

    @property
    def tested(self) -> tuple[Difference, ...]:
        """The differences that were tested, in the order of the table."""
        differences = (self.differences[group] for group in self.order)
        return tuple(one for one in differences if one and one.p is not None)

    def records(self, groups: Sequence[Group]) -> list[dict[str, Any]]:
        """Return a record for each policy with scores, the best first, for JSON and CSV."""
        return [self._record(groups, index, rank) for rank, index in enumerate(self.order, start=1)]

    def _record(self, groups: Sequence[Group], index: int, rank: int) -> dict[str, Any]:
        one, interval = self.differences[index], self.interval(index)
        return {
            "metric": self.metric,
            "label": self.label,
            "column": self.column,
            "better": self.better,
            "rank": rank,
            "policy": groups[index].name,
            "reference": None if self.reference is None else groups[self.reference].name,
            "num_seeds": len(self.scores[index]),
            "mean": self.mean(index),
            "low": interval and interval[0],
            "high": interval and interval[1],
            "num_pairs": len(one.seeds) if one else None,
            "difference": one and one.mean,
            "difference_low": one and one.interval and one.interval[0],
            "difference_high": one and one.interval and one.interval[1],
            "p": one and one.p,
            "p_holm": one and one.p_holm,
            "min_detectable_difference": one and one.min_detectable,
            "conclusion": "struck" if self.is_struck else one.conclusion if one else "reference",
            "has_few_seeds": one and one.has_few_seeds,
            "copies_rise": one and one.copies_rise,
        }


def headline(rankings: Sequence[MetricRanking], metric: str | None = None) -> tuple[MetricRanking, ...]:
    """Return the rankings of the verdict: by `metric`, or by the scored metric with the first headline rank.

    There are several where one metric has several columns, as with several datasets or judges; () where nothing was
    scored but by networks that are struck.
    """
    rankings = [one for one in rankings if not one.is_struck]
    scored = [one.metric for one in rankings if len(one.order) > 1] or [one.metric for one in rankings]
    chosen = metric or next((name for name in (*headline_metrics(), *scored) if name in scored), None)
    of_metric = tuple(one for one in rankings if one.metric == chosen)
    return tuple(one for one in of_metric if len(one.order) > 1) or of_metric


def with_copies(rankings: Sequence[MetricRanking], columns: Sequence[Column]) -> tuple[MetricRanking, ...]:
    """Return the rankings with the policies marked that raise the copy rate of the same dataset.

    A rise counts when it is significant, or when it cannot be tested, as with one seed.
    """
    marked = []
    for ranking in rankings:
        dataset = columns[ranking.column].dataset
        rising = {
            index
            for other in rankings
            if other.metric == COPIES != ranking.metric and columns[other.column].dataset == dataset
            for index, one in enumerate(other.differences)
            if one and (one.conclusion == "higher" or (one.conclusion == "not tested" and (one.mean or 0.0) > 0))
        }
        differences = (
            one and replace(one, copies_rise=index in rising) for index, one in enumerate(ranking.differences)
        )
        marked.append(replace(ranking, differences=tuple(differences)))
    return tuple(marked)


def rank_metric(runs: Sequence[Run], column: Column, index: int, groups: Sequence[Group]) -> MetricRanking:
    """Return the ranking of the groups by the scores of a column, the one with that index in the report."""
    scores = tuple(_final_scores(runs, column, group) for group in groups)
    with_scores = [number for number, of_group in enumerate(scores) if of_group]
    reference = _reference(runs, groups, with_scores)
    differences: list[Difference | None] = [None] * len(groups)
    if reference is not None:
        by_name = {str(number): scores[number] for number in with_scores}
        for one in compare_to_reference(by_name, str(reference)):
            differences[int(one.policy)] = replace(one, policy=groups[int(one.policy)].name)
    better = METRICS[column.metric].better if column.metric in METRICS else None
    order = _order(scores, differences, reference, sign=-1 if better == "higher" else 1)
    is_struck = STRUCK in column.standings
    return MetricRanking(
        index, column.metric, column.label, better, reference, scores, tuple(differences), order, is_struck
    )


def _order(
    scores: Sequence[Mapping[int, float]], differences: Sequence[Difference | None], reference: int | None, *, sign: int
) -> tuple[int, ...]:
    """Return the groups with scores by paired difference, the lowest first (the highest with sign -1).

    Means over different seeds are not comparable. Groups without a common seed with the reference come last; without
    a reference the means decide.
    """

    def key(number: int) -> tuple[bool, float]:
        if reference is None:
            return False, sign * fmean(scores[number].values())
        one = differences[number]
        mean = one.mean if one else 0.0 if number == reference else None
        return mean is None, sign * (mean or 0.0)

    return tuple(sorted((number for number, of_group in enumerate(scores) if of_group), key=key))


def _final_scores(runs: Sequence[Run], column: Column, group: Group) -> dict[int, float]:
    scores = {}
    for number, seed in zip(group.runs, group.seeds, strict=True):
        score, asked = column.lasts[number], runs[number].asked_steps
        if score and (score.step is None or asked is None or score.step >= asked) and math.isfinite(score.value):
            scores[seed] = score.value
    return scores


def _reference(runs: Sequence[Run], groups: Sequence[Group], with_scores: Sequence[int]) -> int | None:
    marked = next((number for number, group in enumerate(groups) if group.is_reference), None)
    if marked in with_scores:
        return marked
    originals = [str(runs[group.runs[0]].data.get("fingerprint")) for group in groups]
    if marked is None or originals[marked] in [originals[number] for number in with_scores]:
        return None
    plain = (number for number in with_scores if runs[groups[number].runs[0]].policy == "none")
    return next(plain, with_scores[0] if with_scores else None)
