"""Is the default classifier a real one? Trained on all of MNIST, it has to reach 99.3 % on the 10,000 test digits.

python -m benchmarks.downstream_reference MNIST.npz [--epochs 6] [--batch-size 128] [--width 16] [--lr 0.1] [--seed 0]
    [--device auto] [--threads 1] [--precision fp32|bf16]

MNIST.npz holds x_train, y_train, x_test and y_test, uint8 28 x 28. No augmentation, and the last step counts.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from smallgan.core.device import choose_device
from smallgan.downstream.measures import measured
from smallgan.downstream.task import Task, fit
from smallgan.tables.classifiers import ResNetOptions

TARGET = 0.993


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and print; return 0 when the target is reached, else 1."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    with np.load(args.file, allow_pickle=False) as file:
        train, test = (np.repeat(file[name][..., None], 3, axis=-1) for name in ("x_train", "x_test"))
        labels, truth = (file[name].astype(np.int64) for name in ("y_train", "y_test"))
    options = ResNetOptions(width=args.width, batch_size=args.batch_size, lr=args.lr)
    steps = math.ceil(args.epochs * len(train) / args.batch_size)
    started, cpu = time.perf_counter(), time.process_time()
    device = choose_device(args.device)
    # without its cache, which would keep the first weights for all steps: the context is left once only
    with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16", cache_enabled=False):
        found = fit(Task(options, train, labels, steps, test, 10, args.seed, device), options)
    accuracy = measured(truth, found)["accuracy"][0]
    print(
        f"{100 * accuracy:.2f} % of {len(test):,} test digits, trained on {len(train):,}: {args.epochs:g} epochs, "
        f"{steps} steps of {args.batch_size}, width {args.width}, seed {args.seed}, {args.precision}; "
        f"{time.perf_counter() - started:.0f} s, {time.process_time() - cpu:.0f} s of processor time"
    )
    return int(accuracy < TARGET)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    numbers = {"epochs": 6.0, "batch-size": 128, "width": 16, "lr": 0.1, "seed": 0, "threads": 1}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
