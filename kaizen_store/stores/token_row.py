"""Rows: how a token becomes a row and back, which row matches a token, and how rows are merged.

A *row* is a stored token: a dictionary with the ten keys of :data:`COLUMNS`, each value a string or
None. A stored row always has an id. The rules that are cited here are those of the token store
contract; docs/contract.md lists them.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

import logging
from collections.abc import Callable

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

KEY_COLUMNS = ("id", "user_name", "access_token", "grant_token", "refresh_token")
"""The columns that a row is looked up by: a database has an index on each."""

MAX_EXPIRY_LENGTH = 20
"""The longest expiry, in characters: as wide as the column in the table of Zoho's Kaizen post."""

Row = dict[str, str | None]
"""The ten values of a stored token, by column."""

Lookup = Callable[[str, str], list[Row]]
"""A store's lookup: all rows with this value in this key column, oldest first."""

_logger = logging.getLogger("kaizen_store")


def row_from_token(token: OAuthToken) -> Row:
    """Return the values of a token as a row.

    :param token: an ``OAuthToken``, complete or partial.
    :returns: its ten values; an absent or empty value is None.
    :raises SDKException: code ``TOKEN_STORE``, when the argument is not an ``OAuthToken`` (rule
        ``only-tokens``), or its id or expiry cannot be used.
    """
    if not isinstance(token, OAuthToken):
        raise store_error(
            f"expected an OAuthToken, got {type(token).__name__}: create one with OAuthToken(...)"
        )
    id, user, expiry = token.get_id(), token.get_user_signature(), token.get_expires_in()
    if id is not None and not isinstance(id, str):
        raise invalid_id(id)
    if expiry is not None and expiry.__class__ is not str:
        expiry = str(expiry)  # the SDK measures the length of expires_in
    if expiry and len(expiry) > MAX_EXPIRY_LENGTH:
        raise store_error(
            f"the expiry has {len(expiry):,} characters: set it to a time in epoch milliseconds"
        )
    return {
        "id": id or None,
        "user_name": (user.get_name() or None) if user is not None else None,
        "client_id": token.get_client_id() or None,
        "client_secret": token.get_client_secret() or None,
        "refresh_token": token.get_refresh_token() or None,
        "access_token": token.get_access_token() or None,
        "grant_token": token.get_grant_token() or None,
        "expiry_time": expiry or None,
        "redirect_url": token.get_redirect_url() or None,
        "api_domain": token.get_api_domain() or None,
    }


def row_from_values(
    id: str,
    user_name: str | None,
    client_id: str | None,
    client_secret: str | None,
    refresh_token: str | None,
    access_token: str | None,
    grant_token: str | None,
    expiry_time: str | None,
    redirect_url: str | None,
    api_domain: str | None,
) -> Row:
    """Return a row of ten values in the order of :data:`COLUMNS`; faster than dict(zip(...))."""
    return {
        "id": id,
        "user_name": user_name,
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": refresh_token,
        "access_token": access_token,
        "grant_token": grant_token,
        "expiry_time": expiry_time,
        "redirect_url": redirect_url,
        "api_domain": api_domain,
    }


def row_to_save(token: OAuthToken) -> Row:
    """Return the row of a token that is about to be saved.

    :param token: the ``OAuthToken`` to save.
    :returns: its row, as :func:`row_from_token` returns it.
    :raises SDKException: code ``TOKEN_STORE``, when the argument is not an ``OAuthToken``, has no
        grant, refresh or access token (rule ``no-empty-tokens``), or has a value that no storage
        could keep.
    """
    row = row_from_token(token)
    if not (row["grant_token"] or row["refresh_token"] or row["access_token"]):
        raise store_error(
            "this token has no grant, refresh or access token, so there is nothing to save: "
            "set one of the three before you save it"
        )
    if not _is_unicode("".join(filter(None, row.values()))):
        raise store_error("a value of this token ", unpaired_surrogate())
    return row


def token_from_row(row: Row) -> OAuthToken:
    """Return a new ``OAuthToken`` with the values of a row, which shares no state with it.

    :param row: a stored row.
    """
    token = OAuthToken(
        id=row["id"] or "",
        user_signature=UserSignature(row["user_name"]) if row["user_name"] else None,
        client_id=row["client_id"] or None,
        client_secret=row["client_secret"] or None,
        refresh_token=row["refresh_token"] or None,
        access_token=row["access_token"] or None,
        grant_token=row["grant_token"] or None,
        redirect_url=row["redirect_url"] or None,
        api_domain=row["api_domain"] or None,
    )
    token.set_expires_in(row["expiry_time"] or None)
    return token


