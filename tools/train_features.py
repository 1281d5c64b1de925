"""Train the feature network that ships with smallgan: `python tools/train_features.py CALTECH101.zip --out FOLDER`.

CALTECH101.zip holds `images/<class>/<name>.jpg` at 64 x 64 pixels. One thread is used; a checkpoint is written now and
then, and the same command goes on from it. Written at the end: FOLDER/weights.safetensors and FOLDER/card.json.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from drawn_classes import CLASSES, draw
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from smallgan.models.small_net import SIZE, SmallNet

PAD = 6  # pixels of reflected border that random crops move over
DRAWN_PER_CLASS = 120
DRAWN_SHARE = 0.15
HELD_OUT = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("caltech101", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    names, train, test = load(args.caltech101, args.seed)
    net = fit(args, len(names), train)
    card = {"steps": args.steps, "batch_size": args.batch_size, "seed": args.seed, "classes": names}
    save(net.half().float(), args.out, card | report(net, names, *test))


def load(
    path: Path, seed: int
) -> tuple[list[str], list[NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Return class names, training pixels by class, and held-out pixels with labels; drawn classes come last."""
    by_class: dict[str, list[NDArray[np.uint8]]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            by_class.setdefault(name.split("/")[-2], []).append(pixels)
    for number, name in enumerate(CLASSES):
        rng = np.random.default_rng(np.random.SeedSequence([seed, 1, number]))
        by_class[f"drawn-{name}"] = [draw(name, rng) for _ in range(DRAWN_PER_CLASS)]
    train, held, labels = [], [], []
    for label, images in enumerate(by_class.values()):
        order = np.random.default_rng(np.random.SeedSequence([seed, 2, label])).permutation(len(images))
        num_held = max(1, round(HELD_OUT * len(images)))
        held += [images[i] for i in order[:num_held]]
        labels += [label] * num_held
        train.append(np.stack([images[i] for i in order[num_held:]]))
    return list(by_class), train, (np.stack(held), np.array(labels))


def batch(train: list[NDArray[np.uint8]], args: argparse.Namespace, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw classes evenly, then an image of each; mirror half of them, and crop all to one size."""
    rng = np.random.default_rng(np.random.SeedSequence([args.seed, 3, step]))
    num_photo = len(train) - len(CLASSES)
    drawn = rng.random(args.batch_size) < DRAWN_SHARE
    labels = np.where(
        drawn, rng.integers(num_photo, len(train), args.batch_size), rng.integers(0, num_photo, args.batch_size)
    )
    size = SIZE if step > 0.75 * args.steps else int(rng.choice([44, 52, 60]))
    out = np.empty((args.batch_size, size, size, 3), np.uint8)
    for row, label in enumerate(labels):
        pixels = train[label][rng.integers(len(train[label]))]
        pixels = np.pad(pixels, ((PAD, PAD), (PAD, PAD), (0, 0)), mode="reflect")
        y, x = rng.integers(0, SIZE + 2 * PAD - size + 1, 2)
        crop = pixels[y : y + size, x : x + size]
        out[row] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return to_images(out), torch.from_numpy(labels)


def to_images(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)  # stays channels_last


def fit(args: argparse.Namespace, num_classes: int, train: list[NDArray[np.uint8]]) -> SmallNet:
    net = SmallNet(num_classes).to(memory_format=torch.channels_last)
    momentum = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    checkpoint = args.out / "checkpoint.safetensors"
    start = resume(checkpoint, net, momentum)
    began, losses = time.perf_counter(), []
    for step in range(start, args.steps):
        images, labels = batch(train, args, step)
        with torch.autocast("cpu", torch.bfloat16):
            features, _ = net(images)
        logits = net.head(F.dropout(features.float(), 0.2))
        loss = F.cross_entropy(logits, labels, label_smoothing=args.smoothing)
        net.zero_grad(set_to_none=True)
        loss.backward()
        sgd(net, momentum, one_cycle(step / args.steps) * args.lr, args.weight_decay)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            rate = (step + 1 - start) * args.batch_size / (time.perf_counter() - began)
            print(
                f"step {step + 1} of {args.steps}: loss {np.mean(losses[-100:]):.3f}, {rate:.0f} images/s", flush=True
            )
            tensors = {f"model.{k}": v for k, v in net.state_dict().items()} | {
                f"momentum.{k}": v for k, v in momentum.items()
            }
            save_whole(tensors, checkpoint, {"step": str(step + 1)})
    return net


def one_cycle(progress: float) -> float:
    """Share of the highest learning rate: up over the first tenth, then half a cosine down."""
    return progress / 0.1 if progress < 0.1 else 0.5 + 0.5 * float(np.cos(np.pi * (progress - 0.1) / 0.9))


@torch.no_grad()
def sgd(net: SmallNet, momentum: dict[str, torch.Tensor], lr: float, weight_decay: float) -> None:
    """One step of SGD with Nesterov momentum 0.9; weights decay, biases and batch norm do not."""
    for name, p in net.named_parameters():
        if p.grad is None:
            continue
        grad = p.grad + weight_decay * p if p.ndim > 1 else p.grad
        momentum[name].mul_(0.9).add_(grad)
        p.sub_(lr * (grad + 0.9 * momentum[name]))


def resume(path: Path, net: SmallNet, momentum: dict[str, torch.Tensor]) -> int:
    if not path.is_file():
        return 0
    with safe_open(path, "pt") as file:
        net.load_state_dict({k: file.get_tensor(f"model.{k}") for k in net.state_dict()})
        for name in momentum:
            momentum[name].copy_(file.get_tensor(f"momentum.{name}"))
        step = int(file.metadata()["step"])
    print(f"going on from step {step}", flush=True)
    return step


@torch.inference_mode()
def report(
    net: SmallNet, names: list[str], pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, float | int]:
    """Held-out top-1 in percent: over photographs, as the mean over their classes, and over drawn classes."""
    net.eval()
    guess = torch.cat([net(to_images(pixels[i : i + 64]))[1].argmax(1) for i in range(0, len(pixels), 64)]).numpy()
    right = guess == labels
    photo = labels < len(names) - len(CLASSES)
    per_class = [right[labels == label].mean() for label in np.unique(labels[photo])]
    result = {
        "held_out": int(photo.sum()),
        "top1": round(100 * float(right[photo].mean()), 1),
        "top1_class_mean": round(100 * float(np.mean(per_class)), 1),
        "top1_drawn": round(100 * float(right[~photo].mean()), 1),
    }
    print(result, flush=True)
    return result


def save(net: SmallNet, out: Path, card: dict[str, object]) -> None:
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_whole(tensors, out / "weights.safetensors", {"format": "pt"})
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def save_whole(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    temporary = path.with_suffix(".tmp")
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata)
    temporary.replace(path)


if __name__ == "__main__":
    main()
