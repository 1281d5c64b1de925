"""Checkpoints: tensors in one safetensors file, the rest in one JSON, no pickle; a kill leaves the last one whole."""

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from augment.core.files import output_errors, renamed_folder, sha256_bytes, sha256_file, write_bytes, write_json
from augment.core.limits import read_json
from augment.errors import InputError
from smallgan.core.run_dir import RunDir, another

TENSORS, STATE = "tensors.safetensors", "state.json"
_BEFORE = "the one before it can be used"


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
    with renamed_folder(folder) as temporary:
        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(trainer)})
        write_bytes(temporary / TENSORS, data, sync=True)
        write_json(temporary / STATE, {**state, "tensors_sha256": sha256_bytes(data)}, sync=True)
    _sync_folder(folder.parent)


def load_checkpoint(folder: Path, trainer: Checkpointed) -> dict[str, Any]:
    """Fill the trainer, which keeps its memory layout, and return the state. Raises InputError when damaged."""
    state = read_state(folder)
    saved = read_tensors(folder)
    for network, optimizer in trainer.optimizers.items():
        begin_moments(optimizer)
        for name, parameter in trainer.networks[network].named_parameters():
            if f"adam.{network}.{name}.step" not in saved:  # it had taken no step yet
                optimizer.state.pop(parameter, None)
    with torch.no_grad():
        for name, tensor in _tensors(trainer):
            if name not in saved or saved[name].shape != tensor.shape:
                found = tuple(saved[name].shape) if name in saved else "nothing"
                raise InputError(f"{folder}: {name} has shape {found}, expected {tuple(tensor.shape)}; another network")
            tensor.copy_(saved[name])
    return state


def begin_moments(optimizer: torch.optim.Adam) -> None:
    """Give an optimiser the moments that it has before its first step, so that a checkpoint holds them from the start.

    Adam itself makes them in its first step, which is late for networks that take turns.
    """
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


def read_state(folder: Path) -> dict[str, Any]:
    """Return the JSON part of a checkpoint. Raises InputError."""
    try:
        state = read_json(folder / STATE)
        if not isinstance(state, dict) or not isinstance(state.get("step"), int):
            raise ValueError("it is not the state of a checkpoint")
    except (OSError, ValueError) as error:
        raise _damaged(folder / STATE, str(error)) from error
    return state


def read_tensors(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it.

    Raises InputError when they cannot be read, or are not those that the checkpoint was written with (its hash).
    """
    path, written = folder / TENSORS, read_state(folder).get("tensors_sha256")
    try:
        status = path.stat()
        found = _hash(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        refuse_altered(path, found, written)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def refuse_altered(path: Path, found: str, written: object, remedy: str = _BEFORE) -> None:
    """Raise InputError for tensors of another SHA-256 than the checkpoint was written with; None: it is not known."""
    if written not in (None, found):
        reason = f"its SHA-256 is {found[:16]}, and was {str(written)[:16]} when it was written"
        raise _damaged(path, reason, remedy)


def last_whole(run: RunDir) -> tuple[int, list[str]]:
    """Return the step of the newest checkpoint that can be used, 0 where there is none, and what is wrong with newer.

    A checkpoint can be used when its files are those that were written and all its numbers are finite. Raises
    InputError when there are checkpoints and none can be used.
    """
    notes: list[str] = []
    for step in reversed(run.checkpoint_steps()):
        folder = run.checkpoint(step)
        try:
            infinite = not_finite(read_tensors(folder).items())
        except InputError as error:
            notes.append(str(error))
            continue
        if not infinite:
            return step, notes
        notes.append(f"{folder}: {infinite[0]} holds numbers that are not finite; the checkpoint before it is used")
    if notes:
        raise InputError(f"{run.path}: none of its checkpoints can be used; {another()}. {notes[0]}")
    return 0, notes


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity."""
    return [name for name, tensor in tensors if tensor.is_floating_point() and not bool(tensor.isfinite().all())]


@lru_cache
def _hash(path: Path, _status: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file, worked out once a process while it is the same file of the same size and times."""
    return sha256_file(path)


def _damaged(path: Path, reason: str, remedy: str = _BEFORE) -> InputError:
    return InputError(f"{path}: this checkpoint is damaged ({reason}); {remedy}")


def _tensors(trainer: Checkpointed) -> Iterable[tuple[str, Tensor]]:
    """Walk all tensors of a trainer by name, such as g.project.weight and adam.g.project.weight.exp_avg."""
    for network_name, network in trainer.networks.items():
        for name, tensor in network.state_dict(keep_vars=True).items():
            yield f"{network_name}.{name}", tensor
    for network_name, optimizer in trainer.optimizers.items():
        for name, parameter in trainer.networks[network_name].named_parameters():
            for key, tensor in optimizer.state.get(parameter, {}).items():  # frozen weights have none
                yield f"adam.{network_name}.{name}.{key}", tensor


def _sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder; Windows has no such call."""
    if os.name == "nt":
        return
    with output_errors(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
