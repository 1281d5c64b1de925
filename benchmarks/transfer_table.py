"""Transfers of a pretrained BigGAN to a small set, beside a DCGAN from scratch, at equal training time, in one table.

python -m benchmarks.transfer_table FOLDER [--count 25] [--minutes 3] [--seeds 0,1,2]
    [--methods bsa,apgc-16,finetune,dcgan] [--pretrained FILE] [--features CARD] [--held-out FOLDER] [--out FOLDER]
    [--set PATH=VALUE ...] [--clock wall] [--device auto] [--piece-minutes 9] [--table-only]

The first --count images of FOLDER are the training set, the rest of it the held-out reals unless --held-out names
others. Each method trains for --minutes per seed, in batches of 25, and is then measured on 200 samples of standard
normal latents, the same for all. The same command goes on where it was stopped; --piece-minutes stops it in time.

--out (below runs/ as it stands) gets the runs, table.md, rows.json and pictures/ to look at.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.core.files import make_folder, write_bytes, write_json, write_text
from augment.errors import SmallganError, UsageError
from benchmarks.transfer_rows import markdown, read_rows

if TYPE_CHECKING:
    from smallgan.sampling.loading import Model
    from smallgan.tables.recipe import Recipe

BATCH_SIZE = 25
ENDLESS = 10_000_000
"""Steps of a run that its time ends; also the steps between snapshots, which then take none of it."""
LAST_SECONDS = 20
"""Of a piece, kept for the last checkpoint and its measuring."""
FEWEST_HELD_OUT = 10
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""What a minute of training is. Processor time, of all threads, does not run while a neighbour has the core."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure and print what there is; return 0, or 3 when a piece ended before all was done."""
    args = _parser().parse_args(arguments)
    out = args.out or Path("runs") / f"transfer-{args.folder.name}-{args.count}"
    finished = True
    if not args.table_only:
        finished = Table(args, out).work()
    rows, conditions = read_rows(out)
    table = markdown(rows, conditions)
    write_json(out / "rows.json", rows)
    write_text(out / "table.md", table)
    print(table, end="")
    if not finished:
        print("\nNot finished: the same command goes on from here.")
    return 0 if finished else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="processor: for a shared CPU core")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default="bsa,apgc-16,finetune,dcgan")
    parser.add_argument("--pretrained", help="default: the generator that ships with smallgan")
    parser.add_argument("--features", help="a feature network's name or card; default: the network that ships")
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="of each recipe that reads it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--piece-minutes", type=float, help="stop after as long, to go on with the same command")
    parser.add_argument("--table-only", action="store_true", help="only print what was measured before")
    return parser


