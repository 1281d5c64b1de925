"""Generators for use elsewhere: one safetensors file, ONNX, or a folder for a model hub."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment.core.files import make_folder, renamed, renamed_folder, write_bytes, write_text
from augment.errors import FailedError, MissingError, UsageError
from augment.imaging.codec import encode_png
from smallgan.core.version import __version__
from smallgan.data.points import picture
from smallgan.models.weight_files import EXPORTED
from smallgan.sampling.exported import FILE, write_exported
from smallgan.sampling.latents import draw_inputs, sample_pixels
from smallgan.sampling.loading import Model
from smallgan.sampling.model_card import CARD, PICTURE, model_card

FORMATS: Mapping[str, str] = {"onnx": ".onnx", "safetensors": ".safetensors", "hub": ""}
"""Formats, and how the names of their files end; "" for a folder."""
MOST_DIFFERENCE = 1e-4  # Between images in [-1, 1] of onnxruntime and of torch
PICTURED = 36  # Samples in the picture of a model card, of seed 0
_CHECKED = 4  # Images compared after an ONNX file is written
_OF_ONE_MACHINE = ("run", "num_threads", "versions", "train_seconds", "other_seconds", "tensors_sha256")


def export(model: Model, format: str, out: Path | None = None) -> list[Path]:
    """Write a generator for use elsewhere and return the files, the one to name first.

    Args:
        model: on the CPU.
        format: one of FORMATS.
        out: file, or for `hub` the folder, which must be new or empty; None: in export/ of the run, else of this place.

    Raises:
        UsageError: another format, or a folder with files in it.
        MissingError: the packages of the extra [export] are not installed.
        FailedError: onnxruntime makes other images than torch.
        OutputError: it cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format}: use one of {', '.join(FORMATS)}")
    path = out or _own_place(model, format)
    if format != "hub":
        make_folder(path.parent)
        write: Callable[[Model, Path], list[Path]] = _write_onnx if format == "onnx" else _write_safetensors
        return write(model, path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"--out {path}: the folder holds other files; name a new or an empty one")
    shown = picture(sample_pixels(model, PICTURED, 0))
    with renamed_folder(path) as folder:
        _write_safetensors(model, folder / FILE)
        write_bytes(folder / PICTURE, encode_png(shown))
        write_text(folder / CARD, model_card(model, path.name, PICTURED))
    return [path, path / CARD, path / FILE, path / PICTURE]


def _own_place(model: Model, format: str) -> Path:
    root = model.run.exports if model.run else Path("export")
    name = f"step-{model.step:06d}" if model.run else f"{model.path.stem}-{model.sha256[:8]}"
    return root / f"{name}-hub" if format == "hub" else root / f"{name}{FORMATS[format]}"


def _write_safetensors(model: Model, path: Path) -> list[Path]:
    state = _state(model)
    facts = {
        "smallgan": __version__,
        "state": state,
        "step": model.step,
        "classes": list(model.classes),
        "around_codes": model.prior.around_codes,
        "perceptual": None if model.perceptual is None else dict(model.perceptual),
    }
    write_exported(path, _module(model), facts, model.prior)
    return [path]


def _state(model: Model) -> dict[str, Any] | None:
    """Return what a checkpoint says of its generator, without what is of one machine; None of a pretrained file."""
    state = {name: value for name, value in model.state.items() if name not in _OF_ONE_MACHINE}
    if "pretrained" in state:  # paths of this machine
        state["pretrained"] = {name: value for name, value in state["pretrained"].items() if name != "path"}
        state["method"] = {name: value for name, value in state["method"].items() if name != "pretrained"}
    return state or None


def _module(model: Model) -> nn.Module:
    return model.generator  # type: ignore[return-value] # every generator is a module


def _write_onnx(model: Model, path: Path) -> list[Path]:
    """Write inputs `z` (B x Z, float32) and of a generator with classes `labels` (B, int64), output `images`."""
    _need_packages()
    import onnxruntime

    inputs = draw_inputs(model, [(0, k) for k in range(_CHECKED)])
    given: dict[str, Tensor] = {"z": torch.from_numpy(inputs.z)}
    if model.generator.num_classes:
        labels = np.zeros(_CHECKED, np.int64) if inputs.labels is None else inputs.labels
        given["labels"] = torch.from_numpy(labels)
    network = _module(model).to(memory_format=torch.contiguous_format)
    batch = torch.export.Dim("batch")
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            network,
            tuple(given.values()),
            dynamo=True,
            verbose=False,
            input_names=list(given),
            output_names=["images"],
            dynamic_shapes=tuple({0: batch} for _ in given),
        )
        wanted = network(*given.values()).numpy()
    network.to(memory_format=torch.channels_last)
    about = {
        "smallgan": __version__,
        "step": model.step,
        "sha256": model.sha256,
        "classes": list(model.classes),
        **model.prior.describe(),
    }
    program.model.metadata_props[EXPORTED] = json.dumps(about)
    with renamed(path) as temporary:
        program.save(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        found = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})[0]
        difference = float(np.abs(found - wanted).max())
        if not difference <= MOST_DIFFERENCE:
            raise FailedError(
                f"{path}: onnxruntime makes images that differ by {difference:.2g} (in [-1, 1]) from torch's, at most "
                f"{MOST_DIFFERENCE:g} is accepted; nothing was kept. Use --format safetensors"
            )
    files = [path]
    if model.prior.codes is not None and model.prior.around_codes is not None:
        codes = path.with_suffix(".codes.npy")
        with renamed(codes) as temporary, temporary.open("wb") as file:
            np.save(file, model.prior.codes)
        files.append(codes)
    if model.prior.tensors:
        latent = path.with_suffix(".latent.npz")
        with renamed(latent) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict[str, Any](model.prior.tensors))
        files.append(latent)
    return files


def _need_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise MissingError(f"--format onnx needs {', '.join(missing)}; install with: pip install 'smallgan[export]'")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own inside."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
