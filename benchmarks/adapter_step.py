"""A transfer's step: APGC at g = 16 over BSA on BigGAN-128 with random weights, in time and in peak memory.

python -m benchmarks.adapter_step [--rounds 3] [--threads 1] [--precision fp32] [--device cpu]

The steps are timed in turn in one process. Peak memory is that of a process of its own for each method, weights and
optimiser included; on a GPU it is what the allocator gave out at most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

GROUP_SIZE, BATCH_SIZE, TARGET = 16, 4, 1.3
METHODS = ("bsa", "apgc")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapter_step", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(_peak_mb(args))
        return
    memory = {method: _apart(method, args) for method in METHODS}
    ways = {method: _step(method, args) for method in METHODS}
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for number in range(args.rounds + 1):
        for method, step in ways.items():
            # Processor time, which a neighbour on the same core does not lengthen; of all threads together.
            clock = time.process_time if args.device == "cpu" else time.perf_counter
            started = clock()
            step()
            if number:
                seconds[method].append(clock() - started)
    ratios = [apgc / bsa for bsa, apgc in zip(seconds["bsa"], seconds["apgc"], strict=True)]
    print(f"BigGAN-128, ch 96, batch {BATCH_SIZE}, {args.precision}, {args.device}, {args.threads} thread(s)")
    print(f"{'what':26} {'BSA':>9} {f'APGC {GROUP_SIZE}':>9} {'ratio':>6} {'min':>6} {'max':>6} {'target':>7}")
    middle = {method: statistics.median(values) for method, values in seconds.items()}
    print(
        f"{'seconds a step':26} {middle['bsa']:9.3f} {middle['apgc']:9.3f} {statistics.median(ratios):6.2f} "
        f"{min(ratios):6.2f} {max(ratios):6.2f} {TARGET:7.2f}"
    )
    print(
        f"{'peak memory, MiB':26} {memory['bsa']:9.0f} {memory['apgc']:9.0f} {memory['apgc'] / memory['bsa']:6.2f} "
        f"{'':6} {'':6} {TARGET:7.2f}"
    )


def _apart(method: str, args: argparse.Namespace) -> float:
    """Return the peak of a fresh process; ours must be small still, as its peak is handed down to what it starts."""
    again = [sys.executable, "-m", "benchmarks.adapter_step", "--threads", str(args.threads)]
    again += ["--precision", args.precision, "--device", args.device, "--memory-of", method]
    return float(subprocess.run(again, check=True, capture_output=True, text=True).stdout)


def _step(method: str, args: argparse.Namespace) -> Callable[[], object]:
    """Return a function that takes one step, the perceptual loss left out: it is the same for both."""
    import numpy as np
    import torch

    from smallgan.data.images import ImageBatches
    from smallgan.models.biggan import BigGANConfig, BigGANGenerator
    from smallgan.tables.recipe import load_recipe
    from smallgan.training.transfer import TransferTrainer, build_adapter

    device = torch.device(args.device)
    overrides = {
        "method.name": method,
        "method.latents": "learned",  # the step alone, without rounds of matching
        "method.perceptual": "none",
        "data.size": 128,
        "train.batch_size": BATCH_SIZE,
        "train.precision": args.precision,
    }
    overrides |= {"method.group_size": GROUP_SIZE} if method == "apgc" else {}
    recipe = load_recipe(None, overrides)
    torch.manual_seed(0)
    pretrained = BigGANGenerator(BigGANConfig(size=128, ch=96, z_dim=120, num_classes=1000, attention=64))
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 128, 128, 3), dtype=np.uint8)
    adapter = build_adapter(recipe, pretrained, device)
    trainer = TransferTrainer(recipe, adapter, pixels, device, None)
    batch = ImageBatches(pixels, BATCH_SIZE, 0, device).batch(0)
    return lambda: [value.item() for value in trainer.step(batch, 0).values()]


def _peak_mb(args: argparse.Namespace) -> float:
    import torch

    from smallgan.core.device import peak_memory_mb

    step = _step(args.memory_of, args)
    for _ in range(2):
        step()
    return peak_memory_mb(torch.device(args.device))


if __name__ == "__main__":
    main()
