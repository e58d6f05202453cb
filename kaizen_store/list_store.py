"""A token store in a plain list, gone with the process: the store to read first."""

import os
import threading
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

if __package__:
    from . import token_row
else:  # copied beside a script, as a file of its own
    import token_row  # type: ignore[no-redef,import-not-found]

# One lock for all lists. A fork waits for it, so that the child never finds it taken by a thread
# that does not live there.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class CustomStoreList(TokenStore):
    """Keeps tokens in a list of rows, each row a list of ten values.

    It is for reading, for lessons and for tests. Every call looks through the whole list: with a
    hundred users that is quicker than a database, with ten thousand it is not (``make bench`` tells
    the times). Threads share it; the end of the process forgets it.
    """

    def __init__(self) -> None:
        self._rows: list[list[Any]] = []  # oldest first
        self._save_numbers: dict[str, int] = {}  # of each row, by its id
        self._last_save = 0
        self._last_id = 0

    def __repr__(self) -> str:
        return "CustomStoreList()"

    def find_token(self, token: OAuthToken) -> OAuthToken | None:
        """Complete a token from the row that it means (rules 1 to 8).

        :param token: an ``OAuthToken`` that names an id, a user, an access token, or a client with
            a grant or refresh token.
        :returns: the same object with its empty fields filled, or None when no row is meant.
        :raises SDKException: code ``TOKEN_STORE``, when it is no ``OAuthToken``.
        """
        wanted = token_row.row_of(token)
        with _lock:
            row = token_row.find_row(wanted, self._rows_with)
            return None if row is None else token_row.complete(token, row)

    def find_token_by_id(self, id: str) -> OAuthToken | None:
        """Return the token of a row as a fresh, complete ``OAuthToken`` (rule 17).

        :param id: the id of the row, as ``save_token`` set it on the token.
        :returns: the token, or None when no row has this id.
        """
        with _lock:
            rows = self._rows_with("id", id)
            return token_row.token_of(rows[0]) if rows else None

    def save_token(self, token: OAuthToken) -> None:
        """Add a row, or update the one that the token means (rules 10 to 14).

        :param token: an ``OAuthToken`` with a grant, refresh or access token. Fields that it leaves
            empty keep what the row holds. The id of its row is set on it where it has none.
        :raises SDKException: code ``TOKEN_STORE``, when it is no ``OAuthToken`` or holds no token.
        """
        row = token_row.row_to_save(token)
        with _lock:
            stored = token_row.find_row(row, self._rows_with)
            if stored is None:
                row[token_row.ID] = row[token_row.ID] or self._new_id()
                self._rows.append(row)
            else:
                row = token_row.updated(stored, row)
                for other in token_row.absorbed(stored, row, self._rows_with):
                    self._remove(other)
                    row = token_row.updated(other, row)
                self._rows[self._rows.index(stored)] = row
                del self._save_numbers[stored[token_row.ID]]
            self._last_id = max(self._last_id, token_row.number_of(row[token_row.ID]) or 0)
            self._last_save += 1
            self._save_numbers[row[token_row.ID]] = self._last_save
        token.set_id(row[token_row.ID])

    def delete_token(self, id: str) -> None:
        """Delete one row (rule 18).

        :param id: the id of the row.
        :raises SDKException: code ``TOKEN_STORE``, when no row has this id.
        """
        with _lock:
            rows = self._rows_with("id", id)
            if not rows:
                raise token_row.unknown_id()
            self._remove(rows[0])

    def delete_tokens(self) -> None:
        """Delete every row; their ids are not used again (rules 11 and 19)."""
        with _lock:
            self._rows.clear()
            self._save_numbers.clear()

    def get_tokens(self) -> list[OAuthToken]:
        """Return all tokens as fresh ``OAuthToken`` objects, oldest row first (rule 16)."""
        with _lock:
            return [token_row.token_of(row) for row in self._rows]

    def _rows_with(self, column: str, value: str) -> list[list[Any]]:
        place = token_row.COLUMNS.index(column)
        rows = [row for row in self._rows if row[place] == value]
        return sorted(rows, key=lambda row: self._save_numbers[row[token_row.ID]], reverse=True)

    def _remove(self, row: list[Any]) -> None:
        self._rows.remove(row)
        del self._save_numbers[row[token_row.ID]]

    def _new_id(self) -> str:
        while True:
            self._last_id += 1
            if str(self._last_id) not in self._save_numbers:
                return str(self._last_id)
