"""Recipes: the settings of a run as pydantic models; load, override, check, dump. Torch-free."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from augment.errors import InputError, UsageError
from smallgan.shipped import shipped_folder


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1:2 is the text that it looks like, a ratio, not 62 (1 and 2 to the base of 60)."""


_PAIRS = ("tag:yaml.org,2002:str", re.compile(r"[0-9]+(:[0-9.]+)+$"))
_Loader.yaml_implicit_resolvers = {
    first: [_PAIRS, *resolvers] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataSection(_Section):
    """Which images, and how they become squares."""

    source: str | None = None
    """A folder, a zip or a mixed dataset; None is the sample set that ships with smallgan."""
    size: Literal[32, 64, 128, 256, 512] = 64
    """Side of the square training images in pixels; in a transfer it is the pretrained generator's."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How an image that is not square becomes one."""
    skip_bad: bool = False
    """Leave unreadable files out and list them, instead of stopping."""


class AugmentSection(_Section):
    """What is mixed into the originals before training; pixel-equal to what `smallgan augment` writes."""

    policy: str = "none"
    """A policy expression such as hflip+contrast."""
    ratio: str | None = None
    """Originals to added images as A:B; None with `count` None means 1:1."""
    count: int | None = Field(default=None, ge=0)
    """Number of added images."""
    generator: str | None = None
    """Run or checkpoint that makes the images of the kind `gan`."""

    @model_validator(mode="after")
    def _one_amount(self) -> AugmentSection:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        return self


_BIGGAN = {
    "loss": "hinge",
    "lr_g": 1e-4,
    "lr_d": 4e-4,
    "beta1": 0.0,
    "z_dim": 120,
    "base_width": 16,
    "ema_decay": 0.9999,
}
_ADAPTER = {"steps": 10_000, "batch_size": 25, "beta1": 0.9, "snapshot_every": 1000}
_FINETUNE = {"steps": 2000, "batch_size": 25, "snapshot_every": 250, "ema_decay": 0.999}


class TrainSection(_Section):
    """The trainer's settings. Defaults follow the model's paper where it says something; these are DCGAN's.

    For `model: biggan` they are Brock et al.'s and SAGAN's, in a transfer those of the method; see `_defaults`.
    """

    model: Literal["dcgan", "biggan"] = "dcgan"
    loss: Literal["nonsaturating", "hinge"] = "nonsaturating"
    steps: int = Field(default=5000, ge=1)
    """Optimiser steps of each network."""
    batch_size: int = Field(default=64, ge=2)
    """Images a step; batch norm needs at least two."""
    lr_g: float = Field(default=2e-4, gt=0)
    lr_d: float = Field(default=2e-4, gt=0)
    beta1: float = Field(default=0.5, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    z_dim: int = Field(default=100, ge=1)
    """Length of z; BigGAN rounds it down to whole chunks."""
    base_width: int = Field(default=64, ge=8, multiple_of=8)
    """DCGAN: channels at the highest resolution; they double with each halving of the side. BigGAN: ch, its unit."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay a step of the averaged generator that samples and scores come from."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs convolutions in bfloat16 (autocast); weights and optimiser stay float32."""
    report_every: int = Field(default=50, ge=1)
    """Steps between two lines of stats.jsonl."""
    snapshot_every: int = Field(default=500, ge=1)
    """Steps between two snapshots: checkpoint, grid, scores."""


class BigGANSection(_Section):
    """What only a BigGAN trained from scratch or fine-tuned reads."""

    conditional: bool = True
    """Learn the classes that the source's sub-folders name; one class where it has none, or when false."""
    class_balanced: bool = True
    """Draw each batch's classes evenly, then an image of each, instead of walking all images."""
    shared_dim: int = Field(default=128, ge=1)
    """Length of the shared class vector."""
    attention: int = Field(default=0, ge=0)
    """Side of the maps that self-attention follows; 0: none. The paper's 128 px model has it at 64."""
    d_width: int | None = Field(default=None, ge=8, multiple_of=8)
    """Unit of width of the discriminator; None: as the generator's."""
    init: Literal["orthogonal", "N02"] = "orthogonal"
    d_steps: int = Field(default=1, ge=1)
    """Discriminator steps a generator step."""
    orthogonal: float = Field(default=1e-4, ge=0)
    """beta of beta |W'W * (1 - I)|^2 over the generator's weights; 0: none."""
    diffaugment: str = "none"
    """Augmentations of reals and fakes in the discriminator, of color, translation, cutout, joined by commas."""
    mirror: bool = True
    """Mirror half of the real images of each batch."""
    ema_start: int = Field(default=0, ge=0)
    """Step from which the generator is averaged; before it the average is a copy."""


class TransferSection(_Section):
    """How a pretrained generator is adapted."""

    method: Literal["bsa", "apgc", "finetune"] | None = None
    """None: from scratch."""
    pretrained: str | None = None
    """A checkpoint, a folder or a run; None is the generator that ships with smallgan."""
    group_size: int = Field(default=16, ge=0)
    """APGC: channels a group; 0: ungrouped."""
    init: Literal["pretrained", "identity"] = "pretrained"
    """APGC: start as the pretrained generator, or as the published code does, at the identity plus noise."""
    class_vector: str = Field(default="mean", coerce_numbers_to_str=True)
    """Start of the class vector: mean of all classes, a class index, or a weighted set such as 3:0.5+17:0.5."""
    codes: Literal["zero", "normal"] = "zero"
    """Start of the code of each training image."""
    code_noise: float = Field(default=0.01, ge=0)
    """Standard deviation of the noise on a code, drawn anew in each step."""
    lr_codes: float = Field(default=0.05, ge=0)
    lr_class: float = Field(default=0.001, ge=0)
    lr_adapter: float = Field(default=0.0005, ge=0)
    """Rate of the adapter's layers and of scale and bias after the first layer."""
    lr_first: float = Field(default=1e-7, ge=0)
    """Rate of the first layer's weight; 0: frozen."""
    lr_decay: float = Field(default=0.1, gt=0, le=1)
    lr_decay_every: int = Field(default=3000, ge=1)
    """Optimiser steps after which all rates are multiplied by `lr_decay`."""
    variant: Literal["normalized", "raw"] = "normalized"
    """Loss: the PyTorch port's (squared perceptual terms, each divided by its own value), or the original's (L1)."""
    perceptual: str = "auto"
    """vgg16, squeezenet1_1, shipped or none; auto: the first of the three whose weights are on this machine."""
    perceptual_weight: float | None = Field(default=None, ge=0)
    """None: 0.1 (normalized) or 0.001 (raw)."""
    latent_weight: float = Field(default=0.1, ge=0)
    class_weight: float = Field(default=0.02, ge=0)
    """Weight of the mean square of the class vector."""


class ScoreSection(_Section):
    """The scores at each snapshot: the very ones that `smallgan score RUN` gives afterwards with its defaults."""

    metrics: tuple[Literal["is", "kmmd"], ...] = ("is", "kmmd")
    """Empty: no scores while training, and no best checkpoint."""
    features: str | None = None
    """Feature network; None is the published Inception where its weights are in the cache, else the shipped network."""
    num_fake: int | None = Field(default=None, ge=2)
    """Samples scored; None is as many as there are originals, within 100 to 1,000."""
    splits: int | None = Field(default=None, ge=1)
    """Parts of the Inception Score; None is ten from 1,000 images on, else one."""


class Recipe(_Section):
    """All that decides what a run computes."""

    name: str = Field(default="train", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    data: DataSection = DataSection()
    augment: AugmentSection = AugmentSection()
    train: TrainSection = TrainSection()
    biggan: BigGANSection = BigGANSection()
    transfer: TransferSection = TransferSection()
    score: ScoreSection = ScoreSection()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds of the runs; a single run uses the first."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        """Fill in the defaults of the model and the method, where the recipe leaves a key of `train` out."""
        if not isinstance(values, Mapping):
            return values
        train, transfer = values.get("train", {}), values.get("transfer", {})
        if not isinstance(train, Mapping) or not isinstance(transfer, Mapping):
            return values
        method = transfer.get("method")
        filled: dict[str, Any] = {}
        if method or train.get("model") == "biggan":
            filled |= {"model": "biggan", **_BIGGAN}
        filled |= {"bsa": _ADAPTER, "apgc": _ADAPTER, "finetune": _FINETUNE}.get(str(method), {})
        return {**values, "train": {**filled, **train}}

    @model_validator(mode="after")
    def _transfer_is_biggan(self) -> Recipe:
        if self.transfer.method and self.train.model != "biggan":
            raise ValueError("a transfer adapts a BigGAN: leave train.model out, or give biggan")
        return self

    @property
    def seed(self) -> int:
        """Seed of a single run."""
        return self.seeds[0]


def load_recipe(name_or_file: str | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe from a YAML file, the name of a shipped recipe, or the defaults (None), with overrides applied.

    `overrides` maps dotted paths to values, {"train.steps": 300}. Raises InputError (no such recipe, not YAML) and
    UsageError, which lists all mistakes at once, each by its path.
    """
    values = _read(_find(name_or_file)) if name_or_file else {}
    origin = name_or_file or "recipe"
    for path, value in (overrides or {}).items():
        _put(values, path, value)
    return _check(values, origin)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a YAML file, such as a run's recipe.yaml. Raises InputError and UsageError."""
    return _check(_read(path), str(path))


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML with every key in it."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Return {"train.steps": 300} for ["train.steps=300"]; values are read as YAML. Raises UsageError."""
    overrides: dict[str, Any] = {}
    for text in texts:
        path, sign, value = text.partition("=")
        if not sign or not path:
            raise UsageError(f"--set {text}: found no PATH=VALUE; write for example --set train.steps=300")
        try:
            overrides[path] = yaml.load(value, _Loader)
        except yaml.YAMLError:
            overrides[path] = value
    return overrides


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the dotted paths at which two recipes differ, with both values."""
    left, right = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    return {path: (left.get(path), right.get(path)) for path in left if left.get(path) != right.get(path)}


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship with smallgan, by name."""
    return {path.stem: path for path in sorted(shipped_folder("recipes").glob("*.yaml"))}


def _find(name_or_file: str) -> Path:
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml"):
        return path
    known = shipped_recipes()
    if name_or_file in known:
        return known[name_or_file]
    hint = _nearest(name_or_file, known)
    raise InputError(f"recipe {name_or_file!r}: no shipped recipe has that name{hint}; there are {', '.join(known)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"{path}: cannot read this recipe ({error.strerror}); name an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({str(error).splitlines()[0]})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found a {type(values).__name__}")
    return values


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{path}: {section!r} is a value, not a section")
        values = inner
    values[key] = value


def _check(values: dict[str, Any], origin: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        mistakes = [_mistake(item["loc"], item["type"], item["msg"], item.get("input")) for item in error.errors()]
        raise UsageError(f"{origin}: {len(mistakes)} mistake(s)\n  " + "\n  ".join(mistakes)) from error


def _mistake(location: tuple[int | str, ...], kind: str, message: str, found: Any) -> str:
    path = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = list(_flat(Recipe().model_dump(mode="json"), sections=True))
        return f"{path}: no such key{_nearest(path, known)}"
    return f"{path or 'recipe'}: {message[0].lower()}{message[1:]}, found {found!r}"


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _flat(values: Mapping[str, Any], prefix: str = "", *, sections: bool = False) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            if sections:
                flat[f"{prefix}{key}"] = value
            flat |= _flat(value, f"{prefix}{key}.", sections=sections)
        else:
            flat[f"{prefix}{key}"] = value
    return flat
