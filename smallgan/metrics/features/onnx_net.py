"""The user's own feature network: any ONNX file with a card (`onnx_card`), run by onnxruntime."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augment.core.files import sha256_bytes, sha256_file
from augment.errors import FailedError, InputError, MissingError
from smallgan.metrics.features.onnx_card import CARD_SUFFIXES, OnnxCard, find_card, named_file, read_card, starting_card

_ELEMENTS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_EXTERNAL = re.compile(rb"\n\x08location\x12([\x01-\x7f])")
"""How a tensor says in an ONNX file that its values lie in another file, and the length of that file's name."""
_LUMA = (0.299, 0.587, 0.114)


class OnnxNet:
    """An ONNX file and its card as a network: call it with uint8 B x H x W x 3.

    Runs on torch's number of threads at the time it is made, on a GPU where onnxruntime has one and `device` is one.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        """Open the network that `path`, an ONNX file or a card, names.

        Raises MissingError (no onnxruntime, no card: with one to start from) and InputError (the card does not fit).
        """
        runtime = _onnxruntime()
        found, looked = find_card(path)
        if found is None and path.suffix.lower() in CARD_SUFFIXES:
            raise InputError(f"{path}: no such card; name the card of an ONNX file, or the file with a card beside it")
        card = read_card(found) if found else None
        named = named_file(card, found) if card and found else path
        self.path = named if found == path else path
        if card and card.file and named.resolve() != self.path.resolve():
            raise InputError(f"{found}: its `file` is {card.file}, but it stands beside {path.name}; correct it")
        if not self.path.is_file():
            raise InputError(
                f"{self.path}: no such file{f'; name the ONNX file in {found} under `file`' if card else ''}"
            )
        self.sha256 = _hash(self.path)
        self._session = _open(runtime, self.path, device)
        self.device = torch.device("cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu")
        self.inputs = [(each.name, list(each.shape)) for each in self._session.get_inputs()]
        self.outputs = [(each.name, list(each.shape)) for each in self._session.get_outputs()]
        if card is None:
            raise MissingError(
                f"{path}: no card beside it (looked for {', '.join(each.name for each in looked)}), and an ONNX file "
                f"does not say how images reach it. Save this as {looked[0].name} and correct it (kept elsewhere, with "
                "the whole path as `file`, it is named itself: --features CARD.yaml):\n\n"
                f"{starting_card(self.path.name, self.inputs, self.outputs)}"
            )
        self._element = _ELEMENTS.get(self._session.get_inputs()[0].type)
        self.card, self._batch = card, self._check(card, found or path)
        features, logits = self(torch.zeros((1, *card.size, 3), dtype=torch.uint8))
        self.num_features, self.num_logits = features.shape[1], logits.shape[1]

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 B x H x W x 3 to float32 features B x F and logits B x K, K = 0 without classes.

        Raises InputError for images of another size under `resize: none`, FailedError when the network fails.
        """
        images = _prepared(pixels.cpu(), self.card)
        if self._element is np.uint8:
            images = images.round().clamp(0, 255)
        fed = images.numpy().astype(self._element)
        step = self._batch or len(fed)
        parts = [self._run(fed[first : first + step]) for first in range(0, len(fed), step)]
        features, logits = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
        return torch.from_numpy(features), torch.from_numpy(logits)

    def _run(self, fed: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        count = len(fed)
        if self._batch and count < self._batch:  # the network takes whole batches only: repeat the last image
            fed = np.concatenate([fed, np.repeat(fed[-1:], self._batch - count, axis=0)])
        wanted = [name for _, name in self.card.outputs if name]
        try:
            given = self._session.run(wanted, {self.card.input: fed})
        except Exception as error:  # onnxruntime raises classes of its own, and RuntimeError
            raise FailedError(f"{self.path}: the network failed on images {fed.shape}: {_first(error)}") from error
        features = np.asarray(given[0], np.float32)[:count]
        if features.ndim == 4:
            features = features.mean(axis=(1, 2) if self.card.layout == "nhwc" else (2, 3))
        logits = np.asarray(given[1], np.float32)[:count] if len(given) > 1 else np.zeros((count, 0), np.float32)
        for name, array in zip(wanted, (features, logits), strict=False):
            if array.ndim != 2 or len(array) != count:
                raise InputError(
                    f"{self.path}: its output {name} has shape {tuple(array.shape)} for {count} image(s); expected a "
                    "row an image, so name an output N x F (or maps N x C x H x W for features) under `outputs`"
                )
        return features, logits

    def _check(self, card: OnnxCard, origin: Path) -> int | None:
        """Return the input's fixed batch size, None where any will do. Raises InputError naming all that is wrong."""
        mistakes = []
        names, shapes = [name for name, _ in self.outputs], dict(self.inputs)
        for key, name in card.outputs:
            if name and name not in names:
                mistakes.append(f"outputs.{key}: the file has no output {name!r}, but {', '.join(names)}")
        if card.input not in shapes:
            mistakes.append(f"input: the file has no input {card.input!r}, but {', '.join(shapes)}")
        elif len(shapes) > 1:
            mistakes.append(f"input: the file has {len(shapes)} inputs ({', '.join(shapes)}), expected images alone")
        shape = shapes.get(card.input, [])
        if self._element is None:
            kind = self._session.get_inputs()[0].type
            mistakes.append(f"input: the file takes {kind}, expected one of {', '.join(_ELEMENTS)}")
        if self._element is np.uint8 and (card.range, card.mean, card.std) != ((0, 255), (0, 0, 0), (1, 1, 1)):
            mistakes.append("range: the file takes uint8, so expected range [0, 255] without mean and std")
        if len(shape) == 4:
            channels = 1 if card.channels == "gray" else 3
            wanted = (channels, *card.size) if card.layout == "nchw" else (*card.size, channels)
            if any(isinstance(has, int) and has != side for has, side in zip(shape[1:], wanted, strict=True)):
                given = f"layout {card.layout}, size {list(card.size)} and channels {card.channels}"
                mistakes.append(f"size: {given} give N x {_by(wanted)}, but the file takes {_by(shape)}")
        elif shape:
            mistakes.append(f"input: {card.input} has shape {_by(shape)}, expected images (four dimensions)")
        if mistakes:
            lines = "\n  ".join(mistakes)
            raise InputError(f"{origin}: {len(mistakes)} mistake(s) for {self.path.name}\n  {lines}")
        return shape[0] if shape and isinstance(shape[0], int) else None


def _prepared(pixels: Tensor, card: OnnxCard) -> Tensor:
    """Return uint8 B x H x W x 3 as the float32 batch that the card asks for, contiguous."""
    height, width = card.size
    images = pixels.permute(0, 3, 1, 2).to(torch.float32)
    if images.shape[-2:] != (height, width):
        if card.resize == "none":
            raise InputError(
                f"an image of {_by(images.shape[-2:])} pixels, but the card of {card.name} says `resize: none` and "
                f"{height} x {width}; resize the images, or let the card name a resize"
            )
        images = F.interpolate(images, (height, width), mode=card.resize, align_corners=False, antialias=True)
        images = images.clamp_(0, 255)  # bicubic overshoots
    if card.channels == "bgr":
        images = images.flip(1)
    elif card.channels == "gray":
        images = (images * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    low, high = card.range
    mean, std = (torch.tensor(each[: images.shape[1]]).view(1, -1, 1, 1) for each in (card.mean, card.std))
    images = (images * ((high - low) / 255) + low - mean) / std
    return (images if card.layout == "nchw" else images.permute(0, 2, 3, 1)).contiguous()


def _onnxruntime() -> Any:
    try:
        import onnxruntime as runtime
    except ImportError as error:
        raise MissingError(
            "an ONNX file needs onnxruntime, which is not installed; install it with: pip install 'smallgan[onnx]'"
        ) from error
    runtime.disable_telemetry_events()  # its Windows builds report to their maker unless told not to
    return runtime


def _open(runtime: Any, path: Path, device: torch.device) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads, options.log_severity_level = 1, 3
    wanted = {"CPUExecutionProvider"} | ({"CUDAExecutionProvider"} if device.type == "cuda" else set())
    providers = [each for each in runtime.get_available_providers() if each in wanted]  # the fastest first
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own
        raise InputError(f"{path}: onnxruntime cannot open it ({_first(error)}); export it again") from error


def _hash(path: Path) -> str:
    """Return the sha256 of an ONNX file; where its tensors lie in files beside it, that of all their sha256.

    Raises InputError for a file that is not there or not in the ONNX file's folder.
    """
    data = path.read_bytes()
    ends = [(match.end(), match[1][0]) for match in _EXTERNAL.finditer(data)]
    beside = {data[end : end + length].decode("utf-8", "replace") for end, length in ends}
    digests = [sha256_bytes(data)]
    for name in sorted(beside):
        file = path.parent / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not file.is_file():
            raise InputError(
                f"{path}: its weights lie in {name!a}, which is not in its folder; put that file beside it"
            )
        digests.append(sha256_file(file))
    return digests[0] if len(digests) == 1 else sha256_bytes("".join(f"{each}\n" for each in digests).encode())


def _by(shape: Any) -> str:
    return " x ".join(str(side) for side in shape)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
