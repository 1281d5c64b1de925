"""The flags of `smallgan train` that set recipe keys, one row each. Torch-free.

The command line makes its options from these rows, and `smallgan.train` its keywords: a new flag is a new row.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict, TypeVar, cast, get_args, get_type_hints

from augment.errors import UsageError
from smallgan.core import weights
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS, MethodRow
from smallgan.tables.metrics import METRICS
from smallgan.tables.models import MODELS
from smallgan.tables.sweep import NAMED, flat

FLAGS_HERE = "FLAGS"  # A line of a docstring that the explanations of all flags replace
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Flag:
    """What a flag sets, and what is said of it."""

    keys: str | Callable[[MethodRow], tuple[str, ...]]  # Dotted recipe key; or (method) -> keys, () where it has none
    help: str
    value: Callable[[Any], Any] = lambda given: given  # From what was given to the value of the key; None: not given
    is_switch: bool = False  # There is no --no- form of it


def _init(given: str) -> str:
    return given if given in weights.cards() else str(Path(given).resolve())


def _one_of(option: str, names: Sequence[str], otherwise: str = "") -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            raise UsageError(f"{option} {name}: use one of {', '.join(names)}{otherwise}")
        return name

    return check


def _listed(names: str | Iterable[str]) -> list[str]:
    """Return the names in "kid,copies", or in a list; none of "none"."""
    parts = names.split(",") if isinstance(names, str) else list(names)
    return [name.strip() for name in parts if name.strip()] if parts != ["none"] else []


_TRANSFERS = [row.name for row in METHODS if row.is_transfer]
_FROM_SCRATCH = [row.name for row in METHODS if not row.is_transfer]
_METRICS = ", ".join(row.name for row in METRICS if not row.asks_for)
_PathText = str | os.PathLike[str]


class TrainFlags(TypedDict, total=False):
    """The flags. A value of None is the recipe's."""

    model: Annotated[
        str | None,
        Flag(
            "model.name",
            f"Train from scratch: {', '.join(MODELS.names)}; default: by the number of images, "
            "their size and the device.",
        ),
    ]
    method: Annotated[
        str | None,
        Flag(
            "method.name",
            f"How to train from scratch: {', '.join(_FROM_SCRATCH)}; default: {_FROM_SCRATCH[0]}.",
            _one_of("--method", _FROM_SCRATCH, "; for the others use --transfer"),
        ),
    ]
    transfer: Annotated[
        str | None,
        Flag(
            "method.name",
            f"Adapt a pretrained generator instead: {', '.join(_TRANSFERS)}.",
            _one_of("--transfer", _TRANSFERS),
        ),
    ]
    pretrained: Annotated[
        _PathText | None,
        Flag(
            "method.pretrained",
            "What to adapt: a BigGAN's file or folder, or a run; default: the small one that ships.",
            os.fspath,
        ),
    ]
    init: Annotated[
        _PathText | None,
        Flag(
            "train.init",
            "Start from the weights of this run, or of smallgan-dcgan64-v1: its model, size, classes and method, "
            "optimisers and steps afresh.",
            _init,
        ),
    ]
    class_search: Annotated[
        bool | None,
        Flag(
            "method.class_search",
            "Start a transfer at the three classes of its source that are nearest to DATA.",
            lambda on: 3 if on else None,
            is_switch=True,
        ),
    ]
    group_size: Annotated[
        int | None,
        Flag(
            "method.group_size", "APGC: channels per group, a divisor of the layers' widths such as 16; 0: no groups."
        ),
    ]
    size: Annotated[
        int | None,
        Flag(
            "data.size",
            "Side of the training images in pixels: 32, 64, 128, 256 or 512; default: 64, with --transfer that of the "
            "BigGAN.",
        ),
    ]
    steps: Annotated[
        int | None, Flag("train.steps", "Optimiser steps, from 1. Raising it goes on with a finished run.")
    ]
    epochs: Annotated[
        float | None,
        Flag("train.epochs", "Passes over the originals instead of --steps; of both, the longer holds."),
    ]
    batch_size: Annotated[int | None, Flag("train.batch_size", "Images per step, from 2.")]
    micro_batch: Annotated[
        int | str | None,
        Flag("train.micro_batch", "Images at a time where a batch does not fit in memory: a number, or auto."),
    ]
    compile: Annotated[
        bool | None,
        Flag(
            "train.compile",
            "Compile the networks (torch.compile): minutes at the start, then faster steps on a GPU; no gain on a CPU.",
            lambda on: "default" if on else None,
            is_switch=True,
        ),
    ]
    lr: Annotated[
        float | None,
        Flag(
            lambda method: method.common_rates, "Adam's learning rate, above 0, of generator and discriminator alike."
        ),
    ]
    loss: Annotated[str | None, Flag("loss.name", f"{', '.join(LOSSES.names)}; default: the model's.")]
    mirror: Annotated[bool | None, Flag("method.mirror", "Mirror half of the real images of each batch.")]
    diffaugment: Annotated[
        str | None,
        Flag("method.diffaugment", "Augment inside the discriminator: some of color,translation,cutout; or none."),
    ]
    precision: Annotated[
        str | None,
        Flag(
            "train.precision",
            "fp32, tf32 (on GPUs), bf16 or fp16; default: bf16 where it is faster and the settings are chosen for you, "
            "else tf32 on a GPU that has it, else fp32.",
        ),
    ]
    snapshot_every: Annotated[
        int | None,
        Flag("train.snapshot_every", "Steps between two snapshots, from 1: checkpoint, grid of samples, scores."),
    ]
    metrics: Annotated[
        str | Sequence[str] | None,
        Flag("score.metrics", f"Scores at each snapshot, comma-separated: {_METRICS}; or none.", _listed),
    ]
    policy: Annotated[
        str | None, Flag("augment.policy", "Mix augmented images in, as `smallgan augment` would: hflip+contrast.")
    ]
    ratio: Annotated[str | None, Flag("augment.ratio", "Originals to added images, A:B.")]
    count: Annotated[int | None, Flag("augment.count", "Number of added images, from 0, instead of --ratio.")]
    generator: Annotated[
        _PathText | None,
        Flag("augment.generator", "Run that makes the images of the transform gan.", os.fspath),
    ]
    seed: Annotated[
        int | None, Flag("seeds", "Seed of weights, batch order and latents: any whole number.", lambda seed: [seed])
    ]
    skip_bad: Annotated[
        bool | None,
        Flag("data.skip_bad", "Leave unreadable files out and list them.", lambda on: on or None, is_switch=True),
    ]


