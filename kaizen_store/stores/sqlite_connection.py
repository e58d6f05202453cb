"""SQLite connections for many threads, processes, forks and signal handlers, and their errors.

A call takes an idle connection or opens one, then puts it back or closes it. There is no lock, so
none can stay locked; and no connection belongs to a thread, so none stays open when a thread ends.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import sqlite3
import stat
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

BUSY_TIMEOUT_S = 30.0
"""How long a call waits for another write to end, in seconds."""

POLL_S = 0.004
"""The longest pause between two attempts, in seconds. The pauses are random, so that threads that
wait for each other come to their turn in about the same time."""

MAX_IDLE = 5
"""How many idle connections a store keeps open."""

ERROR_HINTS = {
    "locked": "another program keeps writing to it: end that program, then try again",
    "too many open files": "close some files, or raise the limit (ulimit -n), then try again",
    "unable to open": "see that it is a file, that its folder exists and that you may write there",
    "readonly": "see that you may write to the file and to its folder",
    "not a database": "the file is not an SQLite database and was left unchanged: use another path",
    "full": "the disk is full and nothing of this call was saved: free some space, then try again",
    "disk I/O": "the disk may be full or failing: free some space or repair it, then try again",
    "malformed": "the file is damaged: keep a copy of it, and use another path or a backup",
    "removed or replaced": "stop all programs that use it, then put it back; if another file is to "
    "take its place, such as a backup, first delete the old -wal and -shm files beside it, because "
    "they would damage the new one",
    "no such column": "its table oauthtoken was made by another program: use another path",
}
"""What to do about an error, by a part of its text; the first that fits counts."""

_logger = logging.getLogger("kaizen_store")


class Connection(sqlite3.Connection):
    """A connection that remembers its process; None means any process, for one in memory."""

    process: int | None = None


class TransactionLost(Exception):
    """A signal handler has used the database inside this transaction, which has to start again."""


class Transaction:
    """An open transaction: what the SQL statements of one save run in.

    :param connection: the connection that it is open on.
    :param path: the database file.
    """

    def __init__(self, connection: Connection, path: str) -> None:
        self.connection: Connection | None = connection
        self.path = path

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement and return the rows that it selects.

        :param statement: SQL with a ``?`` for each value.
        :param values: the values.
        """
        connection = self.connection
        if connection is None or connection.process not in (None, os.getpid()):
            raise TransactionLost
        return connection.execute(statement, values).fetchall()


