"""Scores: `smallgan score`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UsageError
from smallgan.api.paths import StrPath, as_path
from smallgan.metrics.score import Score, networks_of

if TYPE_CHECKING:
    from smallgan.metrics.score_options import ScoreOptions
    from smallgan.metrics.score_paths import Versus as SideBySide
    from smallgan.metrics.scored import Write


class Scores(Sequence[Score]):
    """Scores with their conditions. `scores["kmmd"]` is one of them, `scores["kmmd"].value` its number."""

    def __init__(self, scores: Iterable[Score]) -> None:
        self._scores = list(scores)

    @classmethod
    def newest(cls, lines: Iterable[Mapping[str, Any]]) -> Scores:
        """Return the newest of each metric and network from the lines of a run's scores.jsonl."""
        found: dict[tuple[str, Any], Score] = {}
        for line in lines:
            one = Score.from_json(dict(line))
            found[one.metric, one.identity.get("features")] = one
        return cls(found.values())

    def to_json(self) -> list[dict[str, Any]]:
        """Return them as `smallgan score --json` prints them."""
        return [each.to_json() for each in self]

    def __len__(self) -> int:
        return len(self._scores)

    def __getitem__(self, item: Any) -> Any:
        if not isinstance(item, str):
            return self._scores[item]
        found = [each for each in self if each.metric == item]
        if not found:
            raise KeyError(f"no score {item!r}; there are {', '.join(each.metric for each in self) or 'none'}")
        if len(found) > 1:
            raise KeyError(f"{len(found)} networks gave {item!r} ({', '.join(networks_of(found))}); walk the scores")
        return found[0]

    def __repr__(self) -> str:
        from smallgan.metrics.score_text import table

        return table(self) if self else "no scores"


def score(
    fake: StrPath | None = None,
    real: StrPath | None = None,
    *,
    metrics: str | Sequence[str] | None = None,
    features: str | None = None,
    num_fake: int | None = None,
    splits: int | None = None,
    resize_mode: str = "crop",
    checkpoint: str = "last",
    augmented: StrPath | None = None,
    source: StrPath | None = None,
    target: str | None = None,
    per_image: StrPath | None = None,
    worst: StrPath | None = None,
    quick: bool = False,
    precision: str = "fp32",
    skip_bad: bool = False,
    seed: int = 0,
    device: str = "auto",
    out: StrPath | None = None,
    show: Callable[[Scores], None] = lambda _scores: None,
) -> Scores:
    """Score images as `smallgan score` does, with a 95 % interval and a real-vs-real baseline.

    Args:
        fake: images (folder or zip), a mixed dataset, or a run, which keeps the scores too; None: the newest run.
        real: what to compare with; None: the originals of a run or of a mixed dataset.
        metrics: names, also as "kid,kmmd"; None: the default ones.
        features: feature network, several by commas, or panel; None: the published Inception if it is here.
        num_fake: images scored, 1 to as many as there are; None: all; of a run as many as reals, within 100 to 1,000.
        splits: parts of the Inception Score, 1 to the number of images; None: 10, and 1 below 1,000 images.
        resize_mode: how reals of another size become square: crop, pad or stretch.
        checkpoint: of a run: last, best or a step.
        augmented: folder or zip of augmented images, or a mixed dataset, for the metric leak.
        source: folder or zip of images of what a transfer started from, for the metric domain.
        target: for the metric target: numbers of the class and its neighbours among those of `features`, "207,208".
        per_image: CSV file of fakes to write.
        worst: PNG file to write of the fakes nearest to a real.
        quick: no intervals and no baselines.
        precision: of the feature network: fp32 or bf16.
        skip_bad: leave unreadable files out, and list them.
        seed: draws the samples and shuffles the splits; any whole number.
        device: auto, cpu, cuda, cuda:N or mps.
        out: file to write the scores to, one JSON line each.
        show: takes the scores before anything is written.

    Raises UsageError, InputError, MissingError and OutputError.
    """
    flags = {name: value for name, value in locals().items() if name not in ("fake", "real", "out", "show")}
    from smallgan.metrics.score_paths import scored

    found = scored(fake_or_newest(fake), as_path(real), score_options(**flags))
    scores = Scores(found.scores)
    show(scores)
    _write(scores, found.writes, out)
    return scores


@dataclass(frozen=True, repr=False)
class Versus:
    """Two sets, scored alike, and a test whether they differ by more than chance."""

    fake: Path
    versus: Path
    found: SideBySide

    @property
    def scores(self) -> Scores:
        """Those of the first set, then those of the second."""
        return Scores([*self.found.one, *self.found.other])

    def to_json(self) -> dict[str, Any]:
        """Return them as `smallgan score --versus --json` prints them."""
        one, other = (Scores(each).to_json() for each in (self.found.one, self.found.other))
        return {"one": one, "other": other, "differences": self.found.differences, "test": asdict(self.found.test)}

    def __repr__(self) -> str:
        from smallgan.metrics.score_text import versus_table

        return versus_table(self.found, self.fake, self.versus)


def versus(
    fake: StrPath | None,
    versus: StrPath,
    real: StrPath | None = None,
    *,
    out: StrPath | None = None,
    show: Callable[[Versus], None] = lambda _found: None,
    **flags: Any,
) -> Versus:
    """Score two sets alike, as `smallgan score --versus`.

    Args:
        fake: the first set, as `score` takes it; None: the newest run.
        versus: the second.
        real: what to compare both with; None: the originals of a run or of a mixed dataset.
        out: file to write the scores of both to, one JSON line each.
        show: takes what was found before anything is written.
        flags: the other keywords of `score`, all of them given.

    Raises the errors of `score`, and UsageError where the scores are not of one identity.
    """
    from smallgan.metrics.score_paths import versus as side_by_side

    options, first = score_options(**flags), fake_or_newest(fake)
    if options.wants_details:
        raise UsageError("--per-image and --worst look at one set; leave out --versus")
    sets = Versus(first, Path(versus), side_by_side(first, Path(versus), as_path(real), options))
    show(sets)
    _write(sets.scores, sets.found.writes, out)
    return sets


def _write(scores: Scores, writes: Sequence[Write], out: StrPath | None) -> None:
    """Write the scores, one JSON line each, and whatever else is to be written. Raises OutputError."""
    from augment.core.files import write_text
    from smallgan.metrics.scored import write_all

    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in scores.to_json())
    write_all(writes if out is None else (partial(write_text, Path(out), lines), *writes))


def fake_or_newest(fake: StrPath | None) -> Path:
    """Return what is scored: the newest run below runs/ where nothing is named. Raises UsageError."""
    from smallgan.metrics.score_paths import newest_run

    return as_path(fake) or newest_run(Path("runs"))


def score_options(
    *, metrics: str | Sequence[str] | None, target: str | None, quick: bool, **flags: Any
) -> ScoreOptions:
    """Return the keywords of `score` as the options that scoring takes. Raises UsageError."""
    from smallgan.metrics.score_options import ScoreOptions

    names = metrics.split(",") if isinstance(metrics, str) else metrics
    paths = {name: as_path(flags[name]) for name in ("augmented", "source", "per_image", "worst")}
    return ScoreOptions(
        metrics=None if names is None else tuple(name.strip() for name in names if name.strip()),
        target=_classes(target),
        baselines=not quick,
        intervals=not quick,
        **flags | paths,
    )


def _classes(target: str | None) -> tuple[int, ...] | None:
    if target is None:
        return None
    try:
        return tuple(int(each) for each in target.split(","))
    except ValueError:
        raise UsageError(f"--target {target}: expected class numbers of the network, as 207 or 207,208") from None
