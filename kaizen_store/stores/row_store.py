"""RowStore: the six methods of a token store, written once, on top of any storage backend.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

import contextlib
import os
import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from . import single_flight, token_row
from .token_row import Row

Result = TypeVar("Result")
Store = TypeVar("Store", bound="RowStore")


class RowStore(TokenStore):
    """A token store on top of a storage backend for rows. It follows every rule of the contract.

    A subclass says where the rows are: it implements :meth:`all_rows`, :meth:`add_row`,
    :meth:`update_row` and :meth:`delete_row`, and calls ``super().__init__()``. A *row* is a
    dictionary with the keys of ``token_row.COLUMNS``; each value is a string or None. That is
    enough if the rows are inside one process.

    If processes share the storage, also implement :meth:`transaction`, :meth:`get_value` and
    :meth:`set_value`; if there are more than a few hundred rows, :meth:`rows_with`. Rows are
    changed only inside a transaction, on the store that it passes on; they are read inside and
    outside.

    Threads and processes that find the same expired token send one request to Zoho; see
    ``single_flight``. If a worker dies during its request, the next one tries after at most
    ``single_flight.LEASE_S`` seconds.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._locks: dict[int, threading.RLock] = {}
        self._transactions = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # The storage: a subclass implements these four

    @abstractmethod
    def all_rows(self) -> list[Row]:
        """Return all rows, oldest first."""

    @abstractmethod
    def add_row(self, row: Row) -> None:
        """Add a row, which is then the newest.

        :param row: the row; its id is new.
        """

    @abstractmethod
    def update_row(self, old: Row, new: Row) -> None:
        """Replace a row, which keeps its place in the order.

        :param old: the row as it is stored.
        :param new: the row as it is to be stored; its id may differ.
        """

    @abstractmethod
    def delete_row(self, row: Row) -> None:
        """Delete a row.

        :param row: the row as it is stored.
        """

    # The storage: a subclass may do these better

    def rows_with(self, column: str, value: str) -> list[Row]:
        """Return all rows with exactly this value in a column, oldest first.

        :param column: "id", "user_name", "access_token", "grant_token" or "refresh_token".
        :param value: the value, which is never empty.
        """
        return [row for row in self.all_rows() if row[column] == value]

    def delete_all_rows(self) -> None:
        """Delete every row; the values stay."""
        for row in list(self.all_rows()):
            self.delete_row(row)

    def get_value(self, name: str) -> str | None:
        """Return a value that the store keeps beside the rows, or None.

        These are the highest id that was ever issued, and the leases of single-flight refresh.

        :param name: the name of the value.
        """
        return self._values.get(name)

    def set_value(self, name: str, value: str | None) -> None:
        """Keep a value beside the rows.

        :param name: the name of the value.
        :param value: the value; None deletes it.
        """
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value

    def transaction(self, work: Callable[[RowStore], Result]) -> Result:
        """Call a function that reads and changes rows, while nobody else changes any.

        This implementation holds a lock, so other threads of this process wait. If processes share
        the storage, override this method in one of two ways. Either lock the storage for all
        processes. Or use optimistic locking: let ``work`` change a copy, as ``CustomStoreList``
        does, and write the copy only if no other process has written in the meantime; otherwise
        call ``work`` again, even if it raised an error. If nothing has changed, write nothing.

        If an error is raised, the storage must be as it was before. After any error, including an
        interrupt, close the connection: an unread response may still arrive on it.

        :param work: a function of one argument, the store to read and change: this one, or a copy
            of it. It reads everything before its first change.
        :returns: what ``work`` returns.
        """
        # A forked child has its own lock: the thread that holds this one may not exist there.
        with self._locks.setdefault(os.getpid(), threading.RLock()):
            while True:
                # A signal handler may save in the middle of this: then this starts again.
                self._transactions += 1
                with contextlib.suppress(_TransactionRestartError):
                    return work(cast(RowStore, _Rows(self, self._transactions)))

    @property
    def location(self) -> str:
        """Where the rows are, such as a file or a server, for error messages; never a secret."""
        return repr(self)

    def error_hint(self, error: Exception) -> str:
        """Return what to do about an error of the storage, or an empty string.

        :param error: the original error.
        """
        return ""

    # Find

    def find_token(self, token: OAuthToken) -> OAuthToken | None:
        """Complete a token from the row that matches it.

        The SDK calls this, or :meth:`find_token_by_id` if the token has an id, before every API
        call. Rules ``id-first`` to ``not-found``.

        :param token: an ``OAuthToken`` with an id, a user name, an access token, or a client with a
            grant or refresh token.
        :returns: the same object with its empty fields filled, or None when no row matches.
        :raises SDKException: code ``TOKEN_STORE``, when the argument is not an ``OAuthToken`` or
            the storage fails.
        """
        query = token_row.row_from_token(token)
        row = self.attempt("find a token", token_row.match_row, query, self.rows_with)
        if row is not None:
            token_row.complete(token, query, row)
            if single_flight.stays_valid(token):
                return token
        single_flight.share_request(self, token)
        return None if row is None else token

    def find_token_by_id(self, id: str) -> OAuthToken | None:
        """Return the token of a row (rule ``find-by-id``).

        :param id: the id of the row, as ``save_token`` set it on the token.
        :returns: a new, complete ``OAuthToken``, or None when no row has this id.
        :raises SDKException: code ``TOKEN_STORE``, when the id is not a string or the storage
            fails.
        """
        if not isinstance(id, str):
            raise token_row.invalid_id(id)
        rows = self.attempt("find a token by its id", self.rows_with, "id", id)
        if not rows:
            return None
        token = token_row.token_from_row(rows[0])
        if not single_flight.stays_valid(token):
            single_flight.share_request(self, token)
        return token

    def get_tokens(self) -> list[OAuthToken]:
        """Return all tokens as new ``OAuthToken`` objects, oldest row first (rule ``list-all``).

        :raises SDKException: code ``TOKEN_STORE``, when the storage fails.
        """
        rows = self.attempt("list the tokens", self.all_rows)
        return [token_row.token_from_row(row) for row in rows]

    # Save

    def save_token(self, token: OAuthToken) -> None:
        """Add a row, or update the row that matches, in one transaction.

        The SDK calls this whenever Zoho has issued an access token. Rules ``one-row-per-user`` to
        ``durable-saves``.

        :param token: an ``OAuthToken`` with a grant, refresh or access token. Fields that are empty
            keep the row's value. If the token has no id, the row's id is set on it.
        :raises SDKException: code ``TOKEN_STORE``, when the token cannot be saved or the storage
            fails; then nothing is saved.
        """
        row = token_row.row_to_save(token)
        token.set_id(self.attempt("save a token", self.transaction, partial(_save_row, row)))

    # Delete

    def delete_token(self, id: str) -> None:
        """Delete one row (rule ``delete-one``).

        :param id: the id of the row.
        :raises SDKException: code ``TOKEN_STORE``, when no row has this id or the storage fails.
        """
        if not isinstance(id, str):
            raise token_row.invalid_id(id)
        self.attempt("delete a token", self.transaction, partial(_delete_row, id))

    def delete_tokens(self) -> None:
        """Delete every row (rule ``delete-all``); their ids are never issued again.

        :raises SDKException: code ``TOKEN_STORE``, when the storage fails.
        """
        self.attempt("delete all tokens", self.transaction, _delete_all_rows)

    # Close

    def close(self) -> None:
        """Close what the storage has open; a store that has nothing open stays usable."""

    def __enter__(self: Store) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Errors

    def attempt(self, action: str, work: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function; log its error and raise it as an ``SDKException`` (``failures-raise``).

        :param action: what the function does, such as "save a token".
        :param work: the function.
        :param arguments: its arguments.
        :returns: what it returns.
        :raises SDKException: code ``TOKEN_STORE``, with the original error as its cause.
        """
        try:
            return work(*arguments)
        except SDKException:
            raise
        except Exception as error:
            hint = self.error_hint(error)
            cause = _without_secrets(error)
        # Outside the except block, or the original error would be its context, secrets included.
        failure = token_row.store_error(
            f"cannot {action} in {self.location}{f' ({hint})' if hint else ''}: ", cause
        )
        raise failure from cause


class _TransactionRestartError(Exception):
    """A signal handler has changed rows inside this transaction."""


class _Rows:
    """A store inside a transaction, for as long as no signal handler has begun another one."""

    def __init__(self, store: RowStore, number: int) -> None:
        self._store = store
        self._number = number

    def __getattr__(self, name: str) -> Any:
        if self._store._transactions != self._number:
            raise _TransactionRestartError
        return getattr(self._store, name)


def _save_row(row: Row, rows: RowStore) -> str:
    """Save the row of a token, and return its id."""
    stored = token_row.match_row(row, rows.rows_with)
    duplicates: list[Row] = []
    if stored is None:
        new = row | {"id": row["id"] or _new_id(rows)}
    else:
        token_row.check_owner(stored, row)
        new = token_row.merge_rows(stored, row)
        duplicates = token_row.find_duplicates(stored, new, rows.rows_with)
        for duplicate in duplicates:
            new = token_row.absorb_row(new, duplicate)
    id_is_new = stored is None or new["id"] != stored["id"]
    last_id = _last_id_to_record(rows, new["id"]) if id_is_new else None
    # The changes: every read is above.
    if last_id is not None:
        rows.set_value("last_id", last_id)
    if stored is None:
        rows.add_row(new)
    elif new != stored:
        rows.update_row(stored, new)
    for duplicate in duplicates:
        rows.delete_row(duplicate)
    return str(new["id"])


def _delete_row(id: str, rows: RowStore) -> None:
    found = rows.rows_with("id", id)
    if not found:
        raise token_row.unknown_id()
    last_id = _last_id_to_record(rows)
    if last_id is not None:
        rows.set_value("last_id", last_id)
    rows.delete_row(found[0])


def _delete_all_rows(rows: RowStore) -> None:
    last_id = _last_id_to_record(rows)
    if last_id is not None:
        rows.set_value("last_id", last_id)
    rows.delete_all_rows()


def _new_id(rows: RowStore) -> str:
    """Return an id that was never issued before (rule ``unique-ids``)."""
    number = _last_id(rows) + 1
    while rows.rows_with("id", str(number)):  # another program has added it
        number += 1
    return str(number)


def _last_id(rows: RowStore) -> int:
    recorded = rows.get_value("last_id")
    if recorded is not None:
        return token_row.numeric_id(recorded)
    return max((token_row.numeric_id(row["id"]) for row in rows.all_rows()), default=0)


def _last_id_to_record(rows: RowStore, id: str | None = None) -> str | None:
    """Return the highest number that was ever an id, or None if it is recorded already."""
    highest = str(max(_last_id(rows), token_row.numeric_id(id)))
    return None if rows.get_value("last_id") == highest else highest


def _without_secrets(error: Exception) -> Exception:
    """Return an error, or a stand-in for one that quotes a value, which may be a secret."""
    if isinstance(error, UnicodeError):
        return token_row.unpaired_surrogate()
    error.__context__ = error.__cause__ = None
    return error