class Table:
    """The work behind the table: runs below `out`, a file of each run's row, and pictures."""

    def __init__(self, args: argparse.Namespace, out: Path) -> None:
        from benchmarks.transfer_measure import load_reals
        from smallgan.core.device import choose_device
        from smallgan.core.weights import SHIPPED_FEATURES
        from smallgan.metrics.features.extract import feature_net
        from smallgan.sampling.latents import parse_seeds
        from smallgan.sampling.pretrained import find_pretrained
        from smallgan.tables.recipe import parse_overrides

        self.args, self.out = args, out
        self.began = time.perf_counter()
        self.stopped = False
        self.methods = [_checked(method.strip()) for method in args.methods.split(",")]
        self.seeds = parse_seeds(args.seeds)
        self.overrides = parse_overrides(args.set)
        self.device = choose_device(args.device)
        source = find_pretrained(args.pretrained)
        self.origin, self.size = source.origin, source.generator.size
        self.net, _ = feature_net(args.features or SHIPPED_FEATURES, self.device)
        chosen, rest = _split(args.folder, args.count, args.held_out)
        self.train = load_reals(_copy(chosen, out / "images"), self.size, self.net)
        self.held_out = load_reals(_copy(rest, out / "held-out"), self.size, self.net) if rest else None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def work(self) -> bool:
        """Train and measure what is not yet; tell whether all of it is done."""
        self._refuse_other_clock()
        write_json(self.out / "conditions.json", self._conditions())
        self._measure_reals()
        for seed in self.seeds:  # all methods of a seed first: an early stop leaves a table of fewer seeds
            for method in self.methods:
                if not self._trained(method, seed):
                    return False
                self._measure(method, seed)
        return True

    def _refuse_other_clock(self) -> None:
        path = self.out / "conditions.json"
        clock = json.loads(path.read_text(encoding="utf-8"))["clock"] if path.is_file() else self.args.clock
        if clock != self.args.clock:
            raise UsageError(
                f"--clock {self.args.clock}: runs by --clock {clock} stand in {self.out}; name another --out"
            )

    def _trained(self, method: str, seed: int) -> bool:
        """Train one run to the end of its time; tell whether it got there."""
        from smallgan.core.checkpoint import read_state
        from smallgan.core.run_dir import RunDir
        from smallgan.training.train import train

        run, budget = RunDir(self._run_folder(method, seed)), self.args.minutes * 60
        step = run.last_step()
        spent = read_state(run.checkpoint(step))["train_seconds"] if step else 0.0
        if spent >= 0.95 * budget:
            return True
        if self._seconds_left() <= 0 or self.stopped:
            return False
        ends = Deadline(budget - spent, CLOCKS[self.args.clock])
        train(
            self._recipe(method, seed),
            out=run.path,
            device=str(self.device),
            log=_say(f"{method}, seed {seed}"),
            stop_requested=lambda: ends.passed() or self.stopped or self._seconds_left() <= 0,
        )
        return ends.passed()

    def _recipe(self, method: str, seed: int) -> Recipe:
        from smallgan.tables.methods import METHODS
        from smallgan.tables.recipe import load_recipe

        kind, _, group = method.partition("-")
        row = METHODS["adversarial" if kind == "dcgan" else kind]
        read = {f"method.{key}" for key in row.options.model_fields}
        overrides = {path: value for path, value in self.overrides.items() if path in read or path[:7] != "method."}
        values: dict[str, Any] = {
            "name": method,
            "seeds": [seed],
            "data.source": str(self.train.folder),
            "train.batch_size": BATCH_SIZE,
            "train.steps": ENDLESS,
            "train.snapshot_every": ENDLESS,
            "score.metrics": [],
        }
        if kind == "dcgan":
            values["data.size"] = self.size
        else:
            values |= {"method.name": kind, "method.pretrained": self.args.pretrained}
        if kind in ("bsa", "apgc"):
            values["method.latents"] = "learned"  # as published; benchmarks.transfer_latents compares with matched ones
        if group:
            values["method.group_size"] = int(group)
        return load_recipe(None, {**values, **overrides})

    def _measure(self, method: str, seed: int) -> None:
        """Write the row of a trained run, unless it stands there with equal conditions."""
        from benchmarks import transfer_measure as measure
        from smallgan.core.checkpoint import read_state
        from smallgan.core.run_dir import RunDir
        from smallgan.sampling.loading import load_model

        run = RunDir(self._run_folder(method, seed))
        step = run.last_step()
        of = {**self._identity(), "step": step}
        if self._stands(run.name, of):
            return
        model, picture = load_model(run.path, self.device), self.out / "pictures" / f"{run.name}-reconstructions.png"
        has_codes = method.startswith(("bsa", "apgc"))
        row = {
            "method": method,
            "seed": seed,
            "step": step,
            "train_seconds": round(read_state(run.checkpoint(step))["train_seconds"], 1),
            "reconstruction": measure.reconstruction_error(model, self.train, picture) if has_codes else None,
            **self._sampled(model, run.name),
            "losses": measure.last_losses(run),
            "of": of,
        }
        write_json(self._row(run.name), row)

    def _measure_reals(self) -> None:
        """Write the rows to compare with: held-out reals in the place of samples, and the adapter at step 0."""
        from benchmarks import transfer_measure as measure
        from smallgan.sampling.loading import Model
        from smallgan.sampling.pretrained import find_pretrained
        from smallgan.training.transfer import build_adapter

        row: dict[str, Any] = {"seed": None, "of": self._identity()}
        if self.held_out is not None and not self._stands("held-out reals", row["of"]):
            found = measure.distances(self.held_out.features, self.train, None)
            write_json(self._row("held-out reals"), {**row, "method": "held-out reals", **found})
        if not self._stands("step 0", row["of"]):
            generator = find_pretrained(self.args.pretrained).generator
            adapter: Any = build_adapter(self._recipe("bsa", 0), generator, self.device).eval()
            model = Model(adapter, self.device, self.out, None, 0, "")
            found = self._sampled(model, "step-0")
            write_json(self._row("step 0"), {**row, "method": "step 0", "step": 0, **found})

    def _sampled(self, model: Model, name: str) -> dict[str, Any]:
        from benchmarks import transfer_measure as measure

        fake = measure.sample_features(model, self.net, self.out / "pictures" / f"{name}-samples.png")
        return measure.distances(fake, self.train, self.held_out)

    def _conditions(self) -> dict[str, Any]:
        import torch

        from benchmarks.transfer_measure import NUM_FAKE
        from smallgan.core.device import describe_device

        return {
            "set": self.args.folder.name,
            "size": self.size,
            "num_train": len(self.train.pixels),
            "num_held_out": len(self.held_out.pixels) if self.held_out else 0,
            "minutes": self.args.minutes,
            "clock": self.args.clock,
            "batch_size": BATCH_SIZE,
            "overrides": self.overrides,
            "pretrained": Path(self.origin["path"]).name if self.origin["path"] else "shipped",
            "pretrained_sha256": self.origin["sha256"],
            "num_fake": NUM_FAKE,
            "features": self.net.name,
            "features_sha256": self.net.sha256,
            "device": describe_device(self.device),
            "torch": torch.__version__,
            "of": self._identity(),
        }

    def _identity(self) -> dict[str, Any]:
        """Return what a row's figures depend on, beside its run."""
        return {
            "features_sha256": self.net.sha256,
            "pretrained_sha256": self.origin["sha256"],
            "train": self.train.fingerprint,
            "held_out": self.held_out.fingerprint if self.held_out else None,
            "minutes": self.args.minutes,
        }

    def _stands(self, name: str, of: Mapping[str, Any]) -> bool:
        path = self._row(name)
        return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["of"] == of

    def _row(self, name: str) -> Path:
        return make_folder(self.out / "rows") / f"{name.replace(' ', '-')}.json"

    def _run_folder(self, method: str, seed: int) -> Path:
        return self.out / f"{method}-seed{seed}"

    def _seconds_left(self) -> float:
        if self.args.piece_minutes is None:
            return float("inf")
        return float(self.args.piece_minutes * 60 - LAST_SECONDS - (time.perf_counter() - self.began))

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopped = True


