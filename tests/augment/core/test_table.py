"""Tables of rows: looked up by name, added to, and what is said of a name that is not there."""

from dataclasses import dataclass

import pytest

from augment.core.table import Table
from augment.errors import UsageError


@dataclass(frozen=True)
class Row:
    name: str


def test_rows_come_in_the_order_in_which_they_were_added_and_may_be_removed_again():
    table = Table("fruit", [Row("pear"), Row("apple")])
    table.register(Row("plum"))
    assert table.names == ("pear", "apple", "plum")
    assert [row.name for row in table] == list(table.names)
    assert ("plum" in table, table["plum"], len(table)) == (True, Row("plum"), 3)
    table.unregister("pear")
    assert table.names == ("apple", "plum")


def test_a_name_is_given_once():
    table = Table("fruit", [Row("pear")])
    with pytest.raises(ValueError, match="a fruit 'pear' already"):
        table.register(Row("pear"))


def test_an_unknown_name_is_told_with_the_nearest():
    table = Table("fruit", [Row("pear"), Row("apple"), Row("plum")])
    with pytest.raises(UsageError) as caught:
        table["aple"]
    assert str(caught.value) == "unknown fruit 'aple'; did you mean 'apple'? There are pear, apple, plum"
    assert table.unknown("PEAR").startswith("unknown fruit 'PEAR'; did you mean 'pear'?")
    with pytest.raises(UsageError, match=r"^unknown fruit 'fig'; there are pear, apple, plum$"):
        table.unregister("fig")
    assert Table("fruit").unknown("fig") == "unknown fruit 'fig'; there are none"