class FileDatabase:
    """A database file and its connections.

    :param path: the file; it is created if it does not exist.
    :param set_up: creates what is missing in the database; called with each new connection.
    :raises sqlite3.Error, OSError: when the file cannot be opened.
    """

    def __init__(self, path: Path, set_up: Callable[[sqlite3.Connection], None]) -> None:
        self.path = str(path)
        self._set_up = set_up
        self._idle: deque[Connection] = deque()
        self._file: os.stat_result | None = None  # the file that was opened at the path
        self._closed = False
        try:
            self._put_back(self._open(wait_s=0.0))
        except sqlite3.OperationalError as error:
            if not _is_busy(error):  # else the first call opens it, and waits
                raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement outside a transaction and return the rows that it selects.

        :param statement: SQL with a ``?`` for each value.
        :param values: the values.
        """
        connection = self._take()
        try:
            rows = _retry_while_busy(connection.execute, statement, values).fetchall()
        except BaseException:
            _discard(connection)
            raise
        self._put_back(connection)
        return rows

    def transaction(self, work: Callable[[Transaction], Result]) -> Result:
        """Call a function inside a transaction, while no other transaction writes.

        After an error or an interrupt, nothing of it is saved.

        :param work: a function of one argument, the :class:`Transaction`; it may be called again.
        :returns: what ``work`` returns.
        """
        while True:
            with contextlib.suppress(TransactionLost):
                return self._transaction(work)

    def _transaction(self, work: Callable[[Transaction], Result]) -> Result:
        begun = _transactions_of_this_thread()
        _abandon(begun, self.path)
        connection = self._take()
        transaction = Transaction(connection, self.path)
        try:
            begun.append(transaction)
            _retry_while_busy(transaction.execute, "BEGIN IMMEDIATE")
            self._check_file()
            result = work(transaction)
            _retry_while_busy(transaction.execute, "COMMIT")
        except BaseException as error:
            # Closed explicitly: the error refers to the connection, which would keep its lock.
            _discard(connection)
            if transaction.connection is None and isinstance(error, sqlite3.Error):
                raise TransactionLost from error
            raise
        finally:
            while begun and begun.pop() is not transaction:
                pass
        self._put_back(connection)
        return result

    def backup(self, path: str) -> None:
        """Copy the database to a new file, while others continue to use it.

        :param path: the new file; only its owner may read it.
        :raises FileExistsError: when there is such a file.
        """
        _create_private_file(path)
        target = _connect(path)
        source = self._take()
        try:
            _retry_while_busy(source.backup, target)
        except BaseException:
            _discard(source)
            target.close()
            os.unlink(path)  # noqa: PTH108 - as os.stat below
            raise
        target.close()
        self._put_back(source)

    def close(self) -> None:
        """Close the idle connections now, and those in use at the end of their call."""
        self._closed = True
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread has taken it
                _discard(self._idle.pop())

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open(BUSY_TIMEOUT_S)
            if connection.process == os.getpid():
                return connection
            _discard(connection)

    def _put_back(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self.close()
        elif len(self._idle) > MAX_IDLE:
            with contextlib.suppress(IndexError):
                _discard(self._idle.popleft())

    def _open(self, wait_s: float) -> Connection:
        if self._closed:
            raise ValueError("this store is closed, create a new one")
        if self._file is None:
            with contextlib.suppress(FileExistsError):
                _create_private_file(os.path.realpath(self.path))
        self._check_file()
        connection = _connect(self.path)
        try:
            # FULL: COMMIT returns when the disk has it (rule durable-saves).
            # https://www.sqlite.org/pragma.html#pragma_synchronous
            connection.execute("PRAGMA synchronous = FULL")
            _retry_while_busy(self._set_up, connection, wait_s=wait_s)
            # WAL: readers and the writer do not wait for each other. The file remembers it, so it
            # comes after the look at the tables: the file may belong to another program.
            _retry_while_busy(connection.execute, "PRAGMA journal_mode = WAL", wait_s=wait_s)
            if self._file is None:
                _make_private(self.path)
                self._file = os.stat(self.path)  # noqa: PTH116 - 3 times as fast as pathlib
        except BaseException:
            _discard(connection)
            raise
        return connection

    def _check_file(self) -> None:
        # SQLite continues with a file that was removed or replaced, and sees no failure.
        if self._file is None:
            return
        try:
            same = os.path.samestat(os.stat(self.path), self._file)  # noqa: PTH116 - as above
        except FileNotFoundError:
            same = False
        if not same:
            raise sqlite3.OperationalError("the file was removed or replaced after it was opened")


class MemoryDatabase:
    """A database in memory: one connection, at which the threads of a process take turns.

    A process that forks gives its child a copy.

    :param set_up: creates the tables; called with the connection.
    """

    path = ":memory:"

    def __init__(self, set_up: Callable[[sqlite3.Connection], None]) -> None:
        self._connection = _connect(self.path)
        self._connection.process = None
        self._transaction_now: Transaction | None = None
        self._closed = False
        self._locks: dict[int, Any] = {}
        set_up(self._connection)
        _memory_databases.add(self)

    def lock(self) -> Any:
        """Return the lock of this process: in a child, nobody would release its parent's."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement outside a transaction; see :class:`FileDatabase`."""
        with self.lock():
            self._begin_anew()
            return self._connection.execute(statement, values).fetchall()

    def transaction(self, work: Callable[[Transaction], Result]) -> Result:
        """Call a function inside a transaction; see :class:`FileDatabase`."""
        with self.lock():
            while True:
                with contextlib.suppress(TransactionLost):
                    return self._transaction(work)

    def _transaction(self, work: Callable[[Transaction], Result]) -> Result:
        self._begin_anew()
        transaction = self._transaction_now = Transaction(self._connection, self.path)
        try:
            transaction.execute("BEGIN")
            result = work(transaction)
            transaction.execute("COMMIT")
        except BaseException as error:
            lost = transaction.connection is None
            if not lost and self._connection.in_transaction:
                self._connection.rollback()
            if lost and isinstance(error, sqlite3.Error):
                raise TransactionLost from error
            raise
        return result

    def _begin_anew(self) -> None:
        """End the transaction of the code that a signal handler has interrupted, if there is one."""
        if self._closed:
            raise ValueError("this store is closed, create a new one")
        if self._transaction_now is not None:
            self._transaction_now.connection = None
        if self._connection.in_transaction:
            self._connection.rollback()

    def backup(self, path: str) -> None:
        """Copy the database to a new file; see :class:`FileDatabase`."""
        _create_private_file(path)
        with self.lock(), contextlib.closing(_connect(path)) as target:
            self._begin_anew()
            self._connection.backup(target)

    def close(self) -> None:
        """Close the connection; all tokens are gone."""
        with self.lock():
            self._closed = True
            self._connection.close()