def complete(token: OAuthToken, query: Row, row: Row) -> OAuthToken:
    """Fill the empty fields of a token from its row (rule ``same-object``).

    An access token and its expiry are a pair: both are taken from the row, or neither. Of two
    complete pairs, the one that expires later is kept (rule ``later-pair``). Every other value that
    the caller has set stays.

    :param token: the caller's token, changed in place.
    :param query: its values, from :func:`row_from_token`.
    :param row: the stored row that matches it.
    :returns: the same token object.
    """
    if row["user_name"] and not query["user_name"]:
        token.set_user_signature(UserSignature(row["user_name"]))
    if not query["id"]:
        token.set_id(row["id"])
    if not query["client_id"]:
        token.set_client_id(row["client_id"] or None)
    if not query["client_secret"]:
        token.set_client_secret(row["client_secret"] or None)
    if not query["refresh_token"]:
        token.set_refresh_token(row["refresh_token"] or None)
    if not query["grant_token"]:
        token.set_grant_token(row["grant_token"] or None)
    if not query["redirect_url"]:
        token.set_redirect_url(row["redirect_url"] or None)
    if not query["api_domain"]:
        token.set_api_domain(row["api_domain"] or None)
    if _stored_token_is_newer(query, row):
        token.set_access_token(row["access_token"] or None)
        token.set_expires_in(row["expiry_time"] or None)
    return token


def _stored_token_is_newer(query: Row, row: Row) -> bool:
    access_token, expiry = query["access_token"], query["expiry_time"]
    if not access_token:
        return bool(row["access_token"]) or not expiry
    if not expiry:
        # The expiry of another access token would be wrong; that of the same one fits.
        return access_token == row["access_token"]
    return bool(row["access_token"] and row["expiry_time"]) and (
        expiry_ms(row["expiry_time"]) > expiry_ms(expiry)
    )


def expiry_ms(expiry: object) -> int:
    """Return an expiry as a number of epoch milliseconds.

    :param expiry: as a token or a row has it; one that is not a number counts as long past, 0.
    """
    text = expiry if isinstance(expiry, str) else str(expiry)
    return int(text) if text.isdecimal() and len(text) <= MAX_EXPIRY_LENGTH else 0


def match_row(query: Row, lookup: Lookup) -> Row | None:
    """Return the stored row that matches a token, or None (rules ``id-first`` to ``no-guessing``).

    :param query: the token's own row, from :func:`row_from_token`.
    :param lookup: the store's lookup.
    """
    if query["id"] and (rows := lookup("id", query["id"])):
        return rows[0]
    # With a user name, each of the token's values also matches a row that was saved before the name
    # was known. Without one, only the keys that the rules allow are used.
    keys: tuple[str, ...] = ()
    if query["user_name"]:
        keys = ("user_name", "access_token", "grant_token", "refresh_token")
    elif query["client_id"] and query["client_secret"]:
        keys = ("grant_token", "refresh_token")
    elif not (query["client_id"] or query["client_secret"]):
        keys = ("access_token",)
    for key in keys:
        value = query[key]
        if value and (rows := lookup(key, value)):
            row = _latest_eligible_row(rows, query["user_name"], query["client_id"])
            if row is not None:
                return row
    return None


def _latest_eligible_row(
    rows: list[Row], user_name: str | None, client_id: str | None
) -> Row | None:
    """Return the row that expires last, ignoring the rows of other users and clients."""
    if len(rows) == 1 and rows[0]["user_name"] == user_name and rows[0]["client_id"] == client_id:
        return rows[0]  # nearly always, so it is worth a line
    if user_name:
        rows = [row for row in rows if (row["user_name"] or user_name) == user_name]
    if client_id:
        rows = [row for row in rows if (row["client_id"] or client_id) == client_id]
    if len(rows) < 2:
        return rows[0] if rows else None
    # A row without a client is taken only where this client has no row.
    if of_client := [row for row in rows if client_id and row["client_id"]]:
        rows = of_client
    # On a tie, the newest row: max() returns the first of equals, so it starts from the end.
    return max(reversed(rows), key=_access_token_expiry_ms)


def _access_token_expiry_ms(row: Row) -> int:
    return expiry_ms(row["expiry_time"]) if row["access_token"] else 0


