"""Pretrain the 64 px BigGAN that transfers start from, and export it.

python -m benchmarks.gpu.pretrain64 [ZIP ...] [--out runs/pretrain64] [--minutes 21] [--piece-minutes 9]
    [--set PATH=VALUE ...] [--build-only] [--device cuda]

Each ZIP (images/<class>/<name>.jpg) is added to the set in --out, once, beside the classes that
tools/pretraining_set.py draws; --build-only adds and leaves, where the zips cannot all be brought along at once. Then
recipes/biggan64.yaml is trained. A piece ends in time, and the same command, with or without the zips, goes on. When
the minutes are over, the generator with the lowest KMMD is exported to --out/export, but of Caltech-101 alone: what
ships is trained on nothing else, and of a wider set the run itself is named as `--pretrained` when it is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from augment.core.files import make_folder, sha256_file, write_json
from augment.errors import SmallganError, UsageError
from benchmarks.transfer_table import Deadline
from smallgan.core.checkpoint import read_state
from smallgan.core.run_dir import RunDir, read_jsonl
from smallgan.tables.recipe import load_recipe, parse_overrides
from smallgan.training import train

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SHIPPABLE = {"caltech101.zip"}
ENOUGH = 0.95
"""Of the minutes: snapshots pass on the clock and are no training."""
LAST_SECONDS = 30
"""Of a piece, kept for the last checkpoint, its scores and the export."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, train, export and print the table; return 0, or 3 when there is more to train."""
    args = _parser().parse_args(arguments)
    began = time.perf_counter()
    images, zips = args.out / "set", _add(args.zips, args.out)
    if args.build_only:
        print(f"{images}: {', '.join(zips)}; {sum(1 for _ in images.rglob('*.*')):,} images")
        return 0
    run, minutes = RunDir(args.out / "run"), _minutes(RunDir(args.out / "run"))
    if minutes < ENOUGH * args.minutes:
        piece_ends = began + args.piece_minutes * 60 - LAST_SECONDS
        done = Deadline((args.minutes - minutes) * 60, time.perf_counter)
        _train(run, images, args, lambda: done.passed() or time.perf_counter() >= piece_ends)
    finished = _minutes(run) >= ENOUGH * args.minutes or run.last_step() >= _recipe(images, args).train.steps
    file = _export(run, args.out / "export") if finished and set(zips) == SHIPPABLE else None
    _print_table(run, zips, file)
    if not finished:
        print("\nNot finished: the same command goes on from here.")
    return 0 if finished else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.pretrain64",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("zips", type=Path, nargs="*", metavar="ZIP")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrain64"))
    parser.add_argument("--minutes", type=float, default=21.0, help="of training, in all pieces together")
    parser.add_argument("--piece-minutes", type=float, default=9.0)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--device", default="cuda")
    return parser


def _add(zips: Sequence[Path], out: Path) -> list[str]:
    """Add the classes of each zip to the set unless they are in it; return the names of all that are, sorted."""
    known = out / "zips.json"
    there: dict[str, str] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    make_folder(out)
    for path in zips:
        if not path.is_file():
            raise UsageError(f"{path}: no such file; expected a zip that holds images/<class>/<name>.jpg")
        if there.get(path.name) == sha256_file(path):
            continue
        command = [sys.executable, str(TOOLS / "pretraining_set.py"), str(path), "--out", str(out / "set")]
        subprocess.run(command, check=True)
        there[path.name] = sha256_file(path)
        write_json(known, there)
    if not there:
        raise UsageError(f"{out}: there is no set yet; name caltech101.zip, or all zips of the wider source")
    return sorted(there)


def _recipe(images: Path, args: argparse.Namespace) -> Any:
    return load_recipe("biggan64", {"data.source": str(images), **parse_overrides(args.set)})


def _train(run: RunDir, images: Path, args: argparse.Namespace, stop_requested: Callable[[], bool]) -> None:
    torch.backends.cudnn.benchmark = True  # one shape in all steps
    train.train(
        _recipe(images, args),
        out=run.path,
        device=args.device,
        log=lambda line: print(line, file=sys.stderr, flush=True),
        stop_requested=stop_requested,
    )


def _minutes(run: RunDir) -> float:
    """Return the minutes that the run has trained for."""
    step = run.last_step()
    return float(read_state(run.checkpoint(step))["train_seconds"]) / 60 if step else 0.0


def _export(run: RunDir, out: Path) -> Path:
    step = run.best_step() or run.last_step()
    command = [sys.executable, str(TOOLS / "export_generator.py"), str(run.path), "--out", str(out)]
    subprocess.run([*command, "--checkpoint", str(step)], check=True, stdout=subprocess.DEVNULL)
    return out / "weights.safetensors"


def _print_table(run: RunDir, zips: Sequence[str], file: Path | None) -> None:
    step = run.last_step()
    lines = [line for line in read_jsonl(run.stats) if line["step"] <= step]
    scored = read_jsonl(run.scores) if run.scores.is_file() else []
    scores = {line["step"]: line["value"] for line in scored if line["metric"] == "kmmd"}
    environment = json.loads(run.environment.read_text(encoding="utf-8"))
    print(f"set of {', '.join(zips)}; {environment.get('device')}, torch {torch.__version__}")
    print("| step | thousand images | minutes | images/s | loss D | loss G | KMMD |")
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        if line["step"] in scores:
            print(
                f"| {line['step']:,} | {line['kimg']:,.0f} | {line['train_seconds'] / 60:.1f} | "
                f"{line['images_per_second']:,.0f} | {line['loss_d']:.3f} | {line['loss_g']:.3f} | "
                f"{scores[line['step']]:.4f} |"
            )
    print(f"best by KMMD: step {run.best_step() or step:,}")
    if file:
        print(f"exported: {file}, {file.stat().st_size:,} bytes, sha256 {sha256_file(file)}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SmallganError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
