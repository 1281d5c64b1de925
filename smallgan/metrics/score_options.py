"""How `smallgan score` scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from augment.errors import UsageError
from augment.imaging.geometry import RESIZE_MODES
from smallgan.tables.data_sources import DataSource
from smallgan.tables.metrics import check_metrics, readers_of


@dataclass(frozen=True)
class ScoreOptions:
    """How to score; the fields are the options of `smallgan score`."""

    metrics: tuple[str, ...] | None = None
    """None: those that are on by default for so many images, where there is what they need."""
    features: str | None = None
    """As `feature_nets` reads it: None, a network, "panel", or several separated by commas."""
    num_fake: int | None = None
    """None: all images of a folder; as many samples of a run as it has reals, within 100 to 1,000."""
    splits: int | None = None
    seed: int = 0
    device: str = "auto"
    checkpoint: str = "last"
    resize_mode: str = "crop"
    """How reals of another size are brought to that of square fakes; a run has its own."""
    precision: str = "fp32"
    """Of the feature network: fp32 or bf16."""
    skip_bad: bool = False
    """Leave unreadable files out and list them, instead of stopping."""
    augmented: Path | None = None
    """Augmented images, for the metric "leak"; of a mixed dataset its added images count."""
    source: Path | None = None
    """Images of the domain that the fakes' generator comes from, for the metric "domain"."""
    target: tuple[int, ...] | None = None
    """Class and neighbours for the metric "target"; None takes them from the reals."""
    baselines: bool = False
    """Also score reals against reals."""
    intervals: bool = True
    per_image: Path | None = None
    """Write what is known of each fake to this CSV file."""
    worst: Path | None = None
    """Write a picture of the fakes nearest to a real, beside it, to this PNG file."""

    def __post_init__(self) -> None:
        """Raise UsageError for what no scoring can make sense of."""
        if self.metrics is not None:
            check_metrics(self.metrics)
        if self.num_fake is not None and self.num_fake < 1:
            raise UsageError(f"--num-fake {self.num_fake}: must be at least 1")
        if self.resize_mode not in RESIZE_MODES:
            raise UsageError(f"--resize-mode {self.resize_mode}: use one of {', '.join(RESIZE_MODES)}")
        if self.metrics is not None:
            self.refuse_unread(self.metrics)

    def refuse_unread(self, metrics: Sequence[str]) -> None:
        """Raise UsageError for an option that none of these metrics reads."""
        for option in ("splits", "augmented", "source", "target"):
            readers = readers_of(option)
            read = set(readers) & set(metrics) or (option == "target" and self.per_image)
            if getattr(self, option) is not None and not read:
                raise UsageError(f"--{option}: read by the metric {', '.join(readers)} only; add it to --metrics")

    def for_source(self, made: DataSource) -> ScoreOptions:
        """Return the options for a run on a set that is drawn: what was left open is what is usual for that set."""
        open_keys = [key for key in ("metrics", "features", "num_fake") if getattr(self, key) is None]
        usual: dict[str, Any] = {key: made.defaults.get(f"score.{key}") for key in open_keys}
        return replace(self, **usual)

    @property
    def wants_details(self) -> bool:
        """Whether each fake is to be compared with its nearest real."""
        return self.per_image is not None or self.worst is not None
