"""Few images from a run on many: fine-tuning with what it may freeze, CDC, DCL and APGC, at equal processor time.

python -m benchmarks.few_shot FOLDER [FOLDER ...] --pretrained RUN [--entries finetune,freezed,...] [--holdout 0.5]
    [--cpu-minutes 0.5,1,2,3] [--seeds 0] [--features CARD] [--out FOLDER] [--only train|score|table]

Of a folder with fewer than 20 images none is held out, and samples are compared with those trained on; else --holdout
of it is held out by the images' own hashes. Time is that of the processor in training alone, one thread, bfloat16. At
each mark 200 samples are judged: against the held-out images, and by copies and intra-cluster diversity against those
trained on; and by the probability that they are of the target and not of the source, of which 200 samples are drawn.
The same command goes on where it was stopped; all runs come to a mark before any goes on to the next.

--out (below runs/ as it stands) gets, a folder, the runs, a grid of samples a mark, few-shot.jsonl, table.md, and
curves.html: that probability and the diversity over steps, by SqueezeNet where it is here.

The adversarial entries have DiffAugment; NAME-plain is without it.
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

from augment.core.files import make_folder, write_bytes, write_text
from augment.imaging.codec import encode_png
from augment.sources.readers import open_source
from benchmarks.quality import markdown, read
from benchmarks.quality_run import CPU, Task, carry_out
from smallgan.core.run_dir import append_jsonl
from smallgan.data.images import Pixels, grid
from smallgan.metrics import RealSet
from smallgan.metrics.features.extract import extract_all, feature_nets
from smallgan.metrics.run_scorer import Judge, RunScorer
from smallgan.metrics.sharpness import sharpness
from smallgan.models.weight_files import read_json
from smallgan.report.charts import Chart, Line, key, svg
from smallgan.report.templates import style
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import Model
from smallgan.tables.feature_networks import PANEL_NAME
from smallgan.tables.recipe import load_recipe
from smallgan.training.data import TrainingData, load_data
from smallgan.training.factory import open_pretrained, prepare

NUM_FAKE = 200
ENDLESS = 10_000_000  # Steps of a run that its time ends
FEWEST_PARTED = 20  # Images of a folder from which on some are held out
_AUGMENTED = {"method.diffaugment": "color,translation", "method.diffaugment_fill": "reflect"}
"""As the source of our figures was trained; without it the discriminator soon knows the few images by heart."""
_PLAIN: dict[str, dict[str, Any]] = {
    "finetune": {"method.name": "finetune"},
    "freezed": {"method.name": "finetune", "method.freeze": "d-lower"},
    "g-lower": {"method.name": "finetune", "method.freeze": "g-lower"},
    "scale-shift": {"method.name": "finetune", "method.freeze": "scale-shift"},
    "cdc": {"method.name": "cdc"},
    "dcl": {"method.name": "dcl"},
}
ENTRIES: dict[str, dict[str, Any]] = {
    **{name: own | _AUGMENTED for name, own in _PLAIN.items()},
    "apgc": {"method.name": "apgc", "method.latents": "imle", "method.perceptual": "shipped"},
    **{f"{name}-plain": own for name, own in _PLAIN.items()},
}
FIGURES = {"kid": "KID", "kmmd": "KMMD", "copies": "copies", "intra": "intra", "domain": "domain"}
DRAWN = {"domain": "Probability of the target", "intra": "Intra-cluster diversity"}
START = "source"  # The row of samples of the source, before any step
DRAWN_BY = "SqueezeNet 1.1 at 64 px"  # The judge of the curves, else the first; the shipped network trains APGC


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and judge what is not yet, and print the table of each set."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    marks = [60 * minutes for minutes in sorted(args.cpu_minutes)]
    tasks = {folder: _tasks(args, folder) for folder in args.folders}
    if args.only in (None, "train"):
        for number in range(1, len(marks) + 1):
            for task in (task for own in tasks.values() for task in own):
                carry_out(task, marks[:number], NUM_FAKE)
    for folder, own in tasks.items():
        out = args.out / folder.name
        if args.only in (None, "score"):
            _score(own, marks, args.features, out)
        if args.only != "train":
            lines = read(out / "few-shot.jsonl")
            table = f"## {folder.name}\n\n{markdown(lines, FIGURES)}"
            write_text(make_folder(out) / "table.md", table)
            write_text(out / "curves.html", page(folder.name, lines))
            print(table, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_shot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--pretrained", required=True)
    parser.add_argument("--entries", default=",".join(name for name in ENTRIES if not name.endswith("-plain")))
    parser.add_argument("--holdout", type=float, default=0.5)
    parser.add_argument(
        "--cpu-minutes", type=lambda text: [float(part) for part in text.split(",")], default=[0.5, 1.0, 2.0, 3.0]
    )
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    parser.add_argument("--features", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("runs") / "few-shot")
    parser.add_argument("--only", choices=("train", "score", "table"))
    return parser


def _tasks(args: argparse.Namespace, folder: Path) -> list[Task]:
    parted = len(open_source(folder)) >= FEWEST_PARTED
    common = {
        "method.pretrained": args.pretrained,
        "data.holdout": args.holdout if parted else 0,
        "train.precision": "bf16",
        "train.steps": ENDLESS,
    }
    names = args.entries.split(",")
    return [
        Task(folder, name, {**ENTRIES[name], **common}, seed, args.out / folder.name)
        for seed in args.seeds
        for name in names
    ]


@dataclass(frozen=True)
class _Panel:
    judges: list[Judge]
    sharpness_of_training: NDArray[np.float64]
    out: Path

    def record(
        self, about: Mapping[str, Any], pixels: Iterable[Pixels], metrics: Sequence[str] = tuple(FIGURES)
    ) -> None:
        """Add the line of these images to few-shot.jsonl."""
        fakes = extract_all(pixels, [judge.net for judge in self.judges])
        assert fakes[0].laplacian is not None
        line = {**about, "sharpness": sharpness(fakes[0].laplacian, self.sharpness_of_training), "judges": {}}
        for judge, fake in zip(self.judges, fakes, strict=True):
            asked = replace(judge, metrics=tuple(metrics))
            scores = RunScorer([asked], None, len(fake), 0, {"intervals": False}).evaluate([fake])
            line["judges"][judge.net.label] = {score.metric: score.value for score in scores}
        append_jsonl(self.out / "few-shot.jsonl", line)
        print(f"scored {dict(about)}", flush=True)


def _score(tasks: Sequence[Task], marks: Sequence[float], features: Sequence[str], out: Path) -> None:
    """Judge the samples of every mark that is there and not judged yet."""
    done = {(line["entry"], line["seed"], line["mark"]) for line in read(make_folder(out) / "few-shot.jsonl")}
    there = [(task, mark) for task in tasks for mark in marks if task.record(mark).is_file()]
    waiting = [(task, mark) for task, mark in there if (task.name, task.seed, mark) not in done]
    if not waiting:
        return
    data = _data(tasks[0])
    reals = data.reals
    start, source = (_source_pixels(tasks[0], data, seed) for seed in (0, 1))
    nets, _ = feature_nets([PANEL_NAME, *features], CPU)
    sets = [extract_all(pixels, nets) for pixels in (data.originals, reals, source)]
    judges = [
        Judge(net, (), RealSet(real, "reals"), RealSet(train, "train"), source=other)
        for net, train, real, other in zip(nets, *sets, strict=True)
    ]
    laplacian = sets[0][0].laplacian
    assert laplacian is not None
    panel = _Panel(judges, laplacian, out)
    if (START, 0, 0) not in done:
        write_bytes(out / "source.png", encode_png(grid(start[:64])))
        panel.record({"entry": START, "seed": 0, "mark": 0, "step": 0}, start)
        if data.reals is not data.originals:
            against = [replace(judge, reals=judge.training_set) for judge in judges]
            real = replace(panel, judges=against)
            real.record({"entry": "held-out images", "seed": 0, "mark": 0, "step": 0}, reals, ("kid", "kmmd", "copies"))
    for task, mark in waiting:
        about = {"entry": task.name, "seed": task.seed, "mark": mark, **read_json(task.record(mark))}
        panel.record(about, np.load(task.samples(mark)))


def _data(task: Task) -> TrainingData:
    recipe, _ = open_pretrained(load_recipe(None, {"data.source": str(task.folder), **task.overrides}))
    return load_data(recipe, CPU)


def _source_pixels(task: Task, data: TrainingData, seed: int) -> Pixels:
    """Return NUM_FAKE samples of the source: of fine-tuning before its first step."""
    overrides = {**task.overrides, **ENTRIES["finetune"], "data.source": str(task.folder)}
    recipe, source = open_pretrained(load_recipe(None, overrides))
    trainer, _ = prepare(recipe, data, CPU, source, lambda _line: None)
    model = Model(trainer.generator_ema, CPU, Path(), None, 0, sha256="", prior=trainer.prior)
    return sample_pixels(model, NUM_FAKE, seed)


def page(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a page with a chart of each of DRAWN over steps, a line an entry (seeds averaged)."""
    start = next((line for line in lines if line["entry"] == START), None)
    if start is None:
        return ""
    judge = DRAWN_BY if DRAWN_BY in start["judges"] else next(iter(start["judges"]))
    entries = [entry for entry in ENTRIES if any(line["entry"] == entry for line in lines)]
    parts = []
    for what, title in DRAWN.items():
        drawn = []
        for number, entry in enumerate(entries):
            own = [line for line in lines if line["entry"] == entry]
            points = [(0.0, start["judges"][judge][what])]
            for mark in sorted({line["mark"] for line in own}):
                here = [line for line in own if line["mark"] == mark]
                step, value = ([line["step"] for line in here], [line["judges"][judge][what] for line in here])
                points.append((float(np.mean(step)), float(np.mean(value))))
            drawn.append(Line(entry, number, tuple(points)))
        parts.append(f"<h2>{title} ({judge})</h2>{svg(Chart(f'few-{what}', title, 'step', '', tuple(drawn)))}")
    keys = " ".join(f"{key(number)} {entry}" for number, entry in enumerate(entries))
    body = f"<h1>{name}</h1><p>{keys}</p>{''.join(parts)}"
    return f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{style()}</style><main>{body}</main>\n"


if __name__ == "__main__":
    main()
