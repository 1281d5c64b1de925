"""A table of named rows, to which tests and users may add their own."""

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from augment.core.suggest import instead
from augment.errors import UsageError


class Named(Protocol):
    """What a row needs."""

    @property
    def name(self) -> str:
        """What it is called in options, recipes and files."""


Row = TypeVar("Row", bound=Named)


class Table(Generic[Row]):
    """Rows by name, in the order in which they were added. `what` is what errors call a row: "transform", "loss"."""

    def __init__(self, what: str, rows: Iterable[Row] = ()) -> None:
        self.what = what
        self._rows: dict[str, Row] = {}
        for row in rows:
            self.register(row)

    def register(self, row: Row) -> None:
        """Add a row. Raises ValueError when the name is taken."""
        if row.name in self._rows:
            raise ValueError(f"there is a {self.what} {row.name!r} already")
        self._rows[row.name] = row

    def unregister(self, name: str) -> None:
        """Remove a row. Raises UsageError when there is none of that name."""
        del self._rows[self[name].name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all rows, in order."""
        return tuple(self._rows)

    def __getitem__(self, name: str) -> Row:
        if name not in self._rows:
            raise UsageError(self.unknown(name))
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def unknown(self, name: str) -> str:
        """Return the message for a name that is not in the table, with one that is spelled like it, and all."""
        if not self._rows:
            return f"unknown {self.what} {name!r}; there are none"
        return f"unknown {self.what} {name!r}{instead(name, self._rows)}"
