"""The tables of the docs are those of the rows."""

from pathlib import Path

import pytest

from smallgan.tables.feature_networks import networks_table
from smallgan.tables.metrics import metrics_table

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(("page", "table"), [("details/scores.md", metrics_table), ("features.md", networks_table)])
def test_the_docs_hold_the_table_of_the_rows(page, table):
    assert f"\n{table()}\n" in (DOCS / page).read_text(encoding="utf-8")