def check_owner(stored: Row, new: Row) -> None:
    """Check that a token may be saved in the row that it matches (rule ``one-row-per-user``).

    :param stored: the stored row.
    :param new: the row of the token.
    :raises SDKException: code ``TOKEN_STORE``, when the row belongs to another user or client.
    """
    for column, owner in (("user_name", "user"), ("client_id", "client")):
        if stored[column] and new[column] and stored[column] != new[column]:
            raise store_error(
                f"the id of this token belongs to the row of another {owner}, and nothing was "
                "saved: leave the id out, or use the id of this token's own row"
            )


def merge_rows(stored: Row, new: Row) -> Row:
    """Return a stored row updated with the values that a token has (rule ``partial-tokens``).

    A value that the token lacks stays. An access token that differs from the stored one and comes
    without an expiry clears the stored expiry, which belongs to the old access token.

    :param stored: the stored row.
    :param new: the row of the token.
    """
    row = {column: new[column] or stored[column] for column in COLUMNS}
    access_token_changes = new["access_token"] not in (None, stored["access_token"])
    if access_token_changes and not new["expiry_time"]:
        row["expiry_time"] = None
    return row


def absorb_row(row: Row, duplicate: Row) -> Row:
    """Return a row with its missing values filled from a duplicate.

    The access token and its expiry are taken as a pair, only if the row has no access token.

    :param row: the row that stays.
    :param duplicate: the row that is going to be deleted.
    """
    filled = {column: row[column] or duplicate[column] for column in COLUMNS}
    pair = row if row["access_token"] else duplicate
    return filled | {"access_token": pair["access_token"], "expiry_time": pair["expiry_time"]}


def find_duplicates(stored: Row | None, row: Row, lookup: Lookup) -> list[Row]:
    """Return the rows that an updated row replaces (rule ``one-row-per-user``).

    A save can add a user or client to a row when another row already has that user and client. It
    can also add a refresh token that another row already has without a user name. One row remains.

    :param stored: the row before the update.
    :param row: the row after it.
    :param lookup: the store's lookup.
    """
    user_name, client_id = row["user_name"], row["client_id"]
    if not user_name or stored is None:
        return []
    found: list[Row] = []
    if (stored["user_name"], stored["client_id"] or None) != (user_name, client_id):
        found += [
            other
            for other in lookup("user_name", user_name)
            if (other["client_id"] or None) == client_id
        ]
    if row["refresh_token"] and row["refresh_token"] != stored["refresh_token"]:
        found += [
            other
            for other in lookup("refresh_token", row["refresh_token"])
            if not other["user_name"] and (other["client_id"] or None) == client_id
        ]
    return [other for other in found if other["id"] != stored["id"]]


def numeric_id(id: str | None) -> int:
    """Return an id as a number, or 0 if it is not one; new ids continue after the highest number.

    :param id: the id of a row. Python converts at most 4,300 digits, in both directions, so the
        number of a longer id is never issued.
    """
    try:
        return int(id) if id and id.isdecimal() else 0
    except ValueError:
        return 0


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unpaired_surrogate() -> ValueError:
    """Return the error for a text that is not Unicode, without the text, which may be a secret."""
    return ValueError("contains an unpaired surrogate and is not valid Unicode text")


def store_error(message: str, cause: BaseException | None = None) -> SDKException:
    """Log a failure of a store and return the SDK's exception for it (rule ``failures-raise``).

    The SDK swallows a failing save, so the log, an error of logger ``kaizen_store``, may be the
    only place where it appears.

    :param message: what failed, on what, and what to do; never a secret.
    :param cause: the original error; its text follows the message.
    :returns: an ``SDKException`` with code ``TOKEN_STORE``, to be raised.
    """
    error = SDKException(code=Constants.TOKEN_STORE, message=message, cause=cause)
    _logger.error("%s", error)
    return error


def invalid_id(id: object) -> SDKException:
    """Return the exception for an id that is not a string.

    :param id: what was passed; only its type is shown.
    """
    return store_error(f'an id must be a string such as "1", got {type(id).__name__}')


def unknown_id() -> SDKException:
    """Return the exception for deleting an id that no row has (rule ``delete-one``).

    The id is not repeated: a token that was passed by mistake must not reach a log.
    """
    return SDKException(
        code=Constants.TOKEN_STORE,
        message="no stored token has this id; get_tokens() returns those that exist",
    )
