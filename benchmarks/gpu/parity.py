"""Whether a GPU trains what the CPU trains: `python -m benchmarks.gpu.parity [--device cuda]`, about a minute.

Of each model, in fp32 and from the same seed: how far weights are apart after one and after five steps on the CPU and
on the GPU (largest difference over the largest weight of the tensor); whether two runs on the GPU are equal bit by bit;
whether three steps, a checkpoint read back and two steps equal five; and how far eight steps as CUDA graphs are from
the same steps without. The last is left out on a CPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smallgan.core.checkpoint import load_checkpoint, save_checkpoint
from smallgan.core.device import choose_device, describe_device, float32_math
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import AdversarialTrainer, build_trainer
from smallgan.training.compiling import GRAPH, compile_networks

MODELS: dict[str, dict[str, Any]] = {
    "dcgan 64 px": {"data.size": 64},
    "dcgan 64 px, DiffAugment, R1": {
        "data.size": 64,
        "model.d_norm": "none",
        "method.diffaugment": "color,translation",
        "method.mirror": True,
        "regularizers.r1.weight": 1.0,
        "regularizers.r1.every": 2,
    },
    "biggan 32 px": {"model.name": "biggan", "data.size": 32, "model.base_width": 16},
    "fastgan 64 px": {"model.name": "fastgan", "data.size": 64},
}
CPU = torch.device("cpu")


def main() -> int:
    """Print a row a model; return 1 where a resumed run is another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.parity", description=__doc__)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    device = choose_device(args.device)
    torch.use_deterministic_algorithms(False)
    print(f"{describe_device(device)}, torch {torch.__version__}, fp32, batches of 16")
    print(f"{'':32} {'1 step':>9} {'5 steps':>9}  {'two runs':>9}  {'resumed':>13}  graphs")
    failed = 0
    with float32_math("fp32"):
        for name, settings in MODELS.items():
            one, five = (apart(steps(settings, CPU, count), steps(settings, device, count)) for count in (1, 5))
            whole = steps(settings, device, 5)
            again = "equal" if apart(whole, steps(settings, device, 5)) == 0 else "differ"
            resumed = apart(whole, steps(settings, device, 5, stop_at=3))
            # Where two runs differ already, the resumed one can only be as near as they are
            failed += again == "equal" and resumed > 0
            graphs = "-"
            if device.type == "cuda":
                eight = (steps(settings, device, 8, compiled=mode) for mode in (None, GRAPH))
                graphs = _words(apart(*eight))
            print(f"{name:32} {one:9.1e} {five:9.1e}  {again:>9}  {_words(resumed):>13}  {graphs}", flush=True)
    return int(failed > 0)


def _words(difference: float) -> str:
    return "equal" if difference == 0 else f"{difference:.1e} apart"


def steps(
    settings: dict[str, Any],
    device: torch.device,
    count: int,
    stop_at: int | None = None,
    compiled: str | None = None,
) -> dict[str, Tensor]:
    """Return all tensors of both networks on the CPU after `count` steps, by way of a checkpoint at `stop_at`."""
    recipe = load_recipe(None, {"train.batch_size": 16, "train.steps": 100, **settings})
    trainer, size = build_trainer(recipe, device), recipe.data.size
    compile_networks(trainer, compiled)
    pixels = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    batches = ImageBatches(pixels, 16 * recipe.method.d_steps, 0, device)
    for number in range(count):
        if number == stop_at:
            trainer = _through_a_checkpoint(trainer, build_trainer(recipe, device))
        trainer.step(batches.batch(number), number)
    return {
        f"{name}.{key}": value.detach().cpu().double()
        for name in ("g", "d")
        for key, value in trainer.networks[name].state_dict().items()
    }


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of two states over the largest entry of its tensor."""
    return max(float((one[key] - other[key]).abs().max() / (one[key].abs().max() + 1e-12)) for key in one)


def _through_a_checkpoint(trainer: AdversarialTrainer, fresh: AdversarialTrainer) -> AdversarialTrainer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        save_checkpoint(path, trainer, {"step": 3})
        load_checkpoint(path, fresh)
    return fresh


if __name__ == "__main__":
    sys.exit(main())
