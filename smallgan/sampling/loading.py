"""Generators ready to sample from: of a run, of a checkpoint, or of a pretrained file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from augment.core.suggest import absent
from augment.errors import InputError, UsageError
from smallgan.core import weights
from smallgan.core.checkpoint import STATE, TENSORS, last_whole, read_state, read_tensors
from smallgan.core.console import say
from smallgan.core.run_dir import RunDir
from smallgan.models.base import Generator
from smallgan.models.pretrained import load_pretrained
from smallgan.models.spectral import freeze
from smallgan.sampling.exported import exported_file, read_exported
from smallgan.sampling.mixture import fitted_prior
from smallgan.sampling.pretrained import class_names
from smallgan.sampling.prior import NORMAL, Prior
from smallgan.tables.dotted import load
from smallgan.tables.methods import METHODS, MatchingOptions
from smallgan.tables.models import MODELS


@dataclass(frozen=True)
class Model:
    """A generator ready to sample from."""

    generator: Generator
    device: torch.device
    path: Path  # The checkpoint's folder, or the pretrained file
    run: RunDir | None  # The run that the checkpoint belongs to, None when it stands alone
    step: int
    sha256: str  # Of the checkpoint's tensors, or of the pretrained file
    classes: tuple[str, ...] = ()  # Names of the classes, () where they are not known
    notes: tuple[str, ...] = ()  # Sentences about the file that a user should read
    prior: Prior = NORMAL  # Where its latents are drawn from unless a user says otherwise
    perceptual: Mapping[str, Any] | None = None  # What the checkpoint records of the network of a perceptual loss
    state: Mapping[str, Any] = field(default_factory=dict)  # All that the checkpoint says of it; {} of another file

    @property
    def size(self) -> int:
        """S, side of the images in pixels."""
        return self.generator.size


def load_model(model: Path, device: torch.device, checkpoint: str = "last", truncation: float | None = None) -> Model:
    """Return the generator that samples come from: a run's or a checkpoint's averaged one, or a file's.

    A file is one that `smallgan export` wrote (or its folder), or a pretrained BigGAN. The name of a generator in
    `smallgan weights list` stands for its file, unless there is a file or folder of that name.

    `checkpoint` chooses within a run: "last", "best" (lowest KMMD of the snapshots) or a step. A BigGAN-deep uses its
    moments of `truncation`, those of 1 beyond that; other generators have one set of moments. Raises InputError when
    `model` is none of them, and UsageError when the run lacks that checkpoint.
    """
    if not model.exists():
        if file := weights.find_generator(str(model)):
            found = load_model(file, device, checkpoint, truncation)
            return replace(found, run=None)  # so that nothing is written into the installed package
        raise InputError(absent(model, "expected a run, a checkpoint or a pretrained generator"))
    if model.name in (STATE, TENSORS) and _is_checkpoint(model.parent):
        model = model.parent
    is_run = RunDir(model).exists()
    if checkpoint != "last" and not is_run:
        raise UsageError(f"--checkpoint {checkpoint}: {model} is no run; leave the option out, or name the run")
    if not is_run and not _is_checkpoint(model):
        if file := exported_file(model):
            made = read_exported(file, truncation)
            network = _ready(made.generator, device)
            about = made.step, made.sha256, made.classes, (), made.prior, made.perceptual, made.state
            return Model(network, device, file, None, *about)
        return _load_pretrained(model, device, truncation)
    folder, run, notes = _find_checkpoint(model, checkpoint)
    state = read_state(folder)
    try:
        name = str(state["model"])
        if name in METHODS and not METHODS[name].makes_images:
            raise UsageError(
                f"{model}: a classifier trained by {METHODS[name].title}, which makes no images; smallgan report shows "
                "its accuracy and its confusion matrices"
            )
        builder = MODELS[name].load if name in MODELS else METHODS[name].load
        generator = load(str(builder))(state)
        generator.load_state_dict(read_tensors(folder, "g_ema."))
        step, digest, classes = int(state["step"]), str(state["tensors_sha256"]), tuple(state.get("classes", ()))
        around_codes = state.get("around_codes")
        codes = None if around_codes is None else read_tensors(folder, "codes.")["weight"].numpy()
        prior = fitted_prior(state, partial(read_tensors, folder)) or Prior(codes, around_codes)
        perceptual = dict(state.get("perceptual") or {}) or None
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: not a checkpoint of a generator ({reason}); name a run of smallgan") from error
    return Model(_ready(generator, device), device, folder, run, step, digest, classes, notes, prior, perceptual, state)


def load_and_say_notes(
    model: Path, device: torch.device, checkpoint: str = "last", truncation: float | None = None
) -> Model:
    """Return what `load_model` does, and say what a user should know of its file, such as a damaged last checkpoint."""
    found = load_model(model, device, checkpoint, truncation)
    for note in found.notes:
        say(note if found.run else f"{found.path}: {note}")  # those of a run name the checkpoint
    return found


def load_codes(model: Model) -> NDArray[np.float32]:
    """Return the latent of each training image, N x Z: its learned code, or the one that it was matched to last.

    Raises UsageError where the model has none.
    """
    latents = _latents(model)
    if not latents:
        able = ", ".join(row.name for row in METHODS if issubclass(row.options, MatchingOptions))
        raise UsageError(
            f"{model.path}: it has no latents of training images; only runs of {able} have them, and matched ones only "
            "those without classes and mirrored images"
        )
    return next(iter(latents.values()))


def has_codes(model: Model) -> bool:
    """Tell whether it has a latent of each training image, which `load_codes` returns."""
    return bool(_latents(model))


def has_learned_codes(model: Model) -> bool:
    """Tell whether the latents of its training images are learned codes, which lie anywhere, not draws of N(0, I)."""
    return "codes.weight" in _latents(model)


def _latents(model: Model) -> dict[str, NDArray[np.float32]]:
    if not model.path.is_dir():  # a file, which holds codes where one was exported that is sampled around them
        return {} if model.prior.codes is None else {"codes.weight": model.prior.codes}
    tensors = read_tensors(model.path)
    if "matcher.latents" not in tensors:
        return {name: tensors[name].numpy() for name in ("codes.weight",) if name in tensors}
    # Of matched ones the class of an image, and the image that its mirror image stands for, are not in a checkpoint
    alone = model.generator.num_classes < 2 and not tensors["matcher.mirrored"].any()
    return {"matcher.latents": tensors["matcher.latents"].numpy()} if alone else {}


def _ready(generator: object, device: torch.device) -> Generator:
    network = cast(nn.Module, generator).to(device).to(memory_format=torch.channels_last)
    freeze(network)
    return cast(Generator, network)


def _load_pretrained(path: Path, device: torch.device, truncation: float | None) -> Model:
    found = load_pretrained(path)
    if truncation is not None and found.kind == "hugging-face deep":
        found = load_pretrained(path, min(truncation, 1.0))
    if found.generator.class_dim and not found.generator.num_classes:
        raise InputError(
            f"{found.path}: it has no class embedding (shared.weight), so no image can be made of a class; use the "
            "whole file (the official G_ema.pth has the embedding)"
        )
    names, notes = class_names(found)
    generator = _ready(found.generator, device)
    return Model(generator, device, found.path, None, 0, found.sha256, names, (*found.notes, *notes))


def _is_checkpoint(folder: Path) -> bool:
    return (folder / STATE).is_file() and (folder / TENSORS).is_file()


def _find_checkpoint(model: Path, checkpoint: str) -> tuple[Path, RunDir | None, tuple[str, ...]]:
    """Return the checkpoint's folder, the run that it belongs to, and what is wrong with newer checkpoints."""
    if _is_checkpoint(model):
        run = RunDir(model.parent.parent)
        return model, run if run.exists() else None, ()
    run = RunDir(model)
    steps = run.checkpoint_steps()
    if not steps:
        raise InputError(f"{model}: this run has no checkpoint yet; continue it with the same `smallgan train` command")
    if checkpoint == "last":
        whole, damaged = last_whole(run)
        return run.checkpoint(whole), run, tuple(damaged)
    step = run.best_step() if checkpoint == "best" else int(checkpoint) if checkpoint.isdecimal() else None
    if step not in steps or step is None:
        raise UsageError(f"--checkpoint {checkpoint}: {model} has last, {'best, ' if run.best_step() else ''}{steps}")
    return run.checkpoint(step), run, ()
