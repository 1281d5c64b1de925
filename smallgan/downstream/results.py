"""The trained classifiers of a study -> its results: intervals, differences, learning curve."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smallgan.data.confusion import confusion
from smallgan.downstream.arms import Arm
from smallgan.downstream.compare import Estimate, differences, estimate, seeds_needed
from smallgan.downstream.curve import worth
from smallgan.downstream.data import LabelledSet, Synthetic
from smallgan.downstream.measures import HEADLINE, MEASURES, Measure
from smallgan.downstream.task import Probabilities
from smallgan.report.downstream_page import FORMAT
from smallgan.report.verdict import Difference

MOST_MOVED = 12  # Images that changed sides, each way
MOVED_SHARE = 0.5  # An image changed sides where the share of seeds that are right about it changed by so much


@dataclass(frozen=True)
class Found:
    """All trained classifiers of one variant with one number of images: a row a seed."""

    records: list[dict[str, Any]]
    predictions: list[Probabilities]

    def values(self, measure: str) -> list[float]:
        """Return the measure under each seed."""
        return [record["measures"][measure][0] for record in self.records]

    def table(self, measure: str) -> NDArray[np.float64]:
        """Return its pseudo-values, seeds x groups of test images."""
        return np.array([record["measures"][measure][1:] for record in self.records])


def summarised(
    arms: Sequence[Arm],
    numbers: Sequence[int | None],
    seeds: Sequence[int],
    found: Mapping[tuple[str, int | None], Found],
    images: LabelledSet,
    synthetic: Mapping[str, Synthetic],
) -> dict[str, Any]:
    """Return results.json: the same trials give the same text, whenever and in whatever order they were trained."""
    reference = next(arm for arm in arms if arm.is_reference)
    rows = [row for number in numbers for row in _rows(arms, number, seeds, found)]
    per_class = len(images.split.train) / len(images.classes)
    known = [per_class if number is None else number for number in numbers]
    accuracy = {arm.name: [float(np.mean(found[arm.name, one].values(HEADLINE))) for one in numbers] for arm in arms}
    last = numbers[-1]
    ends = sorted(arms, key=lambda arm: float(np.mean(found[arm.name, last].values(HEADLINE))))
    results: dict[str, Any] = {
        "format": FORMAT,
        "classifier": reference.section.classifier.model_dump(mode="json"),
        "reference": reference.name,
        "variants": [arm.name for arm in arms],
        "seeds": list(seeds),
        "per_class": known,
        "classes": images.classes,
        "num_test": len(images.split.test),
        "num_train": {arm.name: found[arm.name, last].records[0]["images"] for arm in arms},
        "steps": found[reference.name, last].records[0]["steps"],
        "num_validation": found[reference.name, last].records[0].get("num_validation", 0),
        "fingerprint": images.record["fingerprint"],
        "num_alike": images.split.num_alike,
        "rows": rows,
        "recalls": {
            arm.name: np.mean([r["recalls"] for r in found[arm.name, last].records], 0).tolist() for arm in arms
        },
        "confusions": {arm.name: _confusion(found[arm.name, last], images) for arm in (ends[-1], ends[0])},
        "moved": {arm.name: moved_images(found, reference, arm, last, images) for arm in arms if arm is not reference},
        "audits": {
            name: {
                "num_images": one.audit.num_images,
                "left_out": one.audit.like_test,
                "num_like_train": one.audit.like_train,
            }
            for name, one in synthetic.items()
        },
        "worth": worth(known, accuracy, reference.name) if len(numbers) > 1 else [],
    }
    return results


def _rows(
    arms: Sequence[Arm],
    number: int | None,
    seeds: Sequence[int],
    found: Mapping[tuple[str, int | None], Found],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each measure and variant with one number of images; Holm's correction is within a measure."""
    reference = next(arm.name for arm in arms if arm.is_reference)
    for measure in MEASURES:
        values = {arm.name: found[arm.name, number].values(measure.name) for arm in arms}
        tables = {arm.name: found[arm.name, number].table(measure.name) for arm in arms}
        tested = {one.policy: one for one in differences(values, tables, reference, seeds)}
        for arm in arms:
            one = tested.get(arm.name)
            paired = np.subtract(values[arm.name], values[reference]).tolist()
            spread = estimate(paired, tables[arm.name] - tables[reference])
            yield _row(measure, arm, number, values[arm.name], tables[arm.name]) | _of_difference(
                one, spread, len(seeds), len(arms) - 1, measure.better
            )


