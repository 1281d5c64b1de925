"""What is said of a recipe's mistakes: where it is, what was found, and which key or row was meant."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from augment.build.plan import num_added
from augment.core.suggest import did_you_mean
from augment.core.table import Table
from augment.errors import InputError, UsageError
from augment.policy.policy_file import load_policy
from smallgan.tables.latents import LATENTS
from smallgan.tables.losses import LOSSES
from smallgan.tables.methods import METHODS
from smallgan.tables.metrics import readers_of
from smallgan.tables.models import MODELS
from smallgan.tables.options import READ_WITH, REPLACED_BY, Section, marked
from smallgan.tables.recipe_schema import (
    DEFAULT_METHOD,
    DataSection,
    Recipe,
    ScoreSection,
    Side,
    chosen,
    default_names,
    size_mistake,
    source_of,
    with_defaults,
)
from smallgan.tables.recipe_yaml import Source
from smallgan.tables.regularizers import REGULARIZERS

TABLES: dict[str, Table[Any]] = {"model": MODELS, "method": METHODS, "latent": LATENTS, "loss": LOSSES}
"""Sections whose keys depend on the row that their `name` chooses."""
_MOVED = {
    "train.model": "model.name",
    "train.loss": "loss.name",
    "train.z_dim": "model.z_dim",
    "train.base_width": "model.base_width",
    "transfer.method": "method.name",
    "transfer.codes": "method.code_init",
    "biggan.orthogonal": "regularizers.orthogonal.weight",
    "data.fit": "data.resize_mode",
}
"""Keys of earlier versions that have another name now; others of `train`, `biggan` and `transfer` keep their last
name in `model` or `method`."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a recipe."""

    path: str  # Dotted key
    message: str = ""
    variant: str = ""  # Where the variant stands that has it: grid[2] (hflip); "": it is the recipe's own
    goes_with: str = ""  # Of a key that nothing reads, the flags that would have it read: --transfer apgc

    def text(self, source: Source) -> str:
        """Return it as a line, with the line of the file where that is known, or the flag in place of the key."""
        number = re.match(r"grid\[(\d+)\]", self.variant or self.path)
        inside = f"grid.{number[1]}." if number else "grid."
        own = self.path.partition(".")[2] if not self.variant and number else self.path
        line = (source.line(f"{inside}{own}") if self.variant or number else None) or source.line(self.path)
        flag = None if line or self.variant else source.flag(self.path)
        if flag:
            unread = f"{flag} works only with {self.goes_with}; use that, or leave {flag} out"
            return unread if self.goes_with else f"{flag}: {self.message}"
        place = f"line {line}, " if line else ""
        return f"{place}{self.variant}{': ' if self.variant else ''}{self.path or 'recipe'}: {self.message}"


def mistakes_in(values: Mapping[str, Any]) -> tuple[Recipe | None, list[Mistake]]:
    """Return the checked recipe, None where something is wrong with it, and all mistakes."""
    unread = list(unread_keys(values))
    read = {name: section for name, section in values.items() if name not in {each.path for each in unread}}
    try:
        recipe = Recipe.model_validate(read)
    except ValidationError as error:
        items = error.errors()
        return None, [*unread, *(_mistake(values, item) for item in items)]
    return (None if unread else recipe), unread


def policy_mistakes(values: Mapping[str, Any]) -> list[Mistake]:
    """Return what is wrong with the policy and the amounts of a recipe's values."""
    settings = values.get("augment")
    if not isinstance(settings, Mapping):
        return []
    mistakes = []
    policy, ratio, count = (settings.get(name) for name in ("policy", "ratio", "count"))
    try:
        if isinstance(policy, str):
            load_policy(policy)
    except (UsageError, InputError) as error:
        mistakes.append(Mistake("augment.policy", str(error)))
    try:
        if isinstance(ratio, str) and count is None:
            num_added(1, ratio, None)
    except UsageError as error:
        mistakes.append(Mistake("augment.ratio", str(error)))
    return mistakes


