"""The only module that knows albumentations: its transforms by name, checked, recorded by configuration and seed.

A transform is known by its configuration: the dictionary that albumentations itself writes for it, with its class
and every parameter. Configuration and seed make the image, on any thread and whatever was made before: each thread
has an instance of its own, and gets new random generators for each image. Those are given to all parts of a pipeline
together; albumentations' own seeding would hand every part the same stream, so that they would vary in step.

The library is imported on first use only: it loads torch where that is installed.
"""

import copy
import json
import os
import random
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import Parameter, getdoc, signature
from typing import Any

import numpy as np

from augment.core.suggest import did_you_mean
from augment.errors import UsageError
from augment.imaging.codec import Pixels
from augment.policy.transforms import Transform

CLASS = "__class_fullname__"  # The key under which albumentations writes the name of a transform
Config = dict[str, Any]

_COMPOSITIONS = ("Compose", "OneOf", "OneOrOther", "RandomOrder", "SelectiveChannelTransform", "Sequential", "SomeOf")
_FOR_OTHERS = ("bbox_params", "keypoint_params", "additional_targets", "seed")  # of Compose: not about one image
_NOT_FOR_IMAGES = {
    "boxes or masks, and an image alone has none": (
        *("AtLeastOneBBoxRandomCrop", "BBoxSafeRandomCrop", "ConstrainedCoarseDropout", "CropNonEmptyMaskIfExists"),
        *("MaskDropout", "RandomCropNearBBox", "RandomSizedBBoxSafeCrop"),
    ),
    "other images or metadata beside the image": (
        *("FDA", "HistogramMatching", "MixUp", "Mosaic", "OverlayElements", "PixelDistributionAdaptation"),
        *("TemplateTransform", "TextImage"),
    ),
    "a volume": ("CenterCrop3D", "CoarseDropout3D", "CubicSymmetry", "Pad3D", "PadIfNeeded3D", "RandomCrop3D"),
    "a gray image": ("ToRGB",),
    "code that no file can hold": ("Lambda",),
}
_TENSORS = ("ToTensor3D", "ToTensorV2")
_NOT_PIXELS = ("FromFloat", "Normalize", "ToFloat", *_TENSORS)
_LEAVE_OUT = "leave out what prepares images for a network, such as Normalize and ToTensorV2: training does it itself"
_CONTENT = {
    "mirrored": ("HorizontalFlip", "TimeReverse"),
    "upside down": ("VerticalFlip",),
    "negative": ("InvertImg", "Solarize"),
    "turned": ("RandomRotate90", "D4", "SquareSymmetry", "Transpose"),
    "missing parts": ("CoarseDropout", "Erasing", "GridDropout", "XYMasking", "PixelDropout"),
}
_EDGES = "framed in one colour (border_mode: 4 mirrors the image there instead)"
_EDGES_ON_DEMAND = ("CenterCrop", "Pad", "PadIfNeeded", "RandomCrop")  # where an image is too small, or asked for
_ABSTRACT = ("DualTransform", "ImageOnlyTransform", "MaxSizeTransform", "NoOp", "Transform3D")

_constructing = threading.Lock()
_prototypes: dict[str, Any] = {}
_instances = threading.local()


@dataclass(frozen=True)
class LibraryTransform(Transform):
    """A transform of albumentations, always applied. What is drawn for an image is the seed of its draws."""

    varies: bool = True  # Whether what it draws can differ; a parent gives one image only where it cannot

    @property
    def is_random(self) -> bool:
        """Whether the same parent may give another image each time."""
        return self.varies

    def draw(self, generator: np.random.Generator) -> dict[str, Any]:
        """Return configuration and seed, all that is needed to repeat it."""
        return {**self.settings, "seed": int(generator.integers(2**32))}


def library_names() -> dict[str, str]:
    """Return the transforms that an image alone can be given, each with a line on what it does."""
    refused = {*(name for names in _NOT_FOR_IMAGES.values() for name in names), *_NOT_PIXELS}
    usable = {name: cls for name, cls in _transforms().items() if name not in refused}
    paragraphs = {name: (getdoc(cls) or "").strip().partition("\n\n")[0] for name, cls in sorted(usable.items())}
    return {name: " ".join(text.split()).partition(". ")[0].rstrip(".") for name, text in paragraphs.items()}


def parameters(name: str) -> dict[str, Any]:
    """Return the parameters of a transform with their defaults; `Parameter.empty` stands for one that must be given."""
    return {key: value for key, value in _defaults(_class(name, name)).items() if key not in ("p", "strict")}


