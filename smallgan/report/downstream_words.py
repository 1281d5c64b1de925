"""Results of a downstream study -> sentences and a table in text. Plain values in and out; no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from smallgan.report.phrases import listed
from smallgan.report.verdict import FEW_SEEDS

Results = Mapping[str, Any]
Row = Mapping[str, Any]
HEADLINE = "accuracy"


def rows_of(results: Results, measure: str = HEADLINE, number: Any = "last") -> list[Row]:
    """Return the rows of a measure, a variant each, with one number of images a class; "last": the largest."""
    rows = [row for row in results["rows"] if row["measure"] == measure]
    wanted = rows[-1]["per_class"] if number == "last" else number
    return [row for row in rows if row["per_class"] == wanted]


def answer(results: Results) -> str:
    """Return the result in a sentence or two: which variants help the classifier, which hurt, by how much."""
    rows = rows_of(results)
    base = next(row for row in rows if row["is_reference"])
    others = [row for row in rows if not row["is_reference"]]
    if not others:
        return f"{base['variant']} alone: {percent(base['mean'])} accuracy{_range(base)}. There is nothing to compare."
    if all(row["p"] is None for row in others):
        if base["num_seeds"] < 2:
            return "No conclusion: with one seed the variance cannot be estimated. Use --seeds 5."
        if not any(row["difference"] for row in others):
            return f"No difference: every variant predicts the same as {base['variant']} under every seed."
        return f"No test was possible.{_constant(others)}"
    parts = [
        f"{row['variant']} {verb} by {_points(row)}"
        for conclusion, verb in (("better", "raises accuracy"), ("worse", "lowers accuracy"))
        for row in others
        if row["conclusion"] == conclusion
    ]
    rest = [str(row["variant"]) for row in others if row["conclusion"] == "not significant"]
    start = "Preliminary, with few seeds: " if base["num_seeds"] < FEW_SEEDS else ""
    against = f"compared with {base['variant']} ({percent(base['mean'])} accuracy)"
    if not parts:
        none = f"No significant difference to {base['variant']} ({percent(base['mean'])} accuracy)"
        return f"{start}{none}: {listed(rest)}.{_constant(others)}"
    also = f" No significant difference: {listed(rest)}." if rest else ""
    also += _constant(others)
    return f"{start}{'; '.join(parts)}, {against}.{also}"


def _constant(rows: Sequence[Row]) -> str:
    """Return a sentence on the variants that differ by the same everywhere, so that nothing could be tested."""
    found = [
        f"{row['variant']} by {100 * row['difference']:+.1f} points"
        for row in rows
        if row["p"] is None and row["difference"]
    ]
    return f" The same under every seed and for all test images, so not tested: {listed(found)}." if found else ""


def details(results: Results) -> list[str]:
    """Return what a reader of the answer has to know: what was measured, and what could have been found."""
    rows = rows_of(results)
    others = [row for row in rows if not row["is_reference"]]
    number, num_classes = rows[0]["per_class"], len(results["classes"])
    trained = results["num_train"][results["reference"]].get("original", 0)
    each = f"{number} real images in each" if number else f"{trained} real images"
    seeds = "one seed" if len(results["seeds"]) == 1 else f"{len(results['seeds'])} seeds"
    lines = [
        f"Classifier {results['classifier']['name']}, {seeds}, {num_classes} classes, {each} "
        f"to train on, {results['num_test']:,} real test images that no variant touched. Intervals are 95 %, over "
        "seeds and test images; differences are paired and corrected by Holm for the number of variants."
    ]
    if number_chosen := results.get("num_validation"):
        lines.append(f"Early stopping: {number_chosen} of the real training images chose the step and nothing else.")
    least = [row["min_detectable_difference"] for row in others if row["min_detectable_difference"] is not None]
    if least and any(row["conclusion"] == "not significant" for row in others):
        low, high = 100 * min(least), 100 * max(least)
        size = f"{low:.1f}" if round(low, 1) == round(high, 1) else f"{low:.1f} to {high:.1f}"
        lines.append(
            "A difference that is not significant is not evidence of no effect: this study has 80 % power to detect "
            f"one of {size} points."
        )
    for row in others:
        if row["conclusion"] == "not significant":
            lines.append(_needed(row))
    lines += worth_lines(results)
    lines += audit_lines(results)
    return lines


def worth_lines(results: Results) -> list[str]:
    """Return how many real images each variant is worth, a sentence each."""
    lines = []
    told = {
        (row["variant"], row["per_class"])
        for row in results["rows"]
        if row["measure"] == HEADLINE and row["conclusion"] in ("better", "worse")
    }
    # A factor of a difference that chance alone may make says nothing
    for row in (row for row in results["worth"] if (row["variant"], row["per_class"]) in told):
        bound = f"{row['bound']} " if row["bound"] else "about "
        at = f"at n = {row['per_class']:g} a class"
        lines.append(f"{row['variant']} is worth {bound}{row['factor']:.1f} times the images {at}.")
    return lines


def audit_lines(results: Results) -> list[str]:
    """Return what the audit of images from elsewhere found, a sentence each."""
    lines = []
    for name, audit in results["audits"].items():
        out = len(audit["left_out"])
        text = f"{name}: of {audit['num_images']:,} images {out} equal or look like a test image and were left out"
        lines.append(f"{text}; {audit['num_like_train']} equal or look like a training image and stayed.")
    return lines


def text_table(results: Results) -> list[str]:
    """Return the results as lines of text: a line for each variant, for each number of images a class."""
    lines = []
    for number in dict.fromkeys(row["per_class"] for row in results["rows"]):
        if number is not None:
            lines.append(f"{number} images a class")
        rows = [_cells(row, results, number) for row in rows_of(results, HEADLINE, number)]
        head = ("variant", "accuracy", "balanced", "macro F1", "log loss", "ECE", "difference", "p (Holm)", "")
        widths = [max(len(cells[at]) for cells in [head, *rows]) for at in range(len(head))]
        for cells in [head, *rows]:
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    return lines


def percent(value: float) -> str:
    """Return 0.781 as 78.1 %."""
    return f"{100 * value:.1f} %"


def _cells(row: Row, results: Results, number: Any) -> tuple[str, ...]:
    name = row["variant"]
    beside = {
        measure: next(other for other in rows_of(results, measure, number) if other["variant"] == name)
        for measure in ("balanced_accuracy", "macro_f1", "log_loss", "ece")
    }
    p = "" if row["p_holm"] is None else "<0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
    return (
        name,
        percent(row["mean"]) + _range(row),
        percent(beside["balanced_accuracy"]["mean"]),
        percent(beside["macro_f1"]["mean"]),
        f"{beside['log_loss']['mean']:.3f}",
        f"{beside['ece']['mean']:.3f}",
        "" if row["difference"] is None else _signed(row),
        p,
        str(row["conclusion"]),
    )


def _range(row: Row) -> str:
    return "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _signed(row: Row) -> str:
    text = f"{100 * row['difference']:+.1f}"
    if row["difference_low"] is None:
        return text
    return f"{text} [{100 * row['difference_low']:+.1f}, {100 * row['difference_high']:+.1f}]"


def _points(row: Row) -> str:
    """Return the size of a difference with its interval, in points."""
    sign = 1 if row["difference"] > 0 else -1
    bounds: Sequence[float] = sorted((sign * row["difference_low"], sign * row["difference_high"]))
    return f"{100 * abs(row['difference']):.1f} points [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def _needed(row: Row) -> str:
    size = f"{row['variant']}: a true difference of {100 * abs(row['difference']):.1f} points"
    if row["seeds_needed"] is None:
        return f"{size} would not be found with any number of seeds; it needs more test images."
    return f"{size} would be found with 80 % power by about {row['seeds_needed']} seeds."
