"""YAML with line numbers: the values of a recipe, the line of each key, and keys that stand twice."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from augment.core.limits import read_text
from augment.errors import InputError

try:
    from yaml import CSafeLoader as _SafeLoader  # several times as fast
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

Found = TypeVar("Found")
MAX_RECIPE_BYTES = 8 << 20
_MAX_DEPTH = 100  # Of sections and lists in each other
_EVENTS_PER_KEY = 4  # A key, its value, and the two ends of a section, at most
MAX_KEYS = 100_000  # Keys and list entries of a file, aliases followed: a few aliases of aliases stand for billions


class Loader(_SafeLoader):
    """Safe YAML in which 1:2 is the text that it looks like, a ratio, not 62 (1 and 2 to the base of 60)."""


_RATIO = ("tag:yaml.org,2002:str", re.compile(r"[0-9]+(:[0-9.]+)+$"))
Loader.yaml_implicit_resolvers = {
    first: [_RATIO, *resolvers] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Source:
    """What a recipe was read from."""

    name: str
    """For messages: its path, or the shipped name."""
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """Line of each dotted key, from 1; entries of lists by their number: grid.0.name."""
    mistakes: tuple[str, ...] = ()
    """Keys that stand twice."""
    flags: dict[str, str] = field(default_factory=dict)
    """Flag by which a user gave a dotted key, in place of its line."""

    def line(self, path: str) -> int | None:
        """Return the line of a dotted key, or of the nearest section around it that the file has."""
        return _nearest(self.lines, path)

    def flag(self, path: str) -> str | None:
        """Return the flag of a dotted key, or of the list that it is in."""
        return _nearest(self.flags, path)


def _nearest(table: Mapping[str, Found], path: str) -> Found | None:
    while path:
        if path in table:
            return table[path]
        path = path.rpartition(".")[0]
    return None


def read(path: Path) -> Source:
    """Read a YAML file that is a mapping of sections. Raises InputError when it is none."""
    try:
        text = read_text(path, MAX_RECIPE_BYTES)
        _refuse_many(text)
        loader = Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise InputError(f"{path}: cannot read this recipe ({error.strerror}); name an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not a YAML file ({str(error).splitlines()[0]})") from error
    if values is None:
        return Source(str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found a {type(values).__name__}")
    lines: dict[str, int] = {}
    twice: dict[str, str] = {}
    for number, (key, line) in enumerate(_keys(node, "", ())):
        if number == MAX_KEYS:
            raise InputError(f"{path}: more than {MAX_KEYS:,} keys once its aliases are followed; write a smaller file")
        if key in lines and not any(key.startswith(f"{other}.") for other in twice):
            twice[key] = f"line {line}, {key}: this key stands on line {lines[key]} too; write it once"
        lines[key] = line
    return Source(str(path), values, lines, tuple(twice.values()))


def load(text: str) -> Any:
    """Return the value of YAML text. Raises yaml.YAMLError, also for more than 100,000 keys or 100 levels."""
    _refuse_many(text)
    return yaml.load(text, Loader)


def _refuse_many(text: str) -> None:
    """Raise yaml.YAMLError for more keys or levels than a recipe has: as nodes each would take a kilobyte."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader), 1):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if number > _EVENTS_PER_KEY * MAX_KEYS or depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_KEYS:,} keys or {_MAX_DEPTH} levels; write a smaller file")


def _keys(node: yaml.Node | None, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Yield every dotted key with its line; an alias that leads back to itself is followed once."""
    if node is None or id(node) in above:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            yield from _keys(value, f"{name}.", (*above, id(node)))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield f"{prefix}{number}", value.start_mark.line + 1
            yield from _keys(value, f"{prefix}{number}.", (*above, id(node)))
