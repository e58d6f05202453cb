"""A token store in an SQLite file, for one machine with any number of threads and processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

if __package__:
    from . import token_row
else:  # copied beside a script, as a file of its own
    import token_row  # type: ignore[no-redef,import-not-found]

Store = TypeVar("Store", bound="CustomStoreSQLite")

BUSY_TIMEOUT_S = 30.0
"""How long a call waits for another process to end its write, in seconds."""

# Beside the ten columns, two small tables remember what these cannot say: in which order rows that
# share a key were saved (rule 2), and which numbers were ever ids (rule 11). An INTEGER PRIMARY KEY
# that is not given becomes one more than the largest there is.
SCHEMA = {
    "oauthtoken": "CREATE TABLE IF NOT EXISTS oauthtoken"
    f" (id TEXT NOT NULL PRIMARY KEY, {' TEXT, '.join(token_row.COLUMNS[1:])} TEXT)",
    **{
        f"oauthtoken_{column}": f"CREATE INDEX IF NOT EXISTS oauthtoken_{column}"
        f" ON oauthtoken ({column})"
        for column in token_row.KEY_COLUMNS
        if column != "id"
    },
    "oauthtoken_saves": "CREATE TABLE IF NOT EXISTS oauthtoken_saves"
    " (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    "oauthtoken_ids": "CREATE TABLE IF NOT EXISTS oauthtoken_ids (number INTEGER PRIMARY KEY)",
}
# A database that the post's class made brings rows, but no record of their ids.
RECORD_IDS = (
    "INSERT OR IGNORE INTO oauthtoken_ids SELECT CAST(id AS INTEGER) FROM oauthtoken"
    " WHERE id NOT GLOB '*[^0-9]*' AND length(id) BETWEEN 1 AND 9"
)

NAMES = ", ".join(token_row.COLUMNS)
SELECT = f"SELECT {NAMES} FROM oauthtoken"
SELECT_BY = {column: f"{SELECT} WHERE {column} = ?" for column in token_row.KEY_COLUMNS}
SAVED_LAST_FIRST = (
    " ORDER BY (SELECT number FROM oauthtoken_saves AS saves WHERE saves.id = oauthtoken.id) DESC,"
    " rowid DESC"
)
SHARED_KEYS = [token_row.COLUMNS.index(column) for column in token_row.KEY_COLUMNS[1:]]
SHARES_A_KEY = (
    f"SELECT 1 FROM oauthtoken WHERE ({' = ? OR '.join(token_row.KEY_COLUMNS[1:])} = ?)"
    " AND id != ? LIMIT 1"
)
INSERT = f"INSERT INTO oauthtoken ({NAMES}) VALUES ({', '.join('?' * len(token_row.COLUMNS))})"

WHAT_TO_DO = {
    "locked": "another program keeps writing to it: end that program, then try again",
    "unable to open": "see that it is a file, that its folder exists and that you may write there",
    "readonly": "see that you may write to the file and to its folder",
    "not a database": "the file holds something else and was left as it is: give another path",
    "full": "the disk is full: nothing of this call was saved, free some space and try again",
    "disk I/O": "the disk may be full or failing: free some space or see to it, and try again",
    "malformed": "the file is damaged: keep a copy of it, and give another path or a backup",
    "removed or replaced": "put it back, or start your program again to begin with a new one",
    "no such column": "its table oauthtoken was made by another program: give another path",
}


class CustomStoreSQLite(TokenStore):
    """Keeps tokens in table ``oauthtoken`` of an SQLite database.

    It survives a crash, and threads and processes may share it. A database that the post's own
    class made is opened with its rows. Each thread has a connection of its own; ``close()``, or
    leaving a ``with`` block, ends them all.

    :param path: the database file, ``zohooauth.db`` in the working directory unless told. It is
        made if it is not there, readable by its owner alone (rule 23). As in ``sqlite3``,
        ``":memory:"`` means no file: the tokens are gone with the store.
    :raises SDKException: code ``TOKEN_STORE``, when the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] = "zohooauth.db") -> None:
        self._in_memory = os.fspath(path) == ":memory:"
        self.path = Path(path)
        self._connections: dict[int, _Connection] = {}
        self._closed = False
        with _forking:
            _open_stores.add(self)
        connection = self._own_connection()
        with connection.lock:
            try:
                if not self._in_memory:
                    self.path = self.path.expanduser().absolute()
                connection.database = self._open(wait_s=0.0)
            except (sqlite3.Error, OSError, ValueError, RuntimeError) as error:
                # Where another process writes just now, the first call opens it, and waits.
                if not _is_locked(error):
                    failure = self._failure("open the store", error)
                    raise failure from failure.cause

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    # -- find ----------------------------------------------------------------------------------

    def find_token(self, token: OAuthToken) -> OAuthToken | None:
        """Complete a token from the row that it means (rules 1 to 8).

        The SDK calls this before every API call.

        :param token: an ``OAuthToken`` that names an id, a user, an access token, or a client with
            a grant or refresh token.
        :returns: the same object with its empty fields filled, or None when no row is meant.
        :raises SDKException: code ``TOKEN_STORE``, when the database fails.
        """
        wanted = token_row.row_of(token)
        with self._connection("find a token") as database:
            row = token_row.find_row(wanted, database.rows_with)
        return None if row is None else token_row.complete(token, row)

    def find_token_by_id(self, id: str) -> OAuthToken | None:
        """Return the token of a row as a fresh, complete ``OAuthToken`` (rule 17).

        :param id: the id of the row, as ``save_token`` set it on the token.
        :returns: the token, or None when no row has this id.
        :raises SDKException: code ``TOKEN_STORE``, when the database fails.
        """
        with self._connection("find a token by its id") as database:
            rows = database.rows_with("id", id)
        return token_row.token_of(rows[0]) if rows else None

    # -- save ----------------------------------------------------------------------------------

    def save_token(self, token: OAuthToken) -> None:
        """Insert a token, or update the row that it means, in one transaction (rules 10 to 15).

        The SDK calls this whenever Zoho has answered with a new access token.

        :param token: an ``OAuthToken`` with a grant, refresh or access token. Fields that it leaves
            empty keep what the row holds. The id of its row is set on it where it has none.
        :raises SDKException: code ``TOKEN_STORE``, when it is no ``OAuthToken``, holds no token, or
            the database fails; then nothing of it is saved.
        """
        row = token_row.row_to_save(token)
        with self._connection("save a token") as database:
            database.begin()
            stored = token_row.find_row(row, database.rows_with)
            if stored is None:
                new = row
                new[token_row.ID] = row[token_row.ID] or database.new_id()
                database.execute(INSERT, new)
            else:
                new = token_row.updated(stored, row)
                for other in token_row.absorbed(stored, new, database.rows_with):
                    database.delete(other[token_row.ID])
                    new = token_row.updated(other, new)
                database.update(stored, new)
            database.record_save(new, stored)
            database.execute("COMMIT")
        token.set_id(new[token_row.ID])

    # -- delete --------------------------------------------------------------------------------

    def delete_token(self, id: str) -> None:
        """Delete one row (rule 18).

        :param id: the id of the row.
        :raises SDKException: code ``TOKEN_STORE``, when no row has this id or the database fails.
        """
        with self._connection("delete a token") as database:
            database.begin()
            deleted = database.delete(id)
            database.execute("COMMIT")
        if not deleted:
            raise token_row.unknown_id()

    def delete_tokens(self) -> None:
        """Delete every row; their ids are not used again (rules 11 and 19).

        :raises SDKException: code ``TOKEN_STORE``, when the database fails.
        """
        with self._connection("delete all tokens") as database:
            database.begin()
            database.execute("DELETE FROM oauthtoken")
            database.execute("DELETE FROM oauthtoken_saves")
            database.execute("COMMIT")

    # -- list ----------------------------------------------------------------------------------

    def get_tokens(self) -> list[OAuthToken]:
        """Return all tokens as fresh ``OAuthToken`` objects, oldest row first (rule 16).

        :raises SDKException: code ``TOKEN_STORE``, when the database fails.
        """
        with self._connection("list the tokens") as database:
            rows = database.execute(f"{SELECT} ORDER BY rowid").fetchall()
        return [token_row.token_of(row) for row in rows]

    # -- open and close ------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections of all threads; the store cannot be used after (rule 24)."""
        self._closed = True
        for connection in list(self._connections.values()):
            with connection.lock:
                connection.close()

    def __enter__(self: Store) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _connection(self, doing: str) -> _Use:
        return _Use(self, doing)

    def _own_connection(self) -> _Connection:
        # A database in memory is its connection, so all threads take turns at one. A thread that
        # has ended leaves its number, and so its connection, to a later one.
        thread = 0 if self._in_memory else threading.get_ident()
        connection = self._connections.get(thread)
        if connection is None:
            with _forking:  # which waits for all connections that there are, so none may come new
                connection = self._connections.setdefault(thread, _Connection())
        return connection

    def _open(self, wait_s: float) -> Database:
        if self._closed:
            raise ValueError("this store is closed, make a new one")
        if not self._in_memory:
            _create_for_owner_alone(self.path)
        database = _connect(str(self.path), wait_s)
        try:
            _set_up(database, time.monotonic() + wait_s)
            if not self._in_memory:
                database.path, database.file = str(self.path), self.path.stat()
        except BaseException:
            database.close()
            raise
        database.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        return database

    def _failure(self, doing: str, error: BaseException) -> SDKException:
        if isinstance(error, UnicodeEncodeError):
            # The original quotes the whole value, which may be a secret.
            error = ValueError("a value holds half of a surrogate pair, which is no Unicode text")
        hint = WHAT_TO_DO["unable to open"] if isinstance(error, OSError) else None
        if isinstance(error, sqlite3.Error):
            hint = next((todo for sign, todo in WHAT_TO_DO.items() if sign in str(error)), None)
        return token_row.store_error(
            f"cannot {doing} in {self.path}{f' ({hint})' if hint else ''}: ", cause=error
        )


