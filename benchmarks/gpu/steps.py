"""Milliseconds a training step on a GPU: `python -m benchmarks.gpu.steps [--only NAME,...] [--rounds 7]`.

Each way is a model, a size, a precision and whether its networks are compiled, or its steps recorded as CUDA graphs.
Beside the DCGAN stands the plain one of `benchmarks.plain_dcgan`, with TF32 as torch sets it, whose data lie on the GPU
already. Ways of one group are timed in turn. Batches of 64, of the BigGAN and FastGAN 16.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from benchmarks.plain_dcgan import PlainTrainer
from smallgan.core.device import choose_device, describe_device, float32_math
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer
from smallgan.training.compiling import GRAPH, compile_networks
from smallgan.training.step_graphs import WARM_UP

STEPS = 20
PLAIN = "plain"
MODES = {"": None, " compiled": "default", " networks as graphs": "reduce-overhead", " steps as graphs": GRAPH}
Step = Callable[[], object]


def groups() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the settings of each way of each group; `plain` has none but its size."""
    dcgan = {
        f"dcgan-{size}": {
            PLAIN: {"data.size": size},
            **{
                precision + label: {"data.size": size, "train.precision": precision, "train.compile": mode}
                for precision in ("fp32", "tf32", "bf16")
                for label, mode in MODES.items()
            },
        }
        for size in (64, 128)
    }
    others = {
        "biggan-64": {"model.name": "biggan", "data.size": 64, "train.batch_size": 16},
        "fastgan-256": {"model.name": "fastgan", "data.size": 256, "train.batch_size": 16},
    }
    return dcgan | {
        name: {
            "bf16" + label: {**settings, "train.precision": "bf16", "train.compile": mode}
            for label, mode in MODES.items()
        }
        for name, settings in others.items()
    }


def main() -> None:
    """Time the groups and print a table of each."""
    known = groups()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.steps", description=__doc__)
    parser.add_argument("--only", default=",".join(known), help=f"of {', '.join(known)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    device = choose_device(args.device)
    print(f"{describe_device(device)}, torch {torch.__version__}, milliseconds a step, {args.rounds} rounds of {STEPS}")
    print(f"{'':30} {'median':>8} {'min':>8} {'max':>8} {'plain over it':>14}")
    for name in args.only.split(","):
        taken = timed(known[name], device, args.rounds)
        plain = statistics.median(taken[PLAIN]) if PLAIN in taken else None
        for way, times in taken.items():
            median = statistics.median(times)
            ratio = f"{plain / median:14.2f}" if plain else ""
            print(f"{name + ' ' + way:30} {median:8.2f} {min(times):8.2f} {max(times):8.2f} {ratio}", flush=True)


def timed(ways: dict[str, dict[str, Any]], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds a step of each way, one value a round; a way that fails is told and left out."""
    ready: dict[str, Step] = {}
    for way, settings in ways.items():
        try:
            ready[way] = plain(device, settings["data.size"]) if way == PLAIN else ours(settings, device)
            for _ in range(WARM_UP + 1):  # what is compiled, captured and chosen in the first steps is not counted
                ready[way]()
        except Exception as error:
            ready.pop(way, None)
            print(f"{way}: {type(error).__name__}: {str(error).splitlines()[0][:200]}", flush=True)
    taken: dict[str, list[float]] = {way: [] for way in ready}
    for _ in range(rounds):
        for way, step in ready.items():
            taken[way].append(milliseconds(step, device))
    ready.clear()
    gc.collect()
    torch.compiler.reset()
    return taken


def ours(settings: dict[str, Any], device: torch.device) -> Step:
    """Return a step of our trainer, data path included."""
    recipe = load_recipe(None, settings)
    trainer = build_trainer(recipe, device)
    compile_networks(trainer, recipe.train.compile)
    size = recipe.data.size
    pixels = np.random.default_rng(0).integers(0, 256, (1000, size, size, 3), dtype=np.uint8)
    batches = ImageBatches(pixels, recipe.train.batch_size * recipe.method.d_steps, 0, device)
    steps = iter(range(10**9))

    def step() -> None:
        number = next(steps)
        with float32_math(str(recipe.train.precision)):
            trainer.step(batches.batch(number), number)

    return step


def plain(device: torch.device, size: int) -> Step:
    """Return a step of the plain DCGAN on images that lie on the device."""
    trainer = PlainTrainer(device=device, size=size)
    real = torch.rand(64, 3, size, size, device=device) * 2 - 1
    return lambda: trainer.step(real)


def milliseconds(step: Step, device: torch.device) -> float:
    """Return the time of a step, averaged over STEPS of them, the device's queue emptied before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else nullcontext
    wait()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    wait()
    return (time.perf_counter() - started) / STEPS * 1000


if __name__ == "__main__":
    main()
