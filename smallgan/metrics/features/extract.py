"""Features: extracted once from a set of images, shared by all metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.errors import FailedError, InputError, UsageError
from smallgan.core import weights
from smallgan.core.device import float32_math, scoring_device
from smallgan.metrics.features.inference import fold_batch_norms, to_bfloat16
from smallgan.metrics.features.laplacian import laplacian_variance
from smallgan.metrics.features.onnx_card import is_onnx
from smallgan.tables.dotted import load
from smallgan.tables.feature_networks import FEATURE_NETWORKS, PANEL, PANEL_NAME, PUBLISHED, FeatureNetworkSpec

PRECISIONS = ("fp32", "bf16")
NO_WEIGHTS = "none"  # In the place of a hash, of a network without weights
_PENDING_BYTES = 256 << 20  # Most memory for images that wait for others of their size
_SHIPPED_NOTE = (
    f"scored with {weights.SHIPPED_FEATURES}, the small network that ships with smallgan: compare with its scores "
    f"only; for the published network: smallgan weights fetch {PUBLISHED}"
)
Pixels = NDArray[np.uint8]
CPU_BATCH, GPU_BATCH = 32, 128  # Images at a time; a GPU needs more of them to be busy


@dataclass(frozen=True)
class FeatureNet:
    """A feature network that is ready to run, and what a score must say about it."""

    name: str
    label: str  # Name to show in a score's label
    sha256: str  # Of the weights file
    resize: str  # How images of any size reach the network's
    precision: str
    num_features: int
    num_logits: int
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]  # uint8 B x H x W x 3 to features B x F and logits B x K
    device: torch.device
    note: str | None = None  # What a reader of its scores must know
    weights: str = ""  # `Card.network` of its weights; "" for the user's own, and for one without weights
    reads_points: bool = False  # float32 B x 1 x 1 x 2 in the place of images
    reads_modes: bool = False  # Its logits tell the modes of a distribution
    trained_on: str = ""  # Images that its weights were made from, "" where that is not told


@dataclass(frozen=True)
class Features:
    """What a network made of N images, in their order."""

    features: NDArray[np.float32] | NDArray[np.float64]  # N x F, pooled; float64 only where they were given so
    logits: NDArray[np.float32] | NDArray[np.float64]  # N x K, before the softmax; K = 0 for a network without classes
    laplacian: NDArray[np.float64] | None = None
    """N, of each image before the network's resize (`laplacian_variance`); None where features were given."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.features)

    def rows(self, rows: NDArray[np.intp] | list[int]) -> Features:
        """Return those of some images."""
        laplacian = None if self.laplacian is None else self.laplacian[rows]
        return Features(self.features[rows], self.logits[rows], laplacian)


def joined(parts: Sequence[Features]) -> Features:
    """Return the features of several sets of images as those of one, in their order."""
    variances = [part.laplacian for part in parts if part.laplacian is not None]
    laplacian = np.concatenate(variances) if len(variances) == len(parts) else None
    features, logits = (
        np.concatenate(each) for each in zip(*((one.features, one.logits) for one in parts), strict=True)
    )
    return Features(features, logits, laplacian)


