"""Find, fetch and check pretrained weights; weights.yaml holds their cards.

Nothing is downloaded unless `fetch` is called, and no code in a file can run: tensors are read by safetensors, or by
torch with `weights_only=True`.
"""

from __future__ import annotations

import pickle
import shutil
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from augment.core.files import cache_root, make_folder, output_errors, sha256_file, write_text
from augment.core.suggest import instead
from augment.errors import FailedError, InputError, MissingError, UsageError
from smallgan.core.resources import shipped_folder

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED_FEATURES = "smallgan-small64-v1"  # The feature network that ships inside the package
SHIPPED_GENERATOR = "smallgan-biggan32-v1"  # What transfers start from where nothing is named
SHIPPED_GAN = "smallgan-dcgan64-v1"  # Generator and discriminator from which few images are trained
_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all, None when the server does not say."""


@dataclass(frozen=True)
class Card:
    """What is known of one file of weights."""

    name: str
    title: str
    """Name to show in a score's label."""
    about: str
    file: str
    """File name in the cache; for shipped weights the path inside data/."""
    licence: str
    source: str
    """Origin, with attribution."""
    kind: str = "features"
    """What it is for: "features" (the networks of `smallgan score --features`), "perceptual" (the loss of transfer),
    "generator" (what `--pretrained` and `--init` start from)."""
    shipped: bool = False
    """Whether it is part of the package."""
    url: str | None = None
    """None for what ships with the package, and for what nobody publishes in this form: it can be imported only."""
    made_by: str = ""
    """Command that makes the file where nobody may pass it on."""
    trained_on: str = ""
    """Images that the weights were made from; networks of the same images are related judges. "": none, or not told."""
    same_as: str = ""
    """Name of the card whose network this is too, in another file."""
    sha256: str | None = None
    """Full hash, where we have held the file."""
    sha256_prefix: str | None = None
    """First digits, where only the publisher's file name tells."""

    @property
    def network(self) -> str:
        """What tells its network from others, whatever the file: the name of a card."""
        return self.same_as or self.name


@dataclass(frozen=True)
class State:
    """What was found on this machine for one card."""

    card: Card
    path: Path
    sha256: str | None  # Of the file that is there, None when it is absent
    problem: str | None  # Why the file is not what the card says, None when it is absent or sound

    @property
    def summary(self) -> str:
        """here, damaged or not here."""
        return "damaged" if self.problem else "here" if self.sha256 else "not here"


@cache
def cards() -> dict[str, Card]:
    """Return all cards by name, in the order of weights.yaml."""
    text = Path(__file__).with_name("weights.yaml").read_text(encoding="utf-8")
    return {name: Card(name=name, **fields) for name, fields in yaml.safe_load(text).items()}


def card(name: str) -> Card:
    """Return the card called `name`. Raises UsageError that names all."""
    if name not in (known := cards()):
        raise UsageError(f"no weights are called {name!r}{instead(name, known)}")
    return known[name]


def cache_folder() -> Path:
    """Return the folder of fetched weights: below SMALLGAN_CACHE, or below the platform's cache folder."""
    return cache_root() / "weights"


def cached_files(folder: Path, suffix: str, *, clear: bool = False) -> tuple[int, int]:
    """Return how many files of a folder of the cache end in `suffix`, and their bytes; `clear` deletes them."""
    sizes = []
    for path in folder.glob(f"*{suffix}"):
        with suppress(OSError):
            sizes.append(path.stat().st_size)
            if clear:
                path.unlink()
    return len(sizes), sum(sizes)


def locate(name: str) -> Path:
    """Return where the weights lie, or would lie."""
    found = card(name)
    return (shipped_folder("data") if found.shipped else cache_folder()) / found.file


def run_folder(name_or_path: str) -> Path:
    """Return the folder of the run that ships under this name, else the path itself."""
    known = cards().get(name_or_path)
    is_run = known is not None and known.shipped and "checkpoints" in Path(known.file).parts
    return locate(name_or_path).parents[2] if is_run else Path(name_or_path)


def find_generator(name: str) -> Path | None:
    """Return the file of the generator called `name`, None where no card of a generator has that name.

    Raises as `find` does.
    """
    known = cards().get(name)
    return find(name)[0] if known is not None and known.kind == "generator" else None


def inspect_weights(name: str) -> State:
    """Return what is there for `name`; the whole file is hashed."""
    found, path = card(name), locate(name)
    if not path.is_file():
        return State(found, path, None, None)
    try:
        digest = sha256_file(path)
    except OSError as error:
        return State(found, path, None, f"cannot be read ({error.strerror})")
    problem = _mismatch(found, digest)
    recorded = _record(path).read_text(encoding="utf-8").strip() if _record(path).is_file() else digest
    if not problem and recorded and recorded != digest:
        problem = f"changed since it was fetched (sha256 then {recorded[:16]}, now {digest[:16]})"
    return State(found, path, digest, problem)