def rows() -> dict[str, tuple[Any, Flag]]:
    """Return type and row of each flag by its keyword: batch_size is --batch-size."""
    hints = get_type_hints(TrainFlags, include_extras=True)
    return {name: (hint.__origin__, get_args(hint)[1]) for name, hint in hints.items()}


def option(name: str) -> str:
    """Return a keyword as it is typed: batch_size is --batch-size."""
    return f"--{name.replace('_', '-')}"


class Asked(NamedTuple):
    """What flags ask for."""

    values: dict[str, Any]
    """By dotted recipe key."""
    flags: dict[str, str]
    """As the flag of each key is typed."""


def recipe_keys(flags: Mapping[str, Any], method: MethodRow | None = None) -> Asked:
    """Return the flags that were given as recipe keys.

    Args:
        flags: as the user gave them, by keyword; None: not given.
        method: of the recipe; some flags set other keys in each. None leaves these out.

    Raises UsageError for flags that do not go together, or that have no meaning with this method.
    """
    found = Asked({}, {})
    for name, (_, row) in rows().items():
        given = flags.get(name)
        value = None if given is None else row.value(given)
        keys = (row.keys,) if isinstance(row.keys, str) else row.keys(method) if method else None
        if value is None or keys is None:
            continue
        if method and not keys:
            raise UsageError(
                f"{option(name)} {given}: {method.title} has several learning rates of different size; set each: "
                + " ".join(f"--set {rate}=..." for rate in method.rates)
            )
        for key in keys:
            if key in found.flags:
                raise UsageError(f"{found.flags[key]} and {option(name)}: both decide {key}; give one of them")
            found.values[key], found.flags[key] = value, option(name)
    return found


def merged(asked: Asked, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return recipe keys of flags and of --set together. Raises UsageError where they contradict each other."""
    named = {
        key: {"name": value} if key in NAMED and isinstance(value, str) else value for key, value in settings.items()
    }
    said = flat(named)
    for key, value in asked.values.items():
        if key in said and _plain(said[key]) != _plain(value):
            raise UsageError(
                f"{asked.flags[key]} asks for {key}={_shown(value)}, and --set for {_shown(said[key])}; give one of "
                "them"
            )
    return {**settings, **asked.values}  # flags last: a whole section after --set would take them away


def with_flags(annotation: Callable[[str, Any, Flag], Any], after: int) -> Callable[[Command], Command]:
    """Return a decorator that replaces `**flags` of a function by one keyword a row, in its signature and docstring.

    Args:
        annotation: (keyword, type, row) -> the annotation that the keyword gets.
        after: number of the function's own parameters that stand before the flags.
    """
    found = rows()
    keywords = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation(name, hint, row))
        for name, (hint, row) in found.items()
    ]

    def decorate(function: Command) -> Command:
        own = [each for each in signature(function).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        expanded = signature(function).replace(parameters=[*own[:after], *keywords, *own[after:]])

        @wraps(function)
        def checked(*arguments: Any, **given: Any) -> Any:
            expanded.bind(*arguments, **given)  # an unknown keyword is a TypeError, as of any function
            return function(*arguments, **given)

        lines = [f"{name}: {_of_python(row.help)}" for name, (_, row) in found.items()]
        doc = cleandoc(function.__doc__ or "")
        checked.__signature__ = expanded  # type: ignore[attr-defined]
        checked.__doc__ = re.sub(
            rf"^( *){FLAGS_HERE}$", lambda at: "\n".join(at[1] + line for line in lines), doc, flags=re.M
        )
        return cast(Command, checked)

    return decorate


def _of_python(text: str) -> str:
    """Return a help text with keywords in place of flags."""
    return re.sub(r"--([a-z-]+)", lambda flag: f"`{flag[1].replace('-', '_')}`", text)


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    """Return a value as it is typed after --set."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
