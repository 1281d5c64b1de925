"""Matched latents beside learned codes: BSA and APGC of the shipped generator, judged by several networks.

python -m benchmarks.transfer_latents FOLDER [FOLDER ...] [--count 25] [--holdout 0.5] [--cpu-minutes 1,3]
    [--seeds 0,1,2] [--methods apgc,bsa] [--latents imle,learned] [--features CARD] [--set PATH=VALUE ...] [--tag NAME]
    [--out FOLDER] [--only train|table]

--holdout of each folder is held out by the images' own hashes, and --count of the others are trained on. Time is that
of the processor in training alone, one thread, float32. A run is judged on 200 samples of its own prior against the
held-out images; one of learned codes also on samples of N(0, I). The shipped network is in the loss, so its scores say
little. The same command goes on where it was stopped. --set changes the recipe of all runs, which --tag then names.

--out (below runs/ as it stands) gets, a set and count, the runs, their grids, scores.jsonl and table.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augment.core.files import make_folder, write_bytes, write_json, write_text
from augment.imaging.codec import encode_png
from benchmarks.quality import Panel, markdown, read
from benchmarks.quality_run import CPU, Task, carry_out
from smallgan.core.run_dir import RunDir
from smallgan.data.images import grid
from smallgan.models.weight_files import read_json
from smallgan.sampling.latents import sample_pixels
from smallgan.sampling.loading import load_model
from smallgan.sampling.prior import NORMAL
from smallgan.tables.recipe import load_recipe, parse_overrides
from smallgan.training.data import TrainingData, load_data
from smallgan.training.factory import open_pretrained

NUM_FAKE = 200
ENDLESS = 10_000_000  # Steps of a run that its time ends


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and judge what is not yet, and print the table of each set."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    for folder in args.folders:
        out = args.out / f"{folder.name}-{args.count}"
        if args.only != "table":
            _one_set(args, folder, out)
        table = f"## {folder.name}, {args.count} images\n\n{markdown(read(out / 'scores.jsonl'))}\n"
        write_text(make_folder(out) / "table.md", table)
        print(table, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer_latents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--holdout", type=float, default=0.5)
    parser.add_argument("--cpu-minutes", type=lambda text: [float(part) for part in text.split(",")], default=[3.0])
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--methods", default="apgc,bsa")
    parser.add_argument("--latents", default="imle,learned")
    parser.add_argument("--features", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--tag", default="", help="added to the names of the runs")
    parser.add_argument("--out", type=Path, default=Path("runs") / "transfer-latents")
    parser.add_argument("--only", choices=("train", "table"))
    return parser


def _one_set(args: argparse.Namespace, folder: Path, out: Path) -> None:
    tasks = [
        Task(folder, f"{method}-{latents}{args.tag}", _overrides(args, method, latents), seed, out)
        for seed in args.seeds
        for method in args.methods.split(",")
        for latents in args.latents.split(",")
    ]
    data = _data(tasks[0])
    assert data.reals is not None
    panel = None
    marks = [60 * minutes for minutes in sorted(args.cpu_minutes)]
    for number, mark in enumerate(marks, start=1):
        for task in tasks:
            carry_out(task, marks[:number], NUM_FAKE)
            if "learned" in task.name and not _normal(task).record(mark).is_file():
                _sample_normal(task, mark)
            if args.only == "train":
                continue
            panel = panel or Panel.of_pixels(data.originals, data.reals, args.features, out)
            panel.score_mark(task, mark, out)
            if "learned" in task.name:
                panel.score_mark(_normal(task), mark, out)


def _normal(task: Task) -> Task:
    """Return the task under whose name the samples of N(0, I) stand, of a run that is sampled around its codes."""
    return replace(task, name=f"{task.name}-from-normal")


def _overrides(args: argparse.Namespace, method: str, latents: str) -> dict[str, Any]:
    return {
        "method.name": method,
        "method.latents": latents,
        "method.perceptual": "shipped",
        "data.limit": args.count,
        "data.holdout": args.holdout,
        "train.precision": "fp32",
        "train.steps": ENDLESS,
        **parse_overrides(args.set),
    }


def _data(task: Task) -> TrainingData:
    recipe, _ = open_pretrained(load_recipe(None, {"data.source": str(task.folder), **task.overrides}))
    return load_data(recipe, CPU)


def _sample_normal(task: Task, mark: float) -> None:
    """Write the samples of N(0, I) of a run that is sampled around its codes."""
    run, own = RunDir(task.path / "run"), _normal(task)
    model = replace(load_model(run.checkpoint(run.last_step()), CPU), prior=NORMAL)
    make_folder(own.path)
    pixels = sample_pixels(model, NUM_FAKE, task.seed)
    with own.samples(mark).open("wb") as file:
        np.save(file, pixels)
    write_bytes(own.path / f"grid-{mark:05.0f}.png", encode_png(grid(pixels[:64])))
    write_json(own.record(mark), read_json(task.record(mark)))


if __name__ == "__main__":
    main()