def library_transform(config: Mapping[str, Any], where: str) -> tuple[LibraryTransform, tuple[str, ...]]:
    """Return the transform that `config` describes, always applied, and what albumentations remarks on it.

    `where` stands before what errors say. Raises UsageError for names and values that are wrong.
    """
    config, notes = _complete({**config, "p": 1.0}, where)
    name = str(config[CLASS])
    summary = library_names().get(name, "a pipeline of albumentations")
    content, settings = tuple(sorted(_content(config))), {"transform": config}
    varies = _varies(config)
    return LibraryTransform(name, summary, apply, becomes_content=content, settings=settings, varies=varies), notes


def own_parameters(config: Mapping[str, Any]) -> Config:
    """Return a configuration as albumentations writes it without what a class has from its bases and does not take.

    albumentations itself warns of those when it reads its file back, and goes on.
    """
    cls = _transforms().get(str(config.get(CLASS)).rpartition(".")[2])
    bases = [vars(base)["__init__"] for base in cls.__mro__[1:] if "__init__" in vars(base)] if cls else []
    above = {name for init in bases[:-1] for name in signature(init).parameters}
    own = set(_defaults(cls)) if cls else set()
    kept = {key: value for key, value in config.items() if key in own or key not in above}
    if isinstance(parts := kept.get("transforms"), list):
        kept["transforms"] = [own_parameters(part) if isinstance(part, Mapping) else part for part in parts]
    return kept


def apply(pixels: Pixels, params: Mapping[str, Any]) -> Pixels:
    """Return `pixels` (H x W x 3 uint8) after the transform of `params`, its draws fixed by their seed; the same shape.

    Raises UsageError when it cannot be applied to such an image, or gives something else than pixels of that shape.
    """
    config, seed = params["transform"], params["seed"]
    transform = _thread_instance(json.dumps(config, sort_keys=True))
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    name = str(config[CLASS])
    height, width = pixels.shape[:2]
    try:
        result = transform(image=pixels.copy())["image"]
    except Exception as error:  # whatever its hundred transforms raise is about this image and these parameters
        raise UsageError(
            f"{name}: cannot be applied to an image of {width}x{height}: {_first_line(error)}; change its parameters, "
            "or make all images one size with --size"
        ) from error
    if result.dtype != np.uint8:
        raise UsageError(f"{name}: gave {result.dtype}, expected pixels (uint8); {_LEAVE_OUT}")
    if result.shape != pixels.shape:
        sides = "x".join(str(side) for side in result.shape[1::-1])
        raise UsageError(
            f"{name}: made {sides} of an image of {width}x{height}; expected the same size: end it with a Resize, or "
            "make all images squares of that size with --size"
        )
    return np.ascontiguousarray(result)


