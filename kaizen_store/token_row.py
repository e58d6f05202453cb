"""What a token means, written once for every store.

A *row* is a stored token: a list of ten values in the order of :data:`COLUMNS`, each a string or
None. This module turns an SDK ``OAuthToken`` into a row and back, says which stored row a token
means, and decides who wins where a token and its row differ. A store adds only its storage.

Rule numbers are those of the token store contract.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature
from zohocrmsdk.src.com.zoho.crm.api.util.constants import Constants

COLUMNS = (
    "id",
    "user_name",
    "client_id",
    "client_secret",
    "refresh_token",
    "access_token",
    "grant_token",
    "expiry_time",
    "redirect_url",
    "api_domain",
)
"""The ten columns of table ``oauthtoken``, in order."""

ID, USER_NAME, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, ACCESS_TOKEN, GRANT_TOKEN, EXPIRY_TIME = (
    range(8)
)

KEY_COLUMNS = ("id", "user_name", "access_token", "grant_token", "refresh_token")
"""The columns that a row is looked up by: a store on disk has an index on each."""

Row = Sequence[Any]
"""Ten values, each a string or None; a stored row always has an id."""

StoredRow = TypeVar("StoredRow", bound=Row)

_logger = logging.getLogger("kaizen_store")


def row_of(token: OAuthToken) -> list[Any]:
    """Return the ten values of a token as a row.

    :param token: an ``OAuthToken``, complete or partial.
    :returns: ten strings in the order of :data:`COLUMNS`; what is absent or empty is None.
    :raises SDKException: code ``TOKEN_STORE``, when it is no ``OAuthToken`` (rule 14).
    """
    if not isinstance(token, OAuthToken):
        raise store_error(
            f"a token store takes an OAuthToken, not a {type(token).__name__}: "
            "make one with OAuthToken(...)"
        )
    user = token.get_user_signature()
    values = [
        token.get_id(),
        None if user is None else user.get_name(),
        token.get_client_id(),
        token.get_client_secret(),
        token.get_refresh_token(),
        token.get_access_token(),
        token.get_grant_token(),
        token.get_expires_in(),
        token.get_redirect_url(),
        token.get_api_domain(),
    ]
    # A number is given as text (the SDK measures the length of expires_in), zero included.
    return [v or None if v is None or v.__class__ is str else str(v) or None for v in values]


def row_to_save(token: OAuthToken) -> list[Any]:
    """Return the row of a token that is about to be saved.

    :param token: the ``OAuthToken`` to save.
    :returns: its row, as :func:`row_of` does.
    :raises SDKException: code ``TOKEN_STORE``, when it is no ``OAuthToken`` (rule 14) or holds no
        grant, refresh or access token (rule 13).
    """
    row = row_of(token)
    if not (row[GRANT_TOKEN] or row[REFRESH_TOKEN] or row[ACCESS_TOKEN]):
        raise store_error(
            "this token holds no grant, refresh or access token, so there is nothing to save: "
            "set one of the three before you save it"
        )
    return row


def token_of(row: Row) -> OAuthToken:
    """Return a fresh ``OAuthToken`` that holds the values of a row and shares nothing with it.

    :param row: ten values in the order of :data:`COLUMNS`.
    """
    token = OAuthToken(id=row[ID] or "")
    complete(token, row)
    return token


def complete(token: OAuthToken, row: Row) -> OAuthToken:
    """Fill what a token leaves empty from its row, and give it the access token that lasts longer.

    An access token and its expiry are one pair: they are taken from the row together, or not at
    all. Everything else that the caller set stays (rules 6 and 7).

    :param token: the caller's token, changed in place.
    :param row: the stored row that it means.
    :returns: the same token object.
    """
    id_, user_name, client_id, client_secret, refresh, access, grant, expiry, redirect, domain = row
    if not token.get_id():
        token.set_id(id_)
    user = token.get_user_signature()
    if user_name and (user is None or not user.get_name()):
        token.set_user_signature(UserSignature(user_name))
    if not token.get_client_id():
        token.set_client_id(client_id or None)
    if not token.get_client_secret():
        token.set_client_secret(client_secret or None)
    if not token.get_refresh_token():
        token.set_refresh_token(refresh or None)
    if not token.get_grant_token():
        token.set_grant_token(grant or None)
    if not token.get_redirect_url():
        token.set_redirect_url(redirect or None)
    if not token.get_api_domain():
        token.set_api_domain(domain or None)
    if _row_has_the_better_pair(token, access, expiry):
        token.set_access_token(access or None)
        token.set_expires_in(expiry or None)
    return token


def _row_has_the_better_pair(token: OAuthToken, access: str | None, expiry: str | None) -> bool:
    own_access, own_expiry = token.get_access_token(), token.get_expires_in()
    if not own_access:
        return bool(access) or not own_expiry
    if not own_expiry:
        # Another token's expiry would be a lie; the same token's completes the pair.
        return own_access == access
    return bool(access and expiry) and _milliseconds(expiry) > _milliseconds(own_expiry)


def _milliseconds(expiry: object) -> int:
    # An expiry that is no number cannot promise anything: it counts as long past.
    text = str(expiry)
    return int(text) if text.isdecimal() else 0


def find_row(wanted: Row, rows_with: Callable[[str, str], list[StoredRow]]) -> StoredRow | None:
    """Return the stored row that a token means, or None (rules 1 to 5).

    :param wanted: the token's own row, from :func:`row_of`.
    :param rows_with: the store's look-up: given a column of :data:`KEY_COLUMNS` and a value, all
        rows that hold precisely this value, the one saved last first.
    """
    id_, user_name, client_id, client_secret = wanted[: CLIENT_SECRET + 1]
    if id_ and (rows := rows_with("id", id_)):  # rule 1
        return rows[0]
    # A named token goes on by any of its tokens, to the row saved before its name was known
    # (rule 10); a nameless one by what rules 3 and 4 allow.
    keys: tuple[int, ...] = ()
    if user_name:  # rule 2
        keys = (USER_NAME, ACCESS_TOKEN, GRANT_TOKEN, REFRESH_TOKEN)
    elif client_id and client_secret:  # rule 4
        keys = (GRANT_TOKEN, REFRESH_TOKEN)
    elif not (client_id or client_secret):  # rule 3
        keys = (ACCESS_TOKEN,)
    for key in keys:
        if value := wanted[key]:
            row = _of_nobody_else(rows_with(COLUMNS[key], value), user_name, client_id)
            if row is not None:
                return row
    return None


def _of_nobody_else(
    rows: list[StoredRow], user_name: str | None, client_id: str | None
) -> StoredRow | None:
    """Return the first row that no other user and no other client owns (rule 10)."""
    of_no_client = None
    for row in rows:
        if user_name and row[USER_NAME] not in (user_name, None, ""):
            continue
        if not client_id or row[CLIENT_ID] == client_id:
            return row
        if not row[CLIENT_ID] and of_no_client is None:
            of_no_client = row
    # A row that knows no client yet is taken only where that client has none.
    return of_no_client


def updated(stored: Row, new: Row) -> list[Any]:
    """Return a stored row with the values that a token brings; what it lacks stays (rule 12).

    :param stored: the row as it is.
    :param new: the row of the token that is saved.
    """
    return [value or old for value, old in zip(new, stored, strict=True)]


def absorbed(
    stored: Row, new: Row, rows_with: Callable[[str, str], list[StoredRow]]
) -> list[StoredRow]:
    """Return the rows that end in an updated one, because it becomes of their user and client.

    An id, or a token, can lead to a row whose user or client was not known until now, while that
    user and client have a row already: of the two only one stays (rule 10).

    :param stored: the row as it is.
    :param new: the row as :func:`updated` makes it.
    :param rows_with: the store's look-up, as for :func:`find_row`.
    """
    user_name, client_id = new[USER_NAME], new[CLIENT_ID]
    if not user_name or (stored[USER_NAME], stored[CLIENT_ID]) == (user_name, client_id):
        return []
    return [
        row
        for row in rows_with("user_name", user_name)
        if (row[CLIENT_ID] or None) == client_id and row[ID] != stored[ID]
    ]


def number_of(id: str) -> int | None:
    """Return the number that an id spells, or None: such a number is not handed out as an id again.

    :param id: the id of a row; one of more than nine digits is beyond the reach of the counters
        that new ids come from, and so counts as no number (rule 11).
    """
    return int(id) if id.isdecimal() and len(id) <= 9 else None


def store_error(message: str, cause: BaseException | None = None) -> SDKException:
    """Log a failure of a store and return the SDK's exception for it (rule 21).

    The SDK swallows a failing save, so the log, an error of logger ``kaizen_store``, may be the
    only place where it is seen.

    :param message: what failed, on what, and what to do; never a secret.
    :param cause: the original error; its text follows the message.
    :returns: an ``SDKException`` with code ``TOKEN_STORE``, to be raised.
    """
    error = SDKException(code=Constants.TOKEN_STORE, message=message, cause=cause)
    _logger.error("%s", error)
    return error


def unknown_id() -> SDKException:
    """Return the exception for a delete of an id that no row has (rule 18).

    The id is not repeated: who passes a token by mistake shall not find it in a log.
    """
    return SDKException(
        code=Constants.TOKEN_STORE,
        message="no stored token has this id; get_tokens() lists the ids that there are",
    )
