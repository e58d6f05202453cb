"""Connections to an SQLite file for many threads, processes, forks and signal handlers.

A call takes an idle connection or opens one, then puts it back or closes it. There are no thread
locks, so none can be left locked. No connection belongs to a thread, so none stays open when
a thread ends.

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

if sys.platform != "win32":
    import fcntl

Result = TypeVar("Result")

BUSY_TIMEOUT_S = 30.0
"""How long a call waits for another write to end, in seconds."""

POLL_S = 0.004
"""The longest pause between two attempts, in seconds. The pauses are random, so that threads that
wait for each other come to their turn in about the same time."""

MAX_IDLE = 5
"""How many idle connections a store keeps open."""

SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
"""The bytes of a database file that its readers lock (SQLite's file format, section 1.4)."""

FORK_WAIT_S, FORK_POLL_S = 2.0, 0.0002
"""How long a fork waits at most for other threads, and how often it looks, in seconds."""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.begun: list[Transaction] = []  # the transactions of this thread, innermost last


_logger = logging.getLogger("kaizen_store")
_thread = _Thread()
_users: list[int] = []  # the threads that use a connection to a file now
_forking: list[int] = []  # the threads that are about to fork
_file_databases: weakref.WeakSet[FileDatabase] = weakref.WeakSet()


class Connection(sqlite3.Connection):
    """A connection that knows which process opened it, and whether it is closed."""

    process: int | None = None  # None in memory, where a child has its own copy
    closed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_for_all = self.cursor()  # faster than a new one for each statement

    def select(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Execute a statement and return the rows that it selects."""
        self.cursor_for_all.execute(statement, values)
        return self.cursor_for_all.fetchall()


class TransactionLostError(Exception):
    """A signal handler that uses the store ended this transaction; start it again."""


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
            raise TransactionLostError
        return connection.execute(statement, values).fetchall()


class FileDatabase:
    """A database file and its connections.

    :param path: the file; it is created if it does not exist.
    :param set_up: creates what is missing in the database; called with the first connection.
    :raises sqlite3.Error, OSError: when the file cannot be opened.
    """

    def __init__(self, path: Path, set_up: Callable[[sqlite3.Connection], None]) -> None:
        self.path = str(path)
        self._set_up = set_up
        self._idle: deque[Connection] = deque()
        self._connections: set[Connection] = set()  # those that are open
        self._file: os.stat_result | None = None  # the file that was opened at the path
        self._closed = False
        self._surplus = False  # whether more connections were open than are kept
        try:
            self._idle.append(self._open())
        except sqlite3.OperationalError as error:
            if not _is_busy(error):  # else the first call opens it, and waits
                raise
        _file_databases.add(self)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement outside a transaction and return the rows that it selects.

        :param statement: SQL with a ``?`` for each value.
        :param values: the values.
        """
        return self._use(Connection.select, statement, values)

    def transaction(self, work: Callable[[Transaction], Result]) -> Result:
        """Call a function inside a transaction, while no other transaction writes.

        After an error or an interrupt, nothing of it is saved.

        :param work: a function of one argument, the :class:`Transaction`; it may be called again.
        :returns: what ``work`` returns.
        """
        _end_interrupted_transactions(self.path)
        return self._use(self._transact, work)

    def _transact(self, connection: Connection, work: Callable[[Transaction], Result]) -> Result:
        transaction, begun = Transaction(connection, self.path), _thread.begun
        try:
            begun.append(transaction)
            connection.execute("BEGIN IMMEDIATE")
            self._check_file()
            result = work(transaction)
            transaction.execute("COMMIT")
        except sqlite3.Error as error:
            if transaction.connection is None:
                raise TransactionLostError from error
            raise
        finally:
            while begun and begun.pop() is not transaction:
                pass
        return result

    def _use(self, use: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function with a connection; again, if another write was in its way."""
        thread, deadline_s = threading.get_ident(), 0.0
        while True:
            connection = None
            try:
                _users.append(thread)
                if _forking:
                    _wait_for_fork(thread)
                try:
                    connection = self._idle.pop()
                except IndexError:
                    connection = self._open()
                if connection.closed or connection.process != os.getpid():
                    unusable, connection = connection, None
                    connection = self._replace(unusable)
                result = use(connection, *arguments)
                self._idle.append(connection)
                if self._closed or self._surplus or len(self._idle) > MAX_IDLE:
                    self._close_idle()
                return result
            except BaseException as error:
                busy = isinstance(error, sqlite3.OperationalError) and _is_busy(error)
                if connection is None:
                    lost = False
                elif busy and not connection.in_transaction:
                    lost = False
                    self._idle.append(connection)
                else:
                    lost = isinstance(error, TransactionLostError) or (
                        connection.closed and isinstance(error, sqlite3.ProgrammingError)
                    )
                    # The error refers to the connection, which would keep its locks.
                    self._discard(connection)
                deadline_s = deadline_s or time.monotonic() + BUSY_TIMEOUT_S
                if not (busy or lost) or time.monotonic() >= deadline_s:
                    raise
            finally:
                if thread in _users:  # else an interrupt came before it
                    _users.remove(thread)
            time.sleep(random.uniform(0, POLL_S))

    def backup(self, path: str) -> None:
        """Copy the database to a new file, while others continue to use it.

        :param path: the new file; only its owner may read it.
        :raises FileExistsError: if the file already exists.
        """
        create_private_file(path)
        with contextlib.closing(connect(path)) as target:
            self._use(Connection.backup, target)

    def close(self) -> None:
        """Close the idle connections now, and those in use at the end of their call."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        # While one connection is open, SQLite keeps the handles of closed ones, because closing
        # a handle ends the locks of the process. So when the peak is over, all are closed once.
        kept = 0 if self._closed or (self._surplus and len(_users) == 1) else MAX_IDLE
        with contextlib.suppress(IndexError):  # another thread has taken the last one
            while len(self._idle) > kept:
                self._discard(self._idle.popleft())
                self._surplus = True
        if kept == 0:
            self._surplus = bool(self._connections)

    def _open(self) -> Connection:
        if self._closed:
            raise ValueError("this store is closed: create a new one")
        if self._file is None:
            with contextlib.suppress(FileExistsError):
                create_private_file(os.path.realpath(self.path))
        self._check_file()
        connection = connect(self.path)
        try:
            self._connections.add(connection)
            # FULL: COMMIT returns when the disk has it (rule durable-saves).
            # https://www.sqlite.org/pragma.html#pragma_synchronous
            connection.execute("PRAGMA synchronous = FULL")
            if self._file is None:
                self._set_up(connection)
                # WAL: readers and the writer do not wait for each other. The file remembers it, so
                # it comes after the look at the tables: the file may belong to another program.
                connection.execute("PRAGMA journal_mode = WAL")
                _make_private(self.path)
                self._file = os.stat(self.path)  # noqa: PTH116 - 3 times as fast as pathlib
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _discard(self, connection: Connection) -> None:
        if connection.process != os.getpid() or connection.closed:
            return
        connection.closed = True
        self._connections.discard(connection)
        # A statement that an interrupt left open would keep the file open, with its transaction.
        connection.cursor_for_all.close()
        if connection.in_transaction:
            connection.rollback()
        connection.close()

    def close_all(self) -> None:
        """Close every connection, because this process is about to fork."""
        for connection in list(self._connections):
            self._discard(connection)

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

    def _replace(self, connection: Connection) -> Connection:
        """Return a new connection in place of one that a fork has closed, or that is inherited.

        Only a fork in C, without Python's hooks, leaves an inherited one. SQLite forbids using or
        closing it, so it stays open forever.
        https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_file_across_a_fork_
        SQLite then believes that this process holds the shared lock, but only the parent does.
        Another process could delete the journal while this one writes to it: take the lock.
        """
        if connection.process != os.getpid():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
            descriptor = os.open(self.path, os.O_RDONLY)
            fcntl.lockf(descriptor, fcntl.LOCK_SH, SHARED_SIZE, SHARED_FIRST)
        return self._open()


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error)


def connect(path: str) -> Connection:
    """Open a database.

    :param path: the file, or ":memory:".
    """
    # Transactions are begun by hand: isolation_level=None. This module waits, not SQLite, so that
    # other threads, greenlets and signal handlers can run meanwhile: timeout=0.
    connection = sqlite3.connect(
        path, timeout=0.0, isolation_level=None, check_same_thread=False, factory=Connection
    )
    connection.process = os.getpid()
    return connection


def _end_interrupted_transactions(path: str | None = None) -> None:
    """Roll back the transactions that a signal handler or ``__del__`` has interrupted.

    The interrupted code cannot continue until this call returns, so waiting for its transactions
    would deadlock. The interrupted code retries them when it continues.
    """
    for transaction in _thread.begun:
        connection = transaction.connection
        if path not in (None, transaction.path) or connection is None or connection.closed:
            continue
        if connection.in_transaction:
            transaction.connection = None
            connection.execute("ROLLBACK")  # not closed: the code may be inside a call of it


def create_private_file(path: str) -> None:
    """Create an empty file that only its owner may read and write (rule ``private-files``).

    :raises FileExistsError: if the file already exists.
    """
    if sys.platform == "linux":
        # It is not opened, because closing it would end the locks that another thread of this
        # process may have on it already; see sqlite_errors.
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
                "ask its owner to run chmod 600",
                name,
                error.strerror,
            )


# SQLite keeps the locks of a process in its own memory, which a fork copies: a child that inherits
# an open connection believes in locks that it does not have, and may wait forever. So a fork closes
# the idle connections. It waits for the statements and transactions that other threads execute at
# that moment, a few milliseconds; a thread that waits for its turn to write has no connection.


def _wait_for_fork(thread: int) -> None:
    while _forking and thread not in _forking:
        _users.remove(thread)
        time.sleep(FORK_POLL_S)
        _users.append(thread)


def _before_fork() -> None:
    thread, deadline_s = threading.get_ident(), time.monotonic() + FORK_WAIT_S
    _forking.append(thread)
    _end_interrupted_transactions()
    while others := [user for user in _users.copy() if user != thread]:
        if time.monotonic() >= deadline_s:
            break
        time.sleep(FORK_POLL_S)
    if not others:
        for file_database in list(_file_databases):
            file_database.close_all()


def _after_fork_in_child() -> None:
    _forking.clear()
    _users[:] = [user for user in _users.copy() if user == threading.get_ident()]


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _forking.remove(threading.get_ident()),
        after_in_child=_after_fork_in_child,
    )
