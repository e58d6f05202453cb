"""A type checker knows the stores in a user's program: the package has type hints and py.typed."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import kaizen_store

PROGRAM = """\
from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite, RowStore


def first_id(store: RowStore) -> str:
    with store:
        return str(store.get_tokens()[0].get_id())


stores: list[RowStore] = [CustomStoreInMemory(), CustomStoreList()]
with CustomStoreSQLite("tokens.db") as sqlite_store:
    sqlite_store.backup("backup.db")
print([first_id(store) for store in [*stores, sqlite_store]])
"""


def mypy(folder, program):
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_mypy_accepts_a_correct_program(tmp_path):
    assert mypy(tmp_path, PROGRAM) == "Success: no issues found in 1 source file\n"


@pytest.mark.parametrize(
    ("correct", "wrong", "error"),
    [
        ('CustomStoreSQLite("tokens.db")', "CustomStoreSQLite(5)", "arg-type"),
        ("CustomStoreList()", 'CustomStoreList("tokens.db")', "call-arg"),
        ("store.get_tokens()[0]", 'store.get_tokens()["1"]', "call-overload"),
    ],
)
def test_mypy_finds_a_wrong_call(tmp_path, correct, wrong, error):
    assert f"[{error}]" in mypy(tmp_path, PROGRAM.replace(correct, wrong))


def test_the_version_is_that_of_the_metadata():
    assert kaizen_store.__version__ == version("kaizen_store")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kaizen_store.nothing