def _row(
    measure: Measure, arm: Arm, number: int | None, values: Sequence[float], table: NDArray[np.float64]
) -> dict[str, Any]:
    whole = estimate(values, table)
    low, high = (min(max(bound, 0.0), measure.most) for bound in whole.interval) if whole.interval else (None, None)
    return {
        "per_class": number,
        "measure": measure.name,
        "better": measure.better,
        "variant": arm.name,
        "is_reference": arm.is_reference,
        "num_seeds": len(values),
        "mean": whole.mean,
        "low": low,
        "high": high,
        "by_seed": list(values),
    }


def _of_difference(
    one: Difference | None, spread: Estimate, num_seeds: int, num_variants: int, better: str
) -> dict[str, Any]:
    """Return the columns of a difference; of the reference they are empty."""
    if one is None:
        keys = ("difference", "difference_low", "difference_high", "p", "p_holm", "min_detectable_difference")
        return dict.fromkeys(keys) | {"seeds_needed": None, "conclusion": "reference"}
    low, high = one.interval or (None, None)
    needed = None if one.is_significant else seeds_needed(spread, num_seeds, num_variants)
    word = one.conclusion if not one.is_significant else "better" if one.conclusion == better else "worse"
    return {
        "difference": one.mean,
        "difference_low": low,
        "difference_high": high,
        "p": one.p,
        "p_holm": one.p_holm,
        "min_detectable_difference": one.min_detectable,
        "seeds_needed": needed,
        "conclusion": word,
    }


def _confusion(found: Found, images: LabelledSet) -> list[list[int]]:
    """Return the confusion matrices of all seeds together."""
    labels = images.test_codes
    return np.sum([confusion(labels, each) for each in found.predictions], axis=0).tolist()  # type: ignore[no-any-return]


def moved_images(
    found: Mapping[tuple[str, int | None], Found], reference: Arm, arm: Arm, number: int | None, images: LabelledSet
) -> dict[str, Any]:
    """Return the test images that a variant gets right and the reference does not, and the other way round.

    Where one of the two is wrong, the class that it takes an image for is the most frequent wrong one of its seeds.
    """
    labels = images.test_codes

    def votes(name: str) -> NDArray[np.int64]:
        return np.array([each.argmax(axis=1) for each in found[name, number].predictions])

    def wrong(classes: NDArray[np.int64], truth: int) -> str:
        return images.classes[np.bincount(classes[classes != truth]).argmax()]

    before, after = votes(reference.name), votes(arm.name)
    change = (after == labels).mean(axis=0) - (before == labels).mean(axis=0)
    moved: dict[str, Any] = {
        "num_gained": int((change >= MOVED_SHARE).sum()),
        "num_lost": int((change <= -MOVED_SHARE).sum()),
    }
    for name, sign in (("gained", 1), ("lost", -1)):
        order = np.argsort(-sign * change, kind="stable")[:MOST_MOVED]
        moved[name] = [
            {
                "place": int(at),
                "name": images.source.images[images.split.test[at]].name,
                "label": images.classes[labels[at]],
                "before": wrong(before[:, at], labels[at]) if name == "gained" else images.classes[labels[at]],
                "after": wrong(after[:, at], labels[at]) if name == "lost" else images.classes[labels[at]],
            }
            for at in order
            if sign * change[at] >= MOVED_SHARE
        ]
    return moved
