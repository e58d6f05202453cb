"""An SQLite database in memory: one connection, protected by a lock.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .sqlite_connection import (
    Transaction,
    TransactionLostError,
    connect,
    create_private_file,
)

Result = TypeVar("Result")

_memory_databases: weakref.WeakSet[MemoryDatabase] = weakref.WeakSet()
_held_locks: list[Any] = []


class MemoryDatabase:
    """A database in memory: one connection, at which the threads of a process take turns.

    A process that forks gives its child a copy.

    :param set_up: creates the tables; called with the connection.
    """

    path = ":memory:"

    def __init__(self, set_up: Callable[[sqlite3.Connection], None]) -> None:
        self._connection = connect(self.path)
        self._connection.process = None
        self._transaction: Transaction | None = None
        self._closed = False
        self._locks: dict[int, Any] = {}
        set_up(self._connection)
        _memory_databases.add(self)

    def lock(self) -> Any:
        """Return the lock of this process: in a child, nobody would release its parent's."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement outside a transaction; see :class:`FileDatabase`."""
        with self._locks.get(os.getpid()) or self.lock():
            if self._closed or self._transaction is not None:
                self._end_interrupted_transaction()
            return self._connection.execute(statement, values).fetchall()

    def transaction(self, work: Callable[[Transaction], Result]) -> Result:
        """Call a function inside a transaction; see :class:`FileDatabase`."""
        with self.lock():
            while True:
                self._end_interrupted_transaction()
                transaction = self._transaction = Transaction(self._connection, self.path)
                try:
                    transaction.execute("BEGIN")
                    result = work(transaction)
                    transaction.execute("COMMIT")
                    self._transaction = None
                    return result
                except BaseException as error:
                    lost = transaction.connection is None
                    if not lost and not self._closed:
                        self._end_interrupted_transaction()
                    if not (lost and isinstance(error, (TransactionLostError, sqlite3.Error))):
                        raise

    def _end_interrupted_transaction(self) -> None:
        if self._closed:
            raise ValueError("this store is closed: create a new one")
        if self._transaction is not None:
            self._transaction.connection = None
            self._transaction = None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def backup(self, path: str) -> None:
        """Copy the database to a new file; see :class:`FileDatabase`."""
        create_private_file(path)
        with self.lock(), contextlib.closing(connect(path)) as target:
            self._end_interrupted_transaction()
            self._connection.backup(target)

    def close(self) -> None:
        """Close the connection; all tokens are gone."""
        with self.lock():
            self._closed = True
            self._connection.close()


# A fork waits until no thread is using the database, a few microseconds, so that the copy of the
# child is whole.


def _before_fork() -> None:
    for database in list(_memory_databases):
        lock = database.lock()
        lock.acquire()
        _held_locks.append(lock)


def _after_fork_in_parent() -> None:
    while _held_locks:
        _held_locks.pop().release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_held_locks.clear,
    )
