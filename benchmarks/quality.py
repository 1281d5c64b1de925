"""Image quality at equal processor time: entries trained side by side, judged by several networks on held-out reals.

python -m benchmarks.quality FOLDER --held-out FOLDER [--entries default,study,official] [--cpu-minutes 15]
    [--seeds 0,1,2] [--entry NAME:KEY=VALUE;KEY=VALUE ...] [--features CARD] [--num-fake 1000] [--out FOLDER]
    [--only train|score|table]

An entry is a name of ENTRIES below, a recipe of one's own (--entry), or a folder of finished images (its path), which
is scored alone. Time is that of the processor in training alone, one thread, so a busy machine changes little. Samples
are drawn at 1, 2, 4, 8 and 15 minutes (those that fit). The same command goes on where it was stopped.

--out (below runs/ as it stands) gets the runs, a grid of 64 samples a mark, scores.jsonl and table.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augment.core.files import make_folder, write_text
from augment.sources.readers import open_source
from benchmarks.quality_run import OFFICIAL, Task, carry_out
from smallgan.core.run_dir import append_jsonl, read_jsonl
from smallgan.data.images import Pixels
from smallgan.metrics import RealSet
from smallgan.metrics.features.extract import Features, extract_all, feature_nets
from smallgan.metrics.features.laplacian import laplacian_variance
from smallgan.metrics.run_scorer import Judge, RunScorer
from smallgan.metrics.sharpness import sharpness
from smallgan.models.weight_files import read_json
from smallgan.tables.choice import choose
from smallgan.tables.feature_networks import PANEL_NAME
from smallgan.tables.recipe import load_recipe, parse_overrides
from smallgan.training.data import TrainingData, load_data
from smallgan.training.train import situation_of

CPU = torch.device("cpu")
MARKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 45.0)
ENTRIES: dict[str, dict[str, Any]] = {
    "study": {"model.d_width": 64, "train.batch_size": 64, "method.mirror": False},
    OFFICIAL: {},
}
CHOSEN = "default"  # The entry that trains what `smallgan train FOLDER` chooses
FIGURES = {
    **{"kid": "KID", "kmmd": "KMMD", "precision": "precision"},
    **{"recall": "recall", "copies": "copies", "nearest": "nearest"},
}
"""What a judge is asked, and its title in the table."""
METRICS = {"nearest_ratio" if name == "nearest" else name: name for name in FIGURES}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score, and print the table of what there is."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    out = args.out or Path("runs") / f"quality-{args.folder.name}"
    marks = [60 * mark for mark in MARKS if mark <= args.cpu_minutes]
    if not marks or marks[-1] < 60 * args.cpu_minutes:
        marks.append(60 * args.cpu_minutes)
    own = dict(_own_entry(text) for text in args.entry)
    known = {
        **ENTRIES,
        **({CHOSEN: _chosen(args.folder, args.size)} if CHOSEN in args.entries.split(",") else {}),
        **own,
    }
    names = [name for name in args.entries.split(",") if name] + list(own)
    sides = {"data.size": args.size}
    tasks = [
        Task(args.folder, name, {**sides, **known[name]}, seed, out)
        for seed in args.seeds
        for name in names
        if name in known
    ]
    folders = [Path(name) for name in names if name not in known]
    if args.only in (None, "train"):
        for task in tasks:
            carry_out(task, marks, args.num_fake)
    if args.only in (None, "score"):
        panel = Panel.of(args, out)
        for task in tasks:
            for mark in marks:
                if task.record(mark).is_file():
                    panel.score_mark(task, mark, out)
        for folder in folders:
            panel.score_folder(folder, out)
    table = markdown(read(out / "scores.jsonl"))
    write_text(out / "table.md", table)
    print(table, end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--entries", default="")
    parser.add_argument("--entry", action="append", default=[])
    parser.add_argument("--cpu-minutes", type=float, default=15)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--features", action="append", default=[])
    parser.add_argument("--num-fake", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=("train", "score", "table"))
    return parser


def _own_entry(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the recipe keys of NAME:KEY=VALUE;KEY=VALUE."""
    name, _, keys = text.partition(":")
    return name, parse_overrides(key for key in keys.split(";") if key)