def feature_net(name: str | None, device: torch.device, precision: str = "fp32") -> tuple[FeatureNet, str | None]:
    """Return the network called `name`, and a sentence to tell the user when it is not the one they may expect.

    None means the published Inception where its weights are in the cache, else the network that ships with smallgan,
    with a note that says so. A name that ends in .onnx or .yaml is the user's own network, or its card
    (`onnx_card`). Nothing is ever downloaded here. `precision` "bf16" runs the convolutions in
    bfloat16, which is faster, changes scores (docs/features.md says how much), and stands in their identity.

    Raises:
        UsageError: no network has that name, or it cannot run in that precision.
        MissingError: it was asked for by name and its weights, card or runtime are not here.
        InputError: its weights are damaged, or are not what their card says.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: use {' or '.join(PRECISIONS)}")
    device = scoring_device(device)
    if name is not None and is_onnx(name):
        if precision != "fp32":
            raise UsageError(f"--precision {precision}: {name} has a precision of its own; leave it out")
        return _own_net(Path(name), device)
    asked = name is not None
    if name is None:
        name = PUBLISHED if weights.locate(PUBLISHED).is_file() else weights.SHIPPED_FEATURES
    note = _SHIPPED_NOTE if name == weights.SHIPPED_FEATURES else None
    if name not in FEATURE_NETWORKS:
        raise UsageError(f"--features {name}: {FEATURE_NETWORKS.unknown(name)}")
    spec = FEATURE_NETWORKS[name]
    module, sha256 = _built(spec)
    module.eval().requires_grad_(False)
    fold_batch_norms(module)
    if precision == "bf16":
        to_bfloat16(module)
    module.to(device).to(memory_format=torch.channels_last)
    widths = spec.num_features, spec.num_logits
    card = spec.card.network if spec.card else ""
    reads = spec.reads_points, spec.reads_modes
    net = FeatureNet(
        name, spec.label, sha256, spec.resize, precision, *widths, module, device, note, card, *reads, spec.trained_on
    )
    return net, None if asked else note


def feature_nets(
    names: str | Sequence[str] | None, device: torch.device, precision: str = "fp32"
) -> tuple[list[FeatureNet], list[str]]:
    """Return the networks that `names` stands for, each once, and sentences to tell the user, as `feature_net` does.

    Args:
        names: one name, several separated by commas, a sequence of either, or None. "panel" is those of `PANEL` whose
            weights are on this machine.
        device, precision: as of `feature_net`, whose errors are raised.

    Raises UsageError also where no name is left.
    """
    if names is None:
        net, why = feature_net(None, device, precision)
        return [net], [why] if why else []
    parts = [part.strip() for text in ([names] if isinstance(names, str) else names) for part in text.split(",")]
    asked = dict.fromkeys(name for part in parts if part for name in (_panel() if part == PANEL_NAME else (part,)))
    if not asked:
        raise UsageError(f"--features {names}: no network is named; for example --features {PANEL_NAME}")
    found = [feature_net(name, device, precision) for name in asked]
    nets = {(net.name, net.sha256, net.resize): net for net, _ in found}
    return list(nets.values()), [why for _, why in found if why]


def extract(
    pixels: Iterable[Pixels],
    net: FeatureNet,
    *,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Features:
    """Return what one network makes of images: `extract_all` with one."""
    return extract_all(pixels, [net], batch_size=batch_size, progress=progress)[0]


def extract_all(
    pixels: Iterable[Pixels],
    nets: Sequence[FeatureNet],
    *,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Features]:
    """Run networks over images in one pass; return features and logits of each network, in the order of the images.

    Images of one shape go through together, so sizes may be mixed; each is resized by the network's own rule. The
    batch size changes results by float rounding only; other networks change nothing.

    Args:
        pixels: H x W x 3 uint8 each, RGB; an array N x H x W x 3 is one such iterable.
        nets: from `feature_net`, at least one.
        batch_size: images at a time; None: 32, and where a network runs on a GPU 128.
        progress: called with the number of images done.

    Raises:
        InputError: there is no image.
        UsageError: a network reads images, and these are points, or the other way round.
        FailedError: a network gave a value that is not finite.
    """
    found: list[dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]] = [{} for _ in nets]
    variances: dict[int, float] = {}
    on_gpu = any(net.device.type != "cpu" for net in nets)
    for rows, batch in _batches(pixels, batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)):
        variances.update(zip(rows, laplacian_variance(batch).tolist(), strict=True))
        for net, of_net in zip(nets, found, strict=True):
            _refuse_unreadable(net, batch)
            # cuDNN would round float32 convolutions to TF32, which is not the precision that the score states
            with torch.inference_mode(), float32_math("fp32"):
                made = net.forward(torch.from_numpy(batch).to(net.device))
            features, logits = (each.float().cpu().numpy() for each in made)
            of_net.update(zip(rows, zip(features, logits, strict=True), strict=True))
        if progress:
            progress(len(variances))
    if not variances:
        raise InputError("no image to score; name a folder with at least one")
    laplacian = np.array([variances[row] for row in range(len(variances))])
    return [_in_order(of_net, laplacian, net) for net, of_net in zip(nets, found, strict=True)]


def _refuse_unreadable(net: FeatureNet, batch: Pixels) -> None:
    is_points = batch.dtype != np.uint8
    if net.reads_points != is_points:
        reads, found = ("points", "images") if net.reads_points else ("images", "points")
        raise UsageError(f"--features {net.name}: it reads {reads}, and these are {found}; name another network")


def _in_order(
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]], laplacian: NDArray[np.float64], net: FeatureNet
) -> Features:
    features, logits = (np.stack([found[row][part] for row in range(len(found))]) for part in (0, 1))
    if not (np.isfinite(features).all() and np.isfinite(logits).all()):
        raise FailedError(
            f"{net.name} gave features that are not finite; its weights (sha256 {net.sha256[:16]}) are unusable"
        )
    return Features(features, logits, laplacian)


def network_module(name: str) -> nn.Module:
    """Return a network of the table as it was trained, to be trained on: uint8 B x H x W x 3 to features and logits.

    Raises MissingError when its weights are not here, and InputError when they are damaged.
    """
    return _built(FEATURE_NETWORKS[name])[0]


def _panel() -> list[str]:
    cards = ((name, FEATURE_NETWORKS[name].card) for name in PANEL)
    return [name for name, card in cards if card is None or weights.locate(card.name).is_file()]


def _built(spec: FeatureNetworkSpec) -> tuple[nn.Module, str]:
    """Return a network of the table with its weights, and their hash."""
    if spec.card is None:
        return load(spec.build)(spec.given), NO_WEIGHTS
    path, sha256 = weights.find(spec.card.name)
    tensors = weights.read_tensors(path)
    try:
        return load(spec.build)(tensors), sha256
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{path}: holds {len(tensors)} tensors, but not those of {spec.card.title}; fetch it again"
        ) from error


def _own_net(path: Path, device: torch.device) -> tuple[FeatureNet, str | None]:
    from smallgan.metrics.features.onnx_net import OnnxNet

    own = OnnxNet(path, device)
    if own.card.name in weights.cards():
        raise InputError(
            f"{path}: its card calls it {own.card.name}, which is another network; give it a name of its own"
        )
    widths, name = (own.num_features, own.num_logits), own.card.name
    how = own.card.preparation
    net = FeatureNet(name, name, own.sha256, how, "fp32", *widths, own, own.device, trained_on=own.card.trained_on)
    slow = device.type == "cuda" and own.device.type == "cpu"
    return net, f"onnxruntime has no CUDA here, so {name} runs on the CPU" if slow else None


def _batches(pixels: Iterable[Pixels], batch_size: int) -> Iterator[tuple[list[int], Pixels]]:
    waiting: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}
    waiting_bytes = 0
    for row, image in enumerate(pixels):
        bucket = waiting.setdefault(image.shape, [])
        bucket.append((row, image))
        waiting_bytes += image.nbytes
        if len(bucket) == batch_size:
            waiting_bytes -= sum(each.nbytes for _, each in bucket)
            yield _stacked(waiting.pop(image.shape))
        elif waiting_bytes > _PENDING_BYTES:
            yield from map(_stacked, waiting.values())
            waiting, waiting_bytes = {}, 0
    yield from map(_stacked, waiting.values())


def _stacked(bucket: list[tuple[int, Pixels]]) -> tuple[list[int], Pixels]:
    return [row for row, _ in bucket], np.stack([image for _, image in bucket])
