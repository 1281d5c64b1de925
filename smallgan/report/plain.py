"""What the figures of a run say, in a sentence that anybody can read; the words are those of `tables.plain_words`.

Of several judges the first that did not help to train the model speaks; where another one disagrees, that is said.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smallgan.core.study_dir import SMOKE_SUFFIX
from smallgan.metrics.score import RELATED, STRUCK, Score
from smallgan.report.charts import number
from smallgan.report.collect import Report
from smallgan.report.phrases import listed
from smallgan.report.ranking import COPIES
from smallgan.report.runs import Run, whole
from smallgan.tables.feature_networks import FEATURE_NETWORKS
from smallgan.tables.metrics import METRICS
from smallgan.tables.plain_words import COARSE, COPYING, FEW_STEPS, LOOK, copies_words, distance_words, sharpness_words

DISTANCES = ("kid", "kmmd")  # The figure of the sentence: the first of them that a judge has
FIGURES = (*DISTANCES, "sharpness", COPIES)  # All figures of the sentence, in its order


@dataclass(frozen=True)
class Plain:
    """What is said below the pictures of a run."""

    sentence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Judge:
    """The newest scores of a run by one network."""

    name: str
    scores: dict[str, Score]  # By metric

    @property
    def figure(self) -> Score | None:
        return next((self.scores[name] for name in DISTANCES if name in self.scores), None)

    @property
    def standing(self) -> str:
        return self.figure.standing if self.figure else ""

    @property
    def is_coarse(self) -> bool:
        """Whether it is no network and sees no details."""
        return self.name in FEATURE_NETWORKS and FEATURE_NETWORKS[self.name].weights is None

    @property
    def is_copying(self) -> bool:
        return bool(self.copies and self.copies.endswith(COPYING))

    @property
    def shown(self) -> str:
        """Its name for a reader: "8 x 8 pixels"."""
        return FEATURE_NETWORKS[self.name].title or self.name if self.name in FEATURE_NETWORKS else self.name

    @property
    def words(self) -> str | None:
        """How far the fakes are from the reals, and by what; None where it is not known what real images score."""
        return f"{COARSE} {self.degree}" if self.is_coarse and self.degree else self.degree

    @property
    def degree(self) -> str | None:
        figure, kmmd = self.figure, self.scores.get("kmmd")
        if figure is None or figure.baseline is None:
            return None
        known = kmmd is not None and kmmd.baseline is not None and kmmd.step == figure.step
        excess = kmmd.value - _baseline_at_its_size(kmmd) if known and kmmd is not None else None
        return distance_words(figure.interval, figure.baseline, excess)

    @property
    def numbers(self) -> str:
        """As "KID 0.350, real images 0.000"."""
        figure = self.figure
        assert figure is not None
        bounds = f" [{_short(figure.interval[0])}, {_short(figure.interval[1])}]" if figure.interval else ""
        known = "not known" if figure.baseline is None else _short(figure.baseline)
        return f"{METRICS[figure.metric].title} {_short(figure.value)}{bounds}, real images {known}"

    @property
    def copies(self) -> str | None:
        """How many are copies."""
        score = self.scores.get(COPIES)
        count = score and whole(score.identity.get("num_fake"))
        if not score or not count:
            return None
        known = [share for share in (score.baseline, score.parts.get("expected")) if share is not None]
        words = copies_words(score.value, count, score.interval, max(known, default=None))
        return words.replace(COPYING, LOOK) if self.is_coarse else words  # At 8 x 8 pixels flat images are near others


def banner(report: Report) -> str:
    """Return the warning that the numbers of the page mean nothing, for runs of a few steps; "" for others."""
    few = [run for run in report.runs if has_few_steps(run)]
    if not few:
        return ""
    if all(str(run.recipe.get("name", "")).endswith(SMOKE_SUFFIX) for run in few):
        what = "This is a smoke run: a few steps on a few images, to see that everything works."
        end = "For results, give the same command without --smoke."
    else:
        steps = sorted({run.last_step for run in few})
        span = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
        what = f"Trained for only {span} step{'s' if steps[-1] != 1 else ''}."
        end = f"Train for thousands of steps, {FEW_STEPS} at the very least."
    whose = "" if len(few) == len(report.runs) else f" ({', '.join(run.label for run in few[:5])})"
    return f"{what} The numbers{whose} mean nothing, and nor do the pictures. {end}"


def has_few_steps(run: Run) -> bool:
    """Tell whether a run was trained so shortly that its figures mean nothing."""
    return run.last_step < FEW_STEPS


def plain(report: Report, number_of_run: int) -> Plain:
    """Return what the newest scores of a run say."""
    run = report.runs[number_of_run]
    if has_few_steps(run):
        return Plain("Too little training for figures to mean anything.")
    judges, sharpness = _judges(report, number_of_run)
    struck = [judge.name for judge in judges if judge.standing == STRUCK]
    voting = [judge for judge in judges if judge.standing != STRUCK]
    voting.sort(key=lambda judge: (judge.is_coarse, judge.standing == RELATED))
    clauses = []
    if voting:
        words = voting[0].words
        clauses.append(f"{voting[0].numbers}{f': {words}' if words else ''}")
    if sharpness is not None:
        clauses.append(f"sharpness {_short(sharpness.value)}: {sharpness_words(sharpness.value)}")
    if voting and voting[0].copies:
        clauses.append(voting[0].copies)
    if not clauses and not struck:
        return Plain("Not scored yet. smallgan score RUN says how close the images are to the real ones.")
    sentence = "; ".join(clauses)
    details = [*_judged(voting), *_unjudged(voting, struck)]
    if sharpness is None:
        details.append("Is it blurred? smallgan score RUN --metrics sharpness tells.")
    if voting and not run.data.get("holdout"):
        details.append("The real images are those it was trained on: copies of them would score well too.")
    return Plain(f"{sentence[:1].upper()}{sentence[1:]}." if clauses else "", tuple(details))


def _short(value: float) -> str:
    """Return a figure of a sentence: 0.006 for 0.0056."""
    return number(round(value, 3))


def _baseline_at_its_size(kmmd: Score) -> float:
    """Return the KMMD of real images at the numbers of images of the score itself.

    The baseline is of fewer, as no image may be on both sides. Of two sets from one source the mean of KMMD^2 goes with
    1 / n + 1 / m.
    """
    baseline, counts = kmmd.baseline or 0.0, kmmd.baseline_counts
    fakes, reals = (whole(kmmd.identity.get(name)) for name in ("num_fake", "num_real"))
    if counts is None or not all((counts[0], counts[1], fakes, reals)):
        return baseline
    of_score, of_baseline = (1 / (fakes or 1) + 1 / (reals or 1)), (1 / counts[0] + 1 / (counts[1] or 1))
    return baseline * math.sqrt(of_score / of_baseline)


def _judges(report: Report, run: int) -> tuple[list[_Judge], Score | None]:
    """Return the networks that gave a run a distance to the reals, and its sharpness, each with the newest scores."""
    found: dict[str, dict[str, Score]] = {}
    sharpness = None
    for column in report.columns:
        score = column.lasts[run]
        if score is None or not math.isfinite(score.value):
            continue
        if column.metric == "sharpness":
            sharpness = score if sharpness is None or _age(score) > _age(sharpness) else sharpness
        elif column.metric in (*DISTANCES, COPIES):
            of_network = found.setdefault(str(column.identity.get("features")), {})
            older = of_network.get(column.metric)
            if older is None or _age(score) > _age(older):
                of_network[column.metric] = score
    judges = [_Judge(name, scores) for name, scores in found.items()]
    return [judge for judge in judges if judge.figure], sharpness


def _age(score: Score) -> tuple[int, int]:
    return score.step or 0, whole(score.identity.get("num_fake")) or 0


def _judged(voting: Sequence[_Judge]) -> Iterator[str]:
    """Yield by whom and on how many images, and who of the others disagrees."""
    for first in voting[:1]:
        assert first.figure is not None
        counts = [whole(first.figure.identity.get(name)) for name in ("num_fake", "num_real")]
        fakes, reals = ("an unknown number of" if count is None else f"{count:,}" for count in counts)
        step = "" if first.figure.step is None else f" at step {first.figure.step:,}"
        relative = ", a relative of a network that trained it" if first.standing == RELATED else ""
        yield f"{fakes} generated images{step} against {reals} real ones, judged by {first.shown}{relative}."
        others = [one for one in voting[1:] if one.words and first.words and one.words != first.words]
        alike = [one for one in others if one.is_coarse == first.is_coarse]
        said = [f"{one.shown} finds it {one.words} ({one.numbers})" for one in alike]
        said += [f"by {one.shown} {one.copies}" for one in voting[1:] if one.is_copying and not first.is_copying]
        if said:
            yield f"The judges disagree: {'; '.join(said)}."
        for one in others:
            if one not in alike:  # It sees less, which is no disagreement
                yield f"{COARSE.capitalize()} it is {one.degree} ({one.numbers})."


def _unjudged(voting: Sequence[_Judge], struck: Sequence[str]) -> Iterator[str]:
    """Yield which networks do not count, and what nobody has judged."""
    names = listed(struck)
    if struck and voting:
        yield f"{names} helped to train this model and {'does' if len(struck) == 1 else 'do'} not count."
    elif struck:
        yield (
            f"How close it is to the real images is not known: {names} helped to train this model, and no other "
            "network has judged it. Others can: smallgan score RUN --features panel."
        )
