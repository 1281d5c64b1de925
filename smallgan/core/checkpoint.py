"""Checkpoints: tensors in one safetensors file, the rest in one JSON, no pickle; a kill leaves the last one whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augment.core.files import make_folder, output_errors, sha256_bytes, write_bytes, write_json
from augment.errors import InputError

TENSORS, STATE = "tensors.safetensors", "state.json"


class Checkpointed(Protocol):
    """What a trainer shows to be saved."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Networks by name; "g_ema" is the generator that samples come from."""

    optimizers: dict[str, torch.optim.Adam]
    """Optimisers, each under the name of the network that it trains."""


def save_checkpoint(folder: Path, trainer: Checkpointed, state: Mapping[str, Any]) -> None:
    """Write the trainer and `state` (JSON values) to `folder` by a temporary name, a sync and a rename.

    Raises OutputError.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    with output_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        make_folder(temporary)
        try:
            data = save({name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(trainer)})
            write_bytes(temporary / TENSORS, data, sync=True)
            write_json(temporary / STATE, {**state, "tensors_sha256": sha256_bytes(data)}, sync=True)
            temporary.rename(folder)
            _sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def load_checkpoint(folder: Path, trainer: Checkpointed) -> dict[str, Any]:
    """Fill the trainer, which keeps its memory layout, and return the state. Raises InputError when damaged."""
    state = read_state(folder)
    saved = read_tensors(folder)
    for name, optimizer in trainer.optimizers.items():
        for parameter in trainer.networks[name].parameters():
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    with torch.no_grad():
        for name, tensor in _tensors(trainer):
            if name not in saved or saved[name].shape != tensor.shape:
                found = tuple(saved[name].shape) if name in saved else "nothing"
                raise InputError(f"{folder}: {name} has shape {found}, needed {tuple(tensor.shape)}; another network")
            tensor.copy_(saved[name])
    return state


def read_state(folder: Path) -> dict[str, Any]:
    """Return the JSON part of a checkpoint. Raises InputError."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / STATE}: cannot read this checkpoint ({error}); delete the folder {folder}"
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise InputError(f"{folder / STATE}: not the state of a checkpoint; delete the folder {folder}")
    return state


def read_tensors(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it. Raises InputError."""
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder / TENSORS, error) from error
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot read this checkpoint ({error}); delete the folder {path.parent}, and the one before it is used"
    )


def _tensors(trainer: Checkpointed) -> Iterable[tuple[str, Tensor]]:
    """Walk all tensors of a trainer by name, such as g.project.weight and adam.g.project.weight.exp_avg."""
    for network_name, network in trainer.networks.items():
        for name, tensor in network.state_dict(keep_vars=True).items():
            yield f"{network_name}.{name}", tensor
    for network_name, optimizer in trainer.optimizers.items():
        for name, parameter in trainer.networks[network_name].named_parameters():
            for key, tensor in optimizer.state[parameter].items():
                yield f"adam.{network_name}.{name}.{key}", tensor


def _sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
