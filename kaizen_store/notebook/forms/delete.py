"""The form of lesson 05: delete a token from the store, revoke it at Zoho, or both."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from ...stores import single_flight
from ..explanations import InputError
from .base import Field, Form
from .token_code import (
    IMPORT_TOKEN,
    ROW_HINT,
    quoted,
    require_initialized,
    script,
    stored_token,
)

DELETE, REVOKE = "delete it from the store", "revoke it at Zoho"
LOG_OUT, DELETE_ALL = "log out: do both", "delete every row"
CHOICES = (LOG_OUT, REVOKE, DELETE, DELETE_ALL)


class DeleteForm(Form):
    """Deletes a token from the store, revokes it at Zoho, or does both.

    :param store: the store that the SDK was initialized with.
    """

    title = "Delete and revoke"
    button = "Do it"

    def __init__(self, store: TokenStore) -> None:
        hint = "To log a user out, revoke the token, then delete it."
        super().__init__(
            store,
            [
                Field("id", "Row", ROW_HINT, "1"),
                Field("what", "What to do", hint, LOG_OUT, choices=CHOICES),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Do what was chosen, and say which tokens still work."""
        id, what = values["id"], values["what"]
        if what == DELETE_ALL:
            self.store.delete_tokens()
            return "The store is empty. Zoho still accepts every token that was in it."
        stored_token(self.store, id)
        if what == DELETE:
            self.store.delete_token(id)
            return f"Row {id} is deleted. Zoho still accepts its tokens."
        require_initialized(self.store)
        token = OAuthToken(id=id)
        token.revoke_refresh_token = single_flight.with_timeout(token.revoke_refresh_token)
        if not token.revoke(id):
            raise InputError(
                f"Zoho did not revoke the refresh token of row {id}: the row has none, or it was "
                "revoked before. Delete the row; the token does not work any more."
            )
        if what == REVOKE:
            return f"The tokens of row {id} are revoked. The row is still in the store."
        self.store.delete_token(id)
        return f"The tokens of row {id} are revoked, and the row is deleted."

    def code(self, values: dict[str, str]) -> str:
        """Return the code for the step."""
        id = quoted(values["id"])
        if values["what"] == DELETE_ALL:
            return "store.delete_tokens()"
        if values["what"] == DELETE:
            return f"store.delete_token({id})"
        lines = [f"OAuthToken(id={id}).revoke({id})"]
        lines += [f"store.delete_token({id})"] * (values["what"] == LOG_OUT)
        return script(IMPORT_TOKEN, *lines)
