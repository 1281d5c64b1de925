"""Policy files: transforms with parameters of one's own, in YAML, and pipelines that albumentations wrote.

    transforms:
      wobble:                               # a name of yours: what is done, one after the other
        - ElasticTransform: {alpha: 30, sigma: 6}
        - GaussNoise: {std_range: [0.02, 0.06]}
      tilt: {Affine: {rotate: [-12, 12]}}
      strong: {contrast: {factor: [1.5, 1.8]}}
    policy: hflip+wobble:2+tilt.strong      # an expression; left out: as many images by each of the above

Images are counted, so a transform is always applied; `p` has a meaning inside OneOf and its like only.
"""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from augment.core.suggest import did_you_mean, near
from augment.errors import InputError, UsageError
from augment.policy.albumentations_adapter import CLASS, library_transform, own_parameters
from augment.policy.expression import Policy, parse_policy
from augment.policy.transforms import GAN, TRANSFORMS, Parameter, Transform, policy_names

SUFFIXES = (".yaml", ".yml", ".json")

_MERGE = "tag:yaml.org,2002:merge"  # <<, which takes keys over from elsewhere
_KEYS = ("transforms", "policy")
_MAX_LENGTH = 1 << 18
_MAX_NODES = 20_000  # aliases followed: a few aliases of aliases stand for billions
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def load_policy(text: str) -> Policy:
    """Return the policy of an expression, or of the file that `text` names. Raises UsageError and InputError."""
    stripped = text.strip()
    return read_policy_file(Path(stripped)) if stripped.lower().endswith(SUFFIXES) else parse_policy(text)


def read_policy_file(path: Path) -> Policy:
    """Return the policy in a file: ours, or a pipeline that albumentations saved. Raises UsageError and InputError."""
    values = _read(path)
    if "transform" in values:
        return _pipeline(path, values)
    for key in values:
        if key not in _KEYS:
            raise UsageError(
                f"{path}: unknown key {key!r}"
                + did_you_mean(
                    str(key),
                    _KEYS,
                    "a policy file has transforms (names, and what each does) and policy (an expression)",
                )
            )
    named = values.get("transforms") or {}
    if not isinstance(named, dict):
        needed = "names, each with what it does, as in tilt: {Affine: ...}"
        raise UsageError(f"{path}: transforms is {named!r}; expected {needed}")
    notes: list[str] = []
    custom = {_checked_name(path, name): _transforms(path, name, entry, notes) for name, entry in named.items()}
    expression = values.get("policy") or "+".join(custom)
    if not isinstance(expression, str) or not expression:
        needed = "an expression such as hflip+contrast, or transforms"
        raise UsageError(f"{path}: policy is {expression!r}; expected {needed}")
    try:
        policy = parse_policy(expression, custom)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    unused = sorted(set(custom) - {name for component in policy.components for name in component.pipeline})
    if unused:
        notes.append(f"{path}: {', '.join(unused)} is not in its policy {expression!r}, and is not used")
    return Policy(policy.components, path.stem, (*notes, *policy.notes))


def _pipeline(path: Path, values: Mapping[str, Any]) -> Policy:
    """Return the policy of one transform, named after the file, that is the pipeline in it."""
    if not isinstance(values["transform"], dict):
        raise UsageError(f"{path}: its transform is {values['transform']!r}; expected what albumentations.save writes")
    where = f"{path}, a pipeline saved by albumentations {values.get('__version__', 'an unknown version')}"
    transform, notes = library_transform(own_parameters(values["transform"]), where)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)
    name = name if _NAME.fullmatch(name) and name not in policy_names() else f"pipeline_{name}"
    return Policy(parse_policy(name, {name: (transform,)}).components, path.stem, notes)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_LENGTH)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; expected a policy file, or an expression such as hflip+contrast"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(text) == _MAX_LENGTH:
        raise UsageError(f"{path}: longer than {_MAX_LENGTH:,} characters; no policy needs so many")
    try:
        values = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, _loader())
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not {path.suffix[1:].upper()}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds {type(values).__name__}, no mapping; expected transforms and policy")
    return values


