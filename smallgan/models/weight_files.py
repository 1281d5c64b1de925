"""Read files of weights that others wrote: their tensors, or an error that says what the file is instead.

What a file is, is told by its first bytes and by its contents, never by its name. Nothing in a file can run: torch's
files are read with `weights_only=True`.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from augment.core import limits
from augment.errors import InputError

WANTED = (
    "expected a BigGAN generator (the official G_ema.pth, a Hugging Face BigGAN-deep folder with config.json and "
    "pytorch_model.bin, one that smallgan saved), or a run of smallgan"
)
_WRAPPERS = ("G_ema", "g_ema", "model", "state_dict", "generator", "G")
"""Keys under which people keep a state dict, the better one first."""
EXPORTED = "smallgan"  # Entry of a header: a JSON object that says what `smallgan export` wrote
_DAMAGE = (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError)


@dataclass(frozen=True)
class Contents:
    """What a file of weights holds."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]  # The header of a safetensors file; else {}


def refusal(path: Path, what: str) -> InputError:
    """Return the error that says what a file is, and what is needed instead."""
    return InputError(f"{path}: {what}; {WANTED}")


def read_contents(path: Path) -> Contents:
    """Return the tensors of a safetensors file, or of a state dict that torch saved (both its formats), on the CPU.

    A leading `module.` of all names is taken off. Raises InputError that says what the file is instead.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        # safetensors begins with the length of a JSON header in 8 bytes, then its brace
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
            tensors, metadata = _read_safetensors(path)
        else:
            _refuse_other_kinds(path, head)
            tensors, metadata = _state_dict(path, _unpickle(path)), {}
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror or error})") from error
    if all(name.startswith("module.") for name in tensors):  # torch's DataParallel puts it before every name
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return Contents(tensors, metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, *_DAMAGE) as error:
        raise _damaged(path, error) from error


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    if not head:
        raise refusal(path, "the file is empty; get it again")
    what = None
    if head.startswith(b"PK"):
        what = _what_zip(path)
    elif head.startswith(b"\x89HDF"):
        what = "an HDF5 file (weights of TensorFlow or Keras)"
    elif head.startswith(b"version https://git-lfs"):
        what = "a pointer of Git LFS, not the file itself; get it with: git lfs pull"
    elif head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        what = "a web page, most likely the download page of the file"
    elif not head.startswith(b"\x80"):
        what = "a text file" if _is_text(head) else "no file of weights (neither torch's nor safetensors)"
    if what:
        raise refusal(path, f"this is {what}")


def _what_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, *_DAMAGE) as error:  # a name that is not UTF-8 is a ValueError, for one
        raise _damaged(path, error) from error
    if any(name.endswith("data.pkl") for name in names):
        return None
    arrays = sum(name.endswith(".npy") for name in names)
    if arrays:
        return f"a NumPy archive (npz) of {arrays} arrays, as the Chainer SNGAN and BigGAN weights are"
    inside = ", ".join(names[:3]) or "nothing"
    return f"a zip archive that holds {inside}; unpack it and name the folder"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < 4096 else "ignore")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


def _unpickle(path: Path) -> Any:
    try:
        # torch warns of old pickle protocols, which it reads all the same
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _refused(path: Path, message: str) -> InputError:
    """Say why torch would not read a pickle: which code it asks for."""
    named = re.search(r"GLOBAL ([\w.]+)", message)
    if named and named[1].startswith("torch.nn.modules.activation"):
        what = (
            "this is the training state of the official code (its state_dict.pth: counters and settings, with "
            f"{named[1]}, no weights); give the G_ema.pth beside it"
        )
    elif named:
        what = (
            f"holds more than tensors: reading it would run {named[1]}, so it was not read; "
            "get the file from its publisher again, or save the network's state_dict() alone"
        )
    else:
        what = "damaged, or a pickle of something else than tensors, so it was not read; get it again"
    return refusal(path, what)


def _damaged(path: Path, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return InputError(f"{path}: damaged or cut short ({reason}); get it again")


def _state_dict(path: Path, value: Any) -> dict[str, Tensor]:
    if not isinstance(value, Mapping):
        what = f"holds no state dict (names with tensors) but a {type(value).__name__}"
    elif "param_groups" in value:
        what = "this is the state of an optimiser (as G_optim.pth and D_optim.pth are)"
    else:
        for found in (value, *(value.get(key) for key in _WRAPPERS)):
            if isinstance(found, Mapping) and found and _names_with_tensors(found):
                return dict(found)
        if {"itr", "epoch"} <= set(value):
            what = "this is the training state of the official code (counters, no weights)"
        else:
            held = ", ".join(map(str, list(value)[:4])) or "nothing"
            what = f"holds no state dict (names with tensors) but a dictionary of {held}"
    raise refusal(path, what)


def _names_with_tensors(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object. Raises InputError."""
    try:
        value = limits.read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); get it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, expected an object of settings; get it again")
    return value
