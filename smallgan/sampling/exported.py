"""The file that `smallgan export --format safetensors` writes: a whole generator, which needs nothing beside it.

Tensors: `g_ema.*` the generator's own; of an adapter `base.*` the pretrained generator below it, under the names of
released files; `codes` the latent codes that it is sampled around; `latent.*` a prior that was fitted to
images. The header has one entry, `smallgan`, a JSON object.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from augment.core.files import sha256_file, write_bytes
from augment.errors import InputError
from smallgan.models.pretrained import packed, unpacked
from smallgan.models.weight_files import EXPORTED, read_contents
from smallgan.sampling.mixture import PREFIX, fitted_prior
from smallgan.sampling.pretrained import adapted
from smallgan.sampling.prior import Prior
from smallgan.tables.dotted import load
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS

FILE = "generator.safetensors"  # Its name in an exported folder
FORMAT = 1
_OWN, _BASE, _CODES = "g_ema.", "base.", "codes"


@dataclass(frozen=True)
class Exported:
    """A generator from an exported file."""

    generator: nn.Module
    sha256: str  # Of the file
    step: int
    classes: tuple[str, ...]
    prior: Prior
    perceptual: Mapping[str, Any] | None
    state: Mapping[str, Any]  # What the checkpoint said of it; {} of a pretrained file


def exported_file(path: Path) -> Path | None:
    """Return the exported file at a path, or the one in a folder by its own name or alone; None where there is none."""
    file = path
    if path.is_dir():
        alone = list(path.glob("*.safetensors"))
        file = alone[0] if len(alone) == 1 else path / FILE
    try:
        with safe_open(file, framework="pt") as opened:
            return file if EXPORTED in (opened.metadata() or {}) else None
    except (OSError, SafetensorError):  # another kind of file, which others know
        return None


def write_exported(file: Path, generator: nn.Module, facts: Mapping[str, Any], prior: Prior) -> None:
    """Write a generator to a file of its own; the same generator gives the same bytes.

    Args:
        file: .safetensors.
        generator: of a checkpoint or of a pretrained file; of an adapter its pretrained generator is written too.
        facts: JSON values: `state` (of the checkpoint; None for a pretrained file), `step`, `classes`, `around_codes`,
            `perceptual`.
        prior: what its latents are drawn from.

    Raises OutputError.
    """
    base, built_from = getattr(generator, "pretrained", None), None
    tensors: dict[str, Tensor] = {}
    if base is not None:
        below, built_from = packed(base)
        tensors |= {f"{_BASE}{name}": tensor for name, tensor in below.items()}
    if facts["state"] is None:
        own, built_from = packed(generator)  # type: ignore[arg-type] # what has no state is a pretrained generator
    else:
        own = generator.state_dict()
    tensors |= {f"{_OWN}{name}": tensor for name, tensor in own.items()}
    if prior.codes is not None:
        tensors[_CODES] = torch.from_numpy(prior.codes)
    tensors |= {f"{PREFIX}{name}": torch.from_numpy(array) for name, array in prior.tensors.items()}
    header = json.dumps({"format": FORMAT, **facts, "built_from": built_from}, sort_keys=True)
    # One entry only: safetensors writes several in an order that changes from process to process.
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {EXPORTED: header})
    write_bytes(file, data, sync=True)


def read_exported(file: Path, truncation: float | None = None) -> Exported:
    """Return the generator in an exported file, on the CPU. Raises InputError.

    A BigGAN-deep takes its moments of `truncation`, those of 1 beyond that; None: those that it was exported with.
    """
    contents = read_contents(file)
    tensors = contents.tensors

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    try:
        header = json.loads(contents.metadata[EXPORTED])
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']}, and this smallgan reads {FORMAT}")
        state, built_from = header["state"], header["built_from"]
        generator: nn.Module
        if state is None:
            generator = unpacked(part(_OWN), built_from, file, truncation)
        else:
            name = str(state["model"])
            if built_from is None:
                generator = load(str(MODELS[name].load if name in MODELS else METHODS[name].load))(state)
            else:
                generator = adapted(state, unpacked(part(_BASE), built_from, file))
            generator.load_state_dict(part(_OWN))
        codes = tensors[_CODES].numpy() if _CODES in tensors else None
        return Exported(
            generator,
            sha256_file(file),
            int(header["step"]),
            tuple(header["classes"]),
            fitted_prior(state, part) or Prior(codes, header["around_codes"]),
            header["perceptual"],
            state or {},
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: not a whole exported generator ({reason}); export it again") from error
