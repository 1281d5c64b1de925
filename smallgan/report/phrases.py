"""Rankings -> sentences: which differences are significant, how large they are, and what the study could detect."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smallgan.metrics.memorisation.sheet_facts import SheetFacts
from smallgan.metrics.score import STRUCK, Score
from smallgan.report.charts import number
from smallgan.report.collect import Report
from smallgan.report.ranking import MetricRanking
from smallgan.report.verdict import FEW_SEEDS, Difference

_ALL_STRUCK = (
    "No conclusion: the networks of these scores helped to train a model shown here. Other networks can judge: "
    "smallgan score RUN --features panel."
)
_UNEQUAL = 1.01  # Training lengths further apart than this factor are said to differ


@dataclass(frozen=True)
class Verdict:
    """The result for one metric."""

    sentence: str
    details: tuple[str, ...]


def verdicts(report: Report) -> tuple[Verdict, ...]:
    """Return a verdict for each ranking of the headline; () with fewer than two policies."""
    if len(report.groups) < 2 or not report.rankings:
        return ()
    if not report.headline:
        return (Verdict(_ALL_STRUCK, ()),)
    results = [_verdict(report, ranking) for ranking in report.headline]
    if len({ranking.label for ranking in report.headline}) == len(results):
        return tuple(results)
    names = [_originals_of(report, ranking) for ranking in report.headline]
    return tuple(Verdict(f"{name}: {one.sentence}", one.details) for name, one in zip(names, results, strict=True))


def conclusion_phrase(ranking: MetricRanking, one: Difference | None) -> str:
    """Return the conclusion on one policy as the table shows it."""
    if ranking.is_struck and one is not None:
        return "struck: no judge"
    if one is None:
        return "reference" if ranking.reference is not None else "no reference"
    if one.conclusion == "not tested" and one.mean == 0 and len(one.seeds) > 1:
        return "identical"
    if one.conclusion == "not tested":
        return "not tested (one seed)" if len(one.seeds) == 1 else f"not tested: {one.why}"
    if not one.is_significant:
        return "not significant"
    word = one.conclusion if ranking.better is None else "better" if one.conclusion == ranking.better else "worse"
    if word == "better" and one.copies_rise:
        return f"{one.conclusion}, but it copies more"
    return f"{word} (few seeds)" if one.has_few_seeds else word


def baseline_phrase(scores: Sequence[Score | None]) -> str:
    """Return the real-vs-real baseline of some scores, or its range, with its numbers of images; "" without one."""
    known = [score for score in scores if score and score.baseline is not None]
    if not known:
        return ""
    values = [score.baseline for score in known if score.baseline is not None]
    counts = {score.baseline_counts for score in known}
    fakes, reals = (counts.pop() if len(counts) == 1 else None) or (None, None)
    images = "" if fakes is None else f" ({fakes:,}{'' if reals is None else f' vs {reals:,}'} images)"
    return f"real-vs-real baseline {_range(values)}{images}"


def sheet_phrase(sheet: SheetFacts) -> str:
    """Return what the sheet of the fakes nearest to training images shows, in a few sentences."""
    rows, copies, of_added = sheet.rows, sheet.num_copies, sheet.num_of_added
    text = (
        f"The {len(rows)} of {sheet.num_fake:,} samples that are nearest to a training image, each above its nearest "
        f"original; distances {_range([row.least for row in rows])} in the features of {sheet.features}."
    )
    if of_added:
        which = "1 of them is" if of_added == 1 else f"{of_added} of them are"
        text += f" {which} nearer to an added image, shown below it."
    if copies is None:
        return f"{text} There are too few originals to set a distance for copies."
    counted = "none of these does" if not copies else f"{copies} of these {'does' if copies == 1 else 'do'}"
    return f"{text} A sample closer than {number(sheet.copy_distance or 0)} to an original counts as a copy: {counted}."


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return `a, b and c`."""
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)