def _loader() -> Any:
    """Return PyYAML's safe loader, made to refuse two equal keys, and aliases that stand for too much."""
    import yaml

    class Loader(yaml.SafeLoader):
        def get_single_node(self) -> yaml.Node | None:
            nodes = [root := super().get_single_node()]
            for number, node in enumerate(nodes):  # it grows on the way
                if number == _MAX_NODES:
                    problem = f"more than {_MAX_NODES:,} entries once its aliases are followed; write a smaller file"
                    raise yaml.constructor.ConstructorError(None, None, problem, None)
                if isinstance(node, yaml.CollectionNode):
                    nodes += [part for item in node.value for part in (item if isinstance(item, tuple) else [item])]
            return root

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
            for key in keys:
                if keys.count(key) > 1:
                    problem = f"the key {key!r} is there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            return super().construct_mapping(node, deep)

    return Loader


def _checked_name(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{path}: transform {name!r}: expected a name of letters, digits, '_' and '-', a letter first")
    if name in policy_names():
        raise UsageError(f"{path}: transform {name!r} has that name already; choose another, such as my-{name}")
    return name


def _transforms(path: Path, name: str, entry: Any, notes: list[str]) -> tuple[Transform, ...]:
    where = f"{path}, transform {name!r}"
    listed = entry if isinstance(entry, list) else [entry]
    if not listed or listed == [None]:
        raise UsageError(f"{where}: it does nothing; expected a transform, or a list of them")
    return tuple(_transform(where, one, notes) for one in listed)


def _transform(where: str, entry: Any, notes: list[str]) -> Transform:
    """Return the transform that one entry names: Blur, {Blur: {blur_limit: 5}} or hflip."""
    name, given = _named(where, entry)
    if name in TRANSFORMS:
        return _with_ranges(where, TRANSFORMS[name], given)
    if name in policy_names():
        raise UsageError(f"{where}: {name!r} is no transform of an image; write it in the policy expression")
    if "p" in given and given["p"] != 1:
        raise UsageError(
            f"{where}: {name} has p: {given['p']}, but images are counted, not drawn: it is applied to every image of "
            "its component; give weights in the policy, as in wobble:3+tilt:1"
        )
    close = near(name, [*TRANSFORMS.names, GAN])
    if (
        name.islower() and close and sorted(name) == sorted(close)
    ):  # one of ours mistyped, not some transform that looks alike
        raise UsageError(f"{where}: unknown transform {name!r}; did you mean {close!r}?")
    transform, remarks = library_transform(_config(where, name, given), where)
    notes += remarks
    return transform


def _named(where: str, entry: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    match list(entry.items()) if isinstance(entry, dict) else None:
        case [(str(name), None)]:
            return name, {}
        case [(str(name), dict(given))]:
            return name, given
    raise UsageError(f"{where}: {entry!r}: expected a name, or a name with its parameters: Blur: {{blur_limit: 5}}")


def _with_ranges(where: str, row: Transform, given: Mapping[str, Any]) -> Transform:
    """Return a row of the table with other ranges for the parameters that are `given`."""
    for key in given:
        if key not in row.parameters:
            its = f"it has {', '.join(row.parameters) or 'none'}"
            raise UsageError(
                f"{where}: {row.name} has no parameter {key!r}{did_you_mean(str(key), row.parameters, its)}"
            )
    changed = {key: _ranges(f"{where}: {row.name} has {key}", given[key], row.parameters[key]) for key in given}
    settings = {key: [list(pair) for pair in parameter.ranges] for key, parameter in changed.items()}
    return replace(row, parameters={**row.parameters, **changed}, settings=settings)


def _ranges(what: str, given: Any, parameter: Parameter) -> Parameter:
    """Read one range, [1.2, 1.5], or several."""
    listed = given if isinstance(given, list) and given and isinstance(given[0], list) else [given]
    least, most = parameter.limits
    for pair in listed:
        numbers = isinstance(pair, list) and all(type(value) in (int, float) for value in pair)
        if not numbers or len(pair) != 2 or not least <= pair[0] <= pair[1] <= most:
            raise UsageError(
                f"{what} {given!r}; expected a range such as [1.2, 1.5] between {least:g} and {most:g}, or a list "
                "of ranges"
            )
    return replace(parameter, ranges=tuple((float(low), float(high)) for low, high in listed))


def _config(where: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as albumentations' own configuration; its parts, in OneOf and its like, in the same way."""
    config = {CLASS: name, **given}
    if "transforms" in given:
        if not isinstance(given["transforms"], list) or not given["transforms"]:
            raise UsageError(f"{where}: {name} has transforms {given['transforms']!r}; expected a list of transforms")
        parts = [_named(where, part) for part in given["transforms"]]
        config["transforms"] = [_config(where, part, {"p": 1.0, **values}) for part, values in parts]
    return config