def unread_keys(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield a mistake for each whole section, and each key, that nothing in this recipe reads."""
    method = chosen(values, "method", DEFAULT_METHOD)
    if method not in METHODS:
        return
    for section in ("model", "latent", "loss", "regularizers"):
        readers = [row.name for row in METHODS if section in row.sections]
        if section in values and method not in readers:
            yield Mistake(section, f"read by the {_listed('method', readers)}; this recipe trains by {method}")
    if not METHODS[method].makes_images:
        readers = [row.name for row in METHODS if row.makes_images]
        for section in (name for name in ("score", "sample") if name in values):
            yield Mistake(section, f"read by the {_listed('method', readers)}; {method} makes no images")
    train = values.get("train")
    if isinstance(train, Mapping) and train.get("init") is not None and "model" not in METHODS[method].sections:
        readers = [row.name for row in METHODS if "model" in row.sections]
        yield Mistake("train.init", f"read by the {_listed('method', readers)}; this recipe trains by {method}")
    score = values.get("score")
    if isinstance(score, Mapping):
        metrics = score.get("metrics", ScoreSection().metrics)
        for key in score:
            readers = list(readers_of(key))
            if readers and isinstance(metrics, Sequence) and not set(readers).intersection(metrics):
                yield Mistake(f"score.{key}", f"read by the {_listed('metric', readers)}; this recipe scores {metrics}")
    yield from _unread_of_points(values, method)
    yield from _unread_beside_others(values, method)
    model = chosen(values, "model", default_names(values)["model"])
    if "model" not in METHODS[method].sections or model not in MODELS:
        return
    yield from _of_discriminators(values, method, model)
    data, given = values.get("data"), values.get("method")
    size = data.get("size") if isinstance(data, Mapping) else None
    if size in get_args(Side) and size not in MODELS[model].sizes:
        yield Mistake("data.size", size_mistake(model, size))
    if isinstance(given, Mapping):
        readers = [row.name for row in MODELS if row.has_classes]
        for key in marked(METHODS[method].options, "needs_classes"):
            if key in given and model not in readers:
                yield _unread(f"method.{key}", "model", readers, model)


def _unread_beside_others(values: Mapping[str, Any], method: str) -> Iterator[Mistake]:
    """Yield the keys of the method that are not read because of what another of its keys says, or does not say."""
    given, options = values.get("method"), METHODS[method].options
    if not isinstance(given, Mapping):
        return
    settled = {key: field.default for key, field in options.model_fields.items()} | with_defaults(values)["method"]
    read_with, replaced_by = marked(options, READ_WITH), marked(options, REPLACED_BY)
    for key in (key for key, value in given.items() if value is not None):
        other, _, wanted = read_with.get(key, "").partition("=")
        if wanted and settled.get(other, wanted) != wanted:
            yield Mistake(
                f"method.{key}", f"read where method.{other} is {wanted}; in this recipe it is {settled[other]}"
            )
        elif other and not wanted and settled[other] in _OFF:
            yield Mistake(f"method.{key}", f"read where method.{other} is given; this recipe leaves it out")
        elif key in replaced_by and settled[replaced_by[key]] not in _OFF:
            yield Mistake(f"method.{key}", f"method.{replaced_by[key]} takes its place; leave one of the two out")


def _unread_of_points(values: Mapping[str, Any], method: str) -> Iterator[Mistake]:
    """Yield what is about images, where the data are points."""
    source = source_of(values)
    if source is None or not source.is_points:
        return
    message = f"it is about images, and {source.name} is a set of points; leave it out"
    if "augment" in values:
        yield Mistake("augment", message)
    for section, options in (("data", DataSection), ("method", METHODS[method].options)):
        given = values.get(section)
        for key in marked(options, "of_images"):
            if isinstance(given, Mapping) and key in given:
                yield Mistake(f"{section}.{key}", message)


_OFF = (None, "none", "")  # What a key says where it asks for nothing


def _of_discriminators(values: Mapping[str, Any], method: str, model: str) -> Iterator[Mistake]:
    given = values.get("model")
    if isinstance(given, Mapping) and "loss" not in METHODS[method].sections:
        readers = [row.name for row in METHODS if {"model", "loss"}.issubset(row.sections)]
        for key in marked(MODELS[model].options, "of_discriminator"):
            if key in given:
                yield _unread(f"model.{key}", "method", readers, method)


def _mistake(values: Mapping[str, Any], item: Any) -> Mistake:
    path = ".".join(str(part) for part in item["loc"] if part not in _BRANCHES)
    kind, message, found = item["type"], item["msg"], item.get("input")
    if kind == "extra_forbidden":
        return _unknown(values, path, found)
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        named, colon, rest = text.partition(": ")
        return Mistake(named, rest) if colon and not path and " " not in named else Mistake(path, text)
    if kind in ("unknown_row", "section"):
        return Mistake(path, message if kind == "unknown_row" else f"{message}, found {found!r}")
    return Mistake(path, f"{message[0].lower()}{message[1:]}, found {found!r}")


_BRANCHES = ("dict[str,list[any]]", "list[dict[str,any]]")
"""What pydantic puts into the path of a mistake where a key takes one of two forms."""


def _unknown(values: Mapping[str, Any], path: str, found: Any) -> Mistake:
    """Say of a key that is not there which row reads it, what it is called now, or what it is spelled like."""
    section, _, key = path.partition(".")
    if section in TABLES and "." not in key:
        table = TABLES[section]
        readers = [row.name for row in table if key in row.options.model_fields]
        if readers:
            default = default_names(values).get(section, DEFAULT_METHOD)
            return _unread(path, table.what, readers, chosen(values, section, default))
    moved = _moved_to(path, found)
    if moved:
        return Mistake(path, moved)
    known = _known_keys()
    last = path.rsplit(".", 1)[-1]
    same = [each for each in known if each.rsplit(".", 1)[-1] == last]  # the right key in the wrong section
    section = path.rpartition(".")[0]
    beside = [each for each in known if each.rpartition(".")[0] == section]
    hint = f"; did you mean {same[0]!r}?" if same else did_you_mean(path, beside)
    return Mistake(path, f"no such key, found {found!r}{hint}")


def _moved_to(path: str, found: Any) -> str:
    """Return the sentence about a key, or a section of keys, of an earlier version; "" where it is none."""
    section, _, key = path.partition(".")
    keys = [f"{section}.{name}" for name in found] if not key and isinstance(found, Mapping) else [path]
    new = {}
    for old in keys:
        last = old.rsplit(".", 1)[-1]
        if old in _MOVED:
            new[old] = _MOVED[old]
        elif section in ("train", "biggan", "transfer"):
            owner = next((n for n, t in TABLES.items() if any(last in row.options.model_fields for row in t)), None)
            new |= {old: f"{owner}.{last}"} if owner else {}
    return "; ".join(f"{old} is {now} now" for old, now in new.items())


def _unread(path: str, what: str, readers: list[str], now: str) -> Mistake:
    """Return the mistake of a key that rows of a table read, but not the one that the recipe chose."""
    is_transfer = what == "method" and all(METHODS[name].is_transfer for name in readers)
    option = "--transfer" if is_transfer else f"--{what}"
    uses = {"model": f"trains a {now}", "method": f"trains by {now}", "loss": f"uses the loss {now}"}
    uses |= {"latent prior": f"draws latents from {now}"}
    message = f"read by the {_listed(what, readers)}{', chosen by --transfer' * is_transfer}; this recipe {uses[what]}"
    return Mistake(path, message, goes_with=f"{option} {' or '.join(readers)}")


def _listed(what: str, names: list[str]) -> str:
    return f"{what} {names[0]}" if len(names) == 1 else f"{what}s {', '.join(names[:-1])} and {names[-1]}"


def _known_keys() -> list[str]:
    """Return all dotted keys that a recipe can have, whatever it chooses; sections too."""
    keys: dict[str, None] = {}
    for name, field in Recipe.model_fields.items():
        keys[name] = None
        annotation = next((part for part in get_args(field.annotation) if part is not type(None)), field.annotation)
        if isinstance(annotation, type) and issubclass(annotation, Section) and name != "regularizers":
            keys |= dict.fromkeys(f"{name}.{key}" for key in annotation.model_fields)
    for section, table in TABLES.items():
        keys |= dict.fromkeys(f"{section}.{key}" for row in table for key in _fields(row.options))
    for row in REGULARIZERS:
        keys |= dict.fromkeys([f"regularizers.{row.name}"])
        keys |= dict.fromkeys(f"regularizers.{row.name}.{key}" for key in _fields(row.options))
    return list(keys)


def _fields(options: type[BaseModel]) -> list[str]:
    return list(options.model_fields)
