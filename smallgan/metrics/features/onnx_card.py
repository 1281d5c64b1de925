"""The card beside an ONNX file: what the file cannot say about how images reach the network. Torch-free."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationError

from augment.core.limits import read_text
from augment.core.suggest import instead
from augment.errors import InputError

_MAX_BYTES = 1 << 20  # Of a card
CARD_SUFFIXES = (".yaml", ".yml")
ONNX_SUFFIX = ".onnx"
Three = tuple[float, float, float]


def _times(count: int) -> BeforeValidator:
    return BeforeValidator(lambda value: (value,) * count if isinstance(value, int | float) else value)


def _different(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] == value[1]:
        raise ValueError("needs two different numbers")
    return value


class Outputs(BaseModel, extra="forbid", frozen=True):
    """Which outputs of the network are what."""

    features: str
    """N x F, or maps N x C x H x W (N x H x W x C under `layout: nhwc`), of which the mean over all places is taken."""
    logits: str | None = None
    """N x K before the softmax; None where the network has no classes: then there is no Inception Score."""


class OnnxCard(BaseModel, extra="forbid", frozen=True):
    """What has to be known to use somebody's ONNX file as a feature network.

    A pixel p of 0 to 255 becomes ((low + (high - low) p / 255) - mean) / std, in that order, after the resize.
    """

    name: str = Field(min_length=1, max_length=64)
    """Stands in every score."""
    file: str | None = None
    """The ONNX file, relative to the card; None: the one that has the card's name."""
    input: str
    """Name of the network's input."""
    size: Annotated[tuple[PositiveInt, PositiveInt], _times(2)]
    """Height and width in pixels, or one number for both."""
    range: Annotated[tuple[float, float], AfterValidator(_different)]
    """What black and white become: [0, 255], [0, 1] or [-1, 1]."""
    mean: Annotated[Three, _times(3)] = (0.0, 0.0, 0.0)
    std: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], _times(3)] = (1.0, 1.0, 1.0)
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr", "gray"] = "rgb"
    """`gray` gives one channel, 0.299 R + 0.587 G + 0.114 B; of mean and std the first number counts."""
    resize: Literal["bilinear", "bicubic", "none"] = "bilinear"
    """Images are stretched to `size`, with antialiasing; `none` refuses images of another size."""
    outputs: Outputs
    trained_on: str = ""
    """Images that the weights were made from, such as ImageNet: networks of the same images are related judges."""

    @property
    def preparation(self) -> str:
        """How pixels reach the network, in full: it is part of a score's identity."""
        height, width = self.size
        how = "no resize" if self.resize == "none" else f"{self.resize} with antialias"
        low, high = self.range
        text = f"{how}, {height} x {width} px, {self.channels} in [{low:g}, {high:g}]"
        if (self.mean, self.std) != ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            mean, std = (", ".join(f"{value:g}" for value in each) for each in (self.mean, self.std))
            text += f" less ({mean}) over ({std})"
        return f"{text}; {', '.join(f'{key} {name}' for key, name in self.outputs if name)}"


def is_onnx(name: str) -> bool:
    """Tell whether `--features NAME` means an ONNX file or its card, by its ending."""
    return Path(name).suffix.lower() in (ONNX_SUFFIX, *CARD_SUFFIXES)


def find_card(path: Path) -> tuple[Path | None, list[Path]]:
    """Return the card of `path` (itself, where it is one), or None, and where it was looked for."""
    if path.suffix.lower() in CARD_SUFFIXES:
        return (path if path.is_file() else None), [path]
    beside = [path.with_suffix(f"{middle}{end}") for middle in (".card", "") for end in CARD_SUFFIXES]
    return next((each for each in beside if each.is_file()), None), beside


def read_card(path: Path) -> OnnxCard:
    """Return the card in a YAML file. Raises InputError that lists all mistakes at once, each by its key."""
    try:
        values = yaml.safe_load(read_text(path, _MAX_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot read this card ({error.strerror}); name a YAML file that is there") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a card is a mapping of keys to values, found a {type(values).__name__}")
    try:
        return OnnxCard.model_validate(values)
    except ValidationError as error:
        mistakes = [_mistake(item) for item in error.errors()]
        lines = "\n  ".join(mistakes)
        raise InputError(f"{path}: {len(mistakes)} mistake(s) in the card of a feature network\n  {lines}") from error


def named_file(card: OnnxCard, path: Path) -> Path:
    """Return the ONNX file of the card at `path`."""
    if card.file is not None:
        return path.parent / Path(card.file).expanduser()
    stem = path.name.removesuffix(path.suffix).removesuffix(".card")
    return path.with_name(f"{stem}{ONNX_SUFFIX}")


def starting_card(file: str, inputs: list[tuple[str, list[Any]]], outputs: list[tuple[str, list[Any]]]) -> str:
    """Return a card to start from, filled with what the network's inputs and outputs (name, shape) tell.

    What only its author knows stands as a comment with the usual choices.
    """
    name, shape = next(iter(inputs), ("input", []))
    nhwc = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels, *sides = [shape[3], *shape[1:3]] if nhwc else [*shape[1:]] if len(shape) == 4 else [3, 224, 224]
    size = [side if isinstance(side, int) else 224 for side in sides]
    logits = [found for found, _ in outputs if "logit" in found.lower()]
    rest = [found for found, _ in outputs if found not in logits]
    lines = [
        f"name: {Path(file).stem}  # stands in every score",
        f"file: {file}",
        f"input: {name}  # the file has {_listed(inputs)}",
        f"size: {size[0] if size[0] == size[1] else size}  # height and width in pixels",
        f"layout: {'nhwc' if nhwc else 'nchw'}",
        f"channels: {'gray' if channels == 1 else 'rgb'}  # rgb, bgr or gray",
        "range: [0, 1]  # what black and white become before mean and std: [0, 1], [0, 255] or [-1, 1]",
        "mean: [0.485, 0.456, 0.406]  # torchvision's networks; [0, 0, 0] where nothing is subtracted",
        "std: [0.229, 0.224, 0.225]  # [1, 1, 1] where nothing is divided by",
        "resize: bilinear  # bilinear, bicubic or none",
        "outputs:",
        f"  features: {rest[0] if rest else 'features'}  # the file has {_listed(outputs)}",
    ]
    if logits or len(outputs) > 1:
        lines.append(f"  logits: {logits[0] if logits else rest[1]}  # before the softmax; no classes: leave it out")
    return "\n".join(lines)


def _listed(values: list[tuple[str, list[Any]]]) -> str:
    return ", ".join(f"{name} {' x '.join(str(side) for side in shape) or 'of no shape'}" for name, shape in values)


def _mistake(item: Mapping[str, Any]) -> str:
    key = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        known = [*OnnxCard.model_fields, *(f"outputs.{name}" for name in Outputs.model_fields)]
        return f"{key}: no such key{instead(key, known)}"
    if item["type"] == "missing":
        return f"{key}: missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}, found {item['input']!r}"
