"""Images at a URL (s3://bucket/photos): copied into the cache as they are there now, and read from the copy.

Any storage that fsspec knows. A copy is kept by the URL, and by name, size and version (etag) of every file, so what
has not changed is not fetched again; it appears whole or not at all.
"""

import errno
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from posixpath import normpath, splitext
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from augment.core.files import cache_root, make_folder, output_errors, renamed_folder, sha256_bytes
from augment.core.limits import MAX_FILE_BYTES
from augment.core.parallel import parallel_map
from augment.errors import InputError, MissingError, OutputError, SmallganError
from augment.imaging.codec import IMAGE_SUFFIXES
from augment.sources.label_tables import LIST_SUFFIXES, read_list

_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]+):[\\/]+(.*)", re.DOTALL
)  # one letter is a drive; a Path has one slash left
ARRAYS = ".npz"
_READ = {*IMAGE_SUFFIXES, *LIST_SUFFIXES, ARRAYS, ".json", ".yaml"}  # What a folder may hold that readers look at
_SINGLE = {*IMAGE_SUFFIXES, *LIST_SUFFIXES, ARRAYS, ".zip"}
_PACKAGES = {"gs": "gcsfs"}  # What has to be installed for a protocol, unless it is the extra
_VERSION = ("ETag", "etag", "md5Hash", "crc32c", "LastModified", "updated", "mtime", "created", "size")
_AT_A_TIME = 16  # Files; most of the time goes into waiting
_REMEDY = "name a cache folder on another disk with SMALLGAN_CACHE"
_Files = dict[str, Mapping[str, Any]]  # What a storage says of each file, by its key


def url_of(path: Path | str) -> str | None:
    """Return the URL that a path stands for, with both slashes; None for a path of this machine.

    >>> url_of(Path("s3://bucket/photos")), url_of("C:/photos"), url_of("photos")
    ('s3://bucket/photos', None, None)
    """
    found = _URL.fullmatch(path if isinstance(path, str) else path.as_posix())
    return f"{found[1].lower()}://{found[2]}" if found else None


def absolute(path: Path) -> str:
    """Return where `path` is, wherever this process stands: its URL, or the whole path."""
    return url_of(path) or str(path.resolve())


def is_there(path: Path) -> bool:
    """Tell whether a local path exists; what stands behind a URL is found out when it is read."""
    return url_of(path) is not None or path.exists()


def folder() -> Path:
    """Return the folder of the copies."""
    return cache_root() / "urls"


def usage(*, clear: bool = False) -> tuple[int, int]:
    """Return how many copies there are, and their bytes; `clear` deletes them."""
    copies = [path for path in folder().glob("*") if path.is_dir()]
    num_bytes = sum(path.stat().st_size for copy in copies for path in copy.rglob("*") if path.is_file())
    for copy in copies if clear else ():
        shutil.rmtree(copy, ignore_errors=True)
    return len(copies), num_bytes


def local_copy(path: Path) -> tuple[Path, list[str]]:
    """Return where on this machine the images of `path` are, and a note where that is a copy.

    A path that is no URL is returned as it is; nothing is imported or fetched for it.

    Raises:
        MissingError: no package for such URLs is installed.
        InputError: naming the URL: nothing is there, it may not be read, or the network failed.
        OutputError: the copy cannot be written.
    """
    url = url_of(path)
    if url is None:
        return path, []
    if path.parent.suffix.lower() == ARRAYS:  # one array of a file
        place, notes = local_copy(path.parent)
        return place / path.name, notes
    with _errors_of(url):
        storage, root = _opened(url)
        files = _found(storage, root, url)
        place = folder() / sha256_bytes(json.dumps([url, *_versions(files)]).encode())[:16]
        with output_errors(make_folder(place.parent), _REMEDY), FileLock(place.with_suffix(".lock")):
            if not place.is_dir():
                with renamed_folder(place) as temporary:
                    _copy(storage, files, temporary, url)
    return place / _inside(root, url), [f"{url}: {len(files)} file(s), read from the copy in {place}"]


