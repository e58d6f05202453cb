"""CustomStoreList: tokens in a list, until the process ends; read this store first.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TypeVar

from .row_store import RowStore
from .token_row import Row

Result = TypeVar("Result")


class CustomStoreList(RowStore):
    """Keeps tokens in a list of rows; each row is a dictionary.

    It is for reading, for lessons and for tests. Every lookup scans the list. With a hundred
    users, this is faster than a database; with ten thousand, it is slower. Threads share it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []  # oldest first

    # Find and list: RowStore looks through all rows

    def all_rows(self) -> list[Row]:
        """Return all rows, oldest first."""
        return self._rows

    # Save and delete

    def add_row(self, row: Row) -> None:
        """Add a row at the end."""
        self._rows.append(row)

    def update_row(self, old: Row, new: Row) -> None:
        """Replace a row."""
        self._rows[self._rows.index(old)] = new

    def delete_row(self, row: Row) -> None:
        """Delete a row."""
        self._rows.remove(row)

    def transaction(self, work: Callable[[RowStore], Result]) -> Result:
        """Change a copy of the list, then replace the list with it atomically.

        If an error occurs, nothing changes, and no thread ever sees a partial save.
        """
        return super().transaction(partial(self._change_a_copy, work))

    def _change_a_copy(self, work: Callable[[RowStore], Result], _: RowStore) -> Result:
        while True:
            before, draft = self._rows, copy(self)
            draft._rows = list(before)
            result = work(draft)
            if self._rows is before:  # else a signal handler has saved meanwhile: start again
                self._rows = draft._rows
                return result
