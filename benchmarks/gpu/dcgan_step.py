"""What a DCGAN step costs on a GPU, beside the plain one: `python -m benchmarks.gpu.dcgan_step`, about a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.plain_dcgan import PlainTrainer
from smallgan.core.device import choose_device, describe_device
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer

ROUNDS, STEPS = 7, 20


def main() -> None:
    device = choose_device("cuda")
    print(
        f"{describe_device(device)}, torch {torch.__version__}, {ROUNDS} rounds of {STEPS} steps, milliseconds a step"
    )
    print(f"{'':28} {'median':>8} {'min':>8} {'max':>8}")
    for size in (64, 128):
        ways = {f"{size} px {precision}": ours(size, precision, device) for precision in ("fp32", "bf16")}
        if size == 64:
            ways["64 px plain (TF32 as set)"] = plain(device)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                taken[name].append(milliseconds(way))
        for name, values in taken.items():
            print(f"{name:28} {np.median(values):8.2f} {min(values):8.2f} {max(values):8.2f}")


def ours(size: int, precision: str, device: torch.device) -> Callable[[], object]:
    recipe = load_recipe(None, {"data.size": size, "train.precision": precision})
    trainer = build_trainer(recipe, device)
    pixels = np.random.default_rng(0).integers(0, 256, (1000, size, size, 3), dtype=np.uint8)
    batches = ImageBatches(pixels, recipe.train.batch_size, 0, device)
    steps = iter(range(10**9))

    def step() -> None:
        number = next(steps)
        trainer.step(batches.batch(number), number)

    return step


def plain(device: torch.device) -> Callable[[], object]:
    trainer = PlainTrainer(device=device)
    real = torch.rand(64, 3, 64, 64, device=device) * 2 - 1
    return lambda: trainer.step(real)


def milliseconds(step: Callable[[], object]) -> float:
    """Return the time of a step, averaged over STEPS of them, the device's queue emptied before and after."""
    step()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS * 1000


if __name__ == "__main__":
    main()
