"""Standings -> sentences: what was found, how sure it is, and what would have gone unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smallgan.metrics.memorisation.sheet_facts import SheetFacts
from smallgan.metrics.score import Score
from smallgan.report.charts import number
from smallgan.report.collect import Report
from smallgan.report.columns import Column
from smallgan.report.ranking import Standing, unequal_images
from smallgan.report.verdict import FEW_SEEDS, Difference


@dataclass(frozen=True)
class Verdict:
    """What the first screen says of one measure."""

    sentence: str
    details: tuple[str, ...]


def verdicts(report: Report) -> tuple[Verdict, ...]:
    """Return a verdict for each standing of the headline; () where there are no two policies with scores."""
    if len(report.groups) < 2 or not report.standings:
        return ()
    found = [_verdict(report, standing) for standing in report.headline]
    if len({standing.label for standing in report.headline}) == len(found):
        return tuple(found)
    names = [_originals_of(report, standing) for standing in report.headline]
    return tuple(Verdict(f"{name}: {one.sentence}", one.details) for name, one in zip(names, found, strict=True))


def call_words(standing: Standing, one: Difference | None) -> str:
    """Return the verdict of one policy as the ranked table shows it."""
    if one is None:
        return "reference" if standing.reference is not None else "no reference"
    if one.call == "untested" and one.mean == 0 and len(one.seeds) > 1:
        return "the same"
    if one.call == "untested":
        return "no verdict (one seed)" if len(one.seeds) == 1 else f"no verdict: {one.why}"
    if one.call == "no evidence":
        return "no evidence"
    word = one.call if standing.better is None else "better" if one.call == standing.better else "worse"
    return f"suggests {word}" if one.only_suggests else word


def baseline_words(score: Score) -> str:
    """Return what reals read in the place of the fakes, and how many of them; "" where that is not known."""
    if score.baseline is None:
        return ""
    return f"reals read {number(score.baseline)}{_baseline_counts([score])}"


def baselines_words(column: Column) -> str:
    """Return what reals read in a column's newest scores, in a sentence; "" where none tells."""
    known = [score for score in column.lasts if score and score.baseline is not None]
    if not known:
        return ""
    low, high = (number(pick(score.baseline for score in known if score.baseline is not None)) for pick in (min, max))
    values = low if low == high else f"{low} to {high}"
    return f"Real images in the place of the fakes read {values}{_baseline_counts(known)}."


def _baseline_counts(scores: Sequence[Score]) -> str:
    """Return how many reals stood against how many others, "" where that is not the same for all scores."""
    counts = {score.baseline_counts for score in scores}
    fakes, reals = (counts.pop() if len(counts) == 1 else None) or (None, None)
    if fakes is None:
        return ""
    return f" ({fakes:,} images)" if reals is None else f" ({fakes:,} against {reals:,} images)"


def nearest_words(found: SheetFacts) -> str:
    """Return what the sheet of the fakes nearest to training images shows, in a few sentences."""
    rows, copies, of_added = found.rows, found.num_copies, found.num_of_added
    text = (
        f"{len(rows)} of {found.num_fake:,} samples, the nearest first, each above the original nearest to it: "
        f"distances to the nearest training image {number(rows[0].least)} to {number(rows[-1].least)} in the features "
        f"of {found.features}."
    )
    if of_added:
        which = "1 of them is" if of_added == 1 else f"{of_added} of them are"
        text += f" {which} nearer to an image that was added, shown below."
    if copies is None:
        return f"{text} There are too few originals to say how near a copy lies."
    counted = "none of these does" if not copies else f"{copies} of these {'does' if copies == 1 else 'do'}"
    return f"{text} A sample nearer than {number(found.copy_distance or 0)} to an original counts as a copy: {counted}."