class Database(sqlite3.Connection):
    """A connection that knows the statements which more than one method of a store needs."""

    path: str
    file: os.stat_result | None = None  # which file it opened at its path; None in memory

    def begin(self) -> None:
        """Begin to write, when nobody else does; raise where the save would be lost.

        SQLite goes on in a file that was removed, or replaced by another, and sees no failure.
        """
        self.execute("BEGIN IMMEDIATE")
        if self.file is not None and not _is_at(self.path, self.file):
            raise sqlite3.OperationalError("the file was removed or replaced after it was opened")

    def rows_with(self, column: str, value: str) -> list[token_row.Row]:
        """Return the rows in which a key column holds a value, the one saved last first.

        :param column: one of ``KEY_COLUMNS``.
        :param value: what it holds, to the letter.
        """
        rows = self.execute(SELECT_BY[column], (value,)).fetchall()
        if len(rows) > 1:
            rows = self.execute(SELECT_BY[column] + SAVED_LAST_FIRST, (value,)).fetchall()
        return rows

    def new_id(self) -> str:
        """Return an id that was never used before (rule 11)."""
        while True:
            number = self.execute("INSERT INTO oauthtoken_ids DEFAULT VALUES").lastrowid
            if not self.rows_with("id", str(number)):
                return str(number)

    def delete(self, id: str) -> int:
        """Delete a row and return how many that were: 0 or 1.

        :param id: the row's id.
        """
        self.execute("DELETE FROM oauthtoken_saves WHERE id = ?", (id,))
        return self.execute("DELETE FROM oauthtoken WHERE id = ?", (id,)).rowcount

    def update(self, stored: token_row.Row, new: token_row.Row) -> None:
        """Write what is new in a row: an index whose column stays is left alone.

        :param stored: the row as it is.
        :param new: the row as it is to be.
        """
        places = [place for place, value in enumerate(new) if value != stored[place]]
        if places:
            names = " = ?, ".join([token_row.COLUMNS[place] for place in places])
            values = [new[place] for place in places]
            self.execute(
                f"UPDATE oauthtoken SET {names} = ? WHERE id = ?", (*values, stored[token_row.ID])
            )

    def record_save(self, row: token_row.Row, former: token_row.Row | None) -> None:
        """Note that a row was saved last of those that share a key, and that its id was used.

        :param row: the row as it was saved.
        :param former: the row before it was updated; None for a new row.
        """
        id, former_id = row[token_row.ID], former and former[token_row.ID]
        if self.execute(SHARES_A_KEY, [row[place] for place in SHARED_KEYS] + [id]).fetchone():
            self.execute("REPLACE INTO oauthtoken_saves (id) VALUES (?)", (id,))
        if id != former_id:
            self.execute("DELETE FROM oauthtoken_saves WHERE id = ?", (former_id,))
            number = token_row.number_of(id)
            if number is not None:
                self.execute("INSERT OR IGNORE INTO oauthtoken_ids VALUES (?)", (number,))


