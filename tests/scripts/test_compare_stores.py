"""`make compare` prints the table that is in docs/compatibility.md."""

from pathlib import Path

import compare_stores
import pytest

from kaizen_store.contract import RULES, check

DOCS = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


def columns(lines):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {cells[0]: list(cells[1:]) for cells in zip(*rows, strict=True)}


def documented():
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| Rule |"))
    return columns(lines[start : start + len(RULES) + 3])


@pytest.mark.parametrize(
    "name", [name for name, store in compare_stores.STORES.items() if store.__name__ != "db_store"]
)
def test_the_documentation_has_the_table_that_the_command_prints(name):
    printed = columns(compare_stores.table({name: check(compare_stores.STORES[name])}).splitlines())
    shown = documented()
    assert {heading: shown[heading] for heading in ("Rule", name)} == printed
