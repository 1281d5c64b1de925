"""BigGAN checkpoints told apart by their keys, brought to the official layout, and their configuration inferred.

The official code is ajbrock/BigGAN-PyTorch; the shapes are listed in biggan.py. Nothing is guessed from a file's name.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from augment.errors import InputError
from smallgan.models.biggan import BOTTOM, BigGANConfig
from smallgan.models.biggan_deep import BigGANDeepConfig
from smallgan.models.weight_files import refusal
from smallgan.tables.models import MODELS

MARK = "blocks.0.0.bn1.gain.weight"  # A key that every official generator has, and nothing else we know
_OTHER_MARK = "blocks.0.0.bn1.bias.weight"  # As long and wide as MARK: tells of a file in which that one is missing
DEEP_MARK = "generator.gen_z.weight_orig"
_APGC_MARK = "conv1x1_paramG_weights.0.weight"
_BSA_MARKS = {"embeddings.weight", "bsa_linear_scale"}
_OFFICIAL_EPS, _TF_HUB_EPS = (1e-5, 1e-6), (1e-4, 1e-4)  # Of the batch norms and of the spectral norms
_MOMENTS = {"running_mean": "stored_mean", "running_var": "stored_var"}
_BATCH_COUNTS = ("num_batches_tracked", "accumulation_counter")


def detect(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Return the kind of a file: official, tf-hub, hugging-face deep, pytorch-bsa or apgc-code.

    Raises InputError that says what the file is instead.
    """
    if f"generator.{MARK}" in tensors:
        if _APGC_MARK in tensors:
            return "apgc-code"
        if set(tensors) >= _BSA_MARKS:
            return "pytorch-bsa"
    if DEEP_MARK in tensors:
        return "hugging-face deep"
    if {MARK, _OTHER_MARK} & set(tensors) and "blocks.0.0.bn4.gain.weight" not in tensors:
        return "official" if any(name.endswith(".sv0") for name in tensors) else "tf-hub"
    raise refusal(path, f"this is {_what(tensors)}")


