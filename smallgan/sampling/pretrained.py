"""Pretrained generators as sources: what a transfer starts from, and what its checkpoints are loaded onto."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augment.errors import InputError
from smallgan.core import weights
from smallgan.core.resources import pretrained_generator
from smallgan.models.base import Adaptable
from smallgan.models.pretrained import Pretrained, load_pretrained
from smallgan.tables.dotted import load
from smallgan.tables.methods import METHODS


@dataclass(frozen=True)
class PretrainedSource:
    """The generator that a transfer starts from."""

    pretrained: Pretrained
    path: str | None  # Absolute path of its file, or the name of a card; None: the one that ships with smallgan

    @property
    def generator(self) -> Adaptable:
        """The generator itself."""
        return self.pretrained.generator

    @property
    def origin(self) -> dict[str, Any]:
        """What a checkpoint says of it, as JSON values."""
        return {"path": self.path, "sha256": self.pretrained.sha256, "kind": self.pretrained.kind}

    @property
    def description(self) -> str:
        """A line for the log."""
        found, named = self.pretrained, self.path or "the generator that ships with smallgan"
        return f"adapting {named} ({found.kind}, {found.generator.size} px, {found.generator.num_classes} classes)"


def find_pretrained(path: str | None) -> PretrainedSource:
    """Return the generator in a file or folder, of a card among `smallgan weights list`, or the shipped one (None).

    Raises InputError and MissingError.
    """
    card = weights.cards().get(path or "")
    if path is None:
        place = pretrained_generator()
    elif card is not None and card.kind == "biggan":
        place, _ = weights.find(card.name)
    else:
        place = Path(path).resolve()  # a checkpoint must find it from wherever it is sampled
        path = str(place)
    return PretrainedSource(load_pretrained(place), path)


def load_adapted(state: Mapping[str, Any]) -> nn.Module:
    """Return the adapted generator that a checkpoint describes, its own tensors not yet loaded.

    Raises InputError when the pretrained generator is gone or is another file now.
    """
    origin = state["pretrained"]
    try:
        source = find_pretrained(origin["path"])
    except InputError as error:
        raise InputError(f"the generator that this run adapted cannot be loaded: {error}") from error
    found = source.pretrained
    if found.sha256 != origin["sha256"]:
        raise InputError(
            f"{found.path}: not the file that this run adapted (sha256 then {origin['sha256'][:16]}, now "
            f"{found.sha256[:16]}); put that file back"
        )
    row = METHODS[state["model"]]
    options = row.options.model_validate(state["method"])
    adapter: nn.Module = load(str(row.adapter))(
        options, source.generator, torch.Generator(), torch.device("cpu"), training=False
    )
    return adapter
