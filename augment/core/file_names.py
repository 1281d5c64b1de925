"""File names that every file system takes, that a person can read, and that never collide."""

import hashlib
import re
import unicodedata
from functools import lru_cache

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_MAX_BYTES = 120  # Of a stem: with operation, number and the suffix of a file half written it stays below the usual 255


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """Return `text` as one part of a path: composed (NFC), without what some system forbids, at most 120 bytes long.

    >>> safe("a:b?"), safe("con"), safe(".hidden ")
    ('a_b_', 'con_', '_hidden_')
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = re.sub(r"^[. ]|[. ]$", "_", name) or "_"
    if _RESERVED.fullmatch(name):
        name += "_"
    if len(name.encode()) > _MAX_BYTES:
        mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = name.encode()[: _MAX_BYTES - 9].decode("utf-8", "ignore") + "~" + mark
    return name


class Namer:
    """Gives each image a path of its own below images/. Upper and lower case count as one, as on Windows and macOS."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, label: str | None, stem: str, suffix: str, *, numbered: bool = False) -> str:
        """Return images/<label>/<stem><suffix>, made safe, with -2, -3 ... after the stem where that is taken.

        `numbered`: stem or suffix end in a number that no other name of this kind has. Such a name may meet one given
        before it without a number, but no other numbered one, and so need not be remembered.
        """
        folder = _folder(label or "")
        stem = safe(stem)
        number = 1
        while True:
            tail = suffix if number == 1 else f"-{number}{suffix}"
            path = f"{folder}/{stem}{tail}"
            key = path.casefold()
            if key not in self._taken:
                if not numbered:
                    self._taken.add(key)
                return path
            number += 1


@lru_cache(maxsize=1024)
def _folder(label: str) -> str:
    return "/".join(["images", *(safe(part) for part in label.split("/") if part)])
