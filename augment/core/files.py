"""Files appear whole or not at all, and are known by their sha256."""

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from augment.errors import OutputError

_CHUNK_BYTES = 1 << 20
_REASONS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "no space is left there; free some, or"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "no permission to write there;"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file stands where a folder is needed;"),
}
_REMEDY = "name another folder with --out"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


def cache_root() -> Path:
    """Return the folder of all that is kept to save time: SMALLGAN_CACHE, or the platform's cache folder."""
    named = os.environ.get("SMALLGAN_CACHE")
    return Path(named) if named else user_cache_path("smallgan", appauthor=False, opinion=False)


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def output_errors(path: Path | str, remedy: str = _REMEDY) -> Iterator[None]:
    """Turn an OSError met while writing `path` into an OutputError that names it and says what to do: `remedy`."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        told = f"{reason} {remedy}" if reason else error.strerror or error
        raise OutputError(f"cannot write {path}: {told}") from error


@contextmanager
def renamed(path: Path, remedy: str = _REMEDY) -> Iterator[Path]:
    """Give a temporary name beside `path`; the file there becomes `path` when all went well.

    Raises OutputError that says `remedy`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with output_errors(path, remedy):
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def renamed_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` that becomes `path` when all went well. Raises OutputError.

    Nothing but an empty folder may stand at `path` by then.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with output_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.exists():
                path.rmdir()
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path | str, data: bytes, *, sync: bool = False) -> None:
    """Write `data` to `path` by a temporary name and a rename, so that a kill leaves the old file or the new one.

    `sync` also waits until the disk has it, for what must survive a power cut (checkpoints, not images).
    Raises OutputError.
    """
    final = str(path)  # plain strings below: with pathlib a small file costs half as much again
    at = max(final.rfind("/"), final.rfind(os.sep)) + 1
    temporary = f"{final[:at]}.{final[at:]}.{os.getpid()}-{threading.get_ident()}.tmp"
    with output_errors(path):
        try:
            file = os.open(temporary, _NEW, 0o666)
            try:
                written = os.write(file, data)
                while written < len(data):
                    written += os.write(file, memoryview(data)[written:])
                if sync:
                    os.fsync(file)
            finally:
                os.close(file)
            os.replace(temporary, final)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    r"""Write UTF-8 text with \n line ends as `write_bytes` does."""
    write_bytes(path, text.encode(), sync=sync)


def write_json(path: Path, value: Mapping[str, Any] | list[Any], *, sync: bool = False) -> None:
    """Write indented JSON in the order given, ending in a newline. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", sync=sync)


def outside(path: Path, sources: Iterable[Path]) -> Path:
    """Return `path`, which is about to be written, unless it is a source or lies in the folder of one: OutputError."""
    for source in sources:
        if source.exists() and path.resolve().is_relative_to(source.resolve()):
            what = f"lies in the source {source}" if source.is_dir() else "is a source"
            raise OutputError(f"cannot write {path}: it {what}; name another place")
    return path


def make_folder(path: Path) -> Path:
    """Make `path` and its parents and return it. Raises OutputError."""
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path