def _what(tensors: Mapping[str, Tensor]) -> str:
    if "blocks.0.0.bn4.gain.weight" in tensors:
        return "the generator of a BigGAN-deep of the official code, of which only the Hugging Face layout is read"
    if "blocks.0.0.conv1.weight" in tensors and "embed.weight" in tensors:
        return "a discriminator of the official code (as D.pth is)"
    if any(name.startswith("GBlock.0.") for name in tensors):
        return "the first stage of the TF-Hub conversion (GBlock names); take the file that its second stage writes"
    if "g_ema.class_vector" in tensors:
        return "an adapter of smallgan's, without the generator that it was fitted to; name that generator"
    if any(name.startswith("g_ema.") for name in tensors):
        return "a checkpoint of smallgan's without the state.json beside it; name the run"
    first = ", ".join(list(tensors)[:3]) or "nothing"
    return f"a state dict of another network ({len(tensors)} tensors: {first}, ...)"


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of the default layout, float32 and contiguous.

    The layouts `mybn` and `cross_replica` keep a batch norm's moments one level deeper. In `mybn` a counter above zero
    means that they are sums over so many batches: they are divided by it.
    """
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if last in _BATCH_COUNTS:
            continue
        value = tensor.float()
        if stem.endswith(".bn"):
            stem, last = stem.removesuffix(".bn"), _MOMENTS.get(last, last)
            counter = tensors.get(f"{stem}.bn.accumulation_counter")
            if counter is not None and float(counter.sum()) > 0:
                value = value / counter.float().sum()
        if last == "gamma" and value.numel() == 1:
            value = value.reshape(())
        named[f"{stem}.{last}" if stem else last] = value.contiguous()
    return named


def infer_config(tensors: Mapping[str, Tensor], path: Path, *, tf_hub: bool = False) -> BigGANConfig:
    """Return the configuration that an official generator's shapes tell; `num_classes` is 0 without an embedding.

    Raises InputError for a layout that we cannot build.
    """
    blocks = 1 + max(int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name)))
    sizes = {size: size.bit_length() - BOTTOM.bit_length() for size in MODELS["biggan"].sizes}
    size = next((size for size, count in sizes.items() if count == blocks), None)
    if size is None:
        raise refusal(path, f"a generator of {blocks} blocks; expected 3 to 7 (for {', '.join(map(str, sizes))} px)")
    unit = BigGANConfig(size, 1, 1, 1).widths[-1]
    width = shape_of(tensors, "output_layer.0.gain", 1, path)[0]
    chunk = shape_of(tensors, "linear.weight", 2, path)[1]
    rows, columns = shape_of(tensors, MARK if MARK in tensors else _OTHER_MARK, 2, path)
    eps = _TF_HUB_EPS if tf_hub else _OFFICIAL_EPS
    sides = _attention_sides(tensors, BOTTOM, 2)
    if len(sides) > 1:
        raise InputError(
            f"{path}: self-attention at {' and '.join(map(str, sides))} px; a generator with one at most can be read"
        )
    attention = sides[0] if sides else 0
    if not any(name.endswith(".gain.u0") for name in tensors):
        # Tables of gains, one a class: no shared class vector
        return BigGANConfig(size, width // unit, chunk, rows, 0, False, attention, *eps)
    # Without `shared`, a condition longer than the chunk is [class vector, chunk]; the official default for models
    # without chunks is a class vector as long as z.
    guess = columns - chunk if columns > chunk else columns
    num_classes, shared_dim = shape_of(tensors, "shared.weight", 2, path) if "shared.weight" in tensors else (0, guess)
    hierarchical = columns != shared_dim
    z_dim = chunk * (blocks + 1) if hierarchical else chunk
    return BigGANConfig(size, width // unit, z_dim, num_classes, shared_dim, hierarchical, attention, *eps)


def infer_discriminator(tensors: Mapping[str, Tensor], config: BigGANConfig, path: Path) -> BigGANConfig:
    """Return `config` with the discriminator's own width and attention. Raises InputError."""
    width = shape_of(tensors, "blocks.0.0.conv1.weight", 4, path)[0]
    sides = _attention_sides(tensors, config.size, 0.5)
    unit = 4 if config.size == 32 else 1
    return replace(config, d_ch=width // unit, attention=sides[0] if sides else 0)


def describe(config: BigGANConfig | BigGANDeepConfig) -> str:
    """Return a configuration in words."""
    if isinstance(config, BigGANDeepConfig):
        return (
            f"BigGAN-deep, {config.size} px, width {config.channel_width}, z of {config.z_dim}, "
            f"{config.num_classes} classes, class vector of {config.class_embed_dim}, {len(config.layers)} blocks"
        )
    return (
        f"{config.size} px, ch {config.ch}, z of {config.z_dim}{' in chunks' if config.hierarchical else ''}, "
        f"{config.num_classes} classes, class vector of {config.shared_dim}, "
        f"attention {f'at {config.attention} px' if config.attention else 'nowhere'}"
    )


def shape_of(tensors: Mapping[str, Tensor], name: str, dimensions: int, path: Path) -> tuple[int, ...]:
    """Return the shape of a tensor. Raises InputError where it is missing, or has another number of dimensions."""
    if name not in tensors:
        raise refusal(path, f"1 tensor missing: {name}; the file is cut short or of another network")
    if tensors[name].ndim != dimensions:
        raise InputError(f"{path}: {name} has shape {tuple(tensors[name].shape)}, expected {dimensions} dimensions")
    return tuple(tensors[name].shape)


def _attention_sides(names: Iterable[str], side: int, factor: float) -> list[int]:
    """Return the sides of the maps after which self-attention stands, `side` times `factor` being that of block 0."""
    found = (re.match(r"blocks\.(\d+)\.1\.", name) for name in names)
    return sorted({int(side * factor ** (int(match[1]) + 1)) for match in found if match})