class _Connection:
    """A thread's connection, and the lock that says that it is in use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.database: Database | None = None

    def close(self) -> None:
        if self.database is not None:
            self.database.close()
            self.database = None


class _Use:
    """One use of a connection: opens it where need be, and tells its errors as SDKException."""

    __slots__ = ("connection", "doing", "store")

    def __init__(self, store: CustomStoreSQLite, doing: str) -> None:
        self.store = store
        self.doing = doing

    def __enter__(self) -> Database:
        self.connection = self.store._own_connection()
        self.connection.lock.acquire()
        if self.connection.database is not None:
            return self.connection.database
        try:
            self.connection.database = self.store._open(BUSY_TIMEOUT_S)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self.connection.database

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        database = self.connection.database
        try:
            if error is not None and database is not None and database.in_transaction:
                database.execute("ROLLBACK")
        finally:
            self.connection.lock.release()
        if isinstance(error, (sqlite3.Error, OSError, ValueError)):
            failure = self.store._failure(self.doing, error)
            raise failure from failure.cause


def _connect(path: str, wait_s: float) -> Database:
    # Transactions are begun by hand: isolation_level=None. A connection changes its thread only
    # when the one before has ended, and at a fork or close() under its lock.
    return sqlite3.connect(
        path, timeout=wait_s, isolation_level=None, check_same_thread=False, factory=Database
    )


def _set_up(database: Database, deadline_s: float) -> None:
    """Choose how the file is written and see that the tables are there.

    :param deadline_s: until when to try where others write, on the clock of ``time.monotonic``.
    """
    while True:
        try:
            # FULL: COMMIT returns when the disk has it (rule 15). WAL: readers and the writer do
            # not wait for each other; it stays in the file, so it comes after the look at the
            # tables. https://www.sqlite.org/pragma.html#pragma_synchronous
            database.execute("PRAGMA synchronous = FULL")
            _create_tables(database)
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Turning WAL on fails at once, without the busy timeout, where two do it together.
            if not _is_locked(error) or time.monotonic() >= deadline_s:
                raise
            time.sleep(0.01)


def _is_at(path: str, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), file)  # noqa: PTH116 (thrice as quick as pathlib)
    except FileNotFoundError:
        return False


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _create_tables(database: Database) -> None:
    names = f"SELECT count(*) FROM sqlite_master WHERE name IN ({', '.join('?' * len(SCHEMA))})"
    if database.execute(names, tuple(SCHEMA)).fetchone() == (len(SCHEMA),):
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.values():
            database.execute(statement)
        database.execute(RECORD_IDS)
        database.execute(f"{SELECT} LIMIT 0")  # fails, and undoes all, where a column is missing


_creating = threading.Lock()


def _create_for_owner_alone(path: Path) -> None:
    # SQLite itself would make the file readable by all. The lock: closing a file ends the locks
    # that this process has on it through SQLite, so nobody may open it in between.
    # https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    with _creating, contextlib.suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


# SQLite forbids to carry an open connection over a fork, so all are closed before it; parent and
# child open their own at the next call. A database in memory stays, and each side has its copy.
# https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_file_across_a_fork_
_open_stores: weakref.WeakSet[CustomStoreSQLite] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[threading.Lock] = []


def _before_fork() -> None:
    _forking.acquire()
    for store in list(_open_stores):
        for connection in list(store._connections.values()):
            connection.lock.acquire()
            _held.append(connection.lock)
            if not store._in_memory:
                connection.close()
    _creating.acquire()
    _held.append(_creating)


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
