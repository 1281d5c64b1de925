"""Pretrained generators from the files that users have, from our own runs, and the file that we ship ours in.

official            G_ema.pth or G.pth of ajbrock/BigGAN-PyTorch, old or new torch format
tf-hub              the same layout converted from TF-Hub: without `sv0`, epsilons 1e-4
hugging-face deep   config.json and pytorch_model.bin of huggingface/pytorch-pretrained-BigGAN
smallgan            safetensors in the official layout with the configuration in its header, or a BigGAN's checkpoint
dcgan, fastgan ...  a checkpoint of ours of another model, or what was exported from one
pytorch-bsa         a generator already adapted by apple2373/pytorch-small-dataset-image-generation
apgc-code           the generator in a checkpoint of tkd26/Adaptive_Pointwise_Grouped_Convolutions, not adapted
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from augment.core.files import sha256_file, write_bytes
from augment.core.suggest import absent
from augment.errors import InputError, UsageError
from smallgan.core.checkpoint import STATE, TENSORS, last_whole, refuse_altered
from smallgan.core.run_dir import RunDir
from smallgan.models.base import Adaptable
from smallgan.models.biggan import BigGANConfig, BigGANDiscriminator, BigGANGenerator
from smallgan.models.biggan_deep import (
    RELEASED_LAYERS,
    BigGANDeepConfig,
    BigGANDeepGenerator,
    read_config,
    released_names,
)
from smallgan.models.biggan_layouts import (
    MARK,
    describe,
    detect,
    infer_config,
    infer_discriminator,
    official_names,
    shape_of,
)
from smallgan.models.biggan_parts import ScaledFirstMap, WithoutClasses
from smallgan.models.plain_source import PlainSource
from smallgan.models.run_networks import discriminator_of_run, source_of_run, state_of
from smallgan.models.weight_files import EXPORTED, WANTED, Contents, read_contents, read_json, refusal
from smallgan.tables.methods import METHODS
from smallgan.tables.models import MODELS

_OFFICIAL_FILE = re.compile(r"G(_ema)?(_best\d*|_copy\d*)?\.(pth|pt|safetensors)")
_WEIGHTS = (".pth", ".pt", ".bin", ".safetensors")
_DEEP_FILES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")
_DEEP_CONFIG = "config.json"
_Network = TypeVar("_Network", bound=nn.Module)
_Config = TypeVar("_Config", BigGANConfig, BigGANDeepConfig)


@dataclass(frozen=True)
class Pretrained:
    """A generator and what is known of it."""

    generator: Adaptable  # On the CPU, in eval mode, not frozen
    discriminator: nn.Module | None  # Its discriminator, where a matching one lay beside it; on the CPU, in eval mode
    kind: str  # One of the names in this module's description
    path: Path  # The generator's file
    sha256: str  # Of that file
    notes: tuple[str, ...]  # Sentences that a user should read
    config: BigGANConfig | BigGANDeepConfig | None = None  # Of a BigGAN
    state: Mapping[str, Any] = field(default_factory=dict)  # What its checkpoint says of it; {} of another file
    classes: tuple[str, ...] = ()  # Names of its classes in an exported file without a state

    @property
    def model(self) -> str | None:
        """Name of its row among the models, None where it is none that we train, as a BigGAN-deep."""
        if isinstance(self.generator, PlainSource):
            return str(self.generator.network.description["model"])
        return "biggan" if isinstance(self.generator, BigGANGenerator) else None


def load_pretrained(path: Path, truncation: float | None = None) -> Pretrained:
    """Return the generator in a file or folder; what it is, is told by the names of its tensors.

    `truncation`, for BigGAN-deep alone, says which of its stored moments to use (above 0, at most 1; None: 1).
    Raises InputError that says what the file is and what is needed, UsageError for another truncation.
    """
    notes: list[str] = []
    file = _generator_file(path, notes)
    contents, digest = read_contents(file), sha256_file(file)
    discriminator: nn.Module | None = None
    generator: BigGANGenerator | BigGANDeepGenerator
    checkpoint = part_of(contents.tensors, "g_ema.")
    state = state_of(file, contents)
    refuse_altered(file, digest, state.get("tensors_sha256"), "name the folder of another one")
    name = str(state.get("model"))
    if name in METHODS and not METHODS[name].makes_images:
        raise refusal(file, f"a classifier trained by {METHODS[name].title}; name a run that trained a generator")
    if name in METHODS:
        raise refusal(
            file, f"a run that adapted another generator by {name}; name that generator, or go on with the run itself"
        )
    if name in MODELS and MARK not in checkpoint:
        if truncation is not None:
            raise UsageError(f"{file}: a truncation for the moments is BigGAN-deep's alone; this is {name}")
        plain = source_of_run(state, checkpoint, file)
        discriminator = discriminator_of_run(name, part_of(contents.tensors, "d."), file, notes)
        return Pretrained(plain, discriminator, name, file, digest, tuple(notes), None, state)
    classes: tuple[str, ...] = ()
    if EXPORTED in contents.metadata and not state:  # of a pretrained file: its header has what its names do not tell
        kind = "smallgan"
        generator, classes = _exported(contents, checkpoint, file)
    elif MARK in checkpoint or "config" in contents.metadata:
        kind = "smallgan"
        tensors = official_names(checkpoint or contents.tensors)
        config = _written_config(contents, state, file) or infer_config(tensors, file)
        generator = _filled(_class_for(config, tensors), config, tensors, file)
        if critic := part_of(contents.tensors, "d."):
            discriminator = _discriminator(lambda: critic, config, file, notes)
    else:
        kind = detect(contents.tensors, file)
        if kind == "hugging-face deep":
            generator = _deep(contents.tensors, file, 1.0 if truncation is None else truncation, notes)
        elif kind in ("pytorch-bsa", "apgc-code"):
            generator = _adapted_elsewhere(contents.tensors, kind, file, notes)
        else:
            generator = _official(contents.tensors, kind, file, notes)
            if path.is_dir() or _OFFICIAL_FILE.fullmatch(file.name):
                discriminator = _beside(file, generator.config, notes)
    if truncation is not None and kind != "hugging-face deep":
        raise UsageError(f"{file}: a truncation for the moments is BigGAN-deep's alone; this is {kind}")
    return Pretrained(generator, discriminator, kind, file, digest, tuple(notes), generator.config, state, classes)


def save_generator(path: Path, generator: BigGANGenerator, dtype: torch.dtype = torch.float32) -> None:
    """Write a generator in our own form: safetensors, official names, its configuration as JSON in the header.

    `dtype` (float32 or bfloat16) is that of the weights; biases, moments and spectral vectors, which are small, stay
    float32. The same generator gives the same bytes. Raises OutputError.
    """
    weights = {name for name, parameter in generator.named_parameters() if parameter.ndim > 1}
    tensors = {
        name: tensor.detach().cpu().to(dtype if name in weights else torch.float32).contiguous()
        for name, tensor in generator.state_dict().items()
    }
    # One entry only: safetensors writes several in an order that changes from process to process.
    write_bytes(path, save(tensors, {"config": json.dumps(asdict(generator.config))}), sync=True)


def packed(generator: Adaptable) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a generator's tensors by their names in released files, and what it is built from as JSON values."""
    if isinstance(generator, PlainSource):
        return generator.network.state_dict(), {"kind": "run", "state": dict(generator.network.description)}
    names = released_names(generator)
    kind = "biggan-deep" if isinstance(generator, BigGANDeepGenerator) else "biggan"
    built_from = {"kind": kind, "config": asdict(cast(Any, generator).config)}
    return {names[own]: tensor for own, tensor in generator.state_dict().items()}, built_from


