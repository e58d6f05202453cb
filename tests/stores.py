"""The stores that every rule is tested on, one line each, and the tokens that tests make."""

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from kaizen_store import CustomStoreInMemory, CustomStoreList, CustomStoreSQLite

STORES = {
    "sqlite": lambda folder: CustomStoreSQLite(folder / "zohooauth.db"),
    "in_memory": lambda folder: CustomStoreInMemory(),
    "list": lambda folder: CustomStoreList(),
}

SOON, LATER = "1795446251920", "1795449851920"  # epoch milliseconds, one hour apart

GETTERS = (
    "get_id",
    "get_client_id",
    "get_client_secret",
    "get_refresh_token",
    "get_access_token",
    "get_grant_token",
    "get_expires_in",
    "get_redirect_url",
    "get_api_domain",
)


def make_token(user_name=None, expires_in=None, **fields):
    """Make an OAuthToken; as the SDK wants one of its keys, an empty id stands in for none."""
    user = None if user_name is None else UserSignature(user_name)
    token = OAuthToken(user_signature=user, **({"id": ""} | fields))
    token.set_expires_in(expires_in)
    return token


def user_token(number, **fields):
    """Make the complete token of user 1, 2, 3 …; every value is this user's alone."""
    values = {
        "user_name": f"user{number}@example.com:{6000 + number}",
        "client_id": "1000.PRACTICE",
        "client_secret": "practice-secret",
        "refresh_token": f"refresh-{number}",
        "access_token": f"access-{number}",
        "grant_token": f"grant-{number}",
        "redirect_url": "https://example.com/callback",
        "api_domain": "https://www.zohoapis.eu",
        "expires_in": SOON,
    }
    return make_token(**(values | fields))


def values_of(token):
    """Return what a token holds, absent and empty alike, for comparing."""
    user = token.get_user_signature()
    values = {getter[4:]: getattr(token, getter)() or None for getter in GETTERS}
    return values | {"user_name": (user and user.get_name()) or None}
