"""The networks of a run of ours as a source: its generator with places for adapters, and its discriminator."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from augment.errors import InputError, UsageError
from smallgan.core.checkpoint import STATE, TENSORS, read_state
from smallgan.models.plain_source import PlainSource
from smallgan.models.spectral import normalize_spectrally
from smallgan.models.weight_files import EXPORTED, Contents, refusal
from smallgan.tables.dotted import load
from smallgan.tables.models import MODELS


def state_of(file: Path, contents: Contents) -> dict[str, Any]:
    """Return the state of the checkpoint that a file is the tensors of, or was exported from; {} for other files.

    Raises InputError.
    """
    if file.name == TENSORS and file.with_name(STATE).is_file():
        return read_state(file.parent)
    try:
        return dict(json.loads(contents.metadata[EXPORTED])["state"] or {}) if EXPORTED in contents.metadata else {}
    except (KeyError, TypeError, ValueError) as error:
        raise refusal(file, "its header is not that of an exported generator; export it again") from error


def source_of_run(state: Mapping[str, Any], tensors: Mapping[str, Tensor], file: Path) -> PlainSource:
    """Return the generator that a checkpoint's state describes, with these tensors, in eval mode. Raises InputError."""
    try:
        network: nn.Module = load(MODELS[str(state["model"])].load)(state)
        network.load_state_dict(dict(tensors))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: not a checkpoint of a generator ({reason}); name a run of smallgan") from error
    return PlainSource(network).eval()


def discriminator_of_run(name: str, tensors: Mapping[str, Tensor], file: Path, notes: list[str]) -> nn.Module | None:
    """Return the discriminator with these tensors, None where there are none or they cannot be read (a note says so).

    `name` is that of the model.
    """
    row = MODELS[name]
    if not tensors or row.load_discriminator is None:
        return None
    try:
        names = {name: name.replace(".parametrizations.weight.original", ".weight") for name in tensors}
        network: nn.Module = load(row.load_discriminator)({names[name]: each for name, each in tensors.items()})
        if any(name != plain for name, plain in names.items()):
            normalize_spectrally(network, torch.Generator())
        network.load_state_dict(dict(tensors))
    except (KeyError, RuntimeError, UsageError) as error:
        reason = str(error).splitlines()[-1].strip()
        notes.append(f"no discriminator: that of {file} is not one that judges single images here ({reason})")
        return None
    return network.eval()
