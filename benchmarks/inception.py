"""Features of image files by the TF-2015 Inception: ours against torch-fidelity, with the same weights, file to logits.

The weights are random, because no benchmark may depend on a download: every batch norm gets the statistics of images,
as training would give it, and the last layer is turned away from the mean of the features and scaled, so that the
predictions differ from image to image and the Inception Score is well above 1.

    python -m benchmarks.inception FOLDER [--count 1000] [--device cpu] [--batch-size 16]
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import extract_featuresdict_from_input_id

from augment.sources.readers import open_source
from benchmarks.rows import Row
from smallgan.core.resources import sample_set
from smallgan.metrics.features.extract import FeatureNet, Features, extract
from smallgan.metrics.features.inception import TF2015Inception
from smallgan.metrics.features.inference import fold_batch_norms, to_bfloat16
from smallgan.metrics.inception_score import inception_score

NUM_IMAGES = 100
BATCH_SIZE = 16
CPU = torch.device("cpu")
SPREAD = 3.0
"""Standard deviation of a class's logits over images."""
TARGETS = {"fp32": 1.4, "bf16": None}
Tensors = dict[str, Tensor]


def measure(rounds: int) -> list[Row]:
    """Return images a second of ours over theirs in both precisions, from `rounds` rounds on the sample set."""
    with image_folder(sample_set(), range(NUM_IMAGES)) as images:
        return compare([images] * rounds)[0]


def compare(
    parts: Sequence[Path], device: torch.device = CPU, batch_size: int = BATCH_SIZE
) -> tuple[list[Row], dict[str, NDArray[np.float32]]]:
    """Return the rows, from a round for each folder of images after one to warm up, and the logits of each way."""
    tensors = random_inception(first_images(32))
    theirs, nets = their_inception(tensors), {each: our_inception(tensors, each, device) for each in TARGETS}
    theirs.to(device)
    ways: dict[str, Callable[[Path], NDArray[np.float32]]] = {
        "theirs": lambda images: their_features(images, theirs, device, batch_size)["logits_unbiased"].numpy(),
        **{each: lambda images, net=net: our_features(images, net, batch_size).logits for each, net in nets.items()},
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    logits: dict[str, list[NDArray[np.float32]]] = {way: [] for way in ways}
    for number, images in enumerate([parts[0], *parts]):
        for way, extracted in ways.items():
            began = time.perf_counter()
            found = extracted(images)
            if number:
                seconds[way].append(time.perf_counter() - began)
                logits[way].append(found)
    rows = []
    count = sum(map(len, logits["theirs"]))
    for precision, target in TARGETS.items():
        ratios = tuple(a / b for a, b in zip(seconds["theirs"], seconds[precision], strict=True))
        rates = [count / sum(seconds[way]) for way in ("theirs", precision)]
        note = f"{count} files, batch {batch_size}; torch-fidelity {rates[0]:.1f}/s, ours {rates[1]:.1f}/s"
        rows.append(Row(f"Inception features {precision}", target, ratios, note))
    return rows, {way: np.concatenate(found) for way, found in logits.items()}


def random_inception(images: Tensor, seed: int = 0) -> Tensors:
    """Return weights for the TF-2015 Inception. `images` are uint8 N x 3 x H x W, 16 or more.

    One pass in training mode with momentum 1 gives each batch norm the statistics of what reaches it.
    """
    torch.manual_seed(seed)
    with patch.object(FeatureExtractorInceptionV3, "load_state_dict"), patch("torch.load"):
        net = FeatureExtractorInceptionV3("random", ["2048"], "unused")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.bias.fill_(1.0)  # keeps most units awake behind the ReLU, or rounding grows from layer to layer
        net.train()
        net(images)
        net.eval()
        features = net(images)[0]
        mean = features.mean(0)
        weight = net.fc.weight
        weight -= torch.outer(weight @ mean, mean) / mean.dot(mean)
        weight *= SPREAD / (features @ weight.T).std(0, keepdim=True).T
    return net.state_dict()


def their_inception(tensors: Tensors) -> FeatureExtractorInceptionV3:
    """Return torch-fidelity's extractor as it comes."""
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=_saved(tensors)
    )


def our_inception(tensors: Tensors, precision: str = "fp32", device: torch.device = CPU) -> FeatureNet:
    """Return our network as `feature_net` makes it of a file."""
    module = TF2015Inception(tensors).eval().requires_grad_(False)
    fold_batch_norms(module)
    if precision == "bf16":
        to_bfloat16(module)
    module.to(device).to(memory_format=torch.channels_last)
    return FeatureNet("random Inception", "random", "0" * 64, "TF 1", precision, 2048, 1008, module, device)


def their_features(
    images: Path, net: FeatureExtractorInceptionV3, device: torch.device = CPU, batch_size: int = BATCH_SIZE
) -> Tensors:
    """Return `2048` and `logits_unbiased` as torch-fidelity's own pipeline extracts them from sample files."""
    options = {"batch_size": batch_size, "cuda": device.type == "cuda", "save_cpu_ram": True, "verbose": False}
    found: Tensors = extract_featuresdict_from_input_id(1, net, input1=str(images), **options)
    return found


def our_features(images: Path, net: FeatureNet, batch_size: int = BATCH_SIZE) -> Features:
    """Return what we extract from the same files, decoding included; nothing comes from the cache."""
    source = open_source(images)
    return extract((source.load(index).image.pixels for index in range(len(source))), net, batch_size=batch_size)


@contextmanager
def image_folder(path: Path, wanted: Iterable[int]) -> Iterator[Path]:
    """Give a folder with these images of `path` alone: torch-fidelity takes whole folders, and sorts them."""
    source = open_source(path)
    with tempfile.TemporaryDirectory() as folder:
        for index in wanted:
            (Path(folder) / f"{index:06d}{Path(source.images[index].name).suffix}").write_bytes(source.read(index))
        yield Path(folder)


def first_images(count: int) -> Tensor:
    """Return the first images of the sample set, uint8 N x 3 x H x W."""
    source = open_source(sample_set())
    return torch.from_numpy(np.stack([source.load(index).image.pixels for index in range(count)])).permute(0, 3, 1, 2)


def _saved(tensors: Tensors) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    buffer.seek(0)
    return buffer


def main() -> None:
    """Print the rows for a folder, each image being seen once, and how far the logits of both are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    asked = parser.parse_args()
    with ExitStack() as stack:
        starts = range(0, asked.count, NUM_IMAGES)
        parts = [range(first, min(first + NUM_IMAGES, asked.count)) for first in starts]
        folders = [stack.enter_context(image_folder(asked.folder, part)) for part in parts]
        rows, logits = compare(folders, torch.device(asked.device), asked.batch_size)
    for row in rows:
        print(row.line())
    theirs, ours = logits["theirs"].astype(np.float64), logits["fp32"]
    off = np.abs(ours - theirs).max(axis=0) / theirs.std(axis=0)
    scores = " and ".join(f"{inception_score(each).value:.6f}" for each in (theirs, ours))
    print(f"fp32 logits of {len(theirs)} images: at most {off.max():.1e} of their spread apart; IS {scores}")


if __name__ == "__main__":
    main()
