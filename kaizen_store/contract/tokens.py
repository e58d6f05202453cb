"""The tokens that the checks save and look up."""

from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from ..stores.token_row import row_from_token

EARLIER, LATER = "4070908800000", "4070912400000"
"""Two expiries in epoch milliseconds, an hour apart, far in the future."""

CLIENT = {"client_id": "1000.PRACTICE", "client_secret": "practice-secret"}


def make_token(
    user_name: str | None = None, expires_in: str | None = None, **fields: Any
) -> OAuthToken:
    """Return a token that has only the given values.

    :param user_name: the name of its user signature.
    :param expires_in: its expiry, as a string of epoch milliseconds.
    :param fields: further keyword arguments of ``OAuthToken``.
    """
    user = None if user_name is None else UserSignature(user_name)
    # The SDK's constructor requires one of a few arguments; the id is one of them.
    token = OAuthToken(user_signature=user, **(fields | {"id": "replaced below"}))
    token.set_id(fields.get("id"))
    token.set_expires_in(expires_in)
    return token


def user_token(number: int, **fields: Any) -> OAuthToken:
    """Return the complete token of user 1, 2, 3 …; no two users share a token.

    :param number: the number of the user.
    :param fields: the values that differ.
    """
    names = ("refresh", "access", "grant")
    values = CLIENT | {f"{name}_token": f"{name}-{number}" for name in names}
    values |= {"user_name": user_name(number), "expires_in": EARLIER}
    values |= {"redirect_url": "https://example.com/callback"}
    return make_token(**(values | {"api_domain": "https://www.zohoapis.eu"} | fields))


def user_name(number: int) -> str:
    """Return the name of user 1, 2, 3 … as the SDK builds it: e-mail, colon, organization."""
    return f"user{number}@example.com:{6000 + number}"


def values_of(token: OAuthToken) -> dict[str, str | None]:
    """Return the values of a token by column; empty counts as absent."""
    return row_from_token(token)