def _verdict(report: Report, ranking: MetricRanking) -> Verdict:
    caveats = tuple(_caveats(report, ranking))
    if ranking.reference is None:
        return Verdict(f"No conclusion yet: the reference {report.reference} has no final score.", caveats)
    reference = report.groups[ranking.reference].name
    others = [one for one in ranking.differences if one]
    if not others:
        sentence, details = _alone(report, ranking, reference)
        return Verdict(sentence, (*details, *caveats))
    if not ranking.tested:
        return _untested(others, caveats, report)
    significant = [one for one in ranking.tested if one.is_significant]
    seeds = _seeds(significant or ranking.tested)
    sentence = _sentence(ranking, significant, reference, report.nouns, seeds)
    runs = [report.runs[number] for group in report.groups for number in group.runs]
    if not any(run.data.get("holdout") for run in runs):
        sentence += " Nothing is held out, so copies of the training images would score as well."
    return Verdict(sentence, (*_details(ranking, significant, reference), *caveats))


def _alone(report: Report, ranking: MetricRanking, reference: str) -> tuple[str, tuple[str, ...]]:
    """Return why there is nothing to compare with where one policy alone has a final score, and what to do about it."""
    dataset = report.columns[ranking.column].dataset
    lacking = [
        group
        for number, group in enumerate(report.groups)
        if not ranking.scores[number] and report.datasets[group.runs[0]] == dataset
    ]
    runs = [report.runs[number] for group in lacking for number in group.runs]
    names = listed([group.name for group in lacking])
    if not lacking:
        return f"No comparison: {reference} is the only {report.noun} on these images.", ()
    if not any(run.is_finished for run in runs):
        return f"No comparison yet: {names} {'is' if len(lacking) == 1 else 'are'} not finished.", ()
    judge = report.columns[ranking.column].identity.get("features") or ranking.label
    names = listed([group.name for group in lacking])
    sentence = (
        f"No comparison: {reference} was scored by {judge}, and {names} {'was' if len(lacking) == 1 else 'were'} not."
    )
    details = []
    for network, helped in _struck(report, dataset).items():
        details.append(f"{network} does not count as a judge here: it helped to train {listed(helped)}.")
    places = listed([run.label for run in runs[:3]]) + (" and the others" if len(runs) > 3 else "")
    advice = f"Score {places} by the same judge: smallgan score RUN --features {'panel' if details else judge}."
    return sentence, (*details, advice)


def _struck(report: Report, dataset: str) -> dict[str, list[str]]:
    """Return the networks whose scores do not count, with the labels of the runs that they helped to train."""
    found: dict[str, dict[str, None]] = {}
    for column in (column for column in report.columns if column.dataset == dataset):
        for run, score in zip(report.runs, column.lasts, strict=True):
            if score and score.standing == STRUCK:
                found.setdefault(str(column.identity.get("features")), {})[run.label] = None
    return {network: list(labels) for network, labels in found.items()}


def _untested(others: Sequence[Difference], caveats: tuple[str, ...], report: Report) -> Verdict:
    if any(len(one.seeds) > 1 for one in others):
        return Verdict(f"No conclusion: {'; '.join(dict.fromkeys(one.why for one in others))}.", caveats)
    advice = (
        "With one seed the variance between runs cannot be estimated, so a difference may be chance. Run every "
        f"{report.noun} with at least {FEW_SEEDS} seeds; two to four give a preliminary result."
    )
    return Verdict("No conclusion: only one seed each.", (advice, *caveats))