def error_hint(error: BaseException) -> str:
    """Return what to do about an error of a database, or an empty string.

    :param error: the error.
    """
    text = str(error)
    if isinstance(error, OSError):
        text = "unable to open"
    if "unable to open" in text and _has_too_many_open_files():
        text = "too many open files"
    if not isinstance(error, (sqlite3.Error, OSError)):
        return ""
    found = next((part for part in ERROR_HINTS if part in text), None)
    if found == "too many open files":
        return f"too many open files: {ERROR_HINTS[found]}"
    return ERROR_HINTS[found] if found else ""


def _has_too_many_open_files() -> bool:
    # SQLite does not tell why it cannot open a file. The database itself must not be opened here:
    # closing it would end the locks that this process has on it.
    # https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    try:
        descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(1)]
    except OSError:
        return True
    for descriptor in descriptors:
        os.close(descriptor)
    return False


def _connect(path: str) -> Connection:
    # Transactions are begun by hand: isolation_level=None. The waiting is done in Python, where
    # other threads, greenlets and signal handlers can run meanwhile: timeout=0.
    connection = sqlite3.connect(
        path, timeout=0.0, isolation_level=None, check_same_thread=False, factory=Connection
    )
    connection.process = os.getpid()
    return connection


def _discard(connection: Connection) -> None:
    if connection.process == os.getpid():
        connection.close()
    else:
        # SQLite forbids to use an inherited connection, even to close it: it is kept forever.
        # https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_file_across_a_fork_
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _retry_while_busy(
    call: Callable[..., Result], *arguments: Any, wait_s: float | None = None
) -> Result:
    """Return what a call returns, once no other write keeps it from running."""
    try:
        return call(*arguments)
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
    deadline_s = time.monotonic() + (BUSY_TIMEOUT_S if wait_s is None else wait_s)
    while True:
        time.sleep(random.uniform(0, POLL_S))
        try:
            return call(*arguments)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline_s:
                raise


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error)


_thread = threading.local()


def _transactions_of_this_thread() -> list[Transaction]:
    """Return the transactions that this thread has begun, innermost last."""
    begun: list[Transaction] = _thread.__dict__.setdefault("begun", [])
    return begun


def _abandon(begun: list[Transaction], path: str) -> None:
    """End the transactions of the code that a signal handler or ``__del__`` has interrupted.

    That code could not end them before this call returns, and this call would wait for them. It
    starts them again when it continues.
    """
    for transaction in begun:
        connection = transaction.connection
        if transaction.path == path and connection is not None and connection.in_transaction:
            transaction.connection = None
            _discard(connection)


def _create_private_file(path: str) -> None:
    """Create an empty file that only its owner may read and write (rule ``private-files``).

    :raises FileExistsError: when there is such a file.
    """
    if sys.platform == "linux":
        # It is not opened, because closing it would end the locks that another thread of this
        # process may have on it already; see _has_too_many_open_files.
        os.mknod(path, stat.S_IFREG | 0o600)
    else:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _make_private(path: str) -> None:
    """Let only the owner read and write a database, and the files beside it, from now on."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        try:
            if os.name == "posix" and os.stat(name).st_mode & 0o077:  # noqa: PTH116 - as above
                os.chmod(name, 0o600)  # noqa: PTH101 - as above
        except FileNotFoundError:
            pass
        except OSError as error:
            _logger.warning(
                "other users of this machine can read %s, and its mode cannot be changed (%s): "
                "let its owner run chmod 600",
                name,
                error.strerror,
            )


# Python's own fork waits until no thread is writing to a database in memory, which takes some
# microseconds, so that the child's copy is whole. Files need no such care.
_memory_databases: weakref.WeakSet[MemoryDatabase] = weakref.WeakSet()
_held_for_fork: list[Any] = []


def _before_fork() -> None:
    for database in list(_memory_databases):
        lock = database.lock()
        lock.acquire()
        _held_for_fork.append(lock)


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_held_for_fork.clear,
    )
