"""What the readings of a run say: is it getting worse, is it collapsing, does it copy? From the readings alone.

A reading is a line of diagnostics.jsonl: `step`, and what there is of `merit`, `merit_low`, `merit_high`, `copies`,
`copies_expected`, `num_fake`, `recall`, `alike` (`smallgan.metrics.snapshot_reading`), `told_apart` and `r_v`
(`smallgan.training.probe`). Nothing is remembered between two calls, so a resumed run warns as an uninterrupted one.
Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from augment.core.shares import wilson
from smallgan.tables.method_terms import Term
from smallgan.tables.metrics import selection_metric

Reading = Mapping[str, float]

WORSE_SNAPSHOTS = 3  # So many in a row: one or two bad snapshots are within what a GAN does from one to the next
RECALL_SHARE, RECALL_DROP = 0.5, 0.1  # The drop is two standard errors of a share of 100 images: less may be chance
ALIKE, ALIKE_SHARE = 0.5, 0.7  # Short trainings that improved had 0.53 to 1.02 (32 px, 180 faces); equal samples have 0
TOLD_APART, FIRST_SNAPSHOTS = 0.99, 2
"""DCGANs that trained well had 0.76 to 0.96 (64 px, 1,000 faces). At first any discriminator is ahead. Where samples
are better than ever before, the generator learns all the same, and nothing is said."""
OVERFITTING = 0.5  # r_v where held-out images score nearer to fakes than to training images
COPIES, COPIES_EXPECTED = 0.05, 2.0
"""Copy rate, by the lower end of its interval: 1 % is expected of new images. Of few training images more is expected
(`smallgan.metrics.memorisation.rates`), 8 % for 24; so many times that is not chance."""

TERMS = (
    Term(
        "r_v",
        "Overfitting of the discriminator (r_v)",
        note="0: held-out images score as training images do; 1: as fakes do. Above 0.5 it knows the training images "
        "by heart. ",
    ),
    Term(
        "told_apart",
        "Training images told from fakes",
        note="Probability that the discriminator scores a training image above a fake. At 1 the generator learns "
        "nothing more. ",
    ),
    Term("copies", "Copies of training images", note="Share of the samples. "),
    Term(
        "recall",
        "Variety of the samples",
        "recall",
        "Solid: share of real images among the samples; dashed: distance between samples over that between real "
        "images. Both fall in a collapse. ",
    ),
    Term("alike", "Variety of the samples", "distance"),
)
"""How the report draws the readings."""


@dataclass(frozen=True)
class TrainingWarning:
    """Something to look at, and what to do about it."""

    step: int  # Of the snapshot that shows it
    text: str


def warnings(readings: Sequence[Reading]) -> list[TrainingWarning]:
    """Return what the readings of a run warn of, in their order.

    What goes on is said once; what ended and begins again is said again. The first readings of a run give the same
    warnings whatever follows.

    Args:
        readings: ascending in `step`.
    """
    return [one for end in range(1, len(readings) + 1) for one in newest(readings[:end])]


def newest(readings: Sequence[Reading]) -> list[TrainingWarning]:
    """Return those of `warnings` that the last reading gives."""
    texts = [text for rule in _RULES if (text := rule(readings)) and not rule(readings[:-1])]
    return [TrainingWarning(int(readings[-1]["step"]), text) for text in texts]


def best_of(readings: Sequence[Reading]) -> Reading | None:
    """Return the reading with the lowest merit after step 0, None where none has one."""
    return min((one for one in readings if one["step"] and "merit" in one), key=lambda one: one["merit"], default=None)


def summary(readings: Sequence[Reading], best_step: int, run: str) -> str | None:
    """Return a sentence on the best and the last checkpoint; None where they have no merit."""
    merits = {int(one["step"]): one for one in readings if "merit" in one}
    if best_step not in merits:
        return None
    last, best = max(merits), merits[best_step]
    measured = f"{selection_metric().title} {_merit(best)} against the images that select it"
    if last == best_step:
        return f"the last checkpoint is the best, step {best_step:,}: {measured}. Sample it: smallgan sample {run}"
    return (
        f"best checkpoint: step {best_step:,}, {measured}; the last, step {last:,}, has {merits[last]['merit']:.4f}. "
        f"Sample the best: smallgan sample {run} --checkpoint best"
    )


def _merit(reading: Reading) -> str:
    if "merit_low" not in reading:
        return f"{reading['merit']:.4f}"
    return f"{reading['merit']:.4f} [{reading['merit_low']:.4f}, {reading['merit_high']:.4f}]"


def _worse(readings: Sequence[Reading]) -> str | None:
    with_merit = [one for one in readings if one["step"] and "merit" in one]
    best, last = best_of(readings), with_merit[-WORSE_SNAPSHOTS:]
    if best is None or "merit_low" not in best or best in last or len(last) < WORSE_SNAPSHOTS:
        return None
    margin = (best["merit_high"] - best["merit_low"]) / 2
    if best["merit"] + margin >= readings[0].get("merit", best["merit"]):  # nothing learned yet: it may still begin to
        return None
    if min(one["merit"] for one in last) <= best["merit"] + margin:
        return None
    now = ", ".join(f"{one['merit']:.4f}" for one in last)
    return (
        f"it has been getting worse since step {int(best['step']):,}: {selection_metric().title} {_merit(best)} there, "
        f"{now} at the last {WORSE_SNAPSHOTS} snapshots. The checkpoint of step {int(best['step']):,} is kept: take it "
        "with --checkpoint best (smallgan sample, smallgan score); more steps will hardly help"
    )


def _worse_than_start(readings: Sequence[Reading]) -> str | None:
    """Of a run that began with weights whose samples varied already; those of fresh weights do not."""
    start, later = (readings or [{}])[0], [one["merit"] for one in readings[1:] if "merit" in one]
    if "merit_high" not in start or start.get("alike", 0) < ALIKE or len(later) < WORSE_SNAPSHOTS:
        return None
    if min(later) <= start["merit_high"]:
        return None
    return (
        f"every snapshot is worse than the weights it began with: {selection_metric().title} {_merit(start)} at step "
        f"{int(start['step']):,}, {later[-1]:.4f} now. Sample those weights themselves, or train anew with lower "
        "learning rates"
    )


def _variety(readings: Sequence[Reading]) -> str | None:
    found = _fell(readings, "recall", lambda value, high: value <= RECALL_SHARE * high and high - value >= RECALL_DROP)
    if found is None:
        return None
    high, last = found
    return (
        f"the samples lose variety: recall was {high['recall']:.2f} at step {int(high['step']):,} and is "
        f"{last['recall']:.2f}. {_against_collapse(last)}"
    )


def _alike(readings: Sequence[Reading]) -> str | None:
    found = _fell(readings, "alike", lambda value, high: value < min(ALIKE, ALIKE_SHARE * high))
    if found is None:
        return None
    high, last = found
    return (
        f"the samples grow alike: they lie {last['alike']:.2f} times as far apart as real images, and "
        f"{high['alike']:.2f} times at step {int(high['step']):,}. {_against_collapse(last)}"
    )


def _fell(
    readings: Sequence[Reading], name: str, is_low: Callable[[float, float], bool]
) -> tuple[Reading, Reading] | None:
    """Return the reading with the highest value and the last, where the last two are low beside what came before."""
    having = [one for one in readings if name in one]
    for end in (len(having) - 1, len(having)):
        if end < 2 or not is_low(having[end - 1][name], max(one[name] for one in having[: end - 1])):
            return None
    return max(having, key=lambda one: one[name]), having[-1]


def _against_collapse(reading: Reading) -> str:
    if "told_apart" not in reading:
        return "Train anew with fewer --steps, or with a lower learning rate"
    return (
        "Train anew with a lower rate, as by --set method.lr_d=0.0001, or with --diffaugment color,translation where "
        "it was off"
    )


def _saturated(readings: Sequence[Reading]) -> str | None:
    last = _twice(readings[FIRST_SNAPSHOTS:], "told_apart", lambda one: one["told_apart"] > TOLD_APART)
    if last is None or last is best_of(readings):
        return None
    return (
        f"the discriminator tells training images from fakes in {100 * last['told_apart']:.1f} % of pairs, so the "
        "generator learns little from it. Train anew with a lower rate, as by --set method.lr_d=0.0001, or with "
        "--diffaugment color,translation where it was off"
    )


def _overfits(readings: Sequence[Reading]) -> str | None:
    last = _twice(readings, "r_v", lambda one: one["r_v"] > OVERFITTING)
    if last is None:
        return None
    return (
        f"the discriminator knows the training images by heart: r_v is {last['r_v']:.2f}, where at 0 held-out images "
        "score as training images and at 1 as fakes. Train anew with --diffaugment color,translation where it was off, "
        "else with fewer --steps"
    )


def _twice(readings: Sequence[Reading], name: str, shows: Callable[[Reading], bool]) -> Reading | None:
    """Return the last reading where it and the one before have the number and show it."""
    last = readings[-2:]
    return last[1] if len(last) == 2 and all(name in one and shows(one) for one in last) else None


def _copies(readings: Sequence[Reading]) -> str | None:
    last = readings[-1] if readings else {}
    if not {"copies", "copies_expected", "num_fake"} <= last.keys():
        return None
    low, high = wilson(last["copies"], int(last["num_fake"]))
    if low <= max(COPIES, COPIES_EXPECTED * last["copies_expected"]):
        return None
    other = " or with --diffaugment color,translation" if "told_apart" in last else ""
    return (
        f"{100 * last['copies']:.1f} % of the samples are copies of training images [{100 * low:.1f} %, "
        f"{100 * high:.1f} %]; of new images {100 * last['copies_expected']:.1f} % would be. See them with smallgan "
        f"score RUN --worst copies.png; train anew with fewer --steps{other}"
    )


_RULES: tuple[Callable[[Sequence[Reading]], str | None], ...] = (
    *(_worse, _worse_than_start, _variety, _alike),
    *(_saturated, _overfits, _copies),
)
