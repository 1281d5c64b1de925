"""Files appear whole or not at all, and are known by their sha256."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from augment.errors import OutputError

_CHUNK_BYTES = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


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
def output_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError met while writing `path` into an OutputError that names it and says what to do."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error) from error


def write_bytes(path: Path | str, data: bytes, *, sync: bool = False) -> None:
    """Write `data` to `path` by a temporary name and a rename, so that a kill leaves the old file or the new one.

    `sync` also waits until the disk has it, for what must survive a power cut (checkpoints, not images).
    Raises OutputError.
    """
    final = str(path)  # plain strings below: with pathlib a small file costs half as much again
    at = max(final.rfind("/"), final.rfind(os.sep)) + 1
    temporary = f"{final[:at]}.{final[at:]}.{os.getpid()}-{threading.get_ident()}.tmp"
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
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        if isinstance(error, OSError):
            raise _output_error(path, error) from error
        raise


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    r"""Write UTF-8 text with \n line ends as `write_bytes` does."""
    write_bytes(path, text.encode(), sync=sync)


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    r"""Write lines that end in \n as they come, with a temporary name and a rename. Raises OutputError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with output_errors(path):
        try:
            with temporary.open("wb") as file:
                file.writelines(lines)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, value: Mapping[str, Any] | list[Any], *, sync: bool = False) -> None:
    """Write indented JSON in the order given, ending in a newline. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", sync=sync)


def make_folder(path: Path) -> Path:
    """Make `path` and its parents and return it. Raises OutputError."""
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _output_error(path: Path | str, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space is left there; free some, or name another folder with --out"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission to write there; name another folder with --out"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed; name another folder with --out"
    return f"{error.strerror or error}"