class Deadline:
    """Counts from the first question on, which comes after the first step: what is before it is no training."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds, self.clock = seconds, clock
        self.began: float | None = None

    def passed(self) -> bool:
        self.began = self.clock() if self.began is None else self.began
        return self.clock() - self.began >= self.seconds


def _checked(method: str) -> str:
    kind, dash, group = method.partition("-")
    if (kind == "apgc" and group.isdigit()) or (kind in ("bsa", "finetune", "dcgan") and not dash):
        return method
    raise UsageError(f"--methods {method}: expected bsa, apgc-G (G channels a group), finetune or dcgan; try apgc-16")


def _split(folder: Path, count: int, held_out: Path | None) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Return the training and the held-out images, each as name and bytes."""
    from augment.sources.readers import open_source

    source = open_source(folder)
    if not 2 <= count <= len(source):
        raise UsageError(f"--count {count}: {folder} has {len(source)} images; expected from 2 to as many")
    images = [(image.name.replace("/", "-"), source.read(index)) for index, image in enumerate(source.images)]
    rest = images[count:] if len(images) - count >= FEWEST_HELD_OUT else []
    if held_out is not None:
        others = open_source(held_out)
        rest = [(image.name.replace("/", "-"), others.read(index)) for index, image in enumerate(others.images)]
    return images[:count], rest


def _copy(images: Sequence[tuple[str, bytes]], folder: Path) -> Path:
    """Write the images to a folder that holds nothing else."""
    there = {path.name for path in make_folder(folder).iterdir()}
    others = there - {name for name, _ in images}
    if others:
        raise UsageError(f"{folder}: other images stand there, {min(others)} among them; name another --out")
    for name, data in images:
        if name not in there:
            write_bytes(folder / name, data)
    return folder


def _say(what: str) -> Callable[[str], None]:
    return lambda line: print(f"{what}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SmallganError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
