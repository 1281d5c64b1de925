"""What is known of each fake: its nearest real and whether it is a copy, its class, and a sheet of the most copied."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from augment.errors import InputError, UsageError
from augment.imaging.codec import Pixels
from smallgan.metrics.memorisation.contact_sheet import draw_sheet, most_alike
from smallgan.metrics.memorisation.nearest import nearest
from smallgan.metrics.memorisation.rates import near_threshold
from smallgan.metrics.target_class import classes_of_reals, target_share

if TYPE_CHECKING:
    from smallgan.metrics.features.extract import Features

_MOST_TILES = 40
Target = tuple[int, ...] | None


@dataclass(frozen=True)
class Pictures:
    """The images behind features, in their order."""

    names: Sequence[str]
    pixels_of: Callable[[int], Pixels] | None  # None where there are features alone


@dataclass(frozen=True)
class Row:
    """What is known of one fake; None where it could not be asked."""

    image: str
    nearest_real: str | None = None
    distance: float | None = None
    is_copy: bool | None = None
    """Nearer than `memorisation.near_threshold`; None with fewer than three different reals."""
    top_class: int | None = None
    top_probability: float | None = None
    target_probability: float | None = None
    """Of the target class and its neighbours together; None without a target and without reals."""


def rows_of(
    fake: Features, names: Sequence[str], real: Features | None, real_names: Sequence[str], target: Target
) -> list[Row]:
    """Return a row for each fake, in order.

    Args:
        fake: features of the fakes.
        names: of the fakes, as many.
        real: features of the reals; None where there are none.
        real_names: of the reals, as many.
        target: class and neighbours; None takes them from the reals, as the metric "target" does.
    """
    columns: dict[str, Sequence[object]] = {"image": names}
    if real is not None:
        distances, which = nearest(fake.features, real.features)
        columns |= {"nearest_real": [real_names[row] for row in which], "distance": distances.tolist()}
        with suppress(InputError):  # too few reals to say what a copy is: the column stays empty
            columns["is_copy"] = (distances < near_threshold(real.features).distance).tolist()
    if fake.logits.shape[1]:
        if target is None and real is not None:
            target = classes_of_reals(real.logits)
        found = target_share(fake.logits, target or (0,))
        columns |= {"top_class": found.top.tolist(), "top_probability": found.top_probability.tolist()}
        if target:
            columns["target_probability"] = found.probability.tolist()
    return [Row(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header; what is not known is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row.__dataclass_fields__)
    for row in rows:  # csv writes None as an empty cell
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in astuple(row)])
    return text.getvalue()


def worst_sheet(fake: Features, fakes: Pictures, real: Features | None, reals: Pictures | None) -> Pixels:
    """Return the 40 fakes that lie nearest to a real, the nearest first, each above that real, with the distances.

    Raises UsageError when there are no reals.
    """
    if real is None or reals is None or not fakes.pixels_of or not reals.pixels_of:
        raise UsageError("--worst: shows fakes beside their nearest reals, and there are none; name some with --real")
    found = most_alike(fake.features, real.features, None, _MOST_TILES)
    return draw_sheet(found, fakes.pixels_of, reals.pixels_of, reals.pixels_of)