def _opened(url: str) -> tuple[Any, str]:
    """Return the storage of a URL and the key in it."""
    protocol = url.partition(":")[0]
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        packages = _PACKAGES.get(protocol, "'smallgan[s3]'")
        raise MissingError(
            f"{url}: a package that reads {protocol}:// is not installed ({error}); install it with: pip install "
            f"{packages}"
        ) from error
    except ValueError as error:
        raise InputError(f"{url}: no storage is called {protocol}; use s3://, gs:// or https://, say") from error
    storage = kind(**kind._get_kwargs_from_urls(url), skip_instance_cache=True)  # an older one remembers what it saw
    return storage, str(kind._strip_protocol(url)).rstrip("/")


def _found(storage: Any, root: str, url: str) -> _Files:
    """Return the files of a source: that one file, those that a list names too, or those below a folder."""
    listed: _Files = storage.find(root, detail=True)
    files = {key: info for key, info in listed.items() if not key.endswith("/")}
    if not files:
        raise FileNotFoundError
    suffix = splitext(root)[1].lower()
    if files.keys() == {root}:
        if suffix not in _SINGLE:
            raise InputError(
                f"{url}: neither a folder nor a zip, an array file (.npz), a list ({', '.join(LIST_SUFFIXES)}) nor an "
                "image, by its ending"
            )
        return files | _named_by_list(storage, root, url, files[root]) if suffix in LIST_SUFFIXES else files
    kept = {key: info for key, info in files.items() if _is_read(key[len(root) :])}
    if not kept:
        raise InputError(f"{url}: no image in it ({len(files)} other files); expected files ending in .jpg, .png ...")
    return kept


def _is_read(below: str) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in below.split("/"))
    return not hidden and splitext(below)[1].lower() in _READ


def _named_by_list(storage: Any, root: str, url: str, info: Mapping[str, Any]) -> _Files:
    """Return the files that a list names, those that are there: the reader of lists tells which are not."""
    if (info.get("size") or 0) > MAX_FILE_BYTES:
        raise InputError(f"{url}: larger than {MAX_FILE_BYTES >> 20} MiB; leave it out")
    with TemporaryDirectory() as temporary:
        copy = Path(temporary) / PurePosixPath(root).name
        storage.get_file(root, str(copy))
        names = read_list(copy, IMAGE_SUFFIXES)
    parent, bucket = root.rpartition("/")[0], _inside(root, url).parts[0]
    keys = [normpath(f"{parent}/{name}") for name in names]
    for name, key in zip(names, keys, strict=True):
        if name.startswith("/") or _inside(key, url).parts[0] != bucket:
            raise InputError(f"{url}: names {name!r}, which lies outside of its bucket; take it out")

    def info_of(key: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = storage.info(key)
        except FileNotFoundError:
            return None
        return found

    return {key: found for key, found in zip(keys, parallel_map(info_of, keys, _AT_A_TIME), strict=True) if found}


def _versions(files: _Files) -> Iterable[list[str]]:
    return ([key, *(str(files[key].get(name)) for name in _VERSION)] for key in sorted(files))


def _copy(storage: Any, files: _Files, place: Path, url: str) -> None:
    places = {key: place / _inside(key, url) for key in files}
    for parent in {path.parent for path in places.values()}:
        make_folder(parent)

    def copy(key: str) -> None:
        with _errors_of(url):  # else they would look like errors of the disk
            storage.get_file(key, str(places[key]))
        size = files[key].get("size")
        if size is not None and places[key].stat().st_size != size:
            raise InputError(f"{url}: {key} has changed while it was read; run the command again")

    parallel_map(copy, list(files), _AT_A_TIME)


def _inside(key: str, url: str) -> PurePosixPath:
    """Return the path below the copy's folder of a file. Raises InputError for a key that would lie elsewhere."""
    parts = key.partition("://")[2].split("/") if "://" in key else key.lstrip("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise InputError(f"{url}: {key!r} cannot be the name of a file here; rename it there")
    return PurePosixPath(*parts)


@contextmanager
def _errors_of(url: str) -> Iterator[None]:
    """Turn whatever a storage raises into one line that names the URL."""
    try:
        yield
    except SmallganError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such bucket, folder or file; check the name") from error
    except PermissionError as error:
        raise InputError(f"{url}: no permission to read it ({_first(error)}); check the credentials") from error
    except Exception as error:  # each storage has its own, and its network library's
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"cannot write {folder()}: no space is left there; {_REMEDY}") from error
        raise InputError(
            f"{url}: cannot be read ({_first(error)}); check the address, the network and the credentials"
        ) from error


def _first(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
