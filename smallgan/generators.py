"""Generators ready to sample from: of a run, of a checkpoint, or of a pretrained file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from augment.errors import InputError, UsageError
from smallgan.checkpoint import STATE, TENSORS, read_state, read_tensors
from smallgan.models import BigGANConfig, BigGANGenerator, DCGANGenerator
from smallgan.models.base import Generator
from smallgan.models.pretrained import Pretrained, load_pretrained
from smallgan.models.spectral import freeze
from smallgan.recipe import TransferSection
from smallgan.run import RunDir
from smallgan.shipped import pretrained_generator
from smallgan.training.transfer import build_adapter


@dataclass(frozen=True)
class Model:
    """A generator ready to sample from."""

    generator: Generator
    device: torch.device
    precision: str
    path: Path
    """The checkpoint's folder, or the pretrained file."""
    run: RunDir | None
    """The run that the checkpoint belongs to, None when it stands alone."""
    step: int
    sha256: str
    """Of the checkpoint's tensors, or of the pretrained file."""
    classes: tuple[str, ...] = ()
    """Names of the classes, () where they are not known."""
    notes: tuple[str, ...] = ()
    """Sentences about the file that a user should read."""

    @property
    def size(self) -> int:
        """S, side of the images in pixels."""
        return self.generator.size


def load_model(model: Path, device: torch.device, checkpoint: str = "last", precision: str = "fp32") -> Model:
    """Return the generator that samples come from: a run's or a checkpoint's averaged one, or a pretrained file's.

    `checkpoint` chooses within a run: "last", "best" (lowest KMMD of the snapshots) or a step. Raises InputError when
    `model` is none of them, and UsageError when the run lacks that checkpoint.
    """
    if not _is_ours(model):
        found = load_pretrained(model)
        return Model(
            _ready(found.generator, device), device, precision, found.path, None, 0, found.sha256, (), found.notes
        )
    folder, run = _find_checkpoint(model, checkpoint)
    state = read_state(folder)
    try:
        generator = _BUILDERS[state["model"]](state)
        generator.load_state_dict(read_tensors(folder, "g_ema."))
        step, digest, classes = int(state["step"]), str(state["tensors_sha256"]), tuple(state.get("classes", ()))
    except (KeyError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: not a checkpoint of a generator ({reason}); name a run of smallgan") from error
    return Model(_ready(generator, device), device, precision, folder, run, step, digest, classes)


def load_codes(model: Model) -> NDArray[np.float32]:
    """Return the learned code of each training image, N x Z. Raises UsageError where the model has none."""
    codes = read_tensors(model.path, "codes.") if model.path.is_dir() else {}
    if "weight" not in codes:
        raise UsageError(f"{model.path}: no codes of training images in it; BSA and APGC runs have some")
    return codes["weight"].numpy()


def pretrained_origin(path: str | None) -> tuple[Pretrained, dict[str, Any]]:
    """Return the generator that a transfer starts from (None: the shipped one), and what a checkpoint says of it."""
    found = load_pretrained(Path(path) if path else pretrained_generator())
    return found, {"path": path, "sha256": found.sha256, "kind": found.kind}


def _adapted(state: Mapping[str, Any]) -> nn.Module:
    origin = state["pretrained"]
    try:
        found, now = pretrained_origin(origin["path"])
    except InputError as error:
        raise InputError(f"the generator that this run adapted cannot be loaded: {error}") from error
    if now["sha256"] != origin["sha256"]:
        raise InputError(
            f"{found.path}: not the file that this run adapted (sha256 then {origin['sha256'][:16]}, now "
            f"{now['sha256'][:16]}); put that file back"
        )
    settings = TransferSection.model_validate(state["transfer"])
    return build_adapter(settings, 0, found.generator, torch.device("cpu"), training=False)


_BUILDERS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "dcgan": lambda state: DCGANGenerator(state["size"], state["z_dim"], state["base_width"]),
    "biggan": lambda state: BigGANGenerator(BigGANConfig(**state["config"])),
    "bsa": _adapted,
    "apgc": _adapted,
}
"""By the name that a checkpoint's state gives its model."""


def _ready(generator: object, device: torch.device) -> Generator:
    network = cast(nn.Module, generator).to(device).to(memory_format=torch.channels_last)
    freeze(network)
    return cast(Generator, network)


def _is_ours(model: Path) -> bool:
    return RunDir(model).exists() or ((model / STATE).is_file() and (model / TENSORS).is_file())


def _find_checkpoint(model: Path, checkpoint: str) -> tuple[Path, RunDir | None]:
    if (model / STATE).is_file() and (model / TENSORS).is_file():
        run = RunDir(model.parent.parent)
        return model, run if run.exists() else None
    run = RunDir(model)
    if not run.exists():
        raise InputError(f"{model}: neither a run folder nor a checkpoint; train one with `smallgan train`")
    steps = run.checkpoint_steps()
    if not steps:
        raise InputError(f"{model}: this run has no checkpoint yet; continue it with the same `smallgan train` command")
    if checkpoint == "last":
        return run.checkpoint(steps[-1]), run
    step = run.best_step() if checkpoint == "best" else int(checkpoint) if checkpoint.isdigit() else None
    if step not in steps or step is None:
        raise UsageError(f"--checkpoint {checkpoint}: {model} has last, {'best, ' if run.best_step() else ''}{steps}")
    return run.checkpoint(step), run