def find(name: str) -> tuple[Path, str]:
    """Return the file and the sha256 of weights that are there and are what their card says.

    Raises MissingError (absent: says where it was looked for and how to get it) and InputError (another file).
    """
    state = inspect_weights(name)
    if state.problem:
        again = "fetch" if state.card.url else "import"
        remedy = "install smallgan again" if state.card.shipped else f"delete it, then: smallgan weights {again} {name}"
        raise InputError(f"{state.path}: {state.problem}; {remedy}")
    if state.sha256 is not None:
        return state.path, state.sha256
    if state.card.shipped:
        raise MissingError(f"{state.path}: this installation lacks the weights {name}; install smallgan again")
    if state.card.made_by:
        raise MissingError(
            f"the weights {name} are not here (looked for {state.path}); make them: {state.card.made_by}"
        )
    fetched = f"smallgan weights fetch {name}, or offline: " if state.card.url else ""
    raise MissingError(
        f"the weights {name} are not here (looked for {state.path}); get them with: {fetched}"
        f"smallgan weights import {name} FILE"
    )


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download the weights into the cache, unless they are there, and return the file.

    What an earlier attempt left is continued where the server allows it; the file appears under its name only after its
    hash was checked. Raises FailedError (no connection, wrong hash), OutputError.
    """
    found, path = card(name), locate(name)
    if found.shipped or inspect_weights(name).sha256 is not None:
        find(name)
        return path
    by_hand = f"smallgan weights import {name} FILE"
    if found.made_by:
        raise UsageError(f"{name} cannot be fetched; make it: {found.made_by}")
    if found.url is None:
        raise UsageError(f"{name} has no public address; with the file {found.file} at hand: {by_hand}")
    part = make_folder(path.parent) / f"{path.name}.part"
    try:
        _download(found.url, part, progress)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise FailedError(
            f"{found.url}: cannot be downloaded ({reason}); run the command again to go on, or download it elsewhere "
            f"and use: {by_hand}"
        ) from error
    return _admit(found, part, path, origin=found.url)


def import_file(name: str, file: Path) -> Path:
    """Copy a local file into the cache as the weights `name`, after the check of its hash. Raises InputError."""
    found, path = card(name), locate(name)
    if found.shipped:
        raise UsageError(f"{name} ships with smallgan; there is nothing to import")
    if not file.is_file():
        raise InputError(f"{file}: no such file; name the downloaded {found.file}")
    if problem := _mismatch(found, sha256_file(file)):
        raise InputError(f"{file}: {problem}; download it again{f' from {found.url}' if found.url else ''}")
    part = make_folder(path.parent) / f"{path.name}.import"
    with output_errors(path):
        shutil.copyfile(file, part)
    return _admit(found, part, path, origin=str(file))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file or of a state dict saved by torch; no code in the file can run.

    Raises InputError that says what the file is instead.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        # torch warns of old pickle protocols, which it reads all the same
        with warnings.catch_warnings(action="ignore"):
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: not a plain file of tensors: reading it would run code of its own, so it was not read; "
            "get the file from its publisher again"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"{path}: damaged or cut short ({reason}); get it again") from error
    if not isinstance(tensors, dict) or not all(isinstance(each, torch.Tensor) for each in tensors.values()):
        raise InputError(
            f"{path}: holds no state dict (names with tensors) but a {type(tensors).__name__}; get it again"
        )
    return tensors


def _download(url: str, part: Path, progress: Progress | None) -> None:
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing is left to send: what is there is whole, or nonsense, which its hash will show
    with response:
        there = there if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        with output_errors(part), part.open("ab" if there else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                there += len(chunk)
                if progress:
                    progress(there, total)
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended after {there} of {total} bytes")


def _admit(found: Card, part: Path, path: Path, *, origin: str) -> Path:
    """Give a downloaded file its name if it is what the card says, and record its hash beside it."""
    digest = sha256_file(part)
    if problem := _mismatch(found, digest):
        part.unlink()
        raise FailedError(f"{origin}: {problem}; nothing was kept")
    write_text(_record(path), f"{digest}\n")
    with output_errors(path):
        part.replace(path)
    return path


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _mismatch(found: Card, digest: str) -> str | None:
    for known in (found.sha256, found.sha256_prefix):
        if known and not digest.startswith(known):
            return f"not the weights {found.name}: its SHA-256 starts with {digest[:8]}, expected {known[:8]}"
    return None