def unpacked(
    tensors: Mapping[str, Tensor], built_from: Mapping[str, Any], file: Path, truncation: float | None = None
) -> Adaptable:
    """Return the generator that `packed` took apart. Raises InputError, KeyError, TypeError or ValueError.

    `truncation` says which moments of a BigGAN-deep to use, those of 1 beyond that; None: those that it had.
    """
    if built_from["kind"] == "run":
        return source_of_run(built_from["state"], tensors, file)
    settings = dict(built_from["config"])
    if built_from["kind"] == "biggan-deep":
        used = settings["truncation"] if truncation is None else min(truncation, 1.0)
        return _filled(BigGANDeepGenerator, read_config(settings, used), tensors, file)
    config = BigGANConfig(**settings)
    return _filled(_class_for(config, tensors), config, tensors, file)


def _exported(
    contents: Contents, tensors: Mapping[str, Tensor], file: Path
) -> tuple[BigGANGenerator | BigGANDeepGenerator, tuple[str, ...]]:
    """Return the released generator that `smallgan export` wrote to a file, and names of classes. Raises InputError."""
    try:
        header = json.loads(contents.metadata[EXPORTED])
        generator = unpacked(tensors, header["built_from"], file)
        if not isinstance(generator, BigGANGenerator | BigGANDeepGenerator):
            raise ValueError("not a BigGAN")
        classes = tuple(map(str, header.get("classes", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise refusal(file, "its header is not that of an exported generator; export it again") from error
    return generator, classes


def _generator_file(path: Path, notes: list[str]) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(absent(path, WANTED))
    run = RunDir(path)
    if run.exists():
        if not run.checkpoint_steps():
            raise refusal(path, "this run has no checkpoint yet")
        step = run.best_step()
        if step is None:
            try:
                step, damaged = last_whole(run)
                notes += damaged
            except InputError:  # none is whole: what is wrong with the last is told where it is read
                step = run.last_step()
        return run.checkpoint(step) / TENSORS
    files = sorted(file for file in path.iterdir() if file.suffix in _WEIGHTS and file.is_file())
    deep = [path / name for name in _DEEP_FILES if (path / name).is_file()]
    if deep and (path / _DEEP_CONFIG).is_file():
        return deep[0]
    if official := [file for file in files if _OFFICIAL_FILE.fullmatch(file.name)]:
        # averaged weights before plain ones, the newest state before the best before copies
        return min(official, key=lambda file: ("_ema" not in file.name, "_copy" in file.name, file.name))
    generators = [file for file in files if not re.match(r"(D|state_dict|G_optim)(_|\.)", file.name)]
    if len(generators) == 1:
        return generators[0]
    found = ", ".join(file.name for file in files[:6]) or "no file of weights"
    remedy = "name one of its files" if generators else WANTED
    raise InputError(f"{path}: found {found} in this folder; {remedy}")


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _written_config(contents: Contents, state: Mapping[str, Any], file: Path) -> BigGANConfig | None:
    """Return the configuration in a header of ours or in the state of a checkpoint, None where there is neither.

    Raises InputError.
    """
    try:
        if "config" in contents.metadata:
            return BigGANConfig(**json.loads(contents.metadata["config"]))
        return BigGANConfig(**state["config"]) if "config" in state else None
    except (ValueError, TypeError) as error:
        known = ", ".join(each.name for each in fields(BigGANConfig))
        raise InputError(
            f"{file}: its header or its {STATE} holds another configuration than a BigGAN's ({error}); expected {known}"
        ) from error


def _official(tensors: Mapping[str, Tensor], kind: str, file: Path, notes: list[str]) -> BigGANGenerator:
    named = official_names(tensors)
    config = infer_config(named, file, tf_hub=kind == "tf-hub")
    if kind == "tf-hub":
        notes.append("sv0 is absent: a conversion from TF-Hub, so the epsilons are 1e-4")
    elif _OFFICIAL_FILE.fullmatch(file.name) and "_ema" not in file.name:
        notes.append(f"{file.name} holds the plain weights, not their moving average: G_ema.pth makes better images")
    if config.shared_dim and not config.num_classes:
        notes.append("the file has no class embedding (shared.weight): class vectors must be given")
    return _filled(_class_for(config, named), config, named, file)


def _deep(tensors: Mapping[str, Tensor], file: Path, truncation: float, notes: list[str]) -> BigGANDeepGenerator:
    """Return a BigGAN-deep; its settings are in config.json beside it, or else taken for those of a released model."""
    named = {name: tensor.float() for name, tensor in tensors.items()}
    places = (file.with_name(_DEEP_CONFIG), file.with_name(file.name.replace("pytorch_model.bin", _DEEP_CONFIG)))
    settings = next((place for place in places if place != file and place.is_file()), None)
    if settings:
        try:
            config = read_config(read_json(settings), truncation)
        except ValueError as error:
            raise InputError(f"{settings}: {error}; get the file that belongs to {file.name}") from error
    else:
        blocks = sum(name.endswith(".conv_0.weight_orig") for name in tensors)
        size = next((size for size, layers in RELEASED_LAYERS.items() if len(layers) == blocks), None)
        if size is None:
            raise InputError(f"{file}: a BigGAN-deep of {blocks} blocks; expected its {_DEEP_CONFIG} beside it")
        config = BigGANDeepConfig(output_dim=size, layers=RELEASED_LAYERS[size], truncation=truncation)
        notes.append(f"no {_DEEP_CONFIG} beside it: taken for the released model of {size} px")
    notes.append(f"moments of truncation {truncation:g}")
    return _filled(BigGANDeepGenerator, config, named, file)


def _adapted_elsewhere(tensors: Mapping[str, Tensor], kind: str, file: Path, notes: list[str]) -> BigGANGenerator:
    named = official_names(part_of(tensors, "generator."))
    for name in ("linear.weight", "embeddings.weight"):
        shape_of(tensors, name, 2, file)
    named["shared.weight"] = tensors["linear.weight"].float().T.contiguous()
    config = infer_config(named, file)
    images = len(tensors["embeddings.weight"])
    if kind == "apgc-code":
        notes.append(
            f"a checkpoint of the public APGC code, fitted to {images} images: its adapter multiplies channels instead "
            "of mixing them and is left out; what is loaded is the generator that it started from"
        )
        return _filled(BigGANGenerator, config, named, file)
    notes.append(f"already adapted by the public BSA code, to {images} images; their codes are left out")
    first_map = ("bsa_linear_scale", "bsa_linear_bias")
    named |= {name: tensors[name].float().contiguous() for name in first_map if name in tensors}
    return _filled(_class_for(config, named), config, named, file)


def _class_for(config: BigGANConfig, tensors: Mapping[str, Tensor]) -> type[BigGANGenerator]:
    if "bsa_linear_scale" in tensors:
        return ScaledFirstMap
    return WithoutClasses if config.shared_dim and not config.num_classes else BigGANGenerator


def _beside(file: Path, config: BigGANConfig, notes: list[str]) -> nn.Module | None:
    suffix = re.sub(r"^G(_ema)?", "", file.stem)
    names = (f"{stem}{file.suffix}" for stem in (f"D_ema{suffix}", f"D{suffix}", "D_ema", "D"))
    other = next((file.with_name(name) for name in names if file.with_name(name).is_file()), None)
    return _discriminator(lambda: read_contents(other).tensors, config, other, notes) if other else None


def _discriminator(
    read: Callable[[], Mapping[str, Tensor]], config: BigGANConfig, file: Path, notes: list[str]
) -> BigGANDiscriminator | None:
    try:
        named = official_names(read())
        return _filled(BigGANDiscriminator, infer_discriminator(named, config, file), named, file)
    except InputError as error:
        notes.append(f"no discriminator: {error}")
        return None


def _filled(
    build: Callable[[_Config], _Network], config: _Config, tensors: Mapping[str, Tensor], file: Path
) -> _Network:
    """Return a network with these tensors; a missing `sv0` is 1.

    Raises InputError that counts and names the tensors that are missing, do not fit, or have no place.
    """
    with torch.device("meta"):  # no memory, and no draws from the global generator, for weights that are replaced
        try:
            network = build(config)
        except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise refusal(file, f"its configuration describes no network ({reason})") from error
    given, fitted, missing, misfits = dict(tensors), {}, [], []
    names = released_names(network)
    for own, place in network.state_dict().items():
        name = names[own]
        tensor = given.pop(name, torch.ones(1) if name.endswith(".sv0") else None)
        if tensor is None:
            missing.append(name)
        elif tensor.shape != place.shape:
            misfits.append(f"{name} {tuple(tensor.shape)}, expected {tuple(place.shape)}")
        else:
            # A copy of its own: a file's memory is aligned otherwise, and then the last bits of products may differ.
            fitted[own] = tensor.to(place.dtype, copy=True)
    left = [f"{name} {tuple(tensor.shape)}" for name, tensor in given.items()]
    counted = {"missing": missing, "of another shape": misfits}
    wrong = [f"{len(found)} of {len(names)} tensors {what}: {_some(found)}" for what, found in counted.items() if found]
    wrong += [f"{len(left)} more than the network has: {_some(left)}"] if left else []
    if wrong:
        raise refusal(file, f"{'; '.join(wrong)} (the others tell {describe(config)}); damaged, or another network")
    network.load_state_dict(fitted, assign=True)
    return network.eval()


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