def _sentence(ranking: MetricRanking, significant: Sequence[Difference], reference: str, nouns: str, seeds: str) -> str:
    """Return which policies differ from the reference and by how much.

    Args:
        ranking: of the headline metric.
        significant: the differences to name; may be empty.
        reference: name of the reference.
        nouns: "policies" or "variants".
        seeds: how many, as "5 seeds".
    """
    if not significant:
        policies = [one.policy for one in ranking.tested]
        which = f"{policies[0]} and" if len(policies) == 1 else f"any of the {len(policies)} {nouns} and"
        return f"No significant difference in {ranking.label} between {which} the reference {reference} ({seeds})."
    parts: list[str] = []
    for (direction, verb), copying in itertools.product((("lower", "lower"), ("higher", "raise")), (False, True)):
        is_better = direction == ranking.better
        same = [
            one for one in significant if one.conclusion == direction and (one.copies_rise and is_better) == copying
        ]
        if same:
            effect = "" if ranking.better is None else " (better)" if is_better else " (worse)"
            effect = " (not called better, as copies of training images rise)" if copying else effect
            verb = f"{verb}s" if len(same) == 1 else verb
            parts.append(f"{_names(same)} {verb} {'it' if parts else ranking.label} by {_sizes(same)}{effect}")
    start = "Preliminary: " if any(one.has_few_seeds for one in significant) else ""
    return f"{start}{'; '.join(parts)}, compared with {reference} over {seeds}."


def _details(ranking: MetricRanking, significant: Sequence[Difference], reference: str) -> list[str]:
    sentences = []
    others = [one for one in ranking.tested if not one.is_significant]
    has_few_seeds = any(one.has_few_seeds for one in significant or ranking.tested)
    if has_few_seeds:
        sentences.append(f"With fewer than {FEW_SEEDS} seeds the result is preliminary: {_power(ranking.tested)}.")
    if others and significant:
        sentences.append(f"No significant difference between {_names(others, 'or')} and {reference}.")
    if others:
        power = "" if has_few_seeds else f": {_power(others)}"
        sentences.append(f"A difference that is not significant is not evidence of no effect{power}.")
    if ranking.better is None and significant:
        sentences.append("Whether lower or higher is better depends on the question; see the notes on the scores.")
    better = [one for one in significant if one.conclusion == ranking.better]
    if len(better) > 1:
        sentences.append(f"Differences between {_names(better)} were not tested.")
    untested = [one for one in ranking.differences if one and one.conclusion == "not tested"]
    return [*sentences, *(f"Not tested: {one.policy}, because {one.why}." for one in untested)]


def _caveats(report: Report, ranking: MetricRanking) -> Iterator[str]:
    """Yield what speaks against comparing the policies: fewer final scores than others, or another training length."""
    counts = [(report.groups[index].name, len(ranking.scores[index])) for index in ranking.order]
    most = max((count for _, count in counts), default=0)
    lacking = [f"{name} ({count} of {most})" for name, count in counts if count < most]
    if lacking:
        yield (
            f"Missing seeds: {listed(lacking)}. If a {report.noun} makes runs fail, the remaining runs overstate how "
            "well it does."
        )
    runs = [report.runs[number] for index in ranking.order for number in report.groups[index].runs]
    images = [run.asked_steps * run.batch_size for run in runs if run.asked_steps and run.batch_size]
    low, high = min(images, default=0), max(images, default=0)
    if high > low * _UNEQUAL:
        yield f"Training length differs: {low:,} to {high:,} images per run, which by itself changes scores."


def _sizes(differences: Sequence[Difference]) -> str:
    texts = []
    for one in differences:
        assert one.mean is not None
        assert one.interval is not None
        low, high = sorted(bound if one.mean > 0 else -bound for bound in one.interval)
        texts.append(f"{number(abs(one.mean))} [{number(low)}, {number(high)}]")
    return listed(texts)


def _power(differences: Sequence[Difference]) -> str:
    sizes = [one.min_detectable for one in differences if one.min_detectable is not None]
    return f"this study has 80 % power to detect a difference of {_range(sizes)}"


def _range(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _names(differences: Sequence[Difference], word: str = "and") -> str:
    return listed([one.policy for one in differences], word)


def _seeds(differences: Sequence[Difference]) -> str:
    counts = [len(one.seeds) for one in differences]
    return f"{min(counts)} seeds" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} seeds"


def _originals_of(report: Report, ranking: MetricRanking) -> str:
    run = report.runs[report.groups[ranking.order[0]].runs[0]] if ranking.order else report.runs[0]
    return f"{run.source.rpartition('/')[2]} ({ranking.label})"
