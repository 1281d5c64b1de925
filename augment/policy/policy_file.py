"""Policy files: kinds with parameters of one's own, in YAML, and pipelines that albumentations wrote.

    kinds:
      wobble:                               # a name of yours: what is done, one after the other
        - ElasticTransform: {alpha: 30, sigma: 6}
        - GaussNoise: {std_range: [0.02, 0.06]}
      tilt: {Affine: {rotate: [-12, 12]}}
      strong: {contrast: {factor: [1.5, 1.8]}}
    policy: hflip+wobble:2+tilt.strong      # an expression; left out: equal shares of the kinds above

Shares are counted, so a transform is always applied; `p` has a meaning inside OneOf and its like only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from augment.core.suggest import nearest
from augment.errors import InputError, UsageError
from augment.policy.albumentations_adapter import CLASS, own_parameters, transform_kind
from augment.policy.expression import GAN, KINDS, Policy, parse_policy
from augment.policy.transforms import TRANSFORMS, Transform, draw_contrast

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FACTOR = 100.0

_MERGE = "tag:yaml.org,2002:merge"  # <<, which takes keys over from elsewhere
_KEYS = ("kinds", "policy")
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
                f"{path}: unknown key {key!r}; did you mean {nearest(str(key), _KEYS)!r}? "
                "A policy file has kinds (names, and what each does) and policy (an expression)"
            )
    kinds = values.get("kinds") or {}
    if not isinstance(kinds, dict):
        raise UsageError(
            f"{path}: kinds is {kinds!r}; needed names, each with what it does, as in tilt: {{Affine: ...}}"
        )
    notes: list[str] = []
    own = {_checked_name(path, name): _steps(path, name, steps, notes) for name, steps in kinds.items()}
    expression = values.get("policy") or "+".join(own)
    if not isinstance(expression, str) or not expression:
        raise UsageError(f"{path}: policy is {expression!r}; needed an expression such as hflip+contrast, or kinds")
    try:
        policy = parse_policy(expression, own)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    unused = sorted(set(own) - {kind for share in policy.shares for kind in share.chain})
    if unused:
        notes.append(f"{path}: {', '.join(unused)} does not stand in its policy {expression!r}, and is not used")
    return Policy(policy.shares, path.stem, (*notes, *policy.notes))


def _pipeline(path: Path, values: Mapping[str, Any]) -> Policy:
    """Return the policy of one kind, named after the file, that is the pipeline in it."""
    if not isinstance(values["transform"], dict):
        raise UsageError(f"{path}: its transform is {values['transform']!r}; needed what albumentations.save writes")
    written_by = values.get("__version__", "an unknown version")
    transform, notes = transform_kind(
        own_parameters(values["transform"]), f"{path}, a pipeline saved by albumentations {written_by}"
    )
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)
    name = name if _NAME.fullmatch(name) and name not in KINDS else f"pipeline_{name}"
    return Policy(parse_policy(name, {name: (transform,)}).shares, path.stem, notes)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: not there; needed a policy file, or an expression such as hflip+contrast") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    try:
        values = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, _loader())
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not {path.suffix[1:].upper()}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds {type(values).__name__}, no mapping; needed kinds and policy")
    return values


def _loader() -> Any:
    """Return PyYAML's safe loader, which takes the last of two equal keys in silence, made to refuse them."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
            for key in keys:
                if keys.count(key) > 1:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands twice", node.start_mark
                    )
            return super().construct_mapping(node, deep)

    return Loader


def _checked_name(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{path}: kind {name!r}: needed a name of letters, digits, '_' and '-', a letter first")
    if name in KINDS:
        raise UsageError(f"{path}: kind {name!r} has that name already; choose another, such as my-{name}")
    return name


def _steps(path: Path, name: str, steps: Any, notes: list[str]) -> tuple[Transform, ...]:
    where = f"{path}, kind {name!r}"
    listed = steps if isinstance(steps, list) else [steps]
    if not listed or listed == [None]:
        raise UsageError(f"{where}: it does nothing; needed a transform, or a list of them")
    return tuple(_step(where, step, notes) for step in listed)


def _step(where: str, step: Any, notes: list[str]) -> Transform:
    """Return the transform that one entry of a kind names: Blur, {Blur: {blur_limit: 5}} or hflip."""
    name, given = _named(where, step)
    if name in TRANSFORMS:
        return _table_step(where, name, given)
    if name in KINDS:
        raise UsageError(f"{where}: {name!r} is no transform of an image; write it in the policy expression")
    if "p" in given and given["p"] != 1:
        raise UsageError(
            f"{where}: {name} has p: {given['p']}, but shares are counted, not drawn: it is applied to every image of "
            "its share; give weights in the policy, as in wobble:3+tilt:1"
        )
    _check_case(where, name)
    transform, remarks = transform_kind(_config(where, name, given), where)
    notes += remarks
    return transform


def _named(where: str, step: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(step, str):
        return step, {}
    if isinstance(step, dict) and len(step) == 1:
        name, given = next(iter(step.items()))
        given = {} if given is None else given
        if isinstance(name, str) and isinstance(given, dict):
            return name, given
    raise UsageError(f"{where}: {step!r}: needed a name, or a name with its parameters: Blur: {{blur_limit: 5}}")


def _check_case(where: str, name: str) -> None:
    """Tell somebody who mistyped one of our own kinds, rather than name some transform that looks alike."""
    close = nearest(name, [*TRANSFORMS, GAN])
    if name.islower() and sorted(name) == sorted(close):
        raise UsageError(f"{where}: unknown kind {name!r}; did you mean {close!r}?")


def _table_step(where: str, name: str, given: Mapping[str, Any]) -> Transform:
    transform = TRANSFORMS[name]
    known = ["factor"] if transform.draw else []
    for key in given:
        if key not in known:
            mean = f"; did you mean {nearest(str(key), known)!r}?" if known else ": it has none"
            raise UsageError(f"{where}: {name} has no parameter {key!r}{mean}")
    if not given:
        return transform
    ranges = _ranges(where, given["factor"])
    draw = partial(draw_contrast, factors=ranges)
    return Transform(
        name, transform.summary, transform.apply, draw, settings={"factor": [list(pair) for pair in ranges]}
    )


def _ranges(where: str, factor: Any) -> tuple[tuple[float, float], ...]:
    """Read one range, [1.2, 1.5], or several."""
    listed = factor if isinstance(factor, list) and factor and isinstance(factor[0], list) else [factor]
    for pair in listed:
        numbers = isinstance(pair, list) and all(type(value) in (int, float) for value in pair)
        if not numbers or len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= MAX_FACTOR:
            raise UsageError(
                f"{where}: contrast has factor {factor!r}; needed a range such as [1.2, 1.5] between 0 and "
                f"{MAX_FACTOR:.0f}, or a list of ranges"
            )
    return tuple((float(low), float(high)) for low, high in listed)


def _config(where: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step as albumentations' own configuration; its parts, in OneOf and its like, in the same way."""
    config = {CLASS: name, **given}
    if "transforms" in given:
        if not isinstance(given["transforms"], list) or not given["transforms"]:
            raise UsageError(f"{where}: {name} has transforms {given['transforms']!r}; needed a list of transforms")
        parts = [_named(where, part) for part in given["transforms"]]
        config["transforms"] = [_config(where, part, {"p": 1.0, **values}) for part, values in parts]
    return config
