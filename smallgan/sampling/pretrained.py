"""Pretrained generators as sources: what a transfer starts from, and what its checkpoints are loaded onto."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augment.core.files import sha256_file
from augment.core.limits import read_text
from augment.core.suggest import did_you_mean
from augment.errors import InputError, UsageError
from smallgan.core import weights
from smallgan.core.checkpoint import TENSORS
from smallgan.core.run_dir import RunDir
from smallgan.models.base import Adaptable
from smallgan.models.pretrained import Pretrained, load_pretrained
from smallgan.tables.dotted import load
from smallgan.tables.methods import METHODS

MOST_NAMED = 12  # Classes that a message lists
CLASS_NAMES = "classes.txt"  # Beside a pretrained file: the names of its classes in their order, one a line


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
    def latent(self) -> str:
        """Name of the prior that a run drew its latents from."""
        return str(self.pretrained.state.get("latent", "normal"))

    def class_vector(self, start: str) -> str:
        """Return the start of a class vector with the names of classes as numbers, as `starting_class_vector` reads it.

        The names are those that `smallgan sample --label` takes. A name goes before a number and before "mean". Raises
        UsageError for a name that is not there, and InputError for a damaged file of names.
        """
        names, _ = class_names(self.pretrained)
        return _numbered(start.strip(), names) if names else start

    def class_vector_of(self, classes: Sequence[int]) -> str:
        """Return the start of a class vector at the mean of these classes, as `class_vector` returns it."""
        return "+".join(f"{_mark(class_names(self.pretrained)[0])}{each}" for each in classes)

    @property
    def origin(self) -> dict[str, Any]:
        """What a checkpoint says of it, as JSON values."""
        return {"path": self.path, "sha256": self.pretrained.sha256, "kind": self.pretrained.kind}

    def added_to(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a checkpoint says of a generator that goes on from this one.

        Its perceptual networks are those of its own loss and those of the source's: both helped to train it.
        """
        own, before = description.get("perceptual"), self.pretrained.state.get("perceptual")
        perceptual = {**own, "before": before} if own and before else own or before
        return {**description, "pretrained": self.origin} | ({"perceptual": perceptual} if perceptual else {})

    @property
    def description(self) -> str:
        """A line for the log."""
        found, named = self.pretrained, self.path or "the generator that ships with smallgan"
        classes = f"{found.generator.num_classes} classes" if found.generator.num_classes else "no classes"
        return f"adapting {named} ({found.kind}, {found.generator.size} px, {classes})"


def find_pretrained(path: str | None) -> PretrainedSource:
    """Return the generator in a file or folder, of a card among `smallgan weights list`, or the shipped one (None).

    Raises InputError and MissingError.
    """
    place = weights.find_generator(weights.SHIPPED_GENERATOR if path is None else path)
    if place is None:
        place = Path(str(path)).resolve()  # a checkpoint must find it from wherever it is sampled
        path = str(place)
    return PretrainedSource(load_pretrained(place), path)


def checkpoint_of(path: Path, sha256: str) -> str | None:
    """Return the tensors with this hash among the checkpoints of the run that `path` is, or is in; None for none."""
    run = next((run for run in map(RunDir, (path, *path.parents)) if run.exists()), None)
    files = [run.checkpoint(step) / TENSORS for step in run.checkpoint_steps()] if run else []
    return next((str(file) for file in files if file.is_file() and sha256_file(file) == sha256), None)


def class_names(found: Pretrained) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a pretrained generator's classes, () where they are not known, and what a user should read.

    They are in the checkpoint of a run, in an exported file, or in classes.txt beside the file. Raises InputError
    for a damaged file.
    """
    beside, count = found.path.with_name(CLASS_NAMES), found.generator.num_classes
    if found.state or found.classes:
        return tuple(found.state.get("classes", found.classes)), ()
    if not beside.is_file():
        return (), ()
    try:
        names = tuple(line.strip() for line in read_text(beside).splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{beside}: cannot be read as UTF-8 ({error}); one name a line is needed, or no file"
        ) from error
    if len(names) != count:
        return (), (f"{beside}: {len(names)} names for {count} classes, so none is used",)
    return names, ()


def _numbered(start: str, names: Sequence[str]) -> str:
    mark = _mark(names)
    if start in names:
        return f"{mark}{names.index(start)}"
    if start == "mean":
        return start
    parts = []
    for part in start.split("+"):
        label, colon, weight = (piece.strip() for piece in part.rpartition(":"))
        if not colon or part.strip() in names:
            label, colon, weight = part.strip(), "", ""
        if label not in names and not label.removeprefix("#").isdecimal():
            raise UsageError(
                f"class vector {start!r}: no class is called {label!r}"
                + did_you_mean(label, names, f"write mean, or classes by name or number, 0 to {len(names) - 1}: ")
                + ", ".join(names[:MOST_NAMED])
                + " ..." * (len(names) > MOST_NAMED)
            )
        number = names.index(label) if label in names else label.removeprefix("#")
        parts.append(f"{mark}{number}{colon}{weight}")
    return "+".join(parts)


def _mark(names: Sequence[str]) -> str:
    """Return what stands before the number of a class: "#" where a name is a number too, and would be read as one."""
    return "#" if any(name.isdecimal() for name in names) else ""


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
        file = checkpoint_of(found.path, origin["sha256"])
        if file is None:
            raise InputError(
                f"{found.path}: not the file that this run adapted (sha256 then {origin['sha256'][:16]}, now "
                f"{found.sha256[:16]}); put that file back"
            )
        source = find_pretrained(file)
    return adapted(state, source.generator)


def adapted(state: Mapping[str, Any], generator: Adaptable) -> nn.Module:
    """Return the adapter of a checkpoint's state on its pretrained generator, its own tensors not yet loaded."""
    row = METHODS[state["model"]]
    options = row.options.model_validate(state["method"])
    adapter: nn.Module = load(str(row.adapter))(
        options, generator, torch.Generator(), torch.device("cpu"), training=False
    )
    return adapter
