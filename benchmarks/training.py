"""Training: our step over a plain one, and our data path over ImageFolder with a DataLoader."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from augment.imaging.codec import decode
from augment.imaging.geometry import resize_square
from benchmarks.plain_dcgan import PlainTrainer
from benchmarks.rows import Row, interleave
from smallgan.data.images import ImageBatches
from smallgan.tables.recipe import load_recipe
from smallgan.training.adversarial import build_trainer

BATCH_SIZE = 64


def measure(rounds: int) -> list[Row]:
    """Return the rows of the training benchmark."""
    return [*_steps(rounds), _data_path(rounds)]


def _steps(rounds: int) -> list[Row]:
    cpu = torch.device("cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (256, 64, 64, 3), dtype=np.uint8)
    batches = ImageBatches(pixels, BATCH_SIZE, 0, cpu)
    plain = PlainTrainer()
    contiguous = batches.batch(0).images.contiguous(memory_format=torch.contiguous_format)

    def ours(precision: str) -> Callable[[], object]:
        trainer = build_trainer(load_recipe(None, {"train.precision": precision}), cpu)
        return lambda: [value.item() for value in trainer.step(batches.batch(0), 0).values()]

    ways = {"plain": lambda: plain.step(contiguous), "fp32": ours("fp32"), "bf16": ours("bf16")}
    seconds = interleave(ways, rounds)
    note = f"64 px, batch {BATCH_SIZE}, plain step {np.median(seconds['plain']):.2f} s"
    return [
        Row(f"training step {name}", target, tuple(np.divide(seconds["plain"], seconds[name])), note)
        for name, target in (("fp32", 1.15), ("bf16", 2.5))
    ]


def _data_path(rounds: int) -> Row:
    """Measure an epoch of float batches from JPEG files of CelebA's shape; ours pays the decoding once, apart."""
    with tempfile.TemporaryDirectory() as folder:
        files = _jpegs(Path(folder) / "one-class", 512)
        transform = transforms.Compose(
            [
                transforms.Resize(64),
                transforms.CenterCrop(64),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )
        loader = DataLoader(ImageFolder(folder, transform), BATCH_SIZE, shuffle=True)
        started = time.perf_counter()
        pixels = np.stack([resize_square(decode(file.read_bytes(), file.name), 64, "crop") for file in files])
        once = time.perf_counter() - started
        batches = ImageBatches(pixels, BATCH_SIZE, 0, torch.device("cpu"))
        ways = {
            "plain": lambda: [images for images, _ in loader],
            "ours": lambda: [batches.batch(number) for number in range(len(files) // BATCH_SIZE)],
        }
        seconds = interleave(ways, rounds)
    note = f"{len(files)} JPEGs of 178 x 218, no workers; decoding once took {once:.2f} s"
    return Row("epoch data path", 10.0, tuple(np.divide(seconds["plain"], seconds["ours"])), note)


def _jpegs(folder: Path, count: int) -> list[Path]:
    """Write photograph-like JPEGs: smooth noise on several scales."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        layers = [
            np.asarray(Image.fromarray(rng.integers(0, 256, (4 << k, 4 << k, 3), dtype=np.uint8)).resize((178, 218)))
            for k in range(4)
        ]
        files.append(folder / f"{number:04d}.jpg")
        Image.fromarray(np.average(layers, axis=0, weights=(4, 3, 2, 1)).astype(np.uint8)).save(files[-1], quality=90)
    return files