@lru_cache(maxsize=1)
def library() -> Any:
    """Import albumentations without its look for a newer version in the network."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


@lru_cache(maxsize=1)
def _transforms() -> dict[str, type[Any]]:
    """Return every transform for images by its name."""
    module = library()
    bases = (module.ImageOnlyTransform, module.DualTransform)
    classes = {name: cls for name, cls in vars(module).items() if isinstance(cls, type) and issubclass(cls, bases)}
    return {n: c for n, c in classes.items() if n not in _ABSTRACT and not n.startswith(("Base", "_"))}


def refuse_unusable(name: str, where: str) -> None:
    """Raise UsageError for a transform that an image alone cannot be given, or that makes no image, and say why."""
    short = name.rpartition(".")[2]
    for need, names in _NOT_FOR_IMAGES.items():
        if short in names:
            raise UsageError(
                f"{where}: {short} needs {need}, so a policy cannot use it; `smallgan augment --list-transforms` lists "
                "what it can"
            )
    if short in _TENSORS:
        raise UsageError(f"{where}: {short} gives a tensor, expected pixels (uint8); {_LEAVE_OUT}")


def _class(name: str, where: str) -> type[Any]:
    short = name.rpartition(".")[2]
    refuse_unusable(name, where)
    if short in _COMPOSITIONS:
        return getattr(library(), short)  # type: ignore[no-any-return]
    if short not in _transforms():
        meant = did_you_mean(
            short, [*library_names(), *_COMPOSITIONS], "`smallgan augment --list-transforms` lists them"
        )
        raise UsageError(f"{where}: albumentations {library().__version__} has no transform {short!r}{meant}")
    return _transforms()[short]


def _complete(config: Mapping[str, Any], where: str) -> tuple[Config, tuple[str, ...]]:
    """Check `config` and return it with every parameter, as JSON holds it, and what albumentations warned of."""
    with _constructing, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transform = _make(config, where)
        try:
            text = json.dumps(transform.to_dict()["transform"], default=_plain, allow_nan=False)
        except ValueError as error:
            raise UsageError(f"{where}: a parameter is not a finite number") from error
        whole = own_parameters(json.loads(text))
        _prototypes[json.dumps(whole, sort_keys=True)] = _make(whole, where)
    notes = dict.fromkeys(f"{where}: {_first_line(warning.message)}" for warning in caught)
    return whole, tuple(notes)


def _make(config: Mapping[str, Any], where: str) -> Any:
    """Return an instance of what `config` describes, pipelines with all their parts."""
    if not isinstance(config, Mapping) or CLASS not in config:
        raise UsageError(f"{where}: expected a transform of albumentations, found {config!r}")
    name = str(config[CLASS])
    cls = _class(name, where)
    given = {key: value for key, value in config.items() if key != CLASS and key not in _FOR_OTHERS}
    if given.pop("always_apply", False):  # of albumentations 1; 2 has p alone
        given["p"] = 1.0
    known = _defaults(cls)
    for key in given:
        if key not in known:
            raise UsageError(
                f"{where}: {name} has no parameter {key!r}"
                + did_you_mean(str(key), known, f"its parameters: {', '.join(known)}")
            )
    missing = [key for key, default in known.items() if default is Parameter.empty and key not in given]
    if missing:
        raise UsageError(f"{where}: {name} needs {', '.join(missing)}; give it as in {name}: {{{missing[0]}: ...}}")
    if "transforms" in given:
        if not isinstance(given["transforms"], list):
            raise UsageError(f"{where}: {name} has transforms {given['transforms']!r}; expected a list of transforms")
        given["transforms"] = [_make(part, f"{where}, in {name}") for part in given["transforms"]]
    try:
        return cls(**given)
    except Exception as error:  # pydantic's, and whatever the constructors themselves raise
        raise UsageError(f"{where}: {name}: {_reasons(error)}") from error


def _content(config: Mapping[str, Any]) -> set[str]:
    """Return what the images of a configuration are for the eye, those of all its parts together."""
    name = str(config[CLASS])
    content = {look for look, names in _CONTENT.items() if name in names}
    if config.get("border_mode") == 0 and name not in _EDGES_ON_DEMAND:
        content.add(_EDGES)
    return content.union(*(_content(part) for part in config.get("transforms", [])))


def _defaults(cls: type[Any]) -> dict[str, Any]:
    parts = signature(cls).parameters.values()
    return {part.name: part.default for part in parts if part.kind != part.VAR_KEYWORD}


def _reasons(error: Exception) -> str:
    """Say in one line what the library finds wrong: pydantic's list of it, or the first line."""
    list_errors = getattr(error.__cause__, "errors", None)
    if not callable(list_errors):
        return _first_line(error)
    told = []
    for one in list_errors():
        place, what = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
        told.append(f"{place}: {what}, found {one['input']!r}" if place else what)
    return "; ".join(told)


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _plain(value: Any) -> Any:
    """What JSON does not know among the parameters of transforms: enums, and numpy's numbers and arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if hasattr(value, "value"):
        return value.value
    raise TypeError(f"{type(value).__name__} cannot be written to a file")


def _thread_instance(text: str) -> Any:
    """Return this thread's instance of the transform with that configuration."""
    instances: dict[str, Any] = _instances.__dict__.setdefault("transforms", {})
    if text not in instances:
        with _constructing:
            if text not in _prototypes:
                _prototypes[text] = _make(json.loads(text), "a recorded operation")
            instances[text] = copy.deepcopy(_prototypes[text])
    return instances[text]


def _varies(config: Config) -> bool:
    """Tell whether the transform draws anything, by doing it once: a parameter-free one leaves its generator alone."""
    transform = _thread_instance(json.dumps(config, sort_keys=True))
    numbers, python = np.random.default_rng(0), random.Random(0)
    before = numbers.bit_generator.state, python.getstate()
    transform.set_random_state(numbers, python)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            transform(image=np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    except Exception:  # not for this size of image: nothing is known, and the plan tries it on the real sizes
        return True
    return (numbers.bit_generator.state, python.getstate()) != before