@dataclass(frozen=True)
class Panel:
    """The judges with the real images, and how sharp the training images are."""

    judges: list[Judge]
    train_laplacian: NDArray[np.float64]

    @classmethod
    def of(cls, args: argparse.Namespace, out: Path) -> Panel:
        """Return the panel of two folders; see `of_pixels`."""
        return cls.of_pixels(
            _data(args.folder, args.size).originals, _data(args.held_out, args.size).originals, args.features, out
        )

    @classmethod
    def of_pixels(cls, trained_on: Pixels, held_out_ones: Pixels, features: Sequence[str], out: Path) -> Panel:
        """Return the panel: the judges whose weights are here, and those named. Scores the held-out images first.

        Both sets of images are N x S x S x 3.
        """
        pixels = [trained_on, held_out_ones]
        nets, _ = feature_nets([PANEL_NAME, *features], CPU)
        named = zip(("train", "held out"), pixels, strict=True)
        train, held_out = ([RealSet(found, name) for found in extract_all(each, nets)] for name, each in named)
        judges = [Judge(net, tuple(METRICS), *sets) for net, *sets in zip(nets, held_out, train, strict=True)]
        panel = cls(judges, laplacian_variance(pixels[0]))
        panel.record(make_folder(out), {"entry": "real images", "seed": 0, "mark": 0}, pixels[1], is_real=True)
        return panel

    def score_mark(self, task: Task, mark: float, out: Path) -> None:
        """Score the samples of a mark."""
        record = read_json(task.record(mark))
        about = {"entry": task.name, "seed": task.seed, "mark": mark, **record}
        self.record(out, about, np.load(task.samples(mark)))

    def score_folder(self, folder: Path, out: Path) -> None:
        """Score finished images."""
        images = open_source(folder)
        pixels = [images.load(index).image.pixels for index in range(len(images))]
        self.record(out, {"entry": str(folder), "seed": 0, "mark": 0}, pixels)

    def record(self, out: Path, about: dict[str, Any], pixels: Iterable[Pixels], *, is_real: bool = False) -> None:
        """Add the line of these images to scores.jsonl, unless it stands there: what is known of them, and scores."""
        path = out / "scores.jsonl"
        identity = ("entry", "seed", "mark")
        if any(all(each[key] == about[key] for key in identity) for each in read(path)):
            return
        fakes = extract_all(pixels, [judge.net for judge in self.judges])
        assert fakes[0].laplacian is not None
        line = {**about, "sharpness": sharpness(fakes[0].laplacian, self.train_laplacian), "judges": {}}
        for judge, fake in zip(self.judges, fakes, strict=True):
            line["judges"][judge.net.label] = judged(fake, judge, is_real=is_real)
        append_jsonl(path, line)
        print(f"scored {about}", flush=True)


def judged(fake: Features, judge: Judge, *, is_real: bool = False) -> dict[str, float]:
    """Return what one judge says of fakes, or of the held-out images against those of training, by FIGURES."""
    if is_real:  # the held-out images set the scale of nearness
        metrics = tuple(name for name in judge.metrics if name != "nearest_ratio")
        judge = replace(judge, metrics=metrics, reals=judge.training_set)
    scores = RunScorer([judge], None, len(fake), 0, {"intervals": False}).evaluate([fake])
    found = {METRICS[score.metric]: score.value for score in scores}
    return found | {"nearest": 1.0} if is_real else found


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of scores.jsonl; none where there is no file."""
    return read_jsonl(path) if path.is_file() else []


def markdown(lines: Sequence[Mapping[str, Any]], figures: Mapping[str, str] = FIGURES) -> str:
    """Return the table: a row an entry and mark, mean (least to most) over seeds; "-" where there is no such score.

    `figures` names what is shown of each judge, with its title.
    """
    if not lines:
        return "nothing is scored yet\n"
    judges = list(lines[0]["judges"])
    head = ["entry", "CPU s", "seeds", "steps", "sharpness"]
    head += [f"{title}: {judge}" for title in figures.values() for judge in judges]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry, mark in dict.fromkeys((line["entry"], line["mark"]) for line in lines):
        own = [line for line in lines if (line["entry"], line["mark"]) == (entry, mark)]
        cells = [entry, f"{mark:.0f}", str(len(own)), _spread([line.get("step", 0) for line in own], 0)]
        cells.append(_spread([line["sharpness"] for line in own], 2))
        for what in figures:
            cells += [_spread([line["judges"].get(judge, {}).get(what) for line in own], 3) for judge in judges]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def _chosen(folder: Path, size: int) -> dict[str, Any]:
    """Return the keys that `smallgan train` chooses for a folder, but for the steps, which the time decides."""
    settings, _ = choose(situation_of(_data(folder, size), CPU))
    return {path: value for path, value in settings.items() if path != "train.steps"}


def _data(folder: Path, size: int) -> TrainingData:
    return load_data(load_recipe(None, {"data.source": str(folder), "data.size": size}), CPU)


if __name__ == "__main__":
    main()
