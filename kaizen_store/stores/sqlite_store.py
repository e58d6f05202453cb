"""CustomStoreSQLite: tokens in an SQLite file, for any number of threads and processes.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import sqlite_connection, sqlite_errors, sqlite_memory
from .row_store import RowStore
from .token_row import COLUMNS, KEY_COLUMNS, Row, numeric_id, row_from_values

Result = TypeVar("Result")

# Beside the ten columns, a small table keeps the values of RowStore: the last id and the leases.
SCHEMA = {
    "oauthtoken": "CREATE TABLE IF NOT EXISTS oauthtoken"
    f" (id TEXT NOT NULL PRIMARY KEY, {' TEXT, '.join(COLUMNS[1:])} TEXT)",
    **{
        f"oauthtoken_{column}": f"CREATE INDEX IF NOT EXISTS oauthtoken_{column}"
        f" ON oauthtoken ({column})"
        for column in KEY_COLUMNS
        if column != "id"
    },
    "oauthtoken_values": "CREATE TABLE IF NOT EXISTS oauthtoken_values"
    " (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
}
EXISTS = "SELECT count(*) FROM sqlite_master WHERE name = ?"
ALL_EXIST = EXISTS.replace("= ?", f"IN ({', '.join('?' * len(SCHEMA))})")

NAMES = ", ".join(COLUMNS)
SELECT = f"SELECT {NAMES} FROM oauthtoken"
SELECT_BY = {column: f"{SELECT} WHERE {column} = ? ORDER BY rowid" for column in KEY_COLUMNS}
INSERT = f"INSERT INTO oauthtoken ({NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"


class CustomStoreSQLite(RowStore):
    """Keeps tokens in table ``oauthtoken`` of an SQLite database.

    The tokens survive a crash, and threads and processes may share the file. A database that the
    class from Zoho's Kaizen post created is opened with its rows. Protect the file: it contains
    unencrypted tokens. ``close()``, or leaving a ``with`` block, closes it.

    :param path: the database file. It is created if it does not exist, readable by its owner only
        (rule ``private-files``). As in ``sqlite3``, ``":memory:"`` means a database in memory.
    :raises SDKException: code ``TOKEN_STORE``, when the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] = "zohooauth.db") -> None:
        super().__init__()
        self.path = Path(path)
        self.attempt("open the store", self._open)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    # Open

    def _open(self) -> None:
        self._database: Any
        if str(self.path) == ":memory:":
            self._database = sqlite_memory.MemoryDatabase(_create_tables)
        else:
            self.path = self.path.expanduser().absolute()
            self._database = sqlite_connection.FileDatabase(self.path, _create_tables)

    @property
    def location(self) -> str:
        """The path of the file."""
        return str(self.path)

    def error_hint(self, error: Exception) -> str:
        """Return what to do about an error of SQLite, or an empty string."""
        return sqlite_errors.error_hint(error)

    # Find

    def rows_with(self, column: str, value: str) -> list[Row]:
        """Return all rows with exactly this value in a column, oldest first."""
        rows = self._database.execute(SELECT_BY[column], (value,))
        return [row_from_values(*row) for row in rows]

    def get_value(self, name: str) -> str | None:
        """Return a value that the store keeps beside the rows, or None."""
        rows = self._database.execute("SELECT value FROM oauthtoken_values WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    # Save

    def transaction(self, work: Callable[[RowStore], Result]) -> Result:
        """Call a function inside a transaction (rules ``one-row-per-user``, ``durable-saves``)."""
        return self._database.transaction(lambda transaction: work(self._inside(transaction)))

    def _inside(self, transaction: sqlite_connection.Transaction) -> RowStore:
        inside = copy(self)
        inside._database = transaction
        return inside

    def add_row(self, row: Row) -> None:
        """Insert a row."""
        self._database.execute(INSERT, [row[column] for column in COLUMNS])

    def update_row(self, old: Row, new: Row) -> None:
        """Update the columns that have changed; an index on another column stays untouched."""
        changed = [column for column in COLUMNS if new[column] != old[column]]
        values = [new[column] for column in changed]
        statement = f"UPDATE oauthtoken SET {' = ?, '.join(changed)} = ? WHERE id = ?"
        self._database.execute(statement, [*values, old["id"]])

    def set_value(self, name: str, value: str | None) -> None:
        """Keep a value beside the rows; None deletes it."""
        if value is None:
            self._database.execute("DELETE FROM oauthtoken_values WHERE name = ?", (name,))
        else:
            self._database.execute("REPLACE INTO oauthtoken_values VALUES (?, ?)", (name, value))

    # Delete

    def delete_row(self, row: Row) -> None:
        """Delete a row."""
        self._database.execute("DELETE FROM oauthtoken WHERE id = ?", (row["id"],))

    def delete_all_rows(self) -> None:
        """Delete every row; the values stay."""
        self._database.execute("DELETE FROM oauthtoken")

    # List

    def all_rows(self) -> list[Row]:
        """Return all rows, oldest first."""
        rows = self._database.execute(f"{SELECT} ORDER BY rowid")
        return [row_from_values(*row) for row in rows]

    # Back up and close

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the database to a new file, readable by its owner only, while others use it.

        To restore a backup: stop all programs that use the store, delete the files that end in
        ``-wal`` and ``-shm`` beside it, then put the backup in its place.

        :param path: the new file.
        :raises SDKException: code ``TOKEN_STORE``, when the file exists or cannot be written.
        """
        action = f"back up the store to {Path(path).absolute()}"
        self.attempt(action, partial(self._database.backup, str(Path(path).absolute())))

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards (rule ``close``)."""
        self._database.close()


def _create_tables(database: sqlite3.Connection) -> None:
    """Create what is missing in a database, whoever made it."""
    if database.execute(ALL_EXIST, tuple(SCHEMA)).fetchone() == (len(SCHEMA),):
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.values():
            database.execute(statement)
        database.execute(f"{SELECT} LIMIT 0")  # fails, and undoes all, where a column is missing
        _record_ids(database)


def _record_ids(database: sqlite3.Connection) -> None:
    """Record the last id of a database that version 0.1.0, or the class from the post, created."""
    ids = [id for (id,) in database.execute("SELECT id FROM oauthtoken")]
    if database.execute(EXISTS, ("oauthtoken_ids",)).fetchone() == (1,):
        ids += [str(number) for (number,) in database.execute("SELECT number FROM oauthtoken_ids")]
    last = max(map(numeric_id, ids), default=0)
    database.execute("INSERT OR IGNORE INTO oauthtoken_values VALUES ('last_id', ?)", (str(last),))
    for table in ("oauthtoken_ids", "oauthtoken_saves"):  # of version 0.1.0
        database.execute(f"DROP TABLE IF EXISTS {table}")
