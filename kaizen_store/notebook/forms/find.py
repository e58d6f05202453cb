"""The form of lesson 03: find a token in a store."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ...practice import PracticeZoho
from ..real_zoho import RealZoho
from ..table import fingerprint, time_left
from .base import Field, Form
from .token_code import (
    IMPORT_TOKEN,
    IMPORT_USER,
    Argument,
    client_arguments,
    last_token,
    last_token_code,
    make_token,
    quoted,
    script,
    secret_argument,
    token_code,
    user_argument,
    user_name_of,
)

LOOKUP_KEYS = ("user name", "id", "access token", "refresh token", "grant token")
KEYS_WITH_CLIENT = ("refresh token", "grant token")


class FindForm(Form):
    """Finds a token in a store, with each lookup that the SDK makes.

    ``found`` is the token that the last submit found, or None.

    :param store: the store.
    :param zoho: a running Practice Zoho, whose client is then the default.
    """

    title = "Find a token"
    button = "Find"

    def __init__(self, store: TokenStore, zoho: PracticeZoho | RealZoho | None = None) -> None:
        self.zoho = zoho
        self.found: OAuthToken | None = None
        last = next(iter(store.get_tokens()[-1:]), None)
        key_hint, first = "What the SDK knows about the token.", LOOKUP_KEYS[0]
        token_hint = "An access, refresh or grant token. Empty: that of the newest row."
        client_hint, client_id = "For a refresh or grant token.", zoho.client_id if zoho else ""
        secret_hint = "Empty: Practice Zoho's, or the environment variable ZOHO_CLIENT_SECRET."
        super().__init__(
            store,
            [
                Field("key", "Find by", key_hint, first, choices=LOOKUP_KEYS),
                Field("name", "User name or id", "For the first two.", user_name_of(last)),
                Field("token", "The token", token_hint, secret=True),
                Field("client_id", "Client id", client_hint, client_id),
                Field("client_secret", "Client secret", secret_hint, secret=True),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Look the token up, and say what was found."""
        self.found, self.sign, key = None, "✔", values["key"]
        if key == "id":
            self.found = self.store.find_token_by_id(values["name"])
        else:
            self.found = self.store.find_token(make_token(self._arguments(values)))
        if self.found is None:
            self.sign = "○"
            with_client = " together with this client" if key in KEYS_WITH_CLIENT else ""
            return f"None: no token in {type(self.store).__name__} has this {key}{with_client}."
        access = fingerprint(self.found.get_access_token()) or "none"
        left = time_left(self.found.get_expires_in()) or "without an expiry"
        if left.startswith("in "):
            left = f"which expires {left}"
        return f"Found row {self.found.get_id()}: access token {access}, {left}."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        if values["key"] == "id":
            return f"token = store.find_token_by_id({quoted(values['name'])})"
        return script(
            *[IMPORT_TOKEN] + [IMPORT_USER] * (values["key"] == "user name"),
            f"query = {token_code(self._arguments(values))}",
            "token = store.find_token(query)",
        )

    def _arguments(self, values: dict[str, str]) -> list[Argument]:
        if values["key"] == "user name":
            return [user_argument(values["name"])]
        kind = values["key"].replace(" ", "_")
        token = secret_argument(
            kind, values["token"], lambda: last_token(self.store, kind), last_token_code(kind)
        )
        with_client = values["key"] in KEYS_WITH_CLIENT
        return [*(client_arguments(values, self.zoho) if with_client else []), token]