def listed(words: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _verdict(report: Report, standing: Standing) -> Verdict:
    caveats = (*_missing(report, standing), *_caveats(report, standing))
    if standing.reference is None:
        return Verdict(f"No verdict: {report.reference} has no score at the end of its training yet.", caveats)
    reference = report.groups[standing.reference].name
    others = [one for one in standing.differences if one]
    if not others:
        return Verdict(f"No verdict: only {reference} has scores at the end of training yet.", caveats)
    if not standing.tested:
        return _untested(others, caveats, report.noun)
    called = [one for one in standing.tested if one.is_called]
    num_seeds = sorted({len(one.seeds) for one in called or standing.tested})
    is_hint = any(one.only_suggests for one in called or standing.tested)
    sentence = _sentence(standing, called, reference, report.nouns, num_seeds, is_hint=is_hint)
    return Verdict(sentence, (*_details(standing, called, reference, num_seeds, is_hint=is_hint), *caveats))


def _untested(others: Sequence[Difference], caveats: tuple[str, ...], noun: str) -> Verdict:
    if all(len(one.seeds) <= 1 for one in others):
        return Verdict(
            "No verdict: one seed each.",
            (
                f"Two runs of one {noun} under two seeds differ too, and one run of each cannot tell that luck from "
                f"what a {noun} does. Repeat every {noun} under more seeds: "
                f"{FEW_SEEDS} make a verdict, two to four a hint.",
                *caveats,
            ),
        )
    reasons = dict.fromkeys(one.why for one in others)
    return Verdict(f"No verdict: {'; '.join(reasons)}.", caveats)


def _sentence(
    standing: Standing,
    called: Sequence[Difference],
    reference: str,
    nouns: str,
    num_seeds: Sequence[int],
    *,
    is_hint: bool,
) -> str:
    seeds = _seeds(num_seeds)
    if not called:
        policies = [one.policy for one in standing.tested]
        which = f"{policies[0]} changes" if len(policies) == 1 else f"any of the {len(policies)} {nouns} changes"
        return f"No evidence that {which} {standing.label} against {reference} ({seeds})."
    parts: list[str] = []
    if standing.better is None:
        for call, verb in (("lower", "lower"), ("higher", "raise")):
            of_call = [one for one in called if one.call == call]
            if of_call:
                what = "it" if parts else standing.label
                parts.append(f"{_names(of_call)} {_verb(of_call, verb)} {what} {_by(of_call)}")
    else:
        for helps in (True, False):
            of_kind = [one for one in called if (one.call == standing.better) is helps]
            if of_kind:
                goes = "falls" if of_kind[0].call == "lower" else "rises"
                what = "it" if parts else standing.label
                parts.append(
                    f"{_names(of_kind)} {_verb(of_kind, 'help' if helps else 'hurt')}: {what} {goes} {_by(of_kind)}"
                )
    text = "; ".join(parts)
    start = f"{seeds[0].upper()}{seeds[1:]} suggest that {text}" if is_hint else f"{text}"
    end = f", against {reference}." if is_hint else f", against {reference} over {seeds}."
    return start[0].upper() + start[1:] + end if is_hint else start + end


def _details(
    standing: Standing, called: Sequence[Difference], reference: str, num_seeds: Sequence[int], *, is_hint: bool
) -> tuple[str, ...]:
    sentences = []
    silent = [one for one in standing.tested if not one.is_called]
    if called and silent:
        sentences.append(f"No evidence that {_names(silent, 'or')} differs from {reference}.")
    if silent:
        sentences.append(
            "That is not evidence of no effect: four times out of five this study finds differences of "
            f"{_detectable(silent)} or more, and smaller ones less often."
        )
    if is_hint:
        sentences.append(
            f"With fewer than {FEW_SEEDS} seeds this is a hint and no verdict; the smallest difference that "
            f"{_seeds(num_seeds)} find four times out of five is {_detectable(standing.tested)}."
        )
    if standing.better is None and called:
        sentences.append("Whether lower or higher is better here depends on the question; see below the table.")
    helping = [one for one in called if one.call == standing.better]
    if len(helping) > 1:
        sentences.append(f"Which of {_names(helping)} is the better one was not tested.")
    untested = [one for one in standing.differences if one and one.call == "untested"]
    sentences += [f"No verdict on {one.policy}: {one.why}." for one in untested]
    return tuple(sentences)


def _missing(report: Report, standing: Standing) -> tuple[str, ...]:
    """Name policies that lack final scores which others have: what is left of them may be the lucky part."""
    counts = [len(of_group) for of_group in standing.scores]
    lacking = [
        f"{report.groups[place].name} ({counts[place]} of {max(counts)})"
        for place in standing.order
        if counts[place] < max(counts)
    ]
    if not lacking:
        return ()
    return (
        f"Fewer seeds than the others have: {listed(lacking)}. Where a {report.noun} makes runs fail, those left "
        "flatter it.",
    )


def _caveats(report: Report, standing: Standing) -> tuple[str, ...]:
    unequal = unequal_images(report.runs, [report.groups[place] for place in standing.order])
    if unequal is None:
        return ()
    low, high = unequal
    return (
        f"The runs were not trained alike: from {low:,} to {high:,} images were shown, and more training alone changes "
        "scores.",
    )


def _by(found: Sequence[Difference]) -> str:
    """Return `by 0.034 [0.021, 0.047]` for each, without a sign."""
    texts = []
    for one in found:
        assert one.mean is not None
        assert one.interval is not None
        low, high = sorted(bound if one.mean > 0 else -bound for bound in one.interval)
        texts.append(f"by {number(abs(one.mean))} [{number(low)}, {number(high)}]")
    return listed(texts)


def _detectable(found: Sequence[Difference]) -> str:
    sizes = sorted(one.detectable for one in found if one.detectable is not None)
    low, high = number(sizes[0]), number(sizes[-1])
    return low if low == high else f"{low} to {high}"


def _names(found: Sequence[Difference], word: str = "and") -> str:
    names = [one.policy for one in found]
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else names[0]


def _verb(found: Sequence[Difference], verb: str) -> str:
    return f"{verb}s" if len(found) == 1 else verb


def _seeds(counts: Sequence[int]) -> str:
    low, high = counts[0], counts[-1]
    return f"{low} seeds" if low == high else f"{low} to {high} seeds"


def _originals_of(report: Report, standing: Standing) -> str:
    """Name the originals of a standing, where one measure has several columns."""
    run = report.runs[report.groups[standing.order[0]].runs[0]] if standing.order else report.runs[0]
    source = str(run.data.get("source") or run.recipe.get("data.source") or "the sample set")
    return f"{source.replace(chr(92), '/').rstrip('/').rpartition('/')[2]} ({standing.label})"
