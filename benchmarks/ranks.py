"""Do N processes train what one trains? `python -m benchmarks.ranks` prints how far their weights lie apart.

Every case is trained in one process and over 2 and 4 ranks (CPU, gloo) at the same batch: 20 steps in float64, and one
step in float32. Rounding alone may differ: sums over a batch are made in another order.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from smallgan.core import distributed, draws
from smallgan.data import images
from smallgan.data.images import ImageBatches
from smallgan.models.biggan import BigGANConfig, BigGANGenerator, initialize
from smallgan.models.perceptual import Perceptual
from smallgan.sampling import prior
from smallgan.tables.recipe import Recipe, load_recipe
from smallgan.training import imle, matching, pca_latents, transfer, transfer_latents
from smallgan.training.adversarial import build_trainer
from smallgan.training.loop import Trainer, fixed_inputs
from smallgan.training.scratch import fresh_networks

CPU = torch.device("cpu")
COUNT, SIZE, BATCH, IMAGES = 8, 32, 4, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
CLASSES = np.arange(COUNT, dtype=np.int64) % 3
BASE = {"data.size": SIZE, "train.batch_size": BATCH, "train.steps": 20, "model.base_width": 8}
AUGMENTED = {
    "method.diffaugment": "color,translation,cutout",
    "method.mirror": True,
    "method.ada_target": 0.6,
    "method.apa_target": 0.6,
}
BY_IMAGE = {"model.g_norm": "layer", "model.d_norm": "none", "loss.name": "hinge", "method.d_steps": 2}
LECAM = {"weight": 0.3, "start": 2}
ADVERSARIAL: dict[str, dict[str, Any]] = {
    "DCGAN": {"method.mirror": True},
    "DCGAN, R1, in parts": BY_IMAGE | AUGMENTED | {"regularizers": {"r1": {"weight": 1.0, "every": 2}}},
    "DCGAN, R1 through batch norm": {
        "loss.name": "relativistic",
        "regularizers": {"r1": {"weight": 1.0, "every": 2}, "orthogonal": {}},
    },
    "BigGAN, three classes, LeCam": {
        **{"model.name": "biggan", "model.z_dim": 16, "method.class_balanced": True},
        "regularizers": {"lecam": LECAM, "orthogonal": {}},
    },
    "FastGAN, all": {
        **{"model.name": "fastgan", "model.base_width": 4, "model.z_dim": 16, **AUGMENTED},
        "regularizers": {"r1": {"every": 4}, "autoencode": {}, "lecam": LECAM, "warm_start": {"steps": 5}},
    },
}
IMLE: dict[str, dict[str, Any]] = {
    "IMLE, DCGAN": {"method.mirror": True},
    "IMLE, FastGAN (batch norm)": {"model.name": "fastgan", "model.base_width": 4},
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "APGC, learned codes": {"method.name": "apgc", "method.group_size": 4, "method.code_init": "normal"},
    "APGC, matched latents": {"method.name": "apgc", "method.group_size": 4, "method.latents": "imle"},
    "BSA, raw, in parts": {"method.name": "bsa", "method.variant": "raw", "method.code_init": "normal"},
}
CASES = (*ADVERSARIAL, *IMLE, *ADAPTERS)


def made(name: str) -> tuple[Trainer, ImageBatches]:
    """Return trainer and batches of a case."""
    if name in ADVERSARIAL:
        trainer, batches = _adversarial(load_recipe(None, BASE | ADVERSARIAL[name]))
    elif name in IMLE:
        own = {"method.name": "imle", "method.pca_steps": 2, "method.round_steps": 3, "method.perceptual": "none"}
        trainer, batches = _imle(load_recipe(None, BASE | own | IMLE[name]))
    else:
        own = {key: value for key, value in BASE.items() if not key.startswith("model")}
        trainer, batches = _adapter(load_recipe(None, own | ADAPTERS[name]))
    if name.endswith("in parts"):
        trainer.micro_batch = 1
    return trainer, batches


def _adversarial(recipe: Recipe) -> tuple[Trainer, ImageBatches]:
    classes = ["ape", "bee", "cat"] if recipe.model_name == "biggan" else []
    trainer = build_trainer(recipe, CPU, classes, PIXELS)
    options: Any = recipe.method
    size, labels = BATCH * options.d_steps, CLASSES if classes else None
    own = {"balanced": options.class_balanced, "parts": options.d_steps}
    return trainer, ImageBatches(PIXELS, size, recipe.seed, CPU, labels, **own)


def _imle(recipe: Recipe) -> tuple[Trainer, ImageBatches]:
    batches = ImageBatches(PIXELS, BATCH, recipe.seed, CPU)
    generator, _ = fresh_networks(recipe)
    return imle.IMLETrainer(recipe, CPU, generator, PIXELS, batches.labels, _perceptual()), batches


def _adapter(recipe: Recipe) -> tuple[Trainer, ImageBatches]:
    network = BigGANGenerator(BigGANConfig(size=SIZE, ch=4, z_dim=16, num_classes=3, shared_dim=8))
    initialize(network, torch.Generator().manual_seed(0), "N02")
    adapter = transfer.build_adapter(recipe, network.eval(), CPU)
    trainer = transfer.TransferTrainer(recipe, adapter, PIXELS, CPU, _perceptual())
    return trainer, ImageBatches(PIXELS, BATCH, recipe.seed, CPU)


def _perceptual() -> Perceptual:
    torch.manual_seed(3)
    stages = [nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU()), nn.Conv2d(4, 5, 3, 2)]
    return Perceptual("toy", [stage.requires_grad_(False) for stage in stages])


def trained(name: str, steps: int) -> dict[str, Tensor]:
    """Return weights, buffers, mean gradients (Adam's), what the last step told and sampled images after the steps."""
    trainer, batches = made(name)
    if torch.get_default_dtype() == torch.float64:
        for network in trainer.networks.values():
            network.double()
    for number in range(steps):
        told = trainer.step(batches.batch(number), number)
    found = {f"told.{key}": torch.tensor(value) for key, value in distributed.means(_numbers(told)).items()}
    for key, network in trainer.networks.items():
        found |= {f"{key}.{part}": value.detach().contiguous() for part, value in network.state_dict().items()}
        optimizer = trainer.optimizers.get(key)
        moments = (
            {part: optimizer.state.get(weight) for part, weight in network.named_parameters()} if optimizer else {}
        )
        found |= {f"adam.{key}.{part}": own["exp_avg"].contiguous() for part, own in moments.items() if own}
    return found | {"images": _images(trainer)}


def _images(trainer: Trainer) -> Tensor:
    z, *classes = fixed_inputs(trainer, 0, IMAGES)
    with torch.no_grad():
        images: Tensor = trainer.generator_ema(z.to(torch.get_default_dtype()), *classes)
    return images.contiguous()


def _numbers(told: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in told.items()}


def compute_in_float64() -> None:
    """Let this process train in float64, drawn numbers and images included; it cannot be undone."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    to_images, normal = images.to_images, draws.normal
    for module in (images, imle, matching, pca_latents, transfer):
        module.to_images = lambda pixels: to_images(pixels).double()
    for module in (draws, imle, matching, prior, transfer_latents):
        module.normal = lambda *address: normal(*address).astype(np.float64)


def all_trained(names: list[str], steps: int) -> dict[str, Tensor]:
    """Return the tensors of several cases by "case/tensor"."""
    return {f"{name}/{key}": value for name in names for key, value in trained(name, steps).items()}


def over_ranks(number: int, names: list[str], steps: int, precision: str) -> dict[str, Tensor]:
    """Return `all_trained` of `number` processes that train together."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
        own = ["--write", str(path), "--precision", precision, "--steps", str(steps), *names]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*launcher, "-m", "benchmarks.ranks", *own], check=True, env=environment)
        return load_file(path)


def apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor], kind: str = "") -> dict[str, float]:
    """Return the largest absolute difference of each case, in any tensor, or in those whose name begins with `kind`."""
    found: dict[str, float] = {}
    assert one.keys() == other.keys()
    for name, value in one.items():
        case, _, key = name.partition("/")
        if not key.startswith(kind):
            continue
        difference = (value.double() - other[name].double()).abs().max().item()
        found[case] = max(found.get(case, 0.0), difference)
    return found


def beyond(one: Mapping[str, Tensor], other: Mapping[str, Tensor], limit: float) -> dict[str, str]:
    """Return how many of a case's trained weights lie further apart than a limit, as "3 of 1,000"."""
    found: dict[str, tuple[int, int]] = {}
    for name, value in one.items():
        case, key = name.split("/", 1)
        if f"{case}/adam.{key}" in one:
            far, number = found.get(case, (0, 0))
            found[case] = far + int(((value - other[name]).abs() > limit).sum()), number + value.numel()
    return {case: f"{far} of {number:,}" for case, (far, number) in found.items()}


def main() -> None:
    """Print the table, or as a rank write what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--precision", choices=("fp32", "fp64"), default="fp64")
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.write:
        if asked.precision == "fp64":
            compute_in_float64()
        with distributed.session("cpu"):
            found = all_trained(asked.cases, asked.steps)
            if distributed.is_main():
                save_file(found, asked.write)
        return
    print("largest difference from one process: of any weight, buffer, gradient and told number; of mean gradients; of")
    print("sampled images; and how many weights lie beyond 1e-5; each over 2 and 4 ranks")
    kinds = apart, partial(apart, kind="adam."), partial(apart, kind="images")
    for precision, steps in (("fp32", 1), ("fp64", asked.steps or 20)):
        if precision == "fp64":
            compute_in_float64()
        alone = all_trained(asked.cases, steps)
        others = [over_ranks(number, asked.cases, steps, precision) for number in (2, 4)]
        found = [[compare(alone, each) for each in others] for compare in kinds]
        far = [beyond(alone, each, 1e-5) for each in others]
        print(f"{precision}, after {steps} step{'s' if steps > 1 else ''}")
        for case in asked.cases:
            figures = [", ".join(f"{each[case]:.1e}" for each in pair) for pair in found]
            print(f"  {case:32} {' | '.join(figures)} | {', '.join(each[case] for each in far)}", flush=True)


if __name__ == "__main__":
    main()
