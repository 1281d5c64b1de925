"""A score and its conditions; torch-free, so that reports can read scores without it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from augment.errors import UsageError

STRUCK, RELATED = "struck", "related"  # Standings of a network that helped to train the model, and of its relatives
Identity = dict[str, str | int | None]
"""What two scores must share to be compared: `metric`, `estimator`, `features` (the network's name), `weights_sha256`,
`resize`, `precision`, `reals` (fingerprint of the real set, None when none is used), `num_real` (None likewise),
`num_fake`, `splits` (None where there are none). A metric of pixels has None for what a network would say."""


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
    baseline: float | None = None
    """Value of reals in the place of the fakes: that of a perfect generator. Of the Inception Score: the reals' own."""
    baseline_counts: tuple[int, int | None] | None = None
    """Images per set of the baseline: reals in the place of fakes, other reals."""
    needed: int | None = None
    """Images per set that are enough for this metric, where these are too few."""
    parts: dict[str, float] = field(default_factory=dict)
    """Numbers that the value is made of, e.g. "h_y" and "h_y_given_x" in nats."""
    standing: str = ""
    """STRUCK: its network helped to train the model, so it counts in no verdict; RELATED; or "". The notes say why."""
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
        return asdict(self) | {"value": self.value if math.isfinite(self.value) else None}

    @property
    def shown_label(self) -> str:
        """The label with its standing: "KMMD (smallgan-small64-v1) [struck]"."""
        return f"{self.label} [{self.standing}]" if self.standing else self.label

    @property
    def too_few(self) -> str:
        """What is too few, as "too few images (200 generated, 80 real): use at least 1,000 of each"; "" for enough."""
        if self.needed is None:
            return ""
        counts = ((self.identity.get("num_fake"), "generated"), (self.identity.get("num_real"), "real"))
        known = [(count, what) for count, what in counts if isinstance(count, int)]
        found = ", ".join(f"{count:,} {what}" for count, what in known)
        asked = f"use at least {self.needed:,}{' of each' if len(known) != 1 else ''}"
        return f"too few images{f' ({found})' if found else ''}: {asked}"

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Score:
        """Return the score of a line of scores.jsonl. Raises KeyError or TypeError for a foreign record."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
        return cls(**fields | {"value": math.nan if fields["value"] is None else fields["value"]})


def networks_of(scores: Iterable[Score]) -> list[str]:
    """Return the names of the networks that made some scores, each once."""
    names = (score.identity.get("features") for score in scores)
    return list(dict.fromkeys(str(name) for name in names if name is not None))


def differing_keys(one: Score, other: Score) -> list[str]:
    """Return the identity keys in which two scores differ; only scores for which it is empty may be compared."""
    keys = dict.fromkeys([*one.identity, *other.identity])
    return [key for key in keys if one.identity.get(key) != other.identity.get(key)]


def compare(one: Score, other: Score) -> float:
    """Return how much higher `other` is than `one`. Raises UsageError when they are not the same quantity."""
    differing = differing_keys(one, other)
    if differing:
        found = "; ".join(f"{key} {one.identity.get(key)} and {other.identity.get(key)}" for key in differing)
        raise UsageError(
            f"{one.label} {one.value:.4g} and {other.label} {other.value:.4g} cannot be compared, as they differ in "
            f"{found}; score both alike"
        )
    return other.value - one.value
