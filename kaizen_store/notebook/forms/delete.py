"""The form of lesson 05: delete a token from the store, revoke it at Zoho, or both."""

from __future__ import annotations

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

from .explain import InputError
from .form import Field, Form
from .forms import IMPORT_TOKEN, needs_sdk_on, quoted, script, stored_token

DELETE, REVOKE = "delete it from the store", "revoke it at Zoho"
LOG_OUT, DELETE_ALL = "log out: do both", "delete every row"
WHAT = (LOG_OUT, REVOKE, DELETE, DELETE_ALL)


class DeleteForm(Form):
    """Deletes a token from the store, revokes it at Zoho, or does both.

    :param store: the store that the SDK was initialised with.
    """

    title = "Delete and revoke"
    button = "Do it"

    def __init__(self, store: TokenStore) -> None:
        super().__init__(
            store,
            [
                Field("id", "Row", "The id in the first column of the table.", "1"),
                Field(
                    "what", "What to do", "To log out, revoke, then delete.", LOG_OUT, choices=WHAT
                ),
            ],
        )

    def act(self, values: dict[str, str]) -> str:
        """Do what was chosen, and say what is left."""
        id, what = values["id"], values["what"]
        if what == DELETE_ALL:
            self.store.delete_tokens()
            return "The store is empty. Zoho still accepts every token that was in it."
        stored_token(self.store, id)
        if what == DELETE:
            self.store.delete_token(id)
            return f"Row {id} is gone. Zoho still accepts its tokens."
        needs_sdk_on(self.store)
        token = OAuthToken(id=id)
        if not token.revoke(id):
            raise InputError(
                f"Zoho has not revoked the refresh token of row {id}: the row holds none, or one "
                "that was revoked before. Delete the row; nothing else is left of it."
            )
        if what == REVOKE:
            return f"Zoho accepts no token of row {id} any more. The row is still in the store."
        self.store.delete_token(id)
        return f"Zoho accepts no token of row {id} any more, and the store has forgotten it."

    def code(self, values: dict[str, str]) -> str:
        """Return the code of the step."""
        id = quoted(values["id"])
        if values["what"] == DELETE_ALL:
            return "store.delete_tokens()"
        if values["what"] == DELETE:
            return f"store.delete_token({id})"
        lines = [f"OAuthToken(id={id}).revoke({id})"]
        lines += [f"store.delete_token({id})"] * (values["what"] == LOG_OUT)
        return script(IMPORT_TOKEN, *lines)
