"""A score and its conditions; torch-free, so that reports can read scores without it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

Identity = dict[str, str | int | None]
"""What two scores must share to be compared: `metric`, `estimator`, `features` (the network's name),
`weights_sha256`, `resize`, `precision`, `reals` (fingerprint of the real set, None when none is used),
`num_real` (None likewise), `num_fake`, `splits` (None where there are none)."""


@dataclass(frozen=True)
class Score:
    """One number with all that is needed to know what it says."""

    metric: str
    """Short name, as in `--metrics`: "is", "kmmd"."""
    label: str
    """Name to show. "Inception Score" only on the TF-2015 Inception weights; any other network stands in the label."""
    value: float
    identity: Identity
    std: float | None = None
    """Spread over splits (IS), None where the metric has none."""
    interval: tuple[float, float] | None = None
    """95 % interval, None where none was computed."""
    parts: dict[str, float] = field(default_factory=dict)
    """Numbers that the value is made of, e.g. "h_y" and "h_y_given_x" in nats."""
    notes: tuple[str, ...] = ()
    """Sentences that a reader needs beside the number: too few images, the shipped network instead of Inception."""
    seed: int | None = None
    run: str | None = None
    """Name of the run folder, when a run was scored."""
    step: int | None = None
    """Training step of the checkpoint that was scored."""
    seconds: float | None = None
    time: str | None = None
    """ISO 8601, UTC."""

    def to_json(self) -> dict[str, Any]:
        """Return the line of scores.jsonl as a dict; a value that is not finite becomes None, as JSON has no NaN."""
        record = asdict(self)
        if not math.isfinite(self.value):
            record["value"] = None
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Score:
        """Return the score of a line of scores.jsonl. Raises KeyError or TypeError for a foreign record."""
        fields = dict(record)
        if fields["value"] is None:
            fields["value"] = math.nan
        fields["notes"] = tuple(fields.get("notes", ()))
        if fields.get("interval") is not None:
            low, high = fields["interval"]
            fields["interval"] = (low, high)
        return cls(**fields)


def differing_keys(one: Score, other: Score) -> list[str]:
    """Return the identity keys in which two scores differ; only scores for which it is empty may be compared."""
    return [key for key in one.identity if one.identity.get(key) != other.identity.get(key)]
